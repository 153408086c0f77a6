"""Whose the browser is now: admits work, supersedes, ends sessions, and cleans up between them.

The rules are ``session``'s; here they meet time. Work runs inside ``use``, which ends it when its session is over or Chromium is
gone. Cleaning is one at a time, and outlives the request that asked for it.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Literal, Protocol

from browserpool.agent import chromium, session, supervisor
from browserpool.lib import tasks
from browserpool.model import errors
from browserpool.model.credentials import ClaimToken
from browserpool.model.names import Fence

log = logging.getLogger(__name__)

UP_DEADLINE = 5.0
"""Seconds that a request waits for a Chromium that is being restarted."""
STOP_DEADLINE = 5.0
"""Seconds that work of an ended session gets to clean up; what still runs then loses its Chromium."""
BARE_DEADLINE = 7.0
"""Seconds that a CDP client waits for a Chromium without an earlier caller's workers. A router that is told in time asks another one."""
CLEAN_DEADLINE = 20.0
"""Seconds for cleaning, a restart included."""


class Egress(Protocol):
    """The guard, as far as a session's terms go."""

    def restrict(self, hosts: tuple[str, ...] | None) -> None:
        """Let pages reach these hosts only; ``None``: what the pool allows."""


class _Use:
    """Work of one session that runs now."""

    def __init__(self, fence: Fence) -> None:
        self.fence = fence
        self.scope = asyncio.timeout(None)
        self.cause: errors.BrowserpoolError | None = None
        self.finished = False

    def stop(self, cause: errors.BrowserpoolError) -> None:
        """End the work; its caller gets ``cause``."""
        if self.cause is None and not self.finished:
            self.cause = cause
            self.scope.reschedule(asyncio.get_running_loop().time())


