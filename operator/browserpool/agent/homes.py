"""A directory for each start of Chromium: its profile, its downloads, its TMPDIR and its HOME, removed with it.

Chromium leaves directories behind when it is killed, and so would an agent that is killed. A home is therefore locked (``flock``) by
the agent that made it: the lock goes when its process does, however that ends, and a home that nobody locks is swept by the
next agent that starts beside it.
"""

import contextlib
import dataclasses
import fcntl
import os
import pathlib
import shutil
import tempfile

_PREFIX = "browserpool-chromium-"
_LOCK = ".lock"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """A locked directory. ``lock`` is the descriptor that holds the lock."""

    path: pathlib.Path
    lock: int

    @property
    def profile(self) -> pathlib.Path:
        return self.path / "profile"

    @property
    def temporary(self) -> pathlib.Path:
        return self.path / "tmp"

    @property
    def downloads(self) -> pathlib.Path:
        return self.path / "downloads"

    def remove(self) -> None:
        """Delete everything and let go of the lock; whatever will not go is swept later. Idempotent."""
        shutil.rmtree(self.path, ignore_errors=True)
        with contextlib.suppress(OSError):
            os.close(self.lock)


def _lock(directory: pathlib.Path, *, create: bool) -> int | None:
    """The descriptor of the directory's lock, held; ``None`` if another process holds it or there is none."""
    try:
        descriptor = os.open(directory / _LOCK, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0), 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def make(base: str) -> Home:
    """A new home under ``base`` (empty: the system's temporary directory)."""
    while True:
        path = pathlib.Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base or None))
        lock = _lock(path, create=True)
        if lock is None:  # a sweeper was quicker, and is about to remove it
            continue
        home = Home(path=path, lock=lock)
        home.temporary.mkdir()
        home.downloads.mkdir()
        return home


def sweep(base: str) -> int:
    """Remove the homes under ``base`` whose agents are dead; returns how many. Other agents' homes are left alone."""
    swept = 0
    for path in pathlib.Path(base or tempfile.gettempdir()).glob(_PREFIX + "*"):
        lock = _lock(path, create=False)
        if lock is not None:
            Home(path=path, lock=lock).remove()
            swept += 1
    return swept
