"""The controller's whole configuration, read from ``BROWSERPOOL_<FIELD>``. Durations are in seconds."""

from typing import Literal, Self

import pydantic
from pydantic import Field

from browserpool.controller.desired import network
from browserpool.lib import logs


class ControllerSettings(pydantic.BaseModel):
    """Frozen; made once, by ``__main__`` or by a test."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    dsn: str = Field(repr=False, description="the store's libpq connection string")
    signing_key: str = Field(
        min_length=16, repr=False, description="the installation's key; browsers' own secrets are derived from it"
    )
    namespace: str = Field(description="the one namespace whose pools and sessions it serves, and where it makes pods")
    identity: str = Field(min_length=1, description="this replica's name, as holder of the Lease: its pod's")
    kubeconfig: str = Field(
        default="", description="path of a kubeconfig; empty: the pod's own service account, else the usual places"
    )

    router_url: str = Field(pattern=r"^https?://", description="where browsers send heartbeats, and clients connect")
    browser_image: str = Field(min_length=1, description="image of browsers whose pool names none")
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    image_pull_secrets: str = Field(default="", description="names of pull secrets for browsers' images, with commas")
    owner_deployment: str = Field(
        default="", description="the controller's own Deployment: deleting it deletes browsers' pods; empty: no owner"
    )

    network_policy: pydantic.Json[network.Doors] | None = Field(
        default=None,
        description="what all pools' NetworkPolicies have in common, as JSON (desired.network.Doors); none: none are made",
    )

    installation: str = Field(
        default="",
        description="this installation's name in its database, which no other may use; empty: the namespace's",
    )
    lease_name: str = "browserpool-controller"
    lease_duration: float = Field(
        default=15.0, gt=0, description="seconds after which another may take a Lease that is not renewed"
    )
    renew_deadline: float = Field(
        default=10.0, gt=0, description="seconds after which a leader that cannot renew it stops"
    )
    retry_period: float = Field(
        default=2.0, gt=0, description="seconds between two attempts to take or renew the Lease"
    )

    host: str = "0.0.0.0"  # noqa: S104 - a pod's own network namespace; settings of one machine say otherwise
    ops_port: int = Field(default=8084, ge=0, le=65535, description="probes and metrics, without a token")
    webhook_port: int | None = Field(
        default=None, ge=0, le=65535, description="admission webhooks, over TLS; none: no such port"
    )
    webhook_cert: str = Field(default="", description="path of the webhooks' certificate, PEM")
    webhook_key: str = Field(default="", description="path of the certificate's key, PEM")
    sidecar_image: str = Field(default="", description="image of the sidecar that pods ask for; empty: inject none")
    sidecar_token_secret: str = Field(
        default="browserpool-token", description="the client's own Secret whose key `token` the sidecar sends"
    )
    sidecar_router_url: str = Field(default="", description="the router that sidecars call; empty: as router_url")

    resync: float = Field(default=2.0, gt=0, description="seconds between two looks at the store when nothing happens")
    concurrency: int = Field(default=16, ge=1, le=256, description="requests to the API server at the same time")
    request_timeout: float = Field(default=10.0, gt=0, description="seconds for one request to the API server")
    db_connections: int = Field(default=4, ge=1, le=100)
    secrets_dir: str = Field(
        default="", description="directory of the connection strings of regions' databases: <Secret's name>/<key>"
    )
    log_format: logs.Format = "text"
    log_level: str = "INFO"

    @pydantic.model_validator(mode="after")
    def _lease_is_safe(self) -> Self:
        if not self.retry_period < self.renew_deadline < self.lease_duration:
            raise ValueError("retry_period < renew_deadline < lease_duration must hold, or two replicas could lead")
        return self

    @pydantic.model_validator(mode="after")
    def _webhooks_have_a_certificate(self) -> Self:
        if self.webhook_port is not None and not (self.webhook_cert and self.webhook_key):
            raise ValueError("webhook_port needs webhook_cert and webhook_key: the API server calls webhooks over TLS")
        return self
