"""What a token may still do, in the shape that Cloudflare's own clients read (``puppeteer.limits``)."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from browserpool.lib import web as lib_web
from browserpool.model import claims, pool, tokens
from browserpool.model import sessions as model
from browserpool.model.names import PoolName
from browserpool.router import holding, services
from browserpool.store import everywhere


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """``open``: sessions of the token, at all routers; ``most``: how many there may be. ``*_wait`` are seconds, 0: it may pass now."""

    open: int
    most: int
    rate_left: float
    rate_wait: float
    day_wait: float
    slot_wait: float


def allowed(state: State) -> tuple[int, int]:
    """How many sessions may be started now, and, if none, the milliseconds until one may."""
    free = max(0, state.most - state.open)
    waits = (state.day_wait, 0.0 if free else state.slot_wait, state.rate_wait)
    if max(waits) > 0:
        wait = max(waits)
        return 0, 60_000 if math.isinf(wait) else math.ceil(wait * 1000)
    return (free if math.isinf(state.rate_left) else min(free, max(1, int(state.rate_left)))), 0


def capacity(token: tokens.Token, *, pools: Mapping[PoolName, pool.PoolSpec]) -> int:
    """How many sessions the token may hold at once: its own limit, or else all the browsers that its pools can have."""
    browsers = sum(spec.most_anywhere for name, spec in pools.items() if token.pools is None or name in token.pools)
    return browsers if token.concurrency is None else token.concurrency


def slot_wait(live: Sequence[model.Session]) -> float:
    """Seconds after which one of the sessions has ended, if nothing more passes on it; a quick action ends soon."""
    lefts = (
        holding.SOON
        if one.kind is claims.SessionKind.ACTION
        else max(0.0, (one.expires_at - one.now).total_seconds()) + holding.ENDING
        for one in live
    )
    return min(lefts, default=holding.SOON)


async def report(call: services.Call) -> web.StreamResponse:
    """GET …/limits: the token's open sessions, how many more may be started, how long until the next one (ms)."""
    token, parts = call.token, call.services
    live = await everywhere.listing(parts.databases, token=token.name, limit=holding.MOST)
    parts.quotas.learn(day := await parts.days.today(parts.databases))
    rate_left, rate_wait = parts.quotas.rate_left(token)
    state = State(
        # This router may have let in some that have no browser yet.
        open=max(len(live), parts.quotas.running(token.name)),
        most=capacity(token, pools=parts.catalog.pools),
        rate_left=rate_left,
        rate_wait=rate_wait,
        day_wait=parts.quotas.day_wait(token),
        slot_wait=slot_wait(live),
    )
    number, wait = allowed(state)
    answer: dict[str, Any] = {
        "activeSessions": [{"id": one.session_id} for one in live],
        "maxConcurrentSessions": state.most,
        "allowedBrowserAcquisitions": number,
        "timeUntilNextAllowedBrowserAcquisition": wait,
        "usedBrowserTimeSeconds": round(day.seconds.get(token.name, 0.0), 3),
    }
    if token.daily_seconds is not None:
        answer["maxBrowserTimeSeconds"] = token.daily_seconds
    return lib_web.json_response(answer)
