"""Quick actions that are at work in one browser at the same time: ``sessions.actionsPerBrowser``.

The session stays one, with one lease and one fence; here is counted who is in it. An action joins another's session when no browser is
ready, and only that of its own token: callers who do not trust each other never share a Chromium. The session ends with the last action
in it, and takes none that comes late, so that a busy token gives the browser up to whoever else waits.
"""

import dataclasses
from collections.abc import Iterable
from typing import Final

from browserpool.lib import clock
from browserpool.model import claims, pool
from browserpool.model.names import PoolName, SessionId
from browserpool.router import holding

JOINABLE: Final = 5.0
"""Seconds from a session's claim within which others may join it."""


@dataclasses.dataclass(slots=True, kw_only=True, eq=False)
class Share:
    """One session: ``users`` actions are in it now, ``uses`` were in all. ``since`` is on the process's steady clock."""

    request: claims.ClaimRequest
    held: holding.Held
    since: float
    users: int = 1
    uses: int = 1
    closed: bool = False
    """Something went wrong in it: whoever is in it ends, and nobody joins."""
    reachable: bool = True
    """Its agent answered, whenever it was asked."""


def is_open(share: Share, *, rules: pool.Sessions, now: float) -> bool:
    """Whether one more action may join."""
    held = share.held
    return (
        not (share.closed or held.ending or held.over.is_set())
        and share.users < rules.actions_per_browser
        and share.uses < rules.recycle_after
        and now - share.since < JOINABLE
    )


def fits(share: Share, request: claims.ClaimRequest) -> bool:
    """Whether ``request`` may be served by that session: the same token's, bound to the same terms, wished for at the same place."""
    return request.kind is claims.SessionKind.ACTION and _wish(share.request) == _wish(request)


def _wish(request: claims.ClaimRequest) -> claims.ClaimRequest:
    return dataclasses.replace(request, session_id=SessionId(""))


def emptiest(shares: Iterable[Share]) -> Share | None:
    """The one with the fewest actions in it."""
    return min(shares, key=lambda share: share.users, default=None)


class Sharing:
    """The sessions of this router that others may join, and those that were joined."""

    def __init__(self, *, now: clock.Monotonic = clock.monotonic) -> None:
        self._now = now
        self._rules: dict[PoolName, pool.Sessions] = {}
        self._shares: dict[PoolName, dict[SessionId, Share]] = {}

    def learn(self, name: PoolName, rules: pool.Sessions) -> None:
        """These are the pool's rules now."""
        self._rules[name] = rules

    def open(self, request: claims.ClaimRequest, held: holding.Held) -> bool:
        """One action is in the session that was claimed by ``request``; whether others may join."""
        rules = self._rules.get(request.pool)
        if rules is None or rules.actions_per_browser == 1 or request.kind is not claims.SessionKind.ACTION:
            return False
        share = Share(request=request, held=held, since=self._now())
        self._shares.setdefault(request.pool, {})[held.session_id] = share
        return True

    def join(self, request: claims.ClaimRequest) -> claims.Claim | None:
        """Put one more action into a session that it fits in; None: there is none. ``leave`` takes it out again."""
        rules, now = self._rules.get(request.pool), self._now()
        shares = self._shares.get(request.pool)
        if rules is None or not shares:
            return None
        fit = (share for share in shares.values() if fits(share, request) and is_open(share, rules=rules, now=now))
        if (share := emptiest(fit)) is None:
            return None
        share.users += 1
        share.uses += 1
        return share.held.claim

    def held(self, request: claims.ClaimRequest, claim: claims.Claim) -> holding.Held | None:
        """The session that ``request`` was put into by ``join``; None: it has one of its own."""
        share = self._shares.get(request.pool, {}).get(claim.session_id)
        return None if share is None else share.held

    def leave(self, held: holding.Held, *, reachable: bool, well: bool) -> tuple[bool, bool]:
        """One action is out of it. Answers whether it was the last, and whether the agent answered all of them."""
        shares = self._shares.get(held.pool, {})
        share = shares.get(held.session_id)
        if share is None or share.held is not held:
            return True, reachable
        share.users -= 1
        share.reachable &= reachable
        share.closed |= not (reachable and well)
        if share.users == 0:
            del shares[held.session_id]
        return share.users == 0, share.reachable
