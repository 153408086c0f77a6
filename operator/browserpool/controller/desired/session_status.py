"""What a BrowserSession's state is called: its status and conditions. Pure.

==========================  =======  =====  ========  ==============================================================
the session                 Claimed  Ready  Finished  reason
==========================  =======  =====  ========  ==============================================================
waits                       False    False  False     NoBrowserReady, HeartbeatsLate, PoolNotFound, InvalidSpec, …
has a browser               True     True   False     Claimed
is over                     False    False  True      BrowserIdle, LifetimeOver, NormalClosure, BrowserLost, Forgotten
==========================  =======  =====  ========  ==============================================================
"""

import dataclasses
import datetime
import re
from collections.abc import Mapping
from typing import Any, Final

from browserpool.controller.desired import status
from browserpool.model import claims, sessions

FORGOTTEN: Final = "Forgotten"
LIFETIME_OVER: Final = "LifetimeOver"
_WHY_OVER: Final = {
    "NormalClosure": "The session was closed.",
    "BrowserIdle": "Nothing happened on the session for keepAlive.",
    "BrowserLost": "The session's browser restarted, or its pod went away.",
    "Shutdown": "The installation was stopped.",
    LIFETIME_OVER: "The session's lifetime was over.",
    FORGOTTEN: "The session is over, and the store remembers no more of it.",
}
WORTH_A_LOOK: Final = frozenset(
    {
        "BrowserLost",
        "PoolNotFound",
        "RegionNotFound",
        "TokenNotFound",
        "TokenNotAllowed",
        "InvalidSpec",
        "HeartbeatsLate",
    }
)
"""Reasons for which somebody should look."""
_OF_THE_BROWSER: Final = (
    "sessionId", "podName", "nodeName", "zone", "region", "spilled", "startedAt", "expiresAt",
)  # fmt: skip
"""What a finished session's status keeps, for people."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why there is no session yet: one word, and a sentence that says how to mend it."""

    reason: str
    message: str


# ---------------------------------------------------------------- what a status says
def has_begun(shown: Mapping[str, Any]) -> bool:
    """Whether the session is known to have had a browser."""
    return bool(shown.get("startedAt"))


def is_finished(shown: Mapping[str, Any]) -> bool:
    """Whether the session is known to be over."""
    return any(one.get("type") == "Finished" and one.get("status") == "True" for one in shown.get("conditions") or ())


def finished_at(shown: Mapping[str, Any]) -> datetime.datetime | None:
    """When it ended."""
    return _moment(shown.get("finishedAt"))


def reason(shown: Mapping[str, Any]) -> str:
    """Why it is ready, or not; empty: nothing was said yet."""
    return next((str(one["reason"]) for one in shown.get("conditions") or () if one.get("type") == "Ready"), "")


def message(shown: Mapping[str, Any]) -> str:
    """The sentence beside ``reason``."""
    return next((str(one["message"]) for one in shown.get("conditions") or () if one.get("type") == "Ready"), "")


def _moment(text: object) -> datetime.datetime | None:
    try:
        return datetime.datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None


# ---------------------------------------------------------------- what it is to say
def waiting(before: Mapping[str, Any], problem: Problem, *, generation: int, now: datetime.datetime) -> dict[str, Any]:
    """It has no browser yet."""
    told = _conditions(before, problem, claimed=False, finished=False, generation=generation, now=now)
    return {"observedGeneration": generation, "conditions": told}


def no_browser(request: claims.ClaimRequest, outcome: claims.Outcome) -> Problem:
    """The claim found none."""
    if outcome is claims.Outcome.STALE:
        message = f"Heartbeats of region {request.region} are too late to be trusted; the claim is tried again."
        return Problem(reason="HeartbeatsLate", message=message)
    message = f"No browser of pool {request.pool} is ready in region {request.region}; the claim is tried again."
    return Problem(reason="NoBrowserReady", message=message)


def database_away(message: str) -> Problem:
    """The region's database cannot be asked, as ``message`` says."""
    return Problem(reason="RegionDatabaseUnreachable", message=f"{message} The claim is tried again.")


def ready(
    before: Mapping[str, Any],
    live: sessions.Session,
    *,
    url: str,
    spilled: bool,
    generation: int,
    now: datetime.datetime,
) -> dict[str, Any]:
    """It has a browser. What was once said of whether it spilled stays: pools and nodes may have changed since."""
    why = Problem(reason="Claimed", message=f"Browser {live.browser_id} is held for this session; connect to it.")
    made = {
        "observedGeneration": generation,
        "sessionId": live.session_id,
        "webSocketDebuggerUrl": address(url, live),
        "podName": live.browser_id,
        "nodeName": live.node,
        "zone": live.zone,
        "region": live.region,
        "spilled": before.get("spilled", spilled) if has_begun(before) else spilled,
        "startedAt": status.timestamp(live.started_at),
        "conditions": _conditions(before, why, claimed=True, finished=False, generation=generation, now=now),
    }
    return made | ({"expiresAt": status.timestamp(live.ends_at)} if live.ends_at is not None else {})


def address(url: str, live: sessions.Session) -> str:
    """Where CDP clients connect to the session, at the routers' address ``url``."""
    return f"{re.sub('^http', 'ws', url.rstrip('/'))}/devtools/browser/{live.session_id}"


def finished(
    before: Mapping[str, Any], past: sessions.Past | None, *, generation: int, now: datetime.datetime
) -> dict[str, Any]:
    """It is over. Its address is taken away: it would be answered 410."""
    reason = _why_over(before, past)
    ended = now if past is None else past.ended_at
    had = {key: before[key] for key in _OF_THE_BROWSER if key in before}
    if past is not None and not had:
        had = {
            "sessionId": past.session_id,
            "podName": past.browser_id,
            "nodeName": past.node,
            "zone": past.zone,
            "region": past.region,
            "startedAt": status.timestamp(past.started_at),
        }
    why = Problem(reason=reason, message=_WHY_OVER[reason])
    return {
        "observedGeneration": generation,
        **had,
        "finishedAt": status.timestamp(ended),
        "conditions": _conditions(before, why, claimed=False, finished=True, generation=generation, now=now),
    }


def _why_over(before: Mapping[str, Any], past: sessions.Past | None) -> str:
    if past is None:
        return FORGOTTEN
    hard_end = _moment(before.get("expiresAt"))
    # The store tells leases that ran out and lifetimes that were over by one word.
    if past.reason is claims.CloseReason.BROWSER_IDLE and hard_end is not None and past.ended_at >= hard_end:
        return LIFETIME_OVER
    return claims.CLOSE_REASON_TEXTS[past.reason]


def _conditions(
    before: Mapping[str, Any],
    why: Problem,
    *,
    claimed: bool,
    finished: bool,
    generation: int,
    now: datetime.datetime,
) -> list[dict[str, Any]]:
    said = {"Claimed": claimed, "Ready": claimed, "Finished": finished}
    return status.conditions(
        [status.Condition(type=kind, status=so, reason=why.reason, message=why.message) for kind, so in said.items()],
        generation=generation,
        previous=before.get("conditions") or (),
        now=now,
    )
