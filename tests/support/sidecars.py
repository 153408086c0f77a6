"""A sidecar in this process or as one of its own, in front of a router that a test runs."""

import asyncio
import contextlib
import dataclasses
import os
import pathlib
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

from browserpool.router.sidecar import app, settings
from support import routers, waiting


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """``client`` sends no token; ``token`` is the file of the sidecar's own."""

    address: str
    token: pathlib.Path
    client: aiohttp.ClientSession
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    @property
    def ws(self) -> str:
        return f"ws://{self.address}"

    async def request(self, method: str, path: str, **kwargs: Any) -> routers.Answer:
        async with self.client.request(method, self.url + path, **kwargs) as answer:
            return routers.Answer(status=answer.status, headers=dict(answer.headers), body=await answer.read())

    async def connect(self, path: str = "/devtools/browser", **kwargs: Any) -> aiohttp.ClientWebSocketResponse:
        return await self.client.ws_connect(self.ws + path, max_msg_size=0, **kwargs)


def said(socket: aiohttp.ClientWebSocketResponse, name: str) -> str:
    """A header of a WebSocket's opening: ``Way``, ``Node``, ``Session``, …"""
    return socket._response.headers[f"X-Browserpool-{name}"]


@contextlib.asynccontextmanager
async def inside(
    router_url: str, folder: pathlib.Path, *, secret: str | None = None, **changes: Any
) -> AsyncIterator[Sidecar]:
    """A sidecar in this process."""
    token = _token(folder, secret)
    defaults: dict[str, Any] = {"connect_timeout": 0.5, "grace": 2.0, "port": 0}
    config = settings.SidecarSettings(router_url=router_url, token_file=str(token), **{**defaults, **changes})
    async with app.running(config) as address, aiohttp.ClientSession() as client:
        yield Sidecar(address=str(address), token=token, client=client)


@contextlib.asynccontextmanager
async def process(
    router_url: str, folder: pathlib.Path, *, secret: str | None = None, **changes: Any
) -> AsyncIterator[Sidecar]:
    """A sidecar as a process; killed at the end if it still runs."""
    token, log = _token(folder, secret), folder / "sidecar.log"
    running = _spawn({"router_url": router_url, "token_file": token, "port": 0, **changes}, log)
    try:
        await waiting.until(lambda: "address=" in log.read_text() or running.poll() is not None, deadline=30)
        assert running.poll() is None, log.read_text()
        address = log.read_text().partition("address=")[2].split()[0]
        async with aiohttp.ClientSession() as client:
            yield Sidecar(address=address, token=token, client=client, process=running)
    finally:
        if running.poll() is None:
            running.terminate()
            try:
                await asyncio.to_thread(running.wait, 15)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()


def _token(folder: pathlib.Path, secret: str | None) -> pathlib.Path:
    path = folder / "token"
    if secret is not None:
        path.write_text(secret + "\n")
    return path


def _spawn(wanted: dict[str, Any], log: pathlib.Path) -> subprocess.Popen[bytes]:
    passed = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "PYTHONPATH")}
    passed |= {f"BROWSERPOOL_{name.upper()}": str(value) for name, value in wanted.items()}
    with log.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "browserpool.router.sidecar"], env=passed, stdin=subprocess.DEVNULL, stderr=file
        )
