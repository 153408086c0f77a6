"""The router's whole configuration, read from ``BROWSERPOOL_<FIELD>``. Durations are in seconds."""

from typing import Self

import orjson
import pydantic
from pydantic import Field

from browserpool.lib import logs
from browserpool.router.ai import providers as ai
from browserpool.router.cache import keeping


def _names(value: object) -> object:
    """A tuple from JSON (``["eu","us"]``) or from a list with commas (``eu,us``)."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    return orjson.loads(text) if text.startswith("[") else [part.strip() for part in text.split(",") if part.strip()]


class RouterSettings(pydantic.BaseModel):
    """Frozen; made once, by ``__main__`` or by a test."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    dsn: str = Field(description="the store's libpq connection string")
    signing_key: str = Field(
        min_length=16, description="the installation's key; browsers' own secrets are derived from it"
    )
    region: str | None = Field(
        default=None,
        description="where this router stands; claims start here; none: its node's, or local where it has no node",
    )
    regions: tuple[str, ...] = Field(default=(), description="the regions whose lag it records; empty: its own")
    zone: str | None = Field(default=None, description="wished for when a request names no zone; none: its node's")
    node: str | None = Field(
        default=None, description="the node that it stands on, wished for when a request names none"
    )

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    ops_host: str = "127.0.0.1"
    ops_port: int | None = Field(
        default=None, ge=0, le=65535, description="probes and metrics without a token; none: no such port"
    )
    chrome_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="a port on loopback that is entered without a token, as Chrome's own is; none: no such port",
    )
    chrome_token: str = Field(
        default="", repr=False, description="the bearer token whose owner comes in by chrome_port"
    )
    public_url: str | None = Field(
        default=None, description="what clients call this router, for the addresses it gives out"
    )
    holder: str | None = Field(default=None, description="this instance's name in leases; none: a fresh one each start")
    place_header: str = Field(
        default="X-Browserpool-From",
        min_length=1,
        description="the header in which a proxy says where a client is, for a region's near; CF-IPCountry at Cloudflare's",
    )
    secrets_dir: str = Field(
        default="",
        description="the directory of tokens for other systems and of connection strings of regions' databases, NAME/KEY in it",
    )
    log_format: logs.Format = "text"
    log_level: str = "INFO"

    max_body: int = Field(default=50 * 1024 * 1024, ge=1024, description="bytes; over it a body is answered 413")
    db_connections: int = Field(default=8, ge=1, le=100)
    catalog_reload: float = Field(default=1.0, gt=0, description="how old pools and tokens may be")
    status_reload: float = Field(default=2.0, gt=0, description="how old the gauges of browsers may be")
    mcp: bool = Field(
        default=True, description="whether /mcp serves the Model Context Protocol; its SDK takes 27 MB of memory"
    )
    usage_interval: float = Field(
        default=2.0, gt=0, description="how old the count of tokens' browser time may be; one router counts for all"
    )
    freshness: float = Field(
        default=15.0, gt=0, description="a browser that was not heard of for longer is not claimed"
    )

    cache: keeping.Where = Field(
        default="memory",
        description="where answers of quick actions are kept for cacheTTL: memory, postgres (routers share them), off",
    )
    cache_bytes: int = Field(default=64 * 1024 * 1024, ge=0, description="answers kept in memory, in all")
    cache_store_bytes: int = Field(
        default=256 * 1024 * 1024, ge=0, description="answers kept in Postgres, of all routers together"
    )
    cache_answer_bytes: int = Field(default=4 * 1024 * 1024, ge=0, description="a larger answer is not kept")

    ai_url: str = Field(
        default="", description="base address of the model endpoint for json, OpenAI's chat completions; empty: none"
    )
    ai_model: str = Field(default="", description="the model that is asked there")
    ai_key: str = Field(default="", repr=False, description="the bearer token that is sent there, and nowhere else")
    ai_providers: tuple[str, ...] = Field(
        default=(), description="providers that callers may name in custom_ai with keys of their own, as name=url"
    )
    ai_well_known: bool = Field(default=True, description="callers may also name well-known providers")
    ai_timeout: float = Field(default=60.0, gt=0, description="that one model has for one answer")
    ai_page_chars: int = Field(default=200_000, ge=1, description="of a page's text that a model is shown")

    action_lease: float = Field(
        default=10.0, gt=0, description="keep-alive of a quick action's session; renewed while it runs"
    )
    renew_interval: float = Field(default=3.0, gt=0)
    recordings: bool = Field(default=False, description="whether sessions may ask to be recorded (recording=true)")
    recording_days: float = Field(default=30.0, gt=0, description="how long a recording is kept")
    recording_bytes: int = Field(
        default=32 * 1024 * 1024, ge=1024, description="of one recording, before it is deflated; beyond, it ends"
    )
    expire_interval: float = Field(default=1.0, gt=0)
    connect_timeout: float = Field(default=2.0, gt=0, description="until an agent takes a connection")
    end_timeout: float = Field(default=15.0, gt=0, description="until an agent has cleaned up after a session")
    claim_retries: int = Field(
        default=2, ge=0, le=5, description="other browsers to try when the claimed one cannot be reached"
    )
    poll_first: float = Field(
        default=0.05, gt=0, description="between two looks for a browser that another router freed"
    )
    poll_most: float = Field(default=0.5, gt=0)

    crawl_pages: int = Field(
        default=1,
        ge=0,
        le=100,
        description="pages of crawls that it works on at one time; 0: it leaves them to other routers",
    )
    crawl_lease: float = Field(
        default=30.0, ge=0.1, description="after so long another router goes on with what one held that died"
    )
    crawl_user_agent: str = Field(
        default="Mozilla/5.0 (compatible; BrowserpoolCrawler/1.0)",
        min_length=1,
        description="what crawls call themselves to servers; add an address where their owners can ask",
    )

    drain_timeout: float = Field(default=30.0, ge=0, description="for running actions, after SIGTERM")
    cdp_drain_timeout: float = Field(default=5.0, ge=0, description="for open CDP connections, after SIGTERM")
    release_on_exit: bool = Field(
        default=False,
        description="end CDP sessions on exit; otherwise they stay for keep_alive, to be reconnected through another router",
    )

    max_batch_size: int = Field(default=100, ge=1, le=10_000)
    max_batch_timeout: float = Field(default=1.0, gt=0)
    max_retries: int = Field(default=1, ge=0)

    _read_names = pydantic.field_validator("regions", "ai_providers", mode="before")(_names)

    @pydantic.field_serializer("ai_providers")
    def _written_with_commas(self, names: tuple[str, ...]) -> str:
        return ",".join(names)

    @property
    def providers(self) -> ai.Table:
        """Which models json may ask, and where."""
        return ai.table(
            url=self.ai_url,
            model=self.ai_model,
            key=self.ai_key,
            more=self.ai_providers,
            well_known=self.ai_well_known,
        )

    @pydantic.model_validator(mode="after")
    def _models_can_be_asked(self) -> Self:
        if bool(self.ai_url) != bool(self.ai_model):
            raise ValueError("ai_url and ai_model belong together: the endpoint, and the model that is asked there")
        _ = self.providers  # says which one it cannot read
        return self

    @pydantic.model_validator(mode="after")
    def _chrome_door_has_an_owner(self) -> Self:
        if self.chrome_port is not None and not self.chrome_token:
            raise ValueError("chrome_port needs chrome_token: the bearer token whose owner comes in by that port")
        return self

    @pydantic.field_validator(
        "ops_port", "chrome_port", "public_url", "region", "zone", "node", "holder", mode="before"
    )
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value
