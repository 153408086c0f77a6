"""Postgres from the wheel: from nothing, again, after a kill, under a long path, and not over somebody else's data."""

import os
import pathlib
import shutil
import signal
import tempfile

import psycopg
import pytest

from browserpool.lib import tasks
from browserpool.local import postgres, problems, processes
from support import processes as seen
from support import waiting


@pytest.fixture
def folder():
    """Not pytest's: as root, Postgres' own user must be able to walk there."""
    made = pathlib.Path(tempfile.mkdtemp(prefix="browserpool-pg-"))
    yield made
    shutil.rmtree(made)


async def asked(dsn, statement):
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        cursor = await connection.execute(statement)
        return (await cursor.fetchone())[0] if cursor.description else None


async def test_it_starts_from_nothing_keeps_its_data_and_leaves_no_process(folder):
    data, log_file = folder / "postgres", folder / "logs" / "postgres.log"
    async with tasks.Background() as background:
        async with postgres.running(data, log_file=log_file, background=background) as dsn:
            await asked(dsn, "create table kept as select 42 as number")
            family = seen.below(os.getpid())
        assert seen.still_running([one for one in family if str(data) in one.command]) == []
        async with postgres.running(data, log_file=log_file, background=background) as dsn:
            assert await asked(dsn, "select number from kept") == 42
    assert not (data / "postmaster.pid").exists()


async def test_it_listens_to_no_network_and_to_its_owner_only(folder):
    async with (
        tasks.Background() as background,
        postgres.running(folder / "postgres", log_file=folder / "log", background=background) as dsn,
    ):
        assert await asked(dsn, "show listen_addresses") == ""
        assert await asked(dsn, "show unix_socket_permissions") == "0700"
        assert (folder / "postgres").stat().st_mode & 0o077 == 0
        if os.geteuid() == 0:
            assert (folder / "postgres").stat().st_uid != 0


async def test_what_a_killed_run_left_is_stopped_first(folder):
    data, log_file = folder / "postgres", folder / "log"
    async with tasks.Background() as background:
        async with postgres.running(data, log_file=log_file, background=background):
            pass
        left = processes.start(postgres._command(data, data, postgres._account(data), log_file))
        await waiting.until((data / ".s.PGSQL.5432").exists)
        async with postgres.running(data, log_file=log_file, background=background) as dsn:
            assert not left.running
            assert await asked(dsn, "select 1") == 1


async def test_a_pid_file_that_names_somebody_else_is_no_obstacle(folder):
    data = folder / "postgres"
    async with tasks.Background() as background:
        async with postgres.running(data, log_file=folder / "log", background=background):
            lines = (data / "postmaster.pid").read_text().splitlines()
        (data / "postmaster.pid").write_text("\n".join([str(os.getpid()), *lines[1:]]))
        async with postgres.running(data, log_file=folder / "log", background=background) as dsn:
            assert await asked(dsn, "select 1") == 1


async def test_it_comes_back_after_a_kill(folder):
    data = folder / "postgres"
    async with (
        tasks.Background() as background,
        postgres.running(data, log_file=folder / "log", background=background) as dsn,
    ):
        os.kill(int((data / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)

        async def answers():
            try:
                return await asked(dsn, "select 1") == 1
            except psycopg.OperationalError:
                return False

        await waiting.until(answers, deadline=30)


async def test_a_path_longer_than_a_sockets_may_be(folder):
    deep = folder / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    async with tasks.Background() as background:
        async with postgres.running(deep / "postgres", log_file=folder / "log", background=background) as dsn:
            assert await asked(dsn, "select 1") == 1
            sockets = pathlib.Path(dsn.split("'")[1])
            assert sockets != deep / "postgres"
        assert not sockets.exists()


async def test_a_start_that_was_interrupted_is_made_good(folder):
    unfinished = folder / "postgres.new"
    unfinished.mkdir()
    (unfinished / "half").write_text("made")
    async with (
        tasks.Background() as background,
        postgres.running(folder / "postgres", log_file=folder / "log", background=background) as dsn,
    ):
        assert await asked(dsn, "select 1") == 1
    assert not unfinished.exists()


@pytest.mark.parametrize(
    ("prepare", "complaint"),
    [
        (lambda data: (data / "PG_VERSION").write_text("12\n"), "was made by Postgres 12, and this is 18"),
        (lambda data: (data / "diary.txt").write_text("mine"), "holds something else than Postgres' data"),
    ],
)
async def test_somebody_elses_data_is_left_alone(folder, prepare, complaint):
    data = folder / "postgres"
    data.mkdir()
    prepare(data)
    before = sorted(data.iterdir())
    async with tasks.Background() as background:
        with pytest.raises(problems.Problem, match=complaint):
            async with postgres.running(data, log_file=folder / "log", background=background):
                pass
    assert sorted(data.iterdir()) == before


async def test_a_server_that_does_not_start_is_quoted(folder):
    data = folder / "postgres"
    async with tasks.Background() as background:
        async with postgres.running(data, log_file=folder / "log", background=background):
            pass
        with (data / "postgresql.conf").open("a") as file:
            file.write("shared_buffers = nonsense\n")
        with pytest.raises(problems.Problem, match=r"(?s)does not start. Its last words.*shared_buffers"):
            async with postgres.running(data, log_file=folder / "log", background=background):
                pass