class Custody:
    """``changed`` is called when ``clean_fence`` rises or the agent begins to leave."""

    def __init__(
        self,
        *,
        keeper: supervisor.Supervisor[chromium.Chromium],
        egress: Egress,
        recycle: Literal["Restart", "Delete"],
        recycle_after: int,
        changed: Callable[[], None],
        ahead: Callable[[bool], None] = lambda _: None,
    ) -> None:
        self._keeper = keeper
        self._egress = egress
        self._restricted: Fence | None = None
        self._recycle: Literal["Restart", "Delete"] = recycle
        self._recycle_after = recycle_after
        self._changed = changed
        self._ahead = ahead
        self._book: session.Book | None = None
        self._uses: set[_Use] = set()
        self._left = asyncio.Condition()
        self._cleaning = asyncio.Lock()
        self._background = tasks.Background(grace=CLEAN_DEADLINE)
        self.leaving = asyncio.Event()
        """Set once the agent takes no more work and is to exit."""

    @property
    def clean_fence(self) -> Fence:
        """The newest fence after which the browser is clean."""
        return Fence(0) if self._book is None else self._book.clean

    @property
    def child(self) -> chromium.Chromium | None:
        """Chromium, while it is up."""
        return self._keeper.child

    @property
    def load(self) -> int:
        """Requests and connections under way."""
        return len(self._uses)

    def open(self, fence: Fence) -> None:
        """Begin, with the fence that the store welcomed this agent with."""
        self._book = session.opened(fence)

    @contextlib.asynccontextmanager
    async def use(self, token: ClaimToken, *, profile: bool) -> AsyncIterator[chromium.Chromium]:
        """The browser, for the length of one request or connection; ``profile`` if that may touch more than its own context.

        Raises:
            errors.StaleFence: the token's claim has lost the browser, or has ended; or it does while the work runs.
            errors.Unavailable: the agent is stopping, or Chromium is not up and clean in time; nothing was done.
            errors.BrowserLost: Chromium dies while the work runs.
        """
        if self.leaving.is_set():
            raise errors.Unavailable("This browser's agent is stopping; claim another.", retry_after=1)
        self._book = session.admit(self._opened(), token)
        use = _Use(token.fence)
        self._uses.add(use)
        try:
            async with use.scope:
                child = await self._made_ready(before=self._book.before, profile=profile)
                self._keep_to(token)
                child.traces = session.served(child.traces, token, profile=profile)
                with _ends_with(child, use):
                    yield child
        except TimeoutError:
            if use.cause is None or not use.scope.expired():
                raise
            raise use.cause from None
        finally:
            use.finished = True
            self._uses.discard(use)
            await self._tell_left()

    async def end(self, token: ClaimToken) -> bool:
        """End the token's session and wait until the browser is clean after it; whether it is. Idempotent.

        False: it could not be cleaned in time (heartbeats will say when it is), or the agent leaves instead (``leaving``).

        Raises:
            errors.StaleFence: the browser is somebody else's already.
        """
        self._book = session.end(self._opened(), token)
        return await self._cleaned(token.fence)

    def end_by_store(self, fence: Fence) -> None:
        """End the session of ``fence``, because the store says that it is over; cleaning goes on in the background."""
        self._book = session.ended_by_store(self._opened(), fence)
        if self._book.clean < fence:
            self._background.spawn(self._cleaned(fence), name="clean after the store's word")

    async def close(self, *, grace: float) -> None:
        """Take no more work; give what runs ``grace`` seconds to finish, then end it."""
        self.leaving.set()
        self._changed()
        await self._wait_left(self._uses_up_to(None), grace)
        await self._stop(self._uses_up_to(None), errors.BrowserLost("The browser's agent is stopping."))
        await self._background.close()

    def _opened(self) -> session.Book:
        if self._book is None:
            raise errors.Unavailable("This agent has not been welcomed by a router yet.", retry_after=1)
        return self._book

    async def _made_ready(self, *, before: Fence, profile: bool) -> chromium.Chromium:
        """Chromium, up, and clean of every session up to ``before``: to the last target, for whoever sees its whole ``profile``."""
        if self.clean_fence < before and not await self._cleaned(before):
            raise errors.Unavailable(
                "What an earlier session left in this browser could not be cleaned away.", retry_after=1
            )
        child = self._keeper.child or await self._keeper.up(deadline=UP_DEADLINE)
        if child is None:
            raise errors.Unavailable(
                f"Chromium is down, and did not come back within {UP_DEADLINE:g} s.", retry_after=1
            )
        if not session.must_be_bare(child.traces, profile=profile):
            return child
        try:
            bare = await tasks.finish(self._bare(child), deadline=BARE_DEADLINE)
        except TimeoutError:
            bare = None
        if bare is None:
            raise errors.Unavailable("Chromium is being restarted; claim another.", retry_after=1)
        return bare

    async def _bare(self, child: chromium.Chromium) -> chromium.Chromium | None:
        """Chromium without a worker of an earlier quick action's: another one, where this one keeps one."""
        async with self._cleaning:
            if self._keeper.child is child and not await child.browser.is_rid_of_workers():
                log.info("Chromium keeps a worker whose context is gone, and restarts")
                return self._keeper.child if await self._renewed(spare=False, deadline=UP_DEADLINE) else None
            return self._keeper.child

    def _keep_to(self, token: ClaimToken) -> None:
        """The session's terms hold from its first request on, and nothing that it shows later changes them."""
        hosts = token.terms.allowed_hosts
        if hosts is not None and self._restricted != token.fence:
            self._restricted = token.fence
            self._egress.restrict(hosts)

    def _let_go(self) -> None:
        """What the ended session was bound to binds the next one no more. Its Chromium is gone by now."""
        if self._restricted is not None:
            self._restricted = None
            self._egress.restrict(None)

    async def _cleaned(self, fence: Fence) -> bool:
        """Clean, though the request that asks for it may go away meanwhile; whether it is done in time."""
        try:
            return await tasks.finish(self._clean(fence), deadline=2 * CLEAN_DEADLINE)
        except TimeoutError:
            log.warning("cleaning took too long", extra={"fence": fence})
            return False

    async def _clean(self, fence: Fence) -> bool:
        """Clean away what sessions up to ``fence`` left; whether it is done."""
        async with self._cleaning:
            if self.clean_fence >= fence:
                return True
            await self._stop(self._uses_up_to(fence), errors.StaleFence("The session has ended."))
            done = await self._recycle_chromium()
            if done and self._book is not None:
                self._let_go()
                self._book = session.cleaned(self._book, fence)
                self._changed()
            return done

    async def _recycle_chromium(self) -> bool:
        child = self._keeper.child
        if child is None:  # it died, and all that was in it
            return await self._keeper.up(deadline=CLEAN_DEADLINE) is not None
        verdict = session.verdict(
            child.traces,
            suspect=child.browser.suspect,
            recycle=self._recycle,
            recycle_after=self._recycle_after,
        )
        if verdict is session.Verdict.DELETE:
            self.leaving.set()
            self._changed()
            return False
        if verdict is session.Verdict.RESTART:
            return await self._renewed(spare=session.needs_spare(child.traces), deadline=CLEAN_DEADLINE)
        return True

    async def _renewed(self, *, spare: bool, deadline: float) -> bool:
        self._ahead(spare)
        child = await self._keeper.renew(deadline=deadline)
        if child is None:
            return False
        if spare:
            # Its first one is made now: the next claim, which may come as soon as the browser is clean, would wait for it.
            await child.browser.refill()
        return True

    def _uses_up_to(self, fence: Fence | None) -> set[_Use]:
        return {use for use in self._uses if fence is None or use.fence <= fence}

    async def _stop(self, uses: set[_Use], cause: errors.BrowserpoolError) -> None:
        for use in uses:
            use.stop(cause)
        if not await self._wait_left(uses, STOP_DEADLINE):
            log.warning("work of an ended session did not stop; Chromium will restart")
            if (child := self._keeper.child) is not None:
                child.browser.suspect = True

    async def _wait_left(self, uses: set[_Use], deadline: float) -> bool:
        try:
            async with asyncio.timeout(deadline), self._left:
                await self._left.wait_for(lambda: not uses & self._uses)
        except TimeoutError:
            return False
        return True

    async def _tell_left(self) -> None:
        async with self._left:
            self._left.notify_all()


@contextlib.contextmanager
def _ends_with(child: chromium.Chromium, use: _Use) -> Iterator[None]:
    """Stop ``use`` as soon as ``child`` is gone, whatever the work waits for at that moment."""

    def gone(_: object) -> None:
        use.stop(errors.BrowserLost("Chromium died or was restarted while the request ran.", retry_after=1))

    child.gone.add_done_callback(gone)
    try:
        yield
    finally:
        child.gone.remove_done_callback(gone)
