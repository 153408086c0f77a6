"""A look into a Chromium that an agent keeps: over its own CDP port, which is nobody's but the agent's, and the tests'."""

import contextlib
import pathlib
import re
from collections.abc import AsyncIterator

from browserpool.agent import driver
from support import stack, waiting

_PROFILE = re.compile(r"--user-data-dir=(\S+)")
DEADLINE = 20.0


@contextlib.asynccontextmanager
async def connected(chromium: stack.Process) -> AsyncIterator[driver.Connection]:
    """A connection beside the agent's."""
    profile = _PROFILE.search(chromium.command)
    assert profile is not None, chromium.command
    port, path = (pathlib.Path(profile[1]) / "DevToolsActivePort").read_text().split()
    connection = await driver.Connection.open(f"ws://127.0.0.1:{port}{path}")
    try:
        yield connection
    finally:
        await connection.close()


async def clean(chromium: stack.Process) -> None:
    """Wait until it holds the spare's context and page, and nothing else.

    Raises:
        AssertionError: something else stays.
    """
    async with connected(chromium) as connection:
        await _clean(chromium, connection)


async def _clean(chromium: stack.Process, connection: driver.Connection) -> None:
    seen: list[str] = []

    async def is_clean() -> bool:
        contexts = (await connection.call("Target.getBrowserContexts"))["browserContextIds"]
        targets = (await connection.call("Target.getTargets"))["targetInfos"]
        # The first page is Chromium's own, the second the spare's.
        pages = [one for one in targets if one["type"] not in ("tab", "browser")]
        seen[:] = [str(contexts), *map(str, pages)]
        return len(contexts) <= 1 and len(pages) <= 2 and all(one["url"] == "about:blank" for one in pages)

    try:
        await waiting.until(is_clean, deadline=DEADLINE, every=0.1)
    except TimeoutError as error:
        raise AssertionError(f"left in {chromium.pid}: {seen}") from error
