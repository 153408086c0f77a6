"""Control groups for the pods of a run: nodes of one machine must not share theirs."""

import os
import pathlib

from cluster import record

_ROOT = pathlib.Path("/sys/fs/cgroup")
_UNIFIED = _ROOT / "cgroup.controllers"


def make(name: str, *, kept: record.Record) -> str:
    """A group of this name in every hierarchy; answers its path within them."""
    for root in _hierarchies():
        kept.cgroup(root / name)
        _group(root / name)
    return f"/{name}"


def child(parent: str, name: str) -> str:
    """A group in that group."""
    for root in _hierarchies():
        _group(root / parent[1:] / name)
    return f"{parent}/{name}"


def try_one() -> None:
    """Make a group in every hierarchy, and take it away.

    Raises:
        OSError: this process may not.
    """
    for root in _hierarchies():
        path = root / f"browserpool-try-{os.getpid()}"
        _group(path)
        path.rmdir()


def _group(path: pathlib.Path) -> None:
    if _UNIFIED.exists():
        wanted = " ".join(f"+{name}" for name in _UNIFIED.read_text().split())
        (path.parent / "cgroup.subtree_control").write_text(wanted)
    path.mkdir()
    for name in ("cpuset.cpus", "cpuset.mems"):
        # Version 1 leaves them empty, and then takes no process.
        if (path / name).exists() and not _UNIFIED.exists():
            (path / name).write_text((path.parent / name).read_text())


def _hierarchies() -> list[pathlib.Path]:
    """The one of version 2; or those of version 1, and the empty one of version 2 beside them, where runc makes groups too."""
    if _UNIFIED.exists():
        return [_ROOT]
    return sorted({path.resolve() for path in _ROOT.iterdir() if (path / "cgroup.procs").exists()})
