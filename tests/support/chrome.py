"""A real Chromium for tests, with an empty profile, as the agent's rooms below the supervisor see it."""

import asyncio
import contextlib
import os
import pathlib
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Sequence

from browserpool.agent import driver

_BINARIES = ("/usr/lib/chromium/chromium-headless-shell", "/usr/lib/chromium/chromium")
_FLAGS = (
    "--remote-debugging-port=0",
    "--no-first-run",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
_DEADLINE = 30.0


def binary() -> str:
    """The browser that is installed. A test run without one must fail, not skip."""
    found = next((path for path in _BINARIES if os.access(path, os.X_OK)), None) or shutil.which("chromium")
    assert found is not None, "no Chromium: apt-get install chromium-headless-shell"
    return found


@contextlib.asynccontextmanager
async def running(*, flags: Sequence[str] = ()) -> AsyncIterator[driver.Connection]:
    """Start Chromium with ``flags``; yields a connection to it. Its process group is killed at the end."""
    profile = pathlib.Path(tempfile.mkdtemp(prefix="browserpool-test-"))
    sandbox = ("--no-sandbox",) if os.geteuid() == 0 else ()
    process = await asyncio.create_subprocess_exec(
        binary(),
        *_FLAGS,
        *flags,
        *sandbox,
        f"--user-data-dir={profile}",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(profile)},
        start_new_session=True,
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(_DEADLINE):
            while b"DevTools listening on " not in (line := await process.stderr.readline()):
                assert line, "Chromium ended before CDP answered"
        async with asyncio.TaskGroup() as group:
            drain = group.create_task(_drain(process.stderr))
            connection = await driver.Connection.open(line.split()[-1].decode())
            try:
                yield connection
            finally:
                await connection.close()
                drain.cancel()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        shutil.rmtree(profile, ignore_errors=True)


async def _drain(stream: asyncio.StreamReader) -> None:
    while await stream.read(65536):
        pass
