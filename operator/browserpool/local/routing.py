"""The router as a child process."""

import asyncio
import contextlib
import errno
import pathlib
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Final

import aiohttp

from browserpool.lib import chance, clock, tasks
from browserpool.local import problems, processes

_DEADLINE = 60.0
_GRACE = 45.0
"""Longer than the router gives its running actions."""
_OUTGOING: Final = pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range")
_UNPRIVILEGED: Final = 1024
_NODE_PORTS: Final = 30_000
"""Where Kubernetes' ports of nodes begin: on a node, what comes to one of them comes to nobody who listens."""
_SPAN: Final = 8192
"""Ports that one is chosen of, so that two who choose at the same time seldom choose the same."""
_TRIES: Final = 32


@contextlib.asynccontextmanager
async def running(
    command: processes.Command, *, url: str, background: tasks.Background, stop: asyncio.Event
) -> AsyncIterator[processes.Service]:
    """The router that ``command`` starts, once it answers at ``url``; it has stopped when the block is left.

    Raises:
        problems.Problem: it does not start; the message holds its last words.
    """
    service = processes.Service(command, grace=_GRACE, background=background)
    service.start()
    try:
        await _answering(service, url, log_file=command.log, stop=stop)
        yield service
    finally:
        await tasks.finish(service.stop(), deadline=_GRACE * 2)


async def _answering(service: processes.Service, url: str, *, log_file: pathlib.Path, stop: asyncio.Event) -> None:
    end = clock.monotonic() + _DEADLINE
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as http:
        while not stop.is_set():
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with http.get(f"{url}/healthz") as answer:
                    if answer.status == 200:
                        return
            if service.starts > 3 or clock.monotonic() > end:
                words = processes.last_words(log_file)
                raise problems.Problem(f"The router does not start. Its last words, from {log_file}:\n{words}")
            await asyncio.sleep(0.03)


def free_port(host: str, port: int, *, other_than: int = 0) -> int:
    """``port``, or any free one for 0, ``other_than`` one that is chosen already; it will be free for a router that is started again, too.

    Raises:
        problems.Problem: it cannot be listened on.
    """
    if port == 0:
        for candidate in _quiet(_outgoing_from()):
            if candidate != other_than:
                with contextlib.suppress(OSError):
                    return _bound(host, candidate)
    try:
        return _bound(host, port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            why = f"Port {port} is in use by another program. Stop it, or choose another with --port."
        else:
            why = f"{host}:{port} cannot be listened on: {error.strerror}. Choose others with --host and --port."
        raise problems.Problem(why) from None


def _bound(host: str, port: int) -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        return int(probe.getsockname()[1])


def _outgoing_from() -> int:
    """The lowest port that the kernel gives to an outgoing connection."""
    try:
        return int(_OUTGOING.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 0


def _quiet(outgoing_from: int) -> Iterator[int]:
    """Ports to try that no outgoing connection gets, which would keep one from a router that is not up yet. None, if there are few."""
    end = min(outgoing_from, _NODE_PORTS)
    if end - _SPAN >= _UNPRIVILEGED:
        for _ in range(_TRIES):
            yield end - 1 - chance.below(_SPAN)
