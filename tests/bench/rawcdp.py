"""The floor: Chromium driven over bare CDP by the fewest messages that do the job, with nothing of ours in between.

What the benchmarks compare with, in the same run. It shares no code with the agent on purpose.
"""

import asyncio
import base64
import contextlib
import itertools
import os
import pathlib
import shutil
import signal
import tempfile
import time

import aiohttp
import orjson

FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)
BINARIES = ("/usr/lib/chromium/chromium-headless-shell", "/usr/lib/chromium/chromium")
DEADLINE = 60.0


def binary() -> str:
    """The same browser that the agent would find."""
    found = next((path for path in BINARIES if os.access(path, os.X_OK)), None) or shutil.which(
        "chromium-headless-shell"
    )
    if found is None:
        raise SystemExit("No Chromium to measure: apt-get install chromium-headless-shell")
    return found


class Chrome:
    """One browser process with an empty profile; an async context manager. ``started`` is the seconds from exec to CDP."""

    async def __aenter__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="bench-"))
        sandbox = ("--no-sandbox",) if os.geteuid() == 0 else ()
        began = time.perf_counter()
        self.process = await asyncio.create_subprocess_exec(
            binary(),
            *FLAGS,
            *sandbox,
            f"--user-data-dir={self.directory}",
            "about:blank",
            stderr=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            env={**os.environ, "TMPDIR": str(self.directory)},
            start_new_session=True,
        )
        async with asyncio.timeout(DEADLINE):
            while b"DevTools listening on " not in (line := await self.process.stderr.readline()):
                if not line:
                    raise RuntimeError("Chromium ended before CDP answered")
        self.url = line.split()[-1].decode()
        self._drain = asyncio.get_running_loop().create_task(self._discard())
        self.http = aiohttp.ClientSession()
        self.cdp = await Cdp.connect(self.http, self.url)
        await self.cdp.call("Browser.getVersion")
        self.started = time.perf_counter() - began
        return self

    async def _discard(self):
        while await self.process.stderr.read(65536):
            pass

    async def __aexit__(self, *_):
        await self.cdp.close()
        await self.http.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        await self.process.wait()
        await self._drain
        shutil.rmtree(self.directory, ignore_errors=True)


class Cdp:
    """A flat CDP connection: calls by id, events to whoever waits for them."""

    def __init__(self, socket):
        self._socket = socket
        self._ids = itertools.count(1)
        self._calls = {}
        self._events = {}
        self._reader = asyncio.get_running_loop().create_task(self._read())

    @classmethod
    async def connect(cls, http, url, **options):
        return cls(await http.ws_connect(url, max_msg_size=0, compress=0, **options))

    async def _read(self):
        async for message in self._socket:
            frame = orjson.loads(message.data)
            if (call := self._calls.pop(frame.get("id"), None)) is not None:
                call.set_result(frame)
            elif (waiter := self._events.pop((frame.get("sessionId"), frame.get("method")), None)) is not None:
                waiter.set_result(frame["params"])

    async def call(self, method, params=None, session=None):
        number = next(self._ids)
        frame = {"id": number, "method": method, "params": params or {}}
        if session is not None:
            frame["sessionId"] = session
        answer = self._calls[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_str(orjson.dumps(frame).decode())
        result = await asyncio.wait_for(answer, DEADLINE)
        if "error" in result:
            raise RuntimeError(f"{method}: {result['error']['message']}")
        return result["result"]

    def event(self, method, session):
        return self._events.setdefault((session, method), asyncio.get_running_loop().create_future())

    async def close(self):
        await self._socket.close()
        await self._reader


class Page:
    """A context and a page made ahead, attached, with ``Page.enable`` awaited."""

    @classmethod
    async def make(cls, cdp, *, width=1280, height=720):
        page = cls()
        page.cdp = cdp
        page.context = (await cdp.call("Target.createBrowserContext"))["browserContextId"]
        page.target = (
            await cdp.call(
                "Target.createTarget",
                {"url": "about:blank", "browserContextId": page.context, "width": width, "height": height},
            )
        )["targetId"]
        page.session = (await cdp.call("Target.attachToTarget", {"targetId": page.target, "flatten": True}))[
            "sessionId"
        ]
        await cdp.call("Page.enable", session=page.session)
        await cdp.call(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
            session=page.session,
        )
        return page

    async def navigate(self, url):
        loaded = self.cdp.event("Page.loadEventFired", self.session)
        await self.cdp.call("Page.navigate", {"url": url}, session=self.session)
        await asyncio.wait_for(loaded, DEADLINE)

    async def screenshot(self):
        answer = await self.cdp.call("Page.captureScreenshot", {"format": "png"}, session=self.session)
        return base64.b64decode(answer["data"])

    async def content(self):
        answer = await self.cdp.call(
            "Runtime.evaluate", {"expression": "document.documentElement.outerHTML"}, session=self.session
        )
        return answer["result"]["value"]

    async def pdf(self):
        answer = await self.cdp.call("Page.printToPDF", {"printBackground": True}, session=self.session)
        return base64.b64decode(answer["data"])

    async def dispose(self):
        await self.cdp.call("Target.disposeBrowserContext", {"browserContextId": self.context})
