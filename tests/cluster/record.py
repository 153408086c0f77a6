"""What was made on this machine, written down before it is made, so that all of it can be taken away: also by a later run."""

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import signal

from cluster import shell
from support import processes


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process of this machine; ``started`` (clock ticks since boot) tells it from a later one with its pid."""

    pid: int
    started: int

    def alive(self) -> bool:
        return bool(processes.still_running([self._seen()]))

    def signal(self, number: signal.Signals) -> None:
        if self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it, and wait until it has ended."""
        self.signal(signal.SIGKILL)
        shell.until(lambda: not self.alive(), what=f"end of process {self.pid}", deadline=20)

    def _seen(self) -> processes.Seen:
        return processes.Seen(pid=self.pid, parent=0, started=self.started, state="", command="")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The list, one JSON object a line, in ``path``."""

    path: pathlib.Path

    def process(self, process: Process) -> None:
        self._add(kind="process", pid=process.pid, started=process.started)

    def network(self, name: str) -> None:
        self._add(kind="network", name=name)

    def link(self, name: str) -> None:
        self._add(kind="link", name=name)

    def cgroup(self, path: pathlib.Path) -> None:
        self._add(kind="cgroup", path=str(path))

    def folder(self, path: pathlib.Path) -> None:
        self._add(kind="folder", path=str(path))

    def undo(self) -> None:
        """Take away everything that stands in the list, last first. What is gone already is no error."""
        for entry in reversed(self._entries()):
            _UNDO[entry.pop("kind")](**entry)
        self.path.unlink(missing_ok=True)

    def _add(self, **entry: str | int) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps(entry) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _entries(self) -> list[dict[str, str]]:
        with contextlib.suppress(FileNotFoundError):
            return [json.loads(line) for line in self.path.read_text().splitlines() if line.endswith("}")]
        return []


def _undo_process(*, pid: int, started: int) -> None:
    Process(pid=pid, started=started).kill()


def _undo_network(*, name: str) -> None:
    if pathlib.Path("/run/netns", name).exists():
        shell.run("ip", "netns", "delete", name)


def _undo_link(*, name: str) -> None:
    if pathlib.Path("/sys/class/net", name).exists():
        shell.run("ip", "link", "delete", name)


def _undo_cgroup(*, path: str) -> None:
    """Groups go children first, and only once the kernel has let go of their last process."""
    for folder, _, _ in os.walk(path, topdown=False):
        shell.until(lambda folder=folder: _removed(folder), what=f"removal of {folder}", deadline=20)


def _removed(folder: str) -> bool:
    try:
        pathlib.Path(folder).rmdir()
    except FileNotFoundError:
        return True
    except OSError:  # busy yet
        return False
    return True


def _undo_folder(*, path: str) -> None:
    mounted = [line for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines() if f" {path}/" in line]
    if mounted:
        raise shell.Failed(f"{path} is not deleted, since file systems are mounted below it:\n" + "\n".join(mounted))
    shutil.rmtree(path, ignore_errors=True)


_UNDO = {
    "process": _undo_process,
    "network": _undo_network,
    "link": _undo_link,
    "cgroup": _undo_cgroup,
    "folder": _undo_folder,
}
