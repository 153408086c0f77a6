"""What routers connect to: sockets that listen from the start, and the servers behind them as soon as those are imported.

Aiohttp, pydantic and what is built on them take longer to import than all that is to be done before a router hears of this browser,
and slow that down even in a thread of their own: so they are imported after it. A router therefore hears of a browser some moments
before it is served: whoever connects then waits in the kernel's queue.
"""

import asyncio
import contextlib
import dataclasses
import gc
import logging
import socket
import sys
import types
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

from browserpool.agent import custody, meters, settings, tokens
from browserpool.agent.egress import proxy
from browserpool.lib import listening

log = logging.getLogger(__name__)

PATIENCE = 0.1
"""Seconds after which we are served though no router knows us: it may be away, or Chromium slow, and there is time then."""
_TURN = 0.0005
"""Seconds after which the thread that imports lets the event loop have its turn; ten times as long is usual."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sockets:
    """``ops`` are those of probes and metrics, if they have their own."""

    main: Sequence[socket.socket]
    ops: Sequence[socket.socket] | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the servers need of the agent. ``missing`` says what keeps it from being ready; empty: nothing does."""

    settings: settings.AgentSettings
    checker: tokens.Checker
    keeper: custody.Custody
    alive: Callable[[], bool]
    missing: Callable[[], str]


@contextlib.contextmanager
def opened(wanted: settings.AgentSettings, *, guard: proxy.Guard) -> Iterator[Sockets]:
    """Listen as ``wanted``, on ports that the guard keeps pages from.

    Raises:
        OSError: a port is taken, or the host is not this machine's.
    """
    with contextlib.ExitStack() as stack:
        ops = None
        if wanted.ops_port is not None:
            ops = stack.enter_context(listening.opened(wanted.host, wanted.ops_port))
            guard.protect(listening.address(ops).port)
            log.info("probes and metrics", extra={"address": str(listening.address(ops))})
        main = stack.enter_context(listening.opened(wanted.host, wanted.port))
        guard.protect(listening.address(main).port)
        yield Sockets(main=main, ops=ops)


@contextlib.asynccontextmanager
async def serving(
    parts: Parts, *, sockets: Sockets, grace: float, known: asyncio.Event, patience: float = PATIENCE
) -> AsyncIterator[None]:
    """Import the servers and serve while the block runs; running requests get ``grace`` seconds at its end.

    That waits until ``known`` is set, but no longer than ``patience`` seconds.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience):
            await known.wait()
    with _others_first():
        servers = await asyncio.to_thread(_import_servers)
    meters.load()
    async with servers.running(parts, sockets=sockets, grace=grace):
        yield


@contextlib.contextmanager
def _others_first() -> Iterator[None]:
    """Import without holding up the event loop, nor looking for garbage: nothing that is imported ever becomes any."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(_TURN)
    gc.disable()
    try:
        yield
    finally:
        sys.setswitchinterval(usual)
        gc.freeze()
        gc.enable()


def _import_servers() -> types.ModuleType:
    from browserpool.agent import servers

    return servers
