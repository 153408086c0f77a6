"""browserless' management addresses: how full the pools are, and which sessions run. A caller sees what is his."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from browserpool.lib import web as lib_web
from browserpool.model import browsers as model
from browserpool.model import claims, pool, states
from browserpool.router import devtools, services
from browserpool.store import everywhere, sessions

MOST = 1000
"""Sessions in one answer."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The caller's pools, taken together: browsers ``ready`` and ``running`` of ``most``, requests ``queued`` here of ``room``."""

    ready: int
    running: int
    most: int
    queued: int
    room: int

    @property
    def available(self) -> bool:
        """Whether a request that comes now would be served, or may wait to be."""
        return self.ready > 0 or self.queued < self.room


async def pressure(call: services.Call) -> web.StreamResponse:
    """GET /pressure: browserless': how full the caller's pools are; ``Accept: text/plain``: 200 or 503."""
    allowed = call.token.pools
    specs = {name: spec for name, spec in call.services.catalog.pools.items() if allowed is None or name in allowed}
    counts = [one for one in await everywhere.counts(call.services.databases) if one.pool in specs]
    waiting = call.services.claiming.waiting
    load = Load(
        ready=_number(counts, states.BrowserState.READY),
        running=_number(counts, states.BrowserState.CLAIMED),
        most=sum(spec.most_anywhere for spec in specs.values()),
        queued=sum(waiting.depth(name) for name in specs),
        room=sum(_room(spec) for spec in specs.values()),
    )
    message = "" if load.available else "All browsers are in use, and the queue is full"
    if call.request.headers.get("Accept") == "text/plain":
        return web.Response(text=message + "\n", status=200 if load.available else 503)
    rejected = call.services.quotas.refused(call.token.name)
    date = round(await _now(call.services) * 1000)
    return lib_web.json_response({"pressure": told(load, message=message, date=date, rejected=rejected)})


async def _now(parts: services.Services) -> float:
    """The database's time, for which it is asked only as long as it has not said it."""
    if (known := parts.database_clock.now()) is not None:
        return known
    parts.database_clock.observe(moment := await sessions.moment(parts.db))
    return moment.timestamp()


def told(load: Load, *, message: str, date: int, rejected: int) -> dict[str, Any]:
    """The load in browserless' words. Nothing is known here of processors and memory: they are the nodes', and the pods' limits."""
    return {
        "cpu": None,
        "date": date,
        "isAvailable": load.available,
        "maxConcurrent": load.most,
        "maxQueued": load.room,
        "memory": None,
        "message": message,
        "queued": load.queued,
        "reason": "" if load.available else "full",
        "recentlyRejected": rejected,
        "running": load.running,
    }


async def listing(call: services.Call) -> web.StreamResponse:
    """GET /sessions: browserless': the caller's sessions that run."""
    found = await everywhere.listing(call.services.databases, token=call.owner, limit=MOST)
    return lib_web.json_response(
        [
            {
                "browser": "chromium",
                "browserId": one.browser_id,
                "id": one.session_id,
                "initialConnectURL": "/devtools/browser" if one.kind is claims.SessionKind.CDP else "",
                "killURL": None,
                "launchOptions": {},
                "numbConnected": int(one.connection is not None and one.connection.ended_at is None),
                "routePath": "/chromium" if one.kind is claims.SessionKind.CDP else "",
                "startedOn": devtools.milliseconds(one.started_at),
                "timeAliveMs": devtools.milliseconds(one.now) - devtools.milliseconds(one.started_at),
                "userDataDir": None,
            }
            for one in found
        ]
    )


def _number(counts: Sequence[model.Count], state: states.BrowserState) -> int:
    return sum(one.number for one in counts if one.state is state)


def _room(spec: pool.PoolSpec) -> int:
    return 0 if spec.on_empty.mode is pool.OnEmptyMode.FAIL else spec.on_empty.queue_limit
