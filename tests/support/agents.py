"""A real agent as a subprocess, with a real Chromium, and a router's two endpoints for it as a real server."""

import asyncio
import contextlib
import dataclasses
import datetime
import json
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson
from aiohttp import web

from browserpool.lib import web as server
from browserpool.model import agentapi, credentials
from browserpool.model import terms as session_terms
from browserpool.model.names import BrowserId, Fence, SessionId
from support import waiting

BROWSER = BrowserId("pool-region-0")
SIGNING_KEY = "a signing key for tests"
CLAIM_KEY = credentials.claim_key(signing_key=SIGNING_KEY, browser_id=BROWSER)
AGENT_TOKEN = credentials.agent_token(signing_key=SIGNING_KEY, browser_id=BROWSER)
DATABASE_NOW = datetime.datetime(2031, 5, 6, 7, 8, 9, tzinfo=datetime.UTC)
"""The database's clock stands years off this machine's, so that whoever reads the wrong one fails."""
FIRST_FENCE = Fence(1 << 32)


class Router:
    """What an agent needs of a router. ``hellos`` and ``heartbeats`` are what came; the rest is what it answers."""

    def __init__(self) -> None:
        self.hellos: list[dict[str, Any]] = []
        self.heartbeats: list[dict[str, Any]] = []
        self.fence = FIRST_FENCE
        self.incarnation = 7
        self.known = True
        self.recycle = False
        self.status = 200
        self.refused = 0
        self.url = ""
        self.links_asked: list[dict[str, Any]] = []

    @property
    def newest(self) -> dict[str, Any]:
        """The newest heartbeat; empty before the first."""
        return self.heartbeats[-1] if self.heartbeats else {}

    async def _hello(self, request: web.Request) -> web.Response:
        self._check(request)
        if self.status != 200:
            self.refused += 1
            return server.json_response({}, status=self.status)
        self.hellos.append(await request.json(loads=orjson.loads))
        return server.json_response(
            {"incarnation": self.incarnation, "fence": self.fence, "now": DATABASE_NOW.isoformat()}
        )

    async def _heartbeat(self, request: web.Request) -> web.Response:
        self._check(request)
        if self.status != 200:
            self.refused += 1
            return server.json_response({}, status=self.status)
        self.heartbeats.append(await request.json(loads=orjson.loads))
        reply = {"known": self.known, "fence": self.fence, "recycle": self.recycle, "now": DATABASE_NOW.isoformat()}
        return server.json_response(reply)

    async def _live_view(self, request: web.Request) -> web.Response:
        self._check(request)
        self.links_asked.append(await request.json(loads=orjson.loads))
        if self.status != 200:
            said = {"errors": [{"code": 1002, "message": "There is no such session."}]}
            return server.json_response(said, status=self.status)
        return server.json_response({"id": "T", "devtoolsFrontendUrl": "http://router/live/x", "options": {}})

    @staticmethod
    def _check(request: web.Request) -> None:
        assert request.headers["Authorization"] == f"Bearer {AGENT_TOKEN}"


@contextlib.asynccontextmanager
async def router() -> AsyncIterator[Router]:
    """A router's endpoints for agents, served."""
    made = Router()
    app = web.Application()
    app.router.add_post(agentapi.ROUTER_HELLO, made._hello)
    app.router.add_post(agentapi.ROUTER_HEARTBEAT, made._heartbeat)
    app.router.add_post(agentapi.ROUTER_LIVE_VIEW, made._live_view)
    async with server.serve(app, host="127.0.0.1", port=0, grace=0.1) as address:
        made.url = f"http://{address}"
        yield made


@contextlib.asynccontextmanager
async def site() -> AsyncIterator[str]:
    """The address of a page on loopback."""

    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<title>a site</title>", content_type="text/html")

    app = web.Application()
    app.router.add_get("/", page)
    async with server.serve(app, host="127.0.0.1", port=0, grace=0.1) as address:
        yield f"http://{address}/"


def token(
    fence: int,
    *,
    kind: str = "action",
    session: str | None = None,
    browser: BrowserId = BROWSER,
    key: str = CLAIM_KEY,
    expires: datetime.datetime = DATABASE_NOW + datetime.timedelta(minutes=5),
    terms: session_terms.Terms = session_terms.NONE,
) -> str:
    """A claim token, as a router signs it."""
    made = credentials.ClaimToken(
        browser_id=browser,
        session_id=SessionId(session or f"session-{fence}"),
        fence=Fence(fence),
        kind=kind,
        expires=expires.timestamp(),
        terms=terms,
    )
    return credentials.sign(made, key=key)


