"""Processes of this machine, from /proc."""

import contextlib
import dataclasses
import pathlib


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One process; ``started`` tells it from a later one of the same pid."""

    pid: int
    parent: int
    started: int
    state: str
    command: str


def seen() -> list[Seen]:
    """All that run now."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found.append(
                    Seen(
                        pid=int(entry.name),
                        parent=int(fields[1]),
                        started=int(fields[19]),
                        state=fields[0],
                        command=command,
                    )
                )
    return found


def below(pid: int) -> list[Seen]:
    """The children of ``pid``, theirs, and so on."""
    everything, found, parents = seen(), [], {pid}
    while children := [one for one in everything if one.parent in parents]:
        found += children
        parents = {child.pid for child in children}
    return found


def still_running(before: list[Seen]) -> list[Seen]:
    """Which of them have not ended. One that is dead and not yet collected by process 1 has."""
    now = {(one.pid, one.started): one for one in seen()}
    return [one for one in before if (found := now.get((one.pid, one.started))) is not None and found.state not in "ZX"]
