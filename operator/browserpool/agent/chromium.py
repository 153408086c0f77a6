"""Chromium as the supervisor's child: spawn it, wait until CDP answers, probe it, end its whole group and its home."""

import asyncio
import logging
import pathlib
import re

from browserpool.agent import browser, driver, handoff, launch, meters, processes, session
from browserpool.agent.egress import proxy
from browserpool.lib import clock, tasks
from browserpool.model import errors

log = logging.getLogger(__name__)

_LISTENING = re.compile(rb"DevTools listening on (ws://\S+)")
_LAST_WORDS = 4096
"""Bytes of Chromium's standard error that are kept, to explain an end."""
_PROBE_DEADLINE = 5.0
_END_DEADLINE = 5.0
"""Seconds that a killed group may take to leave; it is a matter of milliseconds unless a process hangs in the kernel."""


class _StandardError(asyncio.Protocol):
    """Reads Chromium's standard error to its end, as it must be; finds the CDP address in it."""

    def __init__(self) -> None:
        self.address: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        """The CDP address; ``None`` if Chromium ended before it named one."""
        self._tail = b""

    @property
    def last_words(self) -> str:
        return self._tail.decode(errors="replace").strip()

    def data_received(self, data: bytes) -> None:
        self._tail = (self._tail + data)[-_LAST_WORDS:]
        if not self.address.done() and (found := _LISTENING.search(self._tail)) is not None:
            self.address.set_result(found[1].decode())

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if not self.address.done():
            self.address.set_result(None)


class Chromium:
    """A running Chromium: the supervisor's ``Child``. ``address`` is its CDP WebSocket, ``product`` its name and version.

    ``traces`` is what sessions have left in it since it started; ``handoffs`` are its pages in human hands.
    """

    def __init__(
        self,
        *,
        launched: launch.Launched,
        output: asyncio.BaseTransport,
        guard: proxy.Guard,
        address: str,
        product: str,
        browser: browser.Browser,
    ) -> None:
        self._launched = launched
        self._output = output
        self._guard = guard
        self.address = address
        self.product = product
        self.browser = browser
        self.traces = session.NO_TRACES
        self.handoffs = handoff.Handoffs()

    @property
    def guard(self) -> proxy.Guard:
        """The only way out, for it and for whatever else is fetched on somebody's behalf."""
        return self._guard

    @property
    def gone(self) -> asyncio.Future[errors.BrowserpoolError]:
        return self.browser.connection.closed

    @property
    def endpoint(self) -> str:
        """``host:port`` of its CDP server."""
        return self.address.removeprefix("ws://").partition("/")[0]

    @property
    def port(self) -> int:
        """The port of its CDP server."""
        return int(self.endpoint.rpartition(":")[2])

    @property
    def downloads(self) -> pathlib.Path:
        """Where all that is downloaded over CDP goes."""
        return self._launched.home.downloads

    @property
    def group(self) -> int:
        """The process group, which is also the browser process's id."""
        return self._launched.process.pid

    async def probe(self) -> None:
        await self.browser.connection.call("Browser.getVersion", deadline=_PROBE_DEADLINE)

    async def stop(self) -> None:
        # Killed first: a Chromium that hangs would keep the socket's closing waiting. Its profile is thrown away in any case.
        processes.kill_group(self.group)
        self.handoffs.close()
        await self.browser.close()
        await _end(self._launched, self._output)
        self._guard.unprotect(self.port)


class Starter:
    """Starts Chromium by one recipe, as often as the supervisor asks; ``first`` was spawned before we came."""

    def __init__(self, *, recipe: launch.Recipe, guard: proxy.Guard, first: launch.Launched | None = None) -> None:
        self._recipe = recipe
        self._guard = guard
        self._first = first
        self.ahead = True
        """Whether the next one makes a spare page as soon as it is up."""

    async def start(self) -> Chromium:
        """Start one and wait until it answers over CDP; on any failure nothing of it is left.

        Raises:
            errors.BrowserLost: it ended, or does not speak CDP.
            OSError: it could not be spawned.
        """
        began = clock.monotonic()
        launched, self._first = self._first or launch.launch(self._recipe), None
        output = None
        try:
            output, standard_error = await _read(launched)
            connection = await _connect(standard_error)
            version = await connection.call("Browser.getVersion")
        except BaseException:
            await tasks.finish(_end(launched, output), deadline=2 * _END_DEADLINE)
            raise
        seconds = clock.monotonic() - began
        meters.note(lambda metrics: metrics.CHROMIUM_START_SECONDS.observe(seconds))
        started = Chromium(
            launched=launched,
            output=output,
            guard=self._guard,
            address=connection.url,
            product=str(version["product"]),
            browser=browser.Browser(connection=connection, egress=self._guard.notes),
        )
        self._guard.protect(started.port)
        if self.ahead:
            started.browser.refill()
        return started

    async def discard(self) -> None:
        """End what was spawned ahead and never used."""
        launched, self._first = self._first, None
        if launched is not None:
            await _end(launched, None)


async def _read(launched: launch.Launched) -> tuple[asyncio.BaseTransport, _StandardError]:
    return await asyncio.get_running_loop().create_unix_connection(_StandardError, sock=launched.standard_error)


async def _connect(standard_error: _StandardError) -> driver.Connection:
    address = await standard_error.address
    if address is None:
        words = standard_error.last_words or "(none)"
        raise errors.BrowserLost(f"Chromium ended before it answered; its last words: {words}")
    return await driver.Connection.open(address)


async def _end(launched: launch.Launched, output: asyncio.BaseTransport | None) -> None:
    """Kill the group, wait until it is gone, remove the home."""
    processes.kill_group(launched.process.pid)
    ends = clock.monotonic() + _END_DEADLINE
    # The kernel tells a parent of its child alone, not of the rest of the group, so there is nothing to wait for but time.
    while not (gone := processes.group_is_gone(launched.process)) and clock.monotonic() < ends:  # noqa: ASYNC110
        await asyncio.sleep(0.002)
    if not gone:
        log.error("processes of Chromium outlived SIGKILL", extra={"group": launched.process.pid})
    if output is not None:
        output.close()
    else:
        launched.standard_error.close()
    await asyncio.to_thread(launched.home.remove)
