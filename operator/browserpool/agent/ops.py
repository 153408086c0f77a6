"""Probes and metrics: on a port of their own, or on the agent's."""

from collections.abc import Callable

import prometheus_client
from aiohttp import web

from browserpool import metrics
from browserpool.lib import web as server
from browserpool.model import agentapi


def add(app: web.Application, *, alive: Callable[[], bool], ready: Callable[[], str]) -> None:
    """Add the probes' and metrics' routes to ``app``. ``ready`` returns what is missing; empty: nothing is."""

    async def healthz(_: web.Request) -> web.Response:
        living = alive()
        return server.json_response({"alive": living}, status=200 if living else 503)

    async def readyz(_: web.Request) -> web.Response:
        missing = ready()
        return server.json_response({"ready": not missing, "missing": missing}, status=503 if missing else 200)

    async def serve_metrics(_: web.Request) -> web.Response:
        return web.Response(
            body=prometheus_client.generate_latest(metrics.REGISTRY),
            headers={"Content-Type": prometheus_client.CONTENT_TYPE_LATEST},
        )

    app.router.add_get(agentapi.HEALTHZ, healthz)
    app.router.add_get(agentapi.READYZ, readyz)
    app.router.add_get(agentapi.METRICS, serve_metrics)
