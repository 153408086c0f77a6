"""A CDP connection to Chromium that is made ahead: the next client need not wait for one."""

import asyncio
import logging
from typing import Final, Protocol

import aiohttp

from browserpool.agent import bridge
from browserpool.lib import tasks
from browserpool.model import errors

log = logging.getLogger(__name__)

EVERY: Final = 1.0
"""Seconds between two looks whether there is one. Not at once, when Chromium has just started: everything else happens then."""


class Child(Protocol):
    """What is connected to. ``address``: its CDP WebSocket."""

    @property
    def address(self) -> str: ...


class Keeper(Protocol):
    """Who knows which Chromium runs now."""

    @property
    def child(self) -> Child | None: ...


class Line:
    """The connection made ahead, if there is one. Nobody reads or writes it before it is taken."""

    def __init__(self, *, http: aiohttp.ClientSession, keeper: Keeper) -> None:
        self._http = http
        self._keeper = keeper
        self._ahead: tuple[Child, bridge.Upstream] | None = None

    async def keep(self) -> None:
        """Have one to the Chromium that runs, until cancelled."""
        try:
            await tasks.periodically(self.renew, every=EVERY, name="connect ahead")
        finally:
            await self._drop()

    async def renew(self) -> None:
        """Make one, unless there is one to the Chromium that runs."""
        child = self._keeper.child
        if self._ahead is not None and self._ahead[0] is not child:
            await self._drop()
        if self._ahead is None and child is not None:
            try:
                self._ahead = child, await bridge.connect(self._http, child.address)
            except errors.BrowserpoolError as error:
                log.debug("no connection could be made ahead", extra={"why": error.message})

    async def upstream(self, child: Child) -> bridge.Upstream:
        """A connection to that Chromium, made ahead or now; raises as ``bridge.connect``."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead[0] is child and not ahead[1].closed:
            return ahead[1]
        if ahead is not None:
            await ahead[1].close()
        return await bridge.connect(self._http, child.address)

    async def _drop(self) -> None:
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            async with asyncio.timeout(2 * bridge.CLOSE_DEADLINE):
                await ahead[1].close()
