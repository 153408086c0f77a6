"""CDP clients behind one set of handles: those of tests/e2e/clients/drivers.mjs in a Node, and pyppeteer here.

A scenario is written once against ``Client``; ``How`` says where a client is to connect, whichever way is its own.
"""

import asyncio
import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any, Protocol

import pyppeteer
from pyppeteer import browser as pyppeteer_browser

from support import javascript


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """``endpoint``: the WebSocket to connect to. The others are for who asks a Worker's binding instead."""

    endpoint: str
    router: str
    headers: Mapping[str, str]
    session: str | None = None


class Client(Protocol):
    """A client that drives one browser at a time. Pages go by names."""

    async def launch(self, how: How) -> str | None:
        """Get a browser and connect to it; its session's id, if the client knows it."""

    async def connect(self, how: How) -> None: ...

    async def drive(self, what: str, *given: Any) -> Any:
        """open, titles, evaluate, dialog, upload, uploadPath, download, screenshot, disconnect, close."""


class Node:
    """A client in a Node."""

    def __init__(self, process: javascript.Process) -> None:
        self._process = process

    async def launch(self, how: How) -> str | None:
        found: str | None = await self.ask("launch", how)
        return found

    async def connect(self, how: How) -> None:
        await self.ask("connect", how)

    async def ask(self, what: str, how: How) -> Any:
        """What only some of them can: ``tour`` of a binding."""
        return await asyncio.to_thread(self._process.call, what, dataclasses.asdict(how))

    async def drive(self, what: str, *given: Any) -> Any:
        return await asyncio.to_thread(self._process.call, "drive", what, *given)


_FILL = """(element, name, text) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([text], name, {type: 'text/plain'}));
  element.files = transfer.files;
  element.dispatchEvent(new Event('change', {bubbles: true}));
}"""


class Pyppeteer:
    """pyppeteer, in this process."""

    def __init__(self) -> None:
        self._pages: dict[str, Any] = {}
        self._browser: pyppeteer_browser.Browser

    async def launch(self, how: How) -> str | None:
        await self.connect(how)
        return None

    async def connect(self, how: How) -> None:
        self._browser = await pyppeteer.connect(browserWSEndpoint=how.endpoint)

    async def drive(self, what: str, *given: Any) -> Any:
        return await getattr(self, what)(*given)

    async def open(self, name: str, url: str) -> None:
        self._pages[name] = await self._browser.newPage()
        await self._pages[name].goto(url)

    async def titles(self) -> list[str]:
        return [await page.title() for page in await self._browser.pages()]

    async def evaluate(self, name: str, expression: str) -> Any:
        return await self._pages[name].evaluate(expression, force_expr=True)

    async def dialog(self, name: str, expression: str, answer: str) -> dict[str, str]:
        page = self._pages[name]
        asked = asyncio.get_running_loop().create_future()
        page.once("dialog", asked.set_result)
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            given = group.create_task(page.evaluate(expression, force_expr=True))
            dialog = await asked
            await dialog.accept(answer)
        return {"given": given.result(), "said": dialog.message}

    async def upload(self, name: str, selector: str, file: str, text: str) -> None:
        page = self._pages[name]
        await page.evaluate(_FILL, await page.querySelector(selector), file, text)

    async def uploadPath(self, name: str, selector: str, path: str) -> None:  # noqa: N802 - as it is called in JavaScript
        await (await self._pages[name].querySelector(selector)).uploadFile(path)

    async def download(self, name: str, selector: str) -> dict[str, str]:
        connection = self._browser._connection
        wanted = {"behavior": "allowAndName", "downloadPath": "/tmp", "eventsEnabled": True}
        await connection.send("Browser.setDownloadBehavior", wanted)
        loop = asyncio.get_running_loop()
        begun, done = loop.create_future(), loop.create_future()
        connection.on("Browser.downloadWillBegin", lambda event: begun.set_result(event["suggestedFilename"]))
        connection.on(
            "Browser.downloadProgress",
            lambda event: None if event["state"] == "inProgress" or done.done() else done.set_result(event["state"]),
        )
        await self._pages[name].click(selector)
        async with asyncio.timeout(30):
            return {"suggested": await begun, "state": await done}

    async def screenshot(self, name: str, width: int, height: int, path: str) -> None:
        await self._pages[name].setViewport({"width": width, "height": height})
        pathlib.Path(path).write_bytes(await self._pages[name].screenshot())

    async def disconnect(self) -> None:
        """As a process that ends: its connection is gone, the browser is not told. pyppeteer leaves the loop's task to us."""
        await self._browser.disconnect()
        await self._end()

    async def close(self) -> None:
        await self._browser.close()
        await self._end()

    async def _end(self) -> None:
        await asyncio.wait({self._browser._connection._recv_fut}, timeout=5)
