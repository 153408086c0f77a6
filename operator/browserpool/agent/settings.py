"""The agent's configuration, read from the environment (``BROWSERPOOL_<FIELD>``)."""

import json
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field


def _from_json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def _empty_is_none(value: Any) -> Any:
    return None if value == "" else value


Texts = Annotated[
    tuple[str, ...],
    pydantic.BeforeValidator(_from_json),
    pydantic.PlainSerializer(lambda texts: json.dumps(list(texts))),
]
"""In the environment: a JSON list of strings."""


class AgentSettings(pydantic.BaseModel):
    """One agent's whole configuration. Durations are in seconds."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    browser_id: str = Field(min_length=1)
    claim_key: str = Field(min_length=1, repr=False)
    agent_token: str = Field(min_length=1, repr=False)
    router_url: str = Field(pattern=r"^https?://", description="where heartbeats go")

    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535)
    advertise: str = Field(default="", description="host:port that routers reach the agent at; default: what is bound")
    ops_port: Annotated[int | None, pydantic.BeforeValidator(_empty_is_none)] = Field(
        default=None, ge=0, le=65535, description="probes and metrics; 0: any; empty: the agent's own port"
    )

    chromium: str = Field(
        default="", description="path of the binary; empty: look for the headless shell, then Chromium"
    )
    chromium_args: Texts = ()
    sandbox: Literal["auto", "on", "off"] = Field(default="auto", description="auto: off for root, who cannot have one")
    data_dir: str = Field(
        default="", description="where Chromium's profiles live; empty: the system's temporary directory"
    )

    # The manifest's words (model.pool.Recycle); importing that module would cost the start of every agent 40 ms.
    recycle: Literal["Restart", "Delete"] = Field(default="Restart", description="what follows a CDP session")
    recycle_after: int = Field(default=50, ge=1, description="sessions after which Chromium restarts in any case")
    egress_allow: Texts = ()
    egress_deny: Texts = ()

    heartbeat_interval: float = Field(default=5.0, gt=0)
    grace: float = Field(default=30.0, ge=0, description="time that running requests get after SIGTERM")
    log_format: Literal["text", "json"] = "text"
    log_level: str = "INFO"
