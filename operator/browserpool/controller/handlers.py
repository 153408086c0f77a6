"""kopf, embedded: it watches pools and passes on what it sees. It decides nothing, and writes nothing on any object.

It runs in a thread with a loop of its own: kopf takes the signals of the loop it runs in, and cancels every task in it when it ends.
Only ``on.event`` handlers are registered, which need no finalizer, no annotation and no progress; posting of its events is off, peering
is off (the Lease is ours), and cluster-wide scanning is off, for which we have no right.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

import kopf
from kubernetes.aio import client as official

from browserpool.controller import kube
from browserpool.lib import chance, tasks

log = logging.getLogger(__name__)

Heard = Callable[[str | None, kube.Object], None]
"""Called in the caller's loop with ADDED, MODIFIED, DELETED or None (it was there already), and the object."""

_STOPS_WITHIN = 2.0
"""Seconds that its end is waited for: it writes nothing, so that the next leader need not wait for it."""


async def watch(configuration: official.Configuration, *, namespace: str, pools: Heard) -> None:
    """Run kopf until cancelled; if it ends by itself (it gives up after a minute without the API server), start it again."""
    for delay in tasks.backoff(first=1.0, most=30.0):
        stop = threading.Event()
        loop = asyncio.get_running_loop()
        registry = _registry(configuration, loop, pools=pools)
        running = loop.run_in_executor(None, _run, registry, namespace, stop)
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            stop.set()
            await asyncio.wait({running}, timeout=_STOPS_WITHIN)
            raise
        except Exception as error:  # noqa: BLE001 - kopf raises whatever ended one of its tasks, and a watch must go on
            log.warning("kopf ended", extra={"why": f"{type(error).__name__}: {error}"})
        await asyncio.sleep(chance.jitter(delay, share=0.5))


def _run(registry: kopf.OperatorRegistry, namespace: str, stop: threading.Event) -> None:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.peering.standalone = True
    settings.process.ultimate_exiting_timeout = None
    # The signals are the main thread's, which stops this one.
    logging.getLogger("kopf._core.reactor.running").addFilter(_but_signals)
    # Its line for each event handled says nothing that our own logs do not.
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    asyncio.run(
        kopf.operator(registry=registry, settings=settings, standalone=True, namespaces=[namespace], stop_flag=stop)
    )


def _but_signals(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("OS signals are ignored")


def _registry(
    configuration: official.Configuration, loop: asyncio.AbstractEventLoop, *, pools: Heard
) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()

    async def login(**_: Any) -> kopf.ConnectionInfo:
        return await _connection(configuration)

    kopf.on.login(registry=registry)(login)
    resource = kube.POOLS
    kopf.on.event(resource.group, resource.version, resource.plural, registry=registry)(_passing(loop, pools))
    return registry


def _passing(loop: asyncio.AbstractEventLoop, heard: Heard) -> Callable[..., Any]:
    async def passed(event: dict[str, Any], **_: Any) -> None:
        loop.call_soon_threadsafe(heard, event["type"], dict(event["object"]))

    return passed


async def _connection(configuration: official.Configuration) -> kopf.ConnectionInfo:
    """The official client's configuration in kopf's words; asked again whenever the API server answers 401."""
    # Reads the service account's token again if it is older than a minute.
    bearer = await configuration.get_api_key_with_prefix("BearerToken") or ""
    scheme, _, token = bearer.partition(" ")
    return kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert or None,
        insecure=not configuration.verify_ssl,
        certificate_path=configuration.cert_file or None,
        private_key_path=configuration.key_file or None,
        scheme=scheme.capitalize() if token else None,
        token=token or None,
        proxy_url=configuration.proxy or None,
    )
