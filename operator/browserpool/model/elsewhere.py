"""Other systems that a pool's manifest names."""

import enum
from typing import Annotated, Self

import pydantic
from pydantic import Field

from browserpool.model.manifests import Part


class UpstreamKind(enum.StrEnum):
    """What another system speaks."""

    CDP = "cdp"
    """Chrome's own: a WebSocket, or the address of a /json/version."""
    CLOUDFLARE = "cloudflare"
    """Cloudflare's API, or another browserpool's router."""
    BROWSERLESS = "browserless"


class Fallback(enum.StrEnum):
    """Who serves a request that its own side failed."""

    TO_UPSTREAM = "ToUpstream"
    BOTH = "Both"
    NEVER = "Never"


class SecretKey(Part):
    """One key of a Secret."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)] = Field(
        description="The Secret's name. Routers read it from files: it must be mounted into them."
    )
    key: Annotated[str, Field(pattern=r"^[-._a-zA-Z0-9]+$", max_length=253)] = Field(
        default="token", description="Which of its keys holds the bearer token."
    )


class BackupRouter(Part):
    """Another cluster's router that serves when a region is empty or stale."""

    url: Annotated[str, Field(pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$", max_length=2048)] = Field(
        description="Its address, as its clients call it: http://… or https://…, with the path that it stands under."
    )
    token_secret_ref: SecretKey | None = Field(
        default=None, description="The bearer token for it, which says there what may be used. Default: none is sent."
    )
    pool: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$")] | None = Field(
        default=None, description="Its pool. Default: the one of this pool's name."
    )


class Upstream(Part):
    """The other system that serves a part of the pool's callers while they move."""

    url: Annotated[str, Field(pattern=r"^(https?|wss?)://[^\s/?#@]+([/?][^\s#]*)?$", max_length=2048)] = Field(
        description="Its address: for cdp http://host:9222 or the WebSocket's own; for cloudflare what stands before /screenshot; for "
        "browserless its root. A query goes with each request."
    )
    kind: UpstreamKind = Field(
        description="What it speaks. cdp: Chrome's protocol, so that quick actions stay with the pool; cloudflare: Cloudflare's API, "
        "or another browserpool's router; browserless."
    )
    token_secret_ref: SecretKey | None = Field(
        default=None, description="The bearer token for it. Default: none is sent."
    )
    percent: float = Field(
        default=0.0,
        ge=0,
        le=100,
        description="Percentage of callers that this pool serves; the upstream serves the rest. Raising it moves callers one way.",
    )
    sticky: bool = Field(
        default=True,
        description="A caller, which is a token, always has the same side. Otherwise each request is drawn anew.",
    )
    fallback: Fallback = Field(
        default=Fallback.TO_UPSTREAM,
        description="Who serves when one side fails before anything was answered. ToUpstream: the upstream, where the pool fails or has "
        "no browser ready; Both: the pool too, where the upstream fails; Never: the failure is answered.",
    )

    @pydantic.model_validator(mode="after")
    def _speaks(self) -> Self:
        if self.kind is UpstreamKind.CLOUDFLARE and not self.url.startswith("http"):
            raise ValueError("upstream: for kind cloudflare the url must begin with http:// or https://")
        return self
