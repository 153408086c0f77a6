"""A site to be crawled: every answer is the test's to choose, byte by byte; each request is noted with its time.

``async with crawled.running() as site: site.html("/", "<a href=/b>")``.
"""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable, Mapping

from aiohttp import web

from browserpool.lib import clock

FAST = "User-agent: *\nCrawl-delay: 0.01\n"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One request that arrived."""

    path: str
    headers: Mapping[str, str]
    at: float


class Site:
    """A running server. ``gates``: paths whose answer waits."""

    def __init__(self) -> None:
        self.port = 0
        self.answers: dict[str, tuple[int, Mapping[str, str], bytes]] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.seen: list[Seen] = []
        self.on_request: Callable[[str], None] = lambda _: None
        self.answer("/robots.txt", FAST, kind="text/plain")

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def answer(
        self, path: str, body: str | bytes, *, status: int = 200, kind: str = "text/html", **headers: str
    ) -> str:
        content = body.encode() if isinstance(body, str) else body
        said = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers[path] = (status, {"Content-Type": kind, **said}, content)
        return self.url(path)

    def html(self, path: str, *links: str, title: str | None = None, **headers: str) -> str:
        """A page that links to others."""
        anchors = "".join(f'<p><a href="{link}">to {link}</a></p>' for link in links)
        head = f"<title>{title or path}</title>"
        return self.answer(path, f"<!doctype html><html><head>{head}</head><body>{anchors}</body></html>", **headers)

    def times(self, path: str) -> list[float]:
        return [one.at for one in self.seen if one.path == path]

    @property
    def paths(self) -> list[str]:
        """What was asked for, in order, but for what browsers ask for themselves."""
        return [one.path for one in self.seen if one.path != "/favicon.ico"]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        path = request.path_qs
        self.seen.append(Seen(path=path, headers=request.headers, at=clock.monotonic()))
        self.on_request(path)
        if (gate := self.gates.get(path)) is not None:
            await gate.wait()
        if path not in self.answers:
            return web.Response(status=404, text="nothing here", content_type="text/html")
        status, headers, body = self.answers[path]
        return web.Response(status=status, headers=headers, body=body)


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[Site]:
    """Serve until the block ends."""
    site = Site()
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", site.handle)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        site.port = runner.addresses[0][1]
        yield site
    finally:
        for gate in site.gates.values():
            gate.set()
        await runner.cleanup()
