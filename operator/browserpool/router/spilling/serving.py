"""The region's own browser, then the other router's; where neither has one, both by turns for as long as the request may wait."""

import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import aiohttp

from browserpool import metrics
from browserpool.model import elsewhere, errors
from browserpool.model.names import PoolName
from browserpool.router import claiming, remote, services, target, waiting
from browserpool.router.spilling import rules

log = logging.getLogger(__name__)

T = TypeVar("T")

_UNSENT: Final = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
"""Nothing was sent: nothing can be done twice."""


class Unserved(Exception):
    """The other router has not served, and nothing was done there: whoever asked may go on here."""

    def __init__(self, outcome: str, why: str) -> None:
        super().__init__(why)
        self.outcome = outcome


def backup(call: services.Call, wanted: target.Target) -> elsewhere.BackupRouter | None:
    """The router that stands in for the wanted region, for this request."""
    if not call.services.catalog.backed:
        return None
    return rules.backup(wanted.spec, wanted.request.region, headers=call.request.headers)


async def served(
    call: services.Call,
    wanted: target.Target,
    *,
    patience: waiting.Patience | None,
    here: Callable[[waiting.Patience | None], Awaitable[T]],
    there: Callable[[elsewhere.BackupRouter], Awaitable[T]],
) -> T:
    """What the region gives, or the other router where the region is empty or stale. ``there`` raises ``Unserved``.

    Raises:
        errors.BrowserpoolError: the region's own refusal, where the other router cannot help.
    """
    patience, to = patience or call.patience, backup(call, wanted)
    if to is None:
        return await here(patience)
    try:
        return await here(waiting.AT_ONCE if wanted.spec.spillover.when_empty else patience)
    except errors.NoBrowser as refused:
        if not rules.may_spill(wanted.spec.spillover, refused):
            raise
        refusal = refused
    left, is_asked_again = _seconds(wanted, patience, refusal), True
    for wait in rules.waits(left):
        try:
            answer = await there(to)
        except Unserved as unserved:
            # What it refuses now, it would in a moment; its owner is told in the log.
            is_asked_again = unserved.outcome != rules.Said.REFUSED
            _count(wanted.pool, unserved.outcome)
            log.info("another cluster's router has not served", extra={"pool": wanted.pool, "why": str(unserved)})
        else:
            _count(wanted.pool, rules.Said.SERVED)
            return answer
        stands = wait if is_asked_again else left
        if stands > 0:
            try:
                return await here(waiting.Patience(seconds=stands, limit=_limit(wanted, patience)))
            except errors.NoBrowser as refused:
                refusal = refused
        left -= stands
        if not is_asked_again:
            break
    raise refusal


def _seconds(wanted: target.Target, patience: waiting.Patience | None, refusal: errors.NoBrowser) -> float:
    """For how long a browser is waited for. What is stale is not waited for."""
    stale = isinstance(refusal, errors.RegionStale)
    return 0.0 if stale else (patience or claiming.patience_of(wanted.spec)).seconds


def _limit(wanted: target.Target, patience: waiting.Patience | None) -> int:
    return (patience or claiming.patience_of(wanted.spec)).limit


def _count(pool: PoolName, outcome: str) -> None:
    metrics.FORWARDED.labels(pool, outcome).inc()


def headers(call: services.Call, to: elsewhere.BackupRouter) -> dict[str, str]:
    """The request's headers, for the other router.

    Raises:
        Unserved: its token is not mounted here.
    """
    try:
        token = None if to.token_secret_ref is None else call.services.secrets.read(to.token_secret_ref)
    except errors.UpstreamFailed as error:
        log.warning("another cluster's router cannot be asked", extra={"why": error.message})
        raise Unserved("refused", error.message) from error
    return rules.onward(call.request.headers, token=token, holder=call.services.holder, base=call.origin)


def enter(call: services.Call, to: elsewhere.BackupRouter) -> None:
    """Go by a router that is away.

    Raises:
        Unserved: it is left alone for the moment.
    """
    if not call.services.breakers.enter(to.url):
        raise Unserved("away", f"{to.url} could not be reached a moment ago")


def away(
    call: services.Call, to: elsewhere.BackupRouter, error: errors.UpstreamFailed
) -> errors.BrowserLost | Unserved:
    """What is said where the other router cannot be reached, or has gone away under a request."""
    if was_not_reached(call, to, error):
        return Unserved("away", error.message)
    return errors.BrowserLost(f"The router that served this went away: {error.message}", retry_after=1)


def was_not_reached(call: services.Call, to: elsewhere.BackupRouter, error: errors.UpstreamFailed) -> bool:
    """Whether nothing came to the other router, which is noted for those who ask it next."""
    # What broke off later may be that one request's own deadline: it says nothing of the others.
    unsent = isinstance(error.__cause__, _UNSENT)
    if unsent:
        call.services.breakers.failed(to.url)
    return unsent


async def check(call: services.Call, to: elsewhere.BackupRouter, answer: aiohttp.ClientResponse) -> None:
    """Note that the other router is there.

    Raises:
        Unserved: it does not serve this.
    """
    call.services.breakers.worked(to.url)
    meaning = rules.said(answer.status)
    if meaning is rules.Said.SERVED:
        return
    said = (await remote.complaint(answer)).decode(errors="replace")
    if meaning is rules.Said.REFUSED:
        log.warning(
            "another cluster's router refuses; see the region's backupRouter",
            extra={"url": to.url, "status": answer.status, "said": said[:300]},
        )
    raise Unserved(meaning, f"{to.url} answered {answer.status}")