def bearer(text: str) -> dict[str, str]:
    """The header of a token."""
    return {"Authorization": f"Bearer {text}"}


@dataclasses.dataclass(kw_only=True)
class Agent:
    """A running agent. ``address`` is ``host:port``; ``base`` holds its browsers' homes; ``http`` calls it."""

    process: subprocess.Popen[bytes]
    router: Router
    address: str
    base: pathlib.Path
    log: pathlib.Path
    http: aiohttp.ClientSession

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    @property
    def group(self) -> int:
        """The id of the one Chromium's browser process, which is its group's too; 0 if there is none."""
        return next(iter(chromiums(self.base)), 0)

    def memory(self, field: str) -> int:
        """Bytes of a field of the agent's ``/proc/<pid>/status``."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split(f"{field}:")[1].split()[0]) * 1024

    async def post(self, path: str, token: str, body: object = None) -> tuple[int, Any]:
        """Status and JSON of a POST."""
        data = None if body is None else orjson.dumps(body)
        async with self.http.post(self.url + path, data=data, headers=bearer(token)) as answer:
            return answer.status, orjson.loads(await answer.read())

    async def end(self, token: str) -> tuple[int, Any]:
        """END a session."""
        return await self.post(agentapi.END, token)

    def cdp(self, token: str, path: str = agentapi.CDP, **headers: str) -> Any:
        """Connect to CDP: an async context manager of the WebSocket."""
        return self.http.ws_connect(self.url + path, headers=bearer(token) | headers, max_msg_size=0)

    async def healthy(self, *, beyond: int = 0, deadline: float = 20.0) -> None:
        """Wait until it says that it is healthy in a heartbeat later than the first ``beyond``."""
        await waiting.until(lambda: any(beat["healthy"] for beat in self.router.heartbeats[beyond:]), deadline=deadline)

    def stop(self, number: signal.Signals = signal.SIGTERM, *, deadline: float = 20.0) -> int:
        """Signal the agent and wait for its end; its exit code."""
        self.process.send_signal(number)
        return self.process.wait(deadline)


def environment(router: Router, *, base: pathlib.Path, **more: object) -> dict[str, str]:
    """The environment of an agent."""
    settings = {
        "browser_id": BROWSER,
        "claim_key": CLAIM_KEY,
        "agent_token": AGENT_TOKEN,
        "router_url": router.url,
        "data_dir": base,
        "heartbeat_interval": 0.5,
        "grace": 1.0,
        **more,
    }
    passed = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "PYTHONPATH")}
    return passed | {f"BROWSERPOOL_{name.upper()}": _text(value) for name, value in settings.items()}


def _text(value: object) -> str:
    return json.dumps(value) if isinstance(value, list | tuple) else str(value)


def spawn(environment: dict[str, str], log: pathlib.Path) -> subprocess.Popen[bytes]:
    """Start an agent that writes its log to ``log``."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "browserpool.agent"], env=environment, stdin=subprocess.DEVNULL, stderr=file
        )


@contextlib.asynccontextmanager
async def agent(router: Router, base: pathlib.Path, **settings: object) -> AsyncIterator[Agent]:
    """An agent that has said hello and is healthy; killed at the end if it still runs, and nothing is left of it."""
    hellos, beats = len(router.hellos), len(router.heartbeats)
    log = base / "agent.log"
    process = spawn(environment(router, base=base, **settings), log)
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as http:
            await waiting.until(lambda: len(router.hellos) > hellos or process.poll() is not None, deadline=30)
            assert process.poll() is None, log.read_text()
            made = Agent(
                process=process,
                router=router,
                address=router.hellos[-1]["address"],
                base=base,
                log=log,
                http=http,
            )
            await made.healthy(beyond=beats)
            yield made
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                await asyncio.to_thread(process.wait, 10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def chromiums(base: pathlib.Path) -> set[int]:
    """The browser processes whose profile lies under ``base``; not their children, not the dead."""
    found = set()
    for entry in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            arguments = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
            mine = any(argument.startswith(f"--user-data-dir={base}/".encode()) for argument in arguments)
            if mine and not any(argument.startswith(b"--type=") for argument in arguments):
                found.add(int(entry.name))
    return found


def group_members(group: int) -> set[int]:
    """The living processes of a group."""
    members = set()
    for entry in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split() if entry.name.isdigit() else None
            if fields and int(fields[2]) == group and fields[0] not in "ZX":
                members.add(int(entry.name))
    return members


def homes(base: pathlib.Path) -> set[str]:
    """The homes under ``base``."""
    return {path.name for path in base.glob("browserpool-chromium-*")}
