"""A machine: a network namespace, and mount, process, host name and IPC namespaces of its own, held by one process.

Whatever runs in it, containers included, ends when that one process is killed, and what it mounted goes with it: nothing has to be found
and collected one by one.
"""

import dataclasses
import json
import pathlib
import shlex

from cluster import record, shell
from support import processes

# The first process of a machine must collect what is orphaned there; one that ignores SIGCHLD has the kernel do it.
_HOLD = "trap '' CHLD\nexec sleep infinity\n"
# In a session of its own, so that a Ctrl-C meant for the tests does not reach it.
_SPAWN = 'log=$1; shift; setsid "$@" >>"$log" 2>&1 </dev/null & echo $!'


AHEAD = ("nice", "-n", "-5")
"""Puts a daemon ahead of what runs in pods, which may keep a small machine busy: a kubelet that is late with its lease loses its node."""


@dataclasses.dataclass(slots=True, kw_only=True)
class Machine:
    """``init`` is its first process, ``commands`` are those of its daemons, ``running`` the daemons' processes.

    Each daemon writes to ``<its name>.log`` in ``logs``. The whole is kept in ``path``, so that another process can go on with it.
    """

    name: str
    path: pathlib.Path
    logs: pathlib.Path
    init: record.Process
    commands: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    running: dict[str, record.Process] = dataclasses.field(default_factory=dict)

    def start(self, *names: str) -> None:
        """Start daemons, in this order. One that runs is left alone."""
        for name in names:
            if not self.runs(name):
                pid = _spawn(self.logs / f"{name}.log", *self._inside(), *self.commands[name])
                self.running[name] = shell.until(
                    lambda pid=pid: _child(pid), what=f"start of {name} on {self.name}", deadline=10, every=0.02
                )
        self.save()

    def stop(self, name: str) -> None:
        """Kill a daemon. What it started itself goes on."""
        if self.runs(name):
            self.running[name].kill()
        self.running.pop(name, None)
        self.save()

    def runs(self, name: str) -> bool:
        return name in self.running and self.running[name].alive()

    def whole(self) -> bool:
        """Whether it and all its daemons run."""
        return self.init.alive() and all(self.runs(name) for name in self.commands)

    def run(self, *command: str | pathlib.Path, timeout: float = 60.0) -> str:
        """Run a command in it, to its end."""
        return shell.run(*self._inside(), *command, timeout=timeout)

    def save(self) -> None:
        self.path.write_text(json.dumps(dataclasses.asdict(self), default=str))

    def _inside(self) -> list[str]:
        return ["nsenter", "--target", str(self.init.pid), "--net", "--mount", "--pid", "--uts", "--ipc", "--"]


def make(
    *, name: str, namespace: str, setup: str, folder: pathlib.Path, logs: pathlib.Path, kept: record.Record
) -> Machine:
    """A machine in a network namespace that exists. ``setup`` is a shell script that runs in it first, to mount what only it shall see."""
    logs.mkdir(parents=True, exist_ok=True)
    script = f"set -e\nmount --make-rshared /\nhostname {shlex.quote(name)}\n{setup}\n{_HOLD}"
    unshare = [
        "unshare",
        "--mount",
        "--propagation",
        "slave",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "--uts",
        "--ipc",
    ]
    pid = _spawn(logs / "machine.log", "nsenter", f"--net=/run/netns/{namespace}", *unshare, "sh", "-c", script)
    init = shell.until(lambda: _child(pid), what=f"start of machine {name}", deadline=10, every=0.02)
    kept.process(init)
    shell.until(
        lambda: _holds(init), what=f"set-up of machine {name} (see {logs / 'machine.log'})", deadline=20, every=0.02
    )
    return Machine(name=name, path=folder / f"{name}.json", logs=logs, init=init)


def load(path: pathlib.Path) -> Machine:
    """The machine that was kept in ``path``."""
    kept = json.loads(path.read_text())
    kept["running"] = {name: record.Process(**one) for name, one in kept["running"].items()}
    return Machine(**kept | {"path": path, "logs": pathlib.Path(kept["logs"]), "init": record.Process(**kept["init"])})


def _spawn(log: pathlib.Path, *command: str | pathlib.Path) -> int:
    return int(shell.run("sh", "-c", _SPAWN, "sh", log, *command))


def _child(pid: int) -> record.Process | None:
    found = [one for one in processes.seen() if one.parent == pid and one.state not in "ZX"]
    return record.Process(pid=found[0].pid, started=found[0].started) if found else None


def _holds(init: record.Process) -> bool:
    return pathlib.Path(f"/proc/{init.pid}/cmdline").read_bytes().startswith(b"sleep\0")
