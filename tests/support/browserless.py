"""The real browserless, from npm, on this machine's Chromium and Playwright's own Node: a system to move away from.

It is installed once, under ``.browserpool`` (some 500 MB), with the routes of the browsers that are not here left out, as its own image for
Chromium alone has them left out.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator

from playwright._impl import _driver

from browserpool.lib import clock
from support import chrome

VERSION = "2.42.0"
TOKEN = "the-old-systems-token"
INSTALL_DEADLINE = 600
START_DEADLINE = 60.0
ROOT = pathlib.Path(__file__).parents[2]


def installed(root: pathlib.Path = ROOT) -> pathlib.Path:
    """The folder whose ``node_modules`` has it."""
    folder = root / ".browserpool" / "peers" / f"browserless-{VERSION}"
    if folder.exists():
        return folder
    unfinished = folder.with_name(folder.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    # It reads one where it is started, and looks for its parts in node_modules there.
    (unfinished / "package.json").write_text('{"private": true}')
    subprocess.run(
        ["npm", "install", "--prefix", str(unfinished), "--no-audit", "--no-fund", "--ignore-scripts",
         f"@browserless.io/browserless@{VERSION}"],
        check=True, timeout=INSTALL_DEADLINE, capture_output=True,
    )  # fmt: skip
    for browser in ("chrome", "edge", "firefox", "webkit"):
        shutil.rmtree(_package(unfinished) / "build" / "routes" / browser)
    unfinished.rename(folder)
    return folder


def _package(folder: pathlib.Path) -> pathlib.Path:
    return folder / "node_modules" / "@browserless.io" / "browserless"


@contextlib.contextmanager
def running(home: pathlib.Path, *, concurrent: int = 5) -> Iterator[str]:
    """browserless while the block runs, its files under ``home``; yields its address. It knows ``TOKEN``."""
    folder, node = installed(), _driver.compute_driver_executable()[0]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "TOKEN": TOKEN,
        "CONCURRENT": str(concurrent),
        "QUEUED": "0",
        "DATA_DIR": str(home / "data"),
        "DOWNLOAD_DIR": str(home / "downloads"),
        "PLAYWRIGHT_BROWSERS_PATH": str(_browsers(home, node=node, folder=folder)),
    }
    for name in ("data", "downloads"):
        (home / name).mkdir()
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [node, str(_package(folder) / "build" / "index.js")],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _until_it_answers(process, port, home / "log")
        yield f"http://127.0.0.1:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _browsers(home: pathlib.Path, *, node: str, folder: pathlib.Path) -> pathlib.Path:
    """Where it looks for the Chromium that Playwright would have downloaded: a script that starts this machine's."""
    where = home / "browsers"
    ask = "import p from 'playwright-core'; process.stdout.write(p.chromium.executablePath())"
    said = subprocess.run(
        [node, "--input-type=module", "--eval", ask],
        cwd=folder,
        env={"PLAYWRIGHT_BROWSERS_PATH": str(where), "HOME": str(home)},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    program = pathlib.Path(said.stdout)
    assert program.is_relative_to(where)
    program.parent.mkdir(parents=True)
    sandbox = "--no-sandbox " if os.geteuid() == 0 else ""
    program.write_text(f'#!/bin/sh\nexec {chrome.binary()} {sandbox}"$@"\n')
    program.chmod(0o755)
    return where


def _until_it_answers(process: "subprocess.Popen[bytes]", port: int, log: pathlib.Path) -> None:
    end = clock.monotonic() + START_DEADLINE
    while clock.monotonic() < end:
        assert process.poll() is None, log.read_text()
        if b"HTTP Server is listening" in log.read_bytes():
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return
    raise AssertionError(log.read_text())
