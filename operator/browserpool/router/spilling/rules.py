"""Who may go to another cluster's router, with what, and what its answers mean. Pure."""

import enum
import urllib.parse
from collections.abc import Mapping
from typing import Final

import multidict

from browserpool.lib import web
from browserpool.model import agentapi, elsewhere, errors
from browserpool.model import pool as manifest
from browserpool.model.names import PoolName
from browserpool.router import binding
from browserpool.router.moving import serving as moving
from browserpool.router.sidecar import passing

LOCALITY: Final = "remote"
_OURS: Final = frozenset({"pool", "region", "zone", "node", "token", "direct"})
"""Parameters that mean something to this installation only. ``direct``: its pods are not to be reached from here."""
_PASSED: Final = frozenset({"accept", "content-type", binding.GUARDRAILS})
"""A request's headers that mean something to any router. Whatever else there is, who sent it meant for this installation: its tokens,
cookies, addresses, what a proxy in front has added."""
_ITS_OWN: Final = frozenset({"x-browserpool-pool", "x-browserpool-locality"})


def backup(spec: manifest.PoolSpec, region: str, *, headers: Mapping[str, str]) -> elsewhere.BackupRouter | None:
    """The router that may serve a request for ``region``; ``None``: only this one may."""
    found = next((one.backup_router for one in spec.regions if one.name == region), None)
    if found is None or spec.spillover is manifest.Spillover.NEVER or has_come_through_a_router(headers):
        return None
    return found


def has_come_through_a_router(headers: Mapping[str, str]) -> bool:
    """Whether it is served here or not at all."""
    return moving.VIA in headers


def may_spill(spillover: manifest.Spillover, refusal: errors.NoBrowser) -> bool:
    """Whether a region's ``refusal`` sends a request on."""
    return spillover.when_stale if isinstance(refusal, errors.RegionStale) else spillover.when_empty


PAUSE: Final = 1.0
"""Seconds between two questions to a router that does not say when it wants to be asked again."""
LONGEST_PAUSE: Final = 60.0


def pause(retry_after: int | None) -> float:
    """Seconds for which none of those who wait asks a router that has not served."""
    return PAUSE if retry_after is None else min(float(retry_after), LONGEST_PAUSE)


class Said(enum.StrEnum):
    """What a status means to who asked: also the metric's outcomes."""

    SERVED = "served"
    FULL = "full"
    """It has no browser either, or this installation's token has too many there."""
    REFUSED = "refused"
    """Token, pool or version do not fit: for its owner to mend."""


def said(status: int) -> Said:
    """The meaning of an answer to a request that this router has found good."""
    if status in (429, 503):
        return Said.FULL
    if status in (400, 401, 403, 404, 405, 500, 501, 504) or 300 <= status < 400:
        return Said.REFUSED
    return Said.SERVED


def keeps_out(status: int) -> bool:
    """Whether an answer about a session says that this installation does not come in there, which its client can do nothing about."""
    return status == 401 or 300 <= status < 400


def address(to: elsewhere.BackupRouter, path: str, *, query: Mapping[str, str], pool: PoolName | None = None) -> str:
    """Where a request for ``path`` (encoded) goes; ``pool``: what it is to be named there, for what starts anew."""
    passed = {name: text for name, text in query.items() if name not in _OURS}
    if pool is not None:
        passed["pool"] = to.pool or pool
    return f"{to.url.rstrip('/')}{path}" + (f"?{urllib.parse.urlencode(passed)}" if passed else "")


def onward(headers: multidict.CIMultiDictProxy[str], *, token: str | None, holder: str, base: str) -> dict[str, str]:
    """A request's headers, as the other router is to see them. ``base``: what the client calls this router."""
    kept = {name: web.sendable(text) for name, text in headers.items() if name.lower() in _PASSED}
    own = {moving.VIA: holder, agentapi.WAIT: "0", agentapi.BASE: base}
    return {**kept, **own, **({} if token is None else {"Authorization": f"Bearer {token}"})}


def about_the_browser(headers: Mapping[str, str], *, pool: PoolName) -> dict[str, str]:
    """What the other router says of the browser, and what this one says of it."""
    theirs = {name: text for name, text in passing.of_the_browser(headers).items() if name.lower() not in _ITS_OWN}
    return {**theirs, "X-Browserpool-Pool": pool, "X-Browserpool-Locality": LOCALITY}
