"""The sidecar's whole configuration, read from ``BROWSERPOOL_<FIELD>``. Durations are in seconds."""

import pydantic
from pydantic import Field

from browserpool.lib import logs


class SidecarSettings(pydantic.BaseModel):
    """Frozen; made once, by ``__main__`` or by a test."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    router_url: str = Field(pattern=r"^https?://[^/?#]+/?$", description="the router that it asks")
    token_file: str = Field(
        default="",
        description="the file that holds the bearer token; read again when it changes, and need not be there",
    )
    node: str | None = Field(default=None, description="the node it stands on; wished for when a request names none")
    pool: str | None = Field(default=None, description="the pool of requests that name none")

    host: str = "127.0.0.1"
    port: int = Field(default=9222, ge=0, le=65535)
    connect_timeout: float = Field(
        default=2.0, gt=0, description="until a router or a browser's pod takes a connection"
    )
    grace: float = Field(default=5.0, ge=0, description="for running requests, after SIGTERM")
    log_format: logs.Format = "text"
    log_level: str = "INFO"

    @pydantic.field_validator("node", "pool", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value
