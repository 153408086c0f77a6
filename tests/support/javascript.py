"""The JavaScript clients of tests/e2e/clients: Playwright's own Node, packages by npm at the versions that are locked there.

``Process`` is a Node that runs one of the scripts beside that lock: it is asked by lines of JSON, one at a time, and answers in kind.
"""

import contextlib
import fcntl
import filecmp
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from playwright._impl import _driver

CLIENTS = pathlib.Path(__file__).parents[1] / "e2e" / "clients"
INSTALL_DEADLINE = 300.0
CALL_DEADLINE = 60.0


class Failed(Exception):
    """What was asked for failed in the client; ``fields`` are what the script told of it."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        super().__init__(fields.get("message"))
        self.fields = fields


def installed(root: pathlib.Path) -> pathlib.Path:
    """A directory with the scripts and, beside them, their ``node_modules``; these are kept under ``root`` from run to run."""
    lock = (CLIENTS / "package-lock.json").read_bytes()
    folder = root / ".browserpool" / "clients" / hashlib.sha256(lock).hexdigest()[:12]
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Tests run in several processes: the first of them makes it for all, and no script is written while another's Node reads it.
    with folder.with_suffix(".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not folder.exists():
            _install(folder)
        for script in CLIENTS.glob("*.mjs"):
            if not _same(script, folder / script.name):
                shutil.copyfile(script, folder / script.name)
    return folder


def _same(one: pathlib.Path, other: pathlib.Path) -> bool:
    return other.exists() and filecmp.cmp(one, other, shallow=False)


def _install(folder: pathlib.Path) -> None:
    # Beside it, and renamed when whole: a run that is broken off leaves nothing half.
    making = folder.with_name(f"{folder.name}.{os.getpid()}")
    making.mkdir(parents=True)
    try:
        for name in ("package.json", "package-lock.json"):
            shutil.copyfile(CLIENTS / name, making / name)
        done = subprocess.run(
            ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error"],
            cwd=making, env={**os.environ, "PUPPETEER_SKIP_DOWNLOAD": "true"}, capture_output=True, text=True,
            timeout=INSTALL_DEADLINE, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"npm could not install the clients:\n{done.stdout}{done.stderr}"
        making.rename(folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)


class Process:
    """A Node. It is called from threads (``asyncio.to_thread``): the loop of a test has other things to serve."""

    def __init__(self, process: "subprocess.Popen[str]", errors: pathlib.Path) -> None:
        self._process = process
        self._errors = errors
        self._lock = threading.Lock()

    def call(self, what: str, *arguments: Any, deadline: float = CALL_DEADLINE) -> Any:
        """Have ``what`` done; answers what the script did.

        Raises:
            Failed: it could not be done, or not in time.
        """
        assert self._process.stdin is not None, "a pipe"
        assert self._process.stdout is not None, "a pipe"
        with self._lock:
            self._process.stdin.write(json.dumps({"what": what, "arguments": arguments}) + "\n")
            self._process.stdin.flush()
            timer = threading.Timer(deadline, self._process.kill)
            timer.start()
            try:
                line = self._process.stdout.readline()
            finally:
                timer.cancel()
        if not line:
            raise Failed({"message": f"{what}: no answer within {deadline:g} s, or the script ended:\n{self.said()}"})
        answer = json.loads(line)
        if "failed" in answer:
            raise Failed(answer["failed"])
        return answer.get("done")

    def said(self) -> str:
        """What it wrote to standard error."""
        return self._errors.read_text(errors="replace")[-4000:]


@contextlib.contextmanager
def running(
    folder: pathlib.Path,
    script: str,
    *arguments: str,
    errors: pathlib.Path,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Process]:
    """``node script arguments…``; what it says beside its answers goes to the file ``errors``."""
    node = _driver.compute_driver_executable()[0]
    with errors.open("w") as log, subprocess.Popen(
        [node, str(folder / script), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
        cwd=folder, env={**os.environ, **(environment or {})},
    ) as process:  # fmt: skip
        try:
            yield Process(process, errors)
        finally:
            assert process.stdin is not None, "a pipe"
            process.stdin.close()  # which is its sign to end
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
