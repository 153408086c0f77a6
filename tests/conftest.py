"""Fixtures that several rooms' tests share."""

import gc
import os
import pathlib
from collections.abc import AsyncIterator, Iterator

import pytest

from browserpool.store import connect
from support import postgres

_MOST_WORKERS = 8
_A_WORKER = 2 * 1024**2
"""Kilobytes: each may have two installations of its own, with their browsers."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """How many processes ``--numprocesses auto`` is: half as many again as there are cores, since tests often wait, if there is room."""
    said = dict(line.split(":", 1) for line in pathlib.Path("/proc/meminfo").read_text().splitlines())
    room = int(said["MemAvailable"].split()[0]) // _A_WORKER
    return max(1, min(_MOST_WORKERS, len(os.sched_getaffinity(0)) * 3 // 2, room))


def pytest_collection_finish() -> None:
    """Spare the garbage collector what stays to the end, modules and five thousand tests: it took an eighth of the time to walk them."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Server]:
    """One Postgres for the whole run (of each process), with the migrated template in it."""
    with postgres.server(**postgres.FAST) as made:
        postgres.make_template(made)
        yield made


@pytest.fixture(scope="module")
def hanging() -> Iterator[postgres.Server]:
    """A server of a module's own, which hangs while its tests say so."""
    with postgres.server(**postgres.FAST) as made:
        postgres.make_template(made)
        yield made


@pytest.fixture
def dsn(postgres_server: postgres.Server) -> Iterator[str]:
    """A database of the test's own, migrated and empty."""
    with postgres.clone(postgres_server) as made:
        yield made


@pytest.fixture
async def database(dsn: str) -> AsyncIterator[connect.Database]:
    """The same, as the store's functions take it."""
    async with connect.opened(dsn, process="tests") as opened:
        yield opened
