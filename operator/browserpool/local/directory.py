"""The data directory of one installation: who holds it, its secrets, and the file by which commands find it.

==================  ==========================================================
``lock``            held (flock) while ``up`` runs; the kernel lets go of it whatever happens
``signing-key``     mode 0600, made once; browsers' own secrets are derived from it
``token``           mode 0600, made once; the bearer token for clients
``url``             where the router is reached; there while ``up`` runs
``postgres/``       the store's data
``logs/``           one file for each process
==================  ==========================================================
"""

import contextlib
import dataclasses
import fcntl
import os
import pathlib
from collections.abc import Iterator

from browserpool.lib import chance
from browserpool.local import problems

DEFAULT = pathlib.Path(".browserpool")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """Paths under ``path``. Reading them needs no lock."""

    path: pathlib.Path

    @property
    def postgres(self) -> pathlib.Path:
        return self.path / "postgres"

    @property
    def token(self) -> pathlib.Path:
        return self.path / "token"

    @property
    def url(self) -> pathlib.Path:
        return self.path / "url"

    def log(self, name: str) -> pathlib.Path:
        """The log file of the process of that name."""
        return self.path / "logs" / f"{name}.log"

    def read(self, name: str) -> str | None:
        """What the file ``name`` says; None when it is not there."""
        try:
            return (self.path / name).read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return None


@contextlib.contextmanager
def held(path: pathlib.Path) -> Iterator[Directory]:
    """Make the directory if need be and hold it while the block runs; addresses and lock are gone afterwards.

    Raises:
        problems.Problem: another process holds it, or it cannot be made.
    """
    directory = Directory(path=path.absolute())
    try:
        directory.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = _locked(directory.path / "lock")
    except OSError as error:
        raise problems.Problem(f"{path} cannot be used for data: {error.strerror}. Name another with --data.") from None
    try:
        yield directory
    finally:
        for file in (directory.url, directory.path / "lock"):
            file.unlink(missing_ok=True)
        os.close(lock)


def _locked(path: pathlib.Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 20).decode(errors="replace").strip()
            os.close(descriptor)
            raise problems.Problem(
                f"{path.parent} is in use by another `browserpool up`{f' (process {holder})' if holder else ''}. "
                f"Stop that one, or name another directory with --data."
            ) from None
        # Whoever held it before may have deleted the file between our open and our lock; then this lock guards nothing.
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(descriptor).st_ino:
                os.truncate(descriptor, 0)
                os.write(descriptor, f"{os.getpid()}\n".encode())
                return descriptor
        os.close(descriptor)


def secret(directory: Directory, name: str) -> str:
    """The secret in the file ``name``, made at the first call; nobody but its owner may read it."""
    path = directory.path / name
    found = directory.read(name)
    if not found:
        found = chance.secret()
        publish(path, found)
    path.chmod(0o600)
    return found


def publish(path: pathlib.Path, text: str) -> None:
    """Write the file as a whole, readable by its owner only: a reader sees all of it or nothing."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text + "\n")
    fresh.replace(path)
