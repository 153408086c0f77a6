"""How the router and its pools are: probes, metrics, and the whole picture for people."""

import collections
import dataclasses
from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import prometheus_client
from aiohttp import web

from browserpool import __version__, metrics
from browserpool.lib import web as lib_web
from browserpool.model import browsers as model_browsers
from browserpool.model import errors, pool, states
from browserpool.model.names import PoolName, RegionName, SessionId
from browserpool.router import services
from browserpool.store import everywhere, pools


async def healthz(_: services.Call) -> web.StreamResponse:
    """GET /healthz: the process answers."""
    return lib_web.json_response({"status": "ok"})


async def readyz(call: services.Call) -> web.StreamResponse:
    """GET /readyz: send clients here. A store that is away does not make it unready: all routers would be, and none could say 503."""
    if call.services.stopping.is_set():
        raise errors.Unavailable("This router is stopping.", retry_after=1)
    if not call.services.catalog.loaded:
        raise errors.Unavailable("This router has not read its pools and tokens yet.", retry_after=1)
    if call.services.place.patient:
        raise errors.Unavailable(
            f"This router does not know its region yet: node {call.services.settings.node} is not in the store, "
            "where the controller writes it; set a region to do without.",
            retry_after=1,
        )
    return lib_web.json_response({"status": "ready"})


async def exposition(_: services.Call) -> web.StreamResponse:
    """GET /metrics: Prometheus' text format."""
    text = prometheus_client.generate_latest(metrics.REGISTRY)
    return web.Response(body=text, headers={"Content-Type": prometheus_client.CONTENT_TYPE_LATEST})


async def status(call: services.Call) -> web.StreamResponse:
    """GET /v1/status: pools, regions, browsers, sessions. A token sees its own pools and sessions, an admin all."""
    token, stores = call.token, call.services.databases
    seen = None if token.admin else token.pools
    found = [one for one in await pools.listing(stores.home) if seen is None or one.name in seen]
    alive = [
        one
        for one in await everywhere.browsers_listing(stores)
        if one.state is not states.BrowserState.GONE and (seen is None or one.pool in seen)
    ]
    open_sessions = await everywhere.listing(stores, token=call.owner, pools=seen, limit=10_000)
    own = {one.session_id for one in open_sessions}
    return lib_web.json_response(
        {
            "router": {
                "version": __version__,
                "holder": call.services.holder,
                "region": call.services.place.home.region,
                "zone": call.services.place.home.zone,
                "node": call.services.place.home.node,
                "stopping": call.services.stopping.is_set(),
            },
            "databases_away": list(stores.away().values()) if token.admin else [],
            "pools": [_pool(call, one, alive) for one in found],
            "regions": [dataclasses.asdict(one) for one in await everywhere.regions_listing(stores)],
            "browsers": [_browser(one, known=None if token.admin else own) for one in alive],
            "sessions": [_dates_as_text(dataclasses.asdict(one)) for one in open_sessions],
        }
    )


def _pool(call: services.Call, one: pool.BrowserPool, alive: list[model_browsers.Browser]) -> dict[str, Any]:
    return {
        "name": one.name,
        "generation": one.metadata.generation,
        "queue": call.services.claiming.waiting.depth(one.name),
        "regions": [
            {
                "name": region.name,
                "replicas": one.spec.wanted(region),
                "max_replicas": one.spec.most(region),
                "backup": region.backup or (region.backup_router.url if region.backup_router is not None else None),
                "states": _states(alive, one.name, RegionName(region.name)),
            }
            for region in one.spec.regions
        ],
    }


def _states(alive: list[model_browsers.Browser], pool_name: PoolName, region: RegionName) -> dict[str, int]:
    counted = collections.Counter(one.state for one in alive if one.pool == pool_name and one.region == region)
    return {str(state): counted[state] for state in states.BrowserState if state is not states.BrowserState.GONE}


def _browser(one: model_browsers.Browser, *, known: Collection[SessionId] | None) -> dict[str, Any]:
    """``known``: the sessions whose ids the caller may see; ``None``: all. Who knows the id of a session without an owner may use it."""
    shown = dataclasses.asdict(one)
    del shown["address"]  # inside the installation, it is nobody's business outside
    if known is not None and one.session_id not in known:
        shown["session_id"] = None
    return shown


def _dates_as_text(values: dict[str, Any]) -> dict[str, Any]:
    del values["address"], values["fence"]
    return {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in values.items()}


class Gauges:
    """The gauges of browsers: how many there are, as the store has them, and how many are wanted ready."""

    def __init__(self) -> None:
        self._known: dict[prometheus_client.Gauge, set[tuple[str, ...]]] = collections.defaultdict(set)

    def update(
        self, counts: Iterable[model_browsers.Count], specs: Mapping[PoolName, pool.PoolSpec] = MappingProxyType({})
    ) -> None:
        """Set them; what is no longer counted, or wanted, goes to zero."""
        self._set(metrics.BROWSERS, {(one.pool, one.region, str(one.state)): one.number for one in counts})
        self._set(
            metrics.BROWSERS_WANTED,
            {(name, region.name): spec.wanted(region) for name, spec in specs.items() for region in spec.regions},
        )

    def _set(self, gauge: prometheus_client.Gauge, now: Mapping[tuple[str, ...], int]) -> None:
        for labels in self._known[gauge] - now.keys():
            gauge.labels(*labels).set(0)
        for labels, number in now.items():
            gauge.labels(*labels).set(number)
        self._known[gauge] |= now.keys()
