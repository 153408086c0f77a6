"""Both arms side by side, from what all routers have counted."""

from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from browserpool.lib import web as lib_web
from browserpool.model import errors, outcomes, quantities
from browserpool.model.names import PoolName
from browserpool.router import services
from browserpool.store import outcomes as store

DEFAULT_SINCE: Final = 3600.0
MOST_SINCE: Final = 7 * 86400.0
"""Seconds; what is older is forgotten."""
ALL: Final = "all"
"""In the place of an action: all quick actions together. CDP is not among them: its seconds are other ones."""


async def report(call: services.Call) -> web.StreamResponse:
    """GET /v1/outcomes: how a pool's requests ended and how long they took, by action and by who served; for admins."""
    if not call.token.admin:
        raise errors.Forbidden("What all callers' requests came to is for admins' tokens: see `browserpool token put`.")
    pool = _pool(call)
    since = _since(call.request.query.get("since"))
    # What this router has counted belongs to it, though it is not written yet.
    await call.services.outcomes.write()
    found = await store.sums(call.services.db, pool, since=since)
    return lib_web.json_response({"pool": pool, "since": since, "outcomes": compared(found)})


def compared(found: Mapping[outcomes.Kind, outcomes.Tally]) -> list[dict[str, Any]]:
    """A line for each action and arm, the templates taken together; then each arm's quick actions in one."""
    grouped: dict[tuple[str, outcomes.Arm], list[outcomes.Tally]] = {}
    for kind, tally in found.items():
        grouped.setdefault((kind.action, kind.arm), []).append(tally)
    lines = [_line(action, arm, outcomes.summed(tallies)) for (action, arm), tallies in sorted(grouped.items())]
    for arm in outcomes.Arm:
        actions = [tally for kind, tally in found.items() if kind.arm is arm and kind.action != outcomes.CDP]
        lines += [_line(ALL, arm, outcomes.summed(actions))] if actions else []
    return lines


def _line(action: str, arm: outcomes.Arm, tally: outcomes.Tally) -> dict[str, Any]:
    return {
        "action": action,
        "arm": str(arm),
        "requests": tally.requests,
        "failures": tally.failures,
        "errorRate": round(tally.error_rate, 6),
        "meanMs": round(tally.seconds / tally.requests * 1000, 3) if tally.requests else None,
        **{f"p{share}Ms": _milliseconds(tally.quantile(share / 100)) for share in (50, 95, 99)},
    }


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


def _pool(call: services.Call) -> PoolName:
    known = call.services.catalog.pools
    name = call.request.query.get("pool")
    if name is None and len(known) == 1:
        return next(iter(known))
    if name is None:
        raise errors.InvalidRequest(f"pool is required; there are: {', '.join(sorted(known)) or 'none'}")
    # One that is gone may have been served within the time that is asked for.
    return PoolName(name)


def _since(text: str | None) -> float:
    if text is None:
        return DEFAULT_SINCE
    try:
        seconds = float(text) if text.replace(".", "", 1).isdigit() else float(quantities.parse_duration(text))
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= MOST_SINCE:
        raise errors.InvalidRequest(
            f"since must be seconds, or a duration like 1h, of at most 7d (given: {text[:40]!r})"
        )
    return seconds
