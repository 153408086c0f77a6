"""What routers connect to: when it is imported, and who waits for it."""

import asyncio
import contextlib
import types

import pytest

from browserpool.agent import front

LONG = 60.0


@pytest.fixture
async def imported(monkeypatch):
    """Set once the servers would be imported; they serve nothing."""
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    @contextlib.asynccontextmanager
    async def running(*_, **__):
        yield

    def servers():
        loop.call_soon_threadsafe(begun.set)
        return types.SimpleNamespace(running=running)

    monkeypatch.setattr(front, "_import_servers", servers)
    return begun


async def serve(known, *, patience):
    sockets = front.Sockets(main=(), ops=None)
    async with front.serving(None, sockets=sockets, grace=0, known=known, patience=patience):
        pass


async def test_nothing_is_imported_before_a_router_knows_of_the_browser(imported):
    known = asyncio.Event()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(serve(known, patience=LONG))
        await asyncio.sleep(0.1)
        assert not imported.is_set()
        known.set()
        await imported.wait()


async def test_a_router_that_is_away_is_not_waited_for(imported):
    async with asyncio.timeout(10):
        await serve(asyncio.Event(), patience=0.01)
    assert imported.is_set()
