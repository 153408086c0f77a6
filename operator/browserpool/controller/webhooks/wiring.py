"""The decisions with what the settings say, served at their paths. A replica that does not lead, or has no store yet, serves them too."""

import contextlib
import pathlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

from browserpool.controller import kube, settings
from browserpool.controller.webhooks import eviction, injection, review, server, sidecar
from browserpool.store import databases

INJECT: Final = "inject"
EVICT: Final = "evict"


class _Pods:
    """Pods' metadata, from the API server."""

    def __init__(self, client: kube.Client) -> None:
        self._client = client

    async def metadata(self, name: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = (await self._client.get(kube.PODS, name))["metadata"]
        return found


@contextlib.asynccontextmanager
async def serving(
    config: settings.ControllerSettings, *, client: kube.Client, stores: Callable[[], databases.Databases | None]
) -> AsyncIterator[int | None]:
    """Serve the webhooks while the block runs; yields the port. Without ``webhook_port`` in the settings there are none: None.

    Raises:
        OSError, ssl.SSLError: the certificate cannot be loaded, or the port not be had.
    """
    if config.webhook_port is None:
        yield None
        return
    guard = eviction.Guard(stores=stores, pods=_Pods(client), namespace=config.namespace)
    certificate = server.Certificate(chain=pathlib.Path(config.webhook_cert), key=pathlib.Path(config.webhook_key))
    decisions = {INJECT: _injecting(config), EVICT: guard.decide}
    async with server.serving(decisions, certificate=certificate, host=config.host, port=config.webhook_port) as port:
        yield port


def _injecting(config: settings.ControllerSettings) -> server.Decision:
    defaults = sidecar.Defaults(
        image=config.sidecar_image,
        pull_policy=config.image_pull_policy,
        router_url=config.sidecar_router_url or config.router_url,
        token_secret=config.sidecar_token_secret,
    )

    async def decide(request: review.Request) -> review.Answer:
        return injection.decide(request, defaults=defaults)

    return decide
