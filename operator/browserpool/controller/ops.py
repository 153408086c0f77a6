"""Probes and metrics, on a port of their own, without a token."""

from collections.abc import Callable

import prometheus_client
from aiohttp import web

from browserpool import metrics
from browserpool.lib import web as lib_web


def application(*, alive: Callable[[], str], ready: Callable[[], str]) -> web.Application:
    """``alive`` and ``ready`` answer what is wrong; empty: nothing."""
    app = web.Application()

    async def healthz(_: web.Request) -> web.Response:
        return _verdict(alive())

    async def readyz(_: web.Request) -> web.Response:
        return _verdict(ready())

    async def serve_metrics(_: web.Request) -> web.Response:
        return web.Response(
            body=prometheus_client.generate_latest(metrics.REGISTRY),
            headers={"Content-Type": prometheus_client.CONTENT_TYPE_LATEST},
        )

    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", serve_metrics)
    return app


def _verdict(wrong: str) -> web.Response:
    return lib_web.json_response({"ok": not wrong, "why": wrong}, status=503 if wrong else 200)
