"""The router's client: ``Hello`` until welcomed, then a ``Heartbeat`` every few seconds, and at once when something changed."""

import asyncio
import dataclasses
import datetime
import logging
from collections.abc import Callable, Mapping
from typing import TypeVar

import orjson

from browserpool.agent import meters
from browserpool.lib import chance, http1, tasks
from browserpool.model import agentapi
from browserpool.model.heartbeats import Heartbeat, Hello, Reply, Welcome
from browserpool.model.names import BrowserId, Fence

log = logging.getLogger(__name__)

CALL_DEADLINE = 10.0
"""Seconds for one call. A router answers a heartbeat once it is written, which takes a batch's timeout."""
SOONEST = 0.5
"""Seconds between a heartbeat that failed and the next attempt, where a change waits to be told."""

Message = TypeVar("Message", Welcome, Reply)


class Forgotten(Exception):
    """The store does not know this browser (any more), or a newer agent has its name."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Urgent:
    """What a heartbeat says and is told at once when it changes."""

    healthy: bool
    clean_fence: Fence


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """What a heartbeat says besides, as it is when one is sent anyway."""

    load: int
    uses: int
    restarts: int
    memory_bytes: int


class Failed(Exception):
    """The router did not take the message. ``status`` is its answer's, ``None`` without one."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Router:
    """One router's two addresses for agents. One call at a time."""

    def __init__(self, *, url: str, headers: Mapping[str, str]) -> None:
        self._url = url
        self._http = http1.Client(url, headers=headers)

    async def hello(self, hello: Hello) -> Welcome:
        """Say hello; raises ``Failed``."""
        return await self._post(agentapi.ROUTER_HELLO, hello, Welcome)

    async def heartbeat(self, heartbeat: Heartbeat) -> Reply:
        """Send a heartbeat; raises ``Failed``."""
        return await self._post(agentapi.ROUTER_HEARTBEAT, heartbeat, Reply)

    def close(self) -> None:
        """Let go of the connection."""
        self._http.close()

    async def _post(self, path: str, message: Hello | Heartbeat, answer: type[Message]) -> Message:
        try:
            status, body = await self._http.post(path, orjson.dumps(message), deadline=CALL_DEADLINE)
        except (OSError, TimeoutError) as error:
            raise Failed(f"The router at {self._url} cannot be reached: {error!r}") from error
        if status != 200:
            text = body[:200].decode(errors="replace")
            raise Failed(f"The router at {self._url} answered {path} with {status}: {text}", status=status)
        try:
            said = orjson.loads(body)
            return answer(**{**said, "now": datetime.datetime.fromisoformat(said["now"])})
        except (ValueError, TypeError, KeyError) as error:
            raise Failed(f"The router at {self._url} answered {path} with something else: {error}") from error


class Heart:
    """Beats for one browser. ``urgent`` and ``vitals`` are asked before each beat; ``heard`` gets every reply."""

    def __init__(
        self,
        *,
        router: Router,
        browser_id: BrowserId,
        urgent: Callable[[], Urgent],
        vitals: Callable[[], Vitals],
        heard: Callable[[Reply], None],
        interval: float,
    ) -> None:
        self._router = router
        self._browser_id = browser_id
        self._urgent = urgent
        self._vitals = vitals
        self._heard = heard
        self._interval = interval
        self._changed = asyncio.Event()
        self._told: Urgent | None = None
        self._sequence = 0

    def changed(self) -> None:
        """Something that is told at once may have changed."""
        self._changed.set()

    async def hello(self, hello: Hello) -> Welcome:
        """Say hello until a router welcomes us; it may not have heard of us yet, or not be up."""
        for delay in tasks.backoff(first=0.05, most=self._interval):
            try:
                return await self._router.hello(hello)
            except Failed as error:
                log.log(logging.INFO if error.status == 404 else logging.WARNING, "not welcomed yet: %s", error)
            await asyncio.sleep(chance.jitter(delay))
        raise AssertionError("backoff is endless")

    async def beat(self, incarnation: int) -> None:
        """Send heartbeats until cancelled.

        Raises:
            Forgotten: the store says that this agent is to stop.
        """
        while True:
            self._changed.clear()
            sent = await self._once(incarnation)
            await self._pause(SOONEST if self._news() and not sent else self._interval)

    async def _once(self, incarnation: int) -> bool:
        urgent, vitals = self._urgent(), self._vitals()
        self._sequence += 1
        heartbeat = Heartbeat(
            browser_id=self._browser_id,
            incarnation=incarnation,
            sequence=self._sequence,
            **dataclasses.asdict(urgent),
            **dataclasses.asdict(vitals),
        )
        try:
            reply = await self._router.heartbeat(heartbeat)
        except Failed as error:
            _count("refused" if error.status else "failed")
            log.warning("a heartbeat was not taken: %s", error)
            return False
        _count("ok")
        if not reply.known:
            raise Forgotten(f"The store no longer knows browser {self._browser_id} as this agent.")
        self._told = urgent
        self._heard(reply)
        return True

    def _news(self) -> bool:
        return self._urgent() != self._told

    async def _pause(self, seconds: float) -> None:
        """Wait, but no longer than until there is news."""
        try:
            async with asyncio.timeout(chance.jitter(seconds)):
                while True:
                    await self._changed.wait()
                    self._changed.clear()
                    if self._news():
                        return
        except TimeoutError:
            return


def _count(outcome: str) -> None:
    meters.note(lambda metrics: metrics.HEARTBEATS_SENT.labels(outcome).inc())
