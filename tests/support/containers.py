"""An image run as a pod would run it: nobody's user, a root that is read-only, no capabilities, and the machine's network.

By runc on buildah's storage where buildah is the builder, else by docker or podman themselves.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import secrets
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

ROOT = pathlib.Path(__file__).parents[2]
USER = 65532
_TMP = "/tmp"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


class Machine(Protocol):
    """A container of one image. ``name`` is its own; ``entrypoint`` is the image's."""

    name: str
    entrypoint: tuple[str, ...]

    def argv(self, command: Sequence[str], environment: Mapping[str, str]) -> list[str]:
        """The command of this machine that runs ``command`` in a new container of that name."""

    def inside(self, command: Sequence[str]) -> list[str]:
        """The command of this machine that runs ``command`` in the container while it runs."""

    def remove(self) -> None:
        """The container is gone, running or not."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """An image, ready to run."""

    machine: Machine

    def run(self, *command: str, timeout: float = 60, **environment: str) -> Done:
        """Run ``command`` (the entrypoint, if none is given) to its end."""
        words = command or self.machine.entrypoint
        done = subprocess.run(
            self.machine.argv(words, environment), capture_output=True, text=True, timeout=timeout, check=False
        )
        return Done(code=done.returncode, out=done.stdout, err=done.stderr)

    def output(self, *command: str) -> str:
        """What a command writes that must not fail."""
        done = self.run(*command)
        assert done.code == 0, done.err
        return done.out

    @contextlib.contextmanager
    def running(self, log: pathlib.Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
        """Its entrypoint, running; ``log`` gets what it writes."""
        with log.open("wb") as file:
            process = subprocess.Popen(
                self.machine.argv(self.machine.entrypoint, environment),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )
        try:
            yield process
        finally:
            self.machine.remove()
            process.wait(20)

    def exec(self, *command: str) -> str:
        """Run ``command`` in it while it runs; answers what it wrote."""
        return subprocess.run(
            self.machine.inside(command), capture_output=True, text=True, timeout=30, check=True
        ).stdout


@contextlib.contextmanager
def container(name: str) -> Iterator[Container]:
    """A container of the image ``browserpool-<name>`` that ``make images`` has built."""
    registry, tag = os.environ.get("IMAGE_REGISTRY", "browserpool.local"), os.environ.get("IMAGE_TAG", "dev")
    image = f"{registry}/browserpool-{name}:{tag}"
    builder = _output(str(ROOT / "images/build.sh"), "--which")
    made = _unpacked(image) if builder == "buildah" else contextlib.nullcontext(_docker(builder, image))
    with made as machine:
        try:
            yield Container(machine=machine)
        finally:
            machine.remove()


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()


# ---------------------------------------------------------------- docker, podman
@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Docker:
    """docker's or podman's; a ``Machine``."""

    program: str
    image: str
    name: str
    entrypoint: tuple[str, ...]

    def argv(self, command: Sequence[str], environment: Mapping[str, str]) -> list[str]:
        limits = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--network=host")
        folders = (f"--tmpfs={_TMP}", f"--tmpfs=/data:uid={USER},gid={USER}")
        variables = [f"--env={name}={value}" for name, value in environment.items()]
        how = ["--rm", f"--name={self.name}", *limits, *folders, *variables, f"--entrypoint={command[0]}"]
        return [self.program, "run", *how, self.image, *command[1:]]

    def inside(self, command: Sequence[str]) -> list[str]:
        return [self.program, "exec", self.name, *command]

    def remove(self) -> None:
        subprocess.run([self.program, "rm", "--force", self.name], capture_output=True, timeout=30, check=False)


def _docker(program: str, image: str) -> Docker:
    config = json.loads(_output(program, "image", "inspect", image))[0]["Config"]
    return Docker(program=program, image=image, name=_name(), entrypoint=tuple(config["Entrypoint"]))


# ---------------------------------------------------------------- runc
@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Runc:
    """An unpacked image in a folder of runc's; a ``Machine``. ``config`` is the image's."""

    folder: pathlib.Path
    root: str
    config: dict[str, Any]
    name: str

    @property
    def entrypoint(self) -> tuple[str, ...]:
        return tuple(self.config["Entrypoint"])

    def argv(self, command: Sequence[str], environment: Mapping[str, str]) -> list[str]:
        bundle = _bundle(self, command, environment)
        (self.folder / "config.json").write_text(json.dumps(bundle))
        return ["runc", "run", "--bundle", str(self.folder), self.name]

    def inside(self, command: Sequence[str]) -> list[str]:
        return ["runc", "exec", self.name, *command]

    def remove(self) -> None:
        subprocess.run(["runc", "delete", "--force", self.name], capture_output=True, timeout=30, check=False)


@contextlib.contextmanager
def _unpacked(image: str) -> Iterator[Runc]:
    config = json.loads(_output("buildah", "inspect", "--type", "image", image))["Docker"]["config"]
    working = _output("buildah", "from", "--pull-never", image)
    try:
        root = _output("buildah", "mount", working)
        with tempfile.TemporaryDirectory(prefix="browserpool-runc-") as folder:
            yield Runc(folder=pathlib.Path(folder), root=root, config=config, name=_name())
    finally:
        _output("buildah", "rm", working)


def _bundle(made: Runc, command: Sequence[str], environment: Mapping[str, str]) -> dict[str, Any]:
    uid, _, gid = made.config["User"].partition(":")
    process = {
        "user": {"uid": int(uid), "gid": int(gid)},
        "cwd": made.config["WorkingDir"],
        "args": list(command),
        "env": [*made.config["Env"], *(f"{name}={value}" for name, value in environment.items())],
        "noNewPrivileges": True,
        "capabilities": {},
    }
    mounts = [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        _tmpfs("/dev", "mode=755"),
        *(_tmpfs(path, "mode=1777") for path in ("/dev/shm", _TMP)),
        _tmpfs("/data", f"uid={USER}", f"gid={USER}"),
    ]
    kinds = ("pid", "mount", "ipc", "uts")
    return {
        "ociVersion": "1.0.2",
        "root": {"path": made.root, "readonly": True},
        "process": process,
        "mounts": mounts,
        "linux": {"namespaces": [{"type": kind} for kind in kinds]},
    }


def _tmpfs(path: str, *options: str) -> dict[str, Any]:
    return {"destination": path, "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", *options]}


def _name() -> str:
    return f"browserpool-test-{secrets.token_hex(4)}"
