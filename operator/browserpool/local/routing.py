"""The router as a child process."""

import asyncio
import contextlib
import errno
import pathlib
import socket
from collections.abc import AsyncIterator

import aiohttp

from browserpool.lib import clock, tasks
from browserpool.local import problems, processes

_DEADLINE = 60.0
_GRACE = 45.0
"""Longer than the router gives its running actions."""


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


def free_port(host: str, port: int) -> int:
    """``port``, or any free one for 0.

    Raises:
        problems.Problem: it cannot be listened on.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                why = f"Port {port} is in use by another program. Stop it, or choose another with --port."
            else:
                why = f"{host}:{port} cannot be listened on: {error.strerror}. Choose others with --host and --port."
            raise problems.Problem(why) from None
        return int(probe.getsockname()[1])
