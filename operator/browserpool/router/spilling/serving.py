"""The region's own browser, then the other router's; where neither has one, whichever is the first, for as long as the request may wait."""

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, Generic, TypeVar

import aiohttp

from browserpool import metrics
from browserpool.lib import tasks
from browserpool.model import elsewhere, errors
from browserpool.router import claiming, remote, services, target, waiting
from browserpool.router.spilling import rules, turns

log = logging.getLogger(__name__)

T = TypeVar("T")
Here = Callable[[waiting.Patience | None], Awaitable[T]]
"""What the region gives to who is as patient as that."""

_UNSENT: Final = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
"""Nothing was sent: nothing can be done twice."""


class Unserved(Exception):
    """The other router has not served, and nothing was done there: whoever asked may go on here.

    ``retry_after``: seconds after which it says that it may be asked again.
    """

    def __init__(self, outcome: str, why: str, *, retry_after: int | None = None) -> None:
        super().__init__(why)
        self.outcome = outcome
        self.retry_after = retry_after


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
    here: Here[T],
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
    ask = _Ask(call, wanted, to, there)
    waits = patience or claiming.patience_of(wanted.spec)
    # What is stale is not waited for.
    if waits.seconds > 0 and not isinstance(refusal, errors.RegionStale):
        try:
            return await _waited_for(ask, here, waits)
        except errors.RegionStale as stale:
            if not rules.may_spill(wanted.spec.spillover, stale):
                raise
            refusal = stale
    try:
        return await ask.answer()
    except Unserved:
        raise refusal from None


@dataclasses.dataclass(frozen=True, slots=True)
class _Ask(Generic[T]):
    """A question to the other router."""

    call: services.Call
    wanted: target.Target
    to: elsewhere.BackupRouter
    there: Callable[[elsewhere.BackupRouter], Awaitable[T]]

    @property
    def key(self) -> turns.Key:
        return self.to.url, self.to.pool or self.wanted.pool

    async def answer(self) -> T:
        """Its answer.

        Raises:
            Unserved: it has none; who waits asks it later.
        """
        pool = self.wanted.pool
        try:
            answer = await self.there(self.to)
        except Unserved as unserved:
            metrics.FORWARDED.labels(pool, unserved.outcome).inc()
            log.info("another cluster's router has not served", extra={"pool": pool, "why": str(unserved)})
            if unserved.outcome != rules.Said.REFUSED:
                self.call.services.turns.put_off(self.key, rules.pause(unserved.retry_after))
            raise
        metrics.FORWARDED.labels(pool, rules.Said.SERVED).inc()
        return answer


async def _waited_for(ask: _Ask[T], here: Here[T], patience: waiting.Patience) -> T:
    """The other router's browser, at once if it has one; else whichever has one first."""
    # Who has come later does not ask before those who wait.
    if ask.call.services.turns.is_free(ask.key):
        try:
            return await ask.answer()
        except Unserved as unserved:
            # What it refuses now, it would in a moment; its owner is told in the log.
            if unserved.outcome == rules.Said.REFUSED:
                return await here(patience)
    return await _by_turns(ask, here, patience)


async def _by_turns(ask: _Ask[T], here: Here[T], patience: waiting.Patience) -> T:
    """Stand in the region's line, and step aside for each question to the other router, which is asked by one of all who wait."""
    place, services_ = waiting.Place(), ask.call.services

    async def stand() -> T:
        return await here(dataclasses.replace(patience, place=place))

    async with tasks.beside(stand(), name="stand in a region's line") as standing:
        await _first_of(standing, place.joined)
        with services_.turns.standing(ask.key, ask.call.token.name) as asker:
            while True:
                await _first_of(standing, asker.turn)
                if standing.done() or not await place.step_aside():
                    break
                try:
                    answer = await ask.answer()
                except Unserved as unserved:
                    place.come_back()
                    if unserved.outcome == rules.Said.REFUSED:
                        break
                    services_.turns.again(ask.key, asker)
                else:
                    place.served_elsewhere = True
                    return answer
        return await standing


async def _first_of(*awaited: asyncio.Future[Any]) -> None:
    await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)


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
    raise Unserved(meaning, f"{to.url} answered {answer.status}", retry_after=remote.retry_after(answer))
