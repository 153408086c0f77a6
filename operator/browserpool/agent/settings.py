"""The agent's configuration, read from the environment (``BROWSERPOOL_<FIELD>``).

A plain dataclass, and the manifest's words written out: Chromium is spawned only after this was read, and pydantic, or the manifest's
module, would hold it up for longer than its own start takes.
"""

import dataclasses
from typing import Annotated, Literal

from browserpool.lib import plain
from browserpool.model import agentapi


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """One agent's whole configuration. Durations are in seconds."""

    browser_id: Annotated[str, plain.some]
    claim_key: Annotated[str, plain.some] = dataclasses.field(repr=False)
    agent_token: Annotated[str, plain.some] = dataclasses.field(repr=False)
    router_url: Annotated[str, plain.address]
    """Where heartbeats go."""
    database: str = ""
    """The database that the browser is registered in (``model.databases``); empty: the installation's own."""

    host: str = "127.0.0.1"
    port: Annotated[int, plain.whole(0, 65535)] = 0
    advertise: str = ""
    """``host:port`` that routers reach the agent at; empty: what is bound."""
    ops_port: Annotated[int | None, plain.or_none(plain.whole(0, 65535))] = None
    """Probes and metrics; 0: any; empty: the agent's own port."""

    chromium: str = ""
    """Path of the binary; empty: look for the headless shell, then Chromium."""
    chromium_args: Annotated[tuple[str, ...], plain.texts] = ()
    chromium_features: Annotated[tuple[str, ...], plain.each_of("WebGL", "WebMCP")] = ("WebGL",)
    """``model.pool.Feature``."""
    sandbox: Annotated[Literal["auto", "on", "off"], plain.one_of("auto", "on", "off")] = "auto"
    """auto: off for root, who cannot have one."""
    data_dir: str = ""
    """Where Chromium's profiles live; empty: the system's temporary directory."""

    recycle: Annotated[Literal["Restart", "Delete"], plain.one_of("Restart", "Delete")] = "Restart"
    """What follows a CDP session (``model.pool.Recycle``)."""
    recycle_after: Annotated[int, plain.whole(1)] = 50
    """Sessions after which Chromium restarts in any case."""
    egress_allow: Annotated[tuple[str, ...], plain.texts] = ()
    egress_deny: Annotated[tuple[str, ...], plain.texts] = ()

    heartbeat_interval: Annotated[float, plain.seconds(zero=False)] = 5.0
    grace: Annotated[float, plain.seconds(zero=True)] = 30.0
    """Time that running requests get after SIGTERM."""
    log_format: Annotated[Literal["text", "json"], plain.one_of("text", "json")] = "text"
    log_level: str = "INFO"

    @property
    def headers(self) -> dict[str, str]:
        """What its calls to a router carry."""
        return {"Authorization": f"Bearer {self.agent_token}", agentapi.DATABASE: self.database}
