"""The ``BrowserSession`` manifest: a session that lives as long as its object, for what speaks Kubernetes rather than HTTP.

There is no ``env`` among its fields. A browser is started before anybody claims it, and what its process was started with cannot change
without the cold start that the pool exists to avoid; what a session needs to know goes to its pages, over CDP.
"""

from typing import Annotated, Any, Final, Literal

import pydantic
from pydantic import Field

from browserpool.model import names
from browserpool.model.manifests import Part
from browserpool.model.quantities import Duration

API_VERSION: Final = "browserpool.dev/v1alpha1"
KIND: Final = "BrowserSession"

Label = Annotated[str, Field(pattern=rf"^{names.LABEL_PATTERN}$")]
Subdomain = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$", max_length=253)]


class PoolRef(Part):
    """The pool that the browser is taken from; it stands in the session's own namespace."""

    name: Label = Field(description="The pool's name.")


class SessionSpec(Part):
    """What is asked for. It cannot be changed afterwards, but for ttlSecondsAfterFinished. Durations are in seconds."""

    pool_ref: PoolRef = Field(description="The pool, of the same namespace, that the browser is taken from.")
    region: Label | None = Field(
        default=None, description="Where to look first. Default: the node's region, else the pool's first."
    )
    node_name: Subdomain | None = Field(
        default=None, description="The node whose browsers are preferred; then its zone, then the region."
    )
    token_name: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        description="The client token whose bearer may connect. Default: every token that may use the pool.",
    )
    keep_alive: Duration | None = Field(
        default=None,
        description="The session ends when nothing happens on it for this long, at first counted from its claim; 10s at "
        "least. Default: the pool's sessions.keepAlive.",
    )
    ttl: Duration | None = Field(
        default=None,
        description="The session ends this long after its claim, whatever happens on it. The pool's "
        "sessions.maxLifetime is the most.",
    )
    ttl_seconds_after_finished: int | None = Field(
        default=None,
        ge=0,
        le=31_536_000,
        description="The object is deleted this many seconds after the session ended. Default: it stays.",
    )


class Metadata(pydantic.BaseModel):
    """The part of Kubernetes' ObjectMeta that is ours to read; the rest is kept."""

    model_config = pydantic.ConfigDict(frozen=True, extra="allow")

    name: str
    namespace: str = "default"
    uid: str
    generation: int = 1


class BrowserSession(Part):
    """The whole manifest."""

    api_version: Literal["browserpool.dev/v1alpha1"] = API_VERSION
    kind: Literal["BrowserSession"] = KIND
    metadata: Metadata
    spec: SessionSpec
    status: dict[str, Any] = Field(default_factory=dict)
