"""``browserpool up`` as a person runs it: a process, a data directory, a manifest that can be edited, commands beside it."""

import contextlib
import dataclasses
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from browserpool.lib import clock
from browserpool.local import client

_START_DEADLINE = 90.0
_STOP_DEADLINE = 60.0


def manifest(*, replicas: int = 2, name: str = "test", **spec: Any) -> str:
    """A pool as JSON, which is YAML too. Loopback is allowed, since tests' pages are served there."""
    document = {
        "apiVersion": "browserpool.dev/v1alpha1",
        "kind": "BrowserPool",
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "egress": {"allow": ["127.0.0.0/8"]}, **spec},
    }
    return orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()


@dataclasses.dataclass(slots=True, kw_only=True)
class Installation:
    """One `up` over ``folder``; may be started again after it has stopped."""

    folder: pathlib.Path
    arguments: Sequence[str] = ()
    process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> pathlib.Path:
        return self.folder / "data"

    @property
    def file(self) -> pathlib.Path:
        return self.folder / "pool.yaml"

    @property
    def temporary(self) -> pathlib.Path:
        """The TMPDIR of everything that `up` starts."""
        return self.folder / "tmp"

    @property
    def shown(self) -> str:
        """What it has printed for people."""
        return (self.folder / "err").read_text()

    @property
    def printed(self) -> list[str]:
        """Its lines on standard output."""
        return (self.folder / "out").read_text().splitlines()

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def router(self) -> client.Router:
        return client.found(self.data, {})

    def begin(self) -> None:
        """Start it, and do not wait."""
        command = [sys.executable, "-m", "browserpool", "up", "-f", str(self.file), "--port", "0"]
        command += ["--data", str(self.data), *self.arguments]
        with (self.folder / "out").open("wb") as out, (self.folder / "err").open("wb") as err:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=self.environment, start_new_session=True
            )

    @property
    def environment(self) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith("BROWSERPOOL_")}
        return ours | {"TMPDIR": str(self.temporary)}

    def start(self) -> None:
        """Start it and wait until it is ready."""
        self.begin()
        self._wait(lambda: len(self.printed) == 2, deadline=_START_DEADLINE)

    def _wait(self, condition: Any, *, deadline: float) -> None:
        end = clock.monotonic() + deadline
        while not condition():
            assert self.process is not None
            assert self.process.poll() is None, f"up has ended by itself:\n{self.shown}"
            assert clock.monotonic() < end, f"up did not get there:\n{self.shown}\n{self.logs()}"
            time.sleep(0.05)

    def logs(self) -> str:
        """The end of each log file."""
        files = sorted(self.data.glob("logs/*.log"))
        return "\n".join(f"== {file.name}\n{file.read_text(errors='replace')[-2000:]}" for file in files)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop; answers its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(_STOP_DEADLINE)

    def edit(self, text: str) -> None:
        """Replace the manifest as editors do: a new file moved over the old one."""
        fresh = self.file.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(self.file)

    def command(self, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run another command of browserpool on this installation."""
        command = [sys.executable, "-m", "browserpool", *arguments, "--data", str(self.data)]
        return subprocess.run(command, input=stdin, capture_output=True, timeout=90, env=self.environment, check=False)

    async def browsers(self) -> list[dict[str, Any]]:
        """Its browsers, as the router knows them."""
        found: list[dict[str, Any]] = (await client.status(self.router))["browsers"]
        return found

    async def states(self) -> list[str]:
        """The states of its browsers, sorted."""
        return sorted(browser["state"] for browser in await self.browsers())


@contextlib.contextmanager
def prepared(text: str, *, arguments: Sequence[str] = ()) -> Iterator[Installation]:
    """An installation that was not started; whatever of it runs at the end is killed."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="browserpool-up-"))
    made = Installation(folder=folder, arguments=arguments)
    made.temporary.mkdir()
    made.temporary.chmod(0o777)
    made.file.write_text(text)
    try:
        yield made
    finally:
        if made.process is not None and made.process.poll() is None:
            made.process.terminate()
            try:
                made.process.wait(_STOP_DEADLINE)
            except subprocess.TimeoutExpired:
                made.process.kill()
                made.process.wait(10)
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def running(text: str, *, arguments: Sequence[str] = ()) -> Iterator[Installation]:
    """An installation that is ready."""
    with prepared(text, arguments=arguments) as made:
        made.start()
        yield made
