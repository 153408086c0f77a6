"""Chrome's own MCP server, pointed at a router instead of at a local Chrome."""

import asyncio
import base64
import contextlib
import io
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from PIL import Image
from playwright._impl import _driver

from support import javascript, site, stack

DEADLINE = 30.0


class Server:
    """The server on its standard input and output: JSON-RPC, a message a line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._last = 0

    async def ask(self, method: str, **parameters: Any) -> Any:
        """The result of a request."""
        self._last += 1
        self._send({"id": self._last, "method": method, "params": parameters})
        assert self._process.stdout is not None, "a pipe"
        async with asyncio.timeout(DEADLINE):
            while line := await self._process.stdout.readline():
                if (said := orjson.loads(line)).get("id") == self._last:
                    assert "error" not in said, said
                    return said["result"]
        raise AssertionError("the server ended")

    async def use(self, tool: str, **arguments: Any) -> list[dict[str, Any]]:
        """What a tool gives."""
        result = await self.ask("tools/call", name=tool, arguments=arguments)
        assert not result.get("isError"), result
        content: list[dict[str, Any]] = result["content"]
        return content

    def tell(self, method: str) -> None:
        self._send({"method": method})

    def _send(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None, "a pipe"
        self._process.stdin.write(orjson.dumps({"jsonrpc": "2.0", **message}) + b"\n")


@contextlib.asynccontextmanager
async def running(folder: pathlib.Path, *arguments: str) -> AsyncIterator[Server]:
    node = _driver.compute_driver_executable()[0]
    script = folder / "node_modules" / "chrome-devtools-mcp" / "build" / "src" / "bin" / "chrome-devtools-mcp.js"
    process = await asyncio.create_subprocess_exec(
        str(node), str(script), "--no-usage-statistics", "--no-performance-crux", *arguments,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        limit=64 * 1024 * 1024,
    )  # fmt: skip
    try:
        server = Server(process)
        hello = await server.ask(
            "initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo={"name": "test", "version": "1"}
        )
        assert hello["serverInfo"]["name"] == "chrome_devtools"
        server.tell("notifications/initialized")
        yield server
    finally:
        process.kill()
        await process.communicate()


def text(content: list[dict[str, Any]]) -> str:
    return "\n".join(one["text"] for one in content if one["type"] == "text")


@pytest.mark.parametrize("way", ["browserUrl", "wsEndpoint"])
async def test_it_looks_at_a_page(fragile: stack.Stack, web: site.Site, pytestconfig: pytest.Config, way: str) -> None:
    """By its URL the token stands in the address, as everywhere where no header can be set."""
    folder = await asyncio.to_thread(javascript.installed, pathlib.Path(pytestconfig.rootpath))
    headers = orjson.dumps(fragile.headers).decode()
    arguments = {
        "browserUrl": ("--browserUrl", f"{fragile.url}?token={fragile.token}"),
        "wsEndpoint": ("--wsEndpoint", f"{fragile.websocket}/devtools/browser", "--wsHeaders", headers),
    }[way]
    async with running(folder, *arguments) as server:
        assert "about:blank" in text(await server.use("list_pages"))
        await server.use("new_page", url=web.page("/shown", "<title>shown</title><body style='background:#00ff00'>"))
        assert web.url("/shown") in text(await server.use("list_pages"))
        (picture,) = [one for one in await server.use("take_screenshot", pageId=2) if one["type"] == "image"]
        shown = Image.open(io.BytesIO(base64.b64decode(picture["data"]))).convert("RGB")
        assert shown.getpixel((10, 10)) == (0, 255, 0)
    async with fragile.client() as http:
        for one in (await fragile.status())["sessions"]:
            await http.delete(f"/devtools/browser/{one['session_id']}")
