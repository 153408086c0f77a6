"""A web server on loopback with a page for every trouble that a page can make. It remembers each request.

``async with site.running() as web: web.url("/small")``. Nothing here waits on a clock but ``/slow``, whose delay the caller names.
"""

import asyncio
import base64
import contextlib
import dataclasses
import io
import pathlib
import ssl
from collections.abc import AsyncIterator, Callable, Mapping

from aiohttp import web
from PIL import Image

PICTURES = 20
_FILLER = "".join(f"<p>Paragraph {number}: the quick brown fox jumps over the lazy dog.</p>" for number in range(140))
SMALL = f"<!doctype html><html><head><title>Small</title></head><body><h1>Small</h1>{_FILLER}</body></html>"
_CERTIFICATE = pathlib.Path(__file__).with_name("self_signed.pem")


def picture(colour: str = "red", *, width: int = 100, height: int = 100) -> bytes:
    """A PNG of one colour."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(file, "PNG")
    return file.getvalue()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One request that arrived."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Site:
    """A running server. ``held`` requests are those that ``/never`` has kept waiting, ``dropped`` those whose client has gone since."""

    def __init__(self) -> None:
        self.host = "127.0.0.1"
        self.port = 0
        self.tls_port = 0
        self.seen: list[Seen] = []
        self.pages: dict[str, str] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.held = 0
        self.dropped = 0
        self.released = asyncio.Event()

    def url(self, path: str = "/small", *, host: str | None = None, scheme: str = "http") -> str:
        return f"{scheme}://{host or self.host}:{self.tls_port if scheme == 'https' else self.port}{path}"

    def page(self, path: str, html: str) -> str:
        """Serve ``html`` at ``path``; returns its address."""
        self.pages[path] = html
        return self.url(path)

    def hold(self, path: str, gate: asyncio.Event) -> Callable[[], int]:
        """Serve a page at ``path`` once ``gate`` is set; what is returned says how many requests have come for it."""
        self.page(path, "<title>Held</title><p>At last")
        self.gates[path] = gate
        return lambda: len(self.requests(path))

    def requests(self, path: str) -> list[Seen]:
        """What arrived for ``path``, in order."""
        return [seen for seen in self.seen if seen.path.split("?")[0] == path]

    # ------------------------------------------------ pages

    async def dynamic(self, request: web.Request) -> web.StreamResponse:
        if (gate := self.gates.get(request.path)) is not None:
            await gate.wait()
        if request.path in self.pages:
            return _html(self.pages[request.path])
        return _html(f"<title>Missing</title><p>No page {request.path}", status=404)

    async def small(self, _: web.Request) -> web.Response:
        return _html(SMALL)

    async def heavy(self, request: web.Request) -> web.Response:
        images = "".join(f'<img src="/picture/{number}" width=200 height=200>' for number in range(PICTURES))
        return _html(f"<title>Heavy</title>{images}{_FILLER * 3}")

    async def picture(self, request: web.Request) -> web.Response:
        colour = request.query.get("colour", "green")
        width = int(request.query.get("width", 100))
        return web.Response(body=picture(colour, width=width), content_type="image/png")

    async def slow(self, request: web.Request) -> web.Response:
        await asyncio.sleep(float(request.query.get("seconds", "1")))
        return _html("<title>Slow</title><p>At last")

    async def never(self, _: web.Request) -> web.Response:
        self.held += 1
        try:
            await self.released.wait()
        except asyncio.CancelledError:
            self.dropped += 1
            raise
        return web.Response(text="released")

    async def loop(self, request: web.Request) -> web.Response:
        raise web.HTTPFound("/loop")

    async def redirect(self, request: web.Request) -> web.Response:
        raise web.HTTPFound(request.query["to"])

    async def set_cookie(self, request: web.Request) -> web.Response:
        answer = _html("<title>Cookie</title>set")
        answer.set_cookie("visitor", request.query.get("value", "yes"))
        return answer

    async def echo(self, request: web.Request) -> web.Response:
        """What the server saw, as text: headers one a line."""
        lines = "\n".join(f"{name.lower()}: {value}" for name, value in request.headers.items())
        return _html(f"<title>Echo</title><pre>{lines}</pre>")

    async def secret(self, request: web.Request) -> web.Response:
        expected = "Basic " + base64.b64encode(b"user:pass").decode()
        if request.headers.get("Authorization") == expected:
            return _html("<title>Secret</title>let in")
        return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="test"'}, text="who are you?")

    async def empty_404(self, _: web.Request) -> web.Response:
        return web.Response(status=404)

    async def status(self, request: web.Request) -> web.Response:
        code = int(request.match_info["code"])
        return _html(f"<title>Status {code}</title>{code}", status=code)

    async def nothing(self, _: web.Request) -> web.Response:
        return web.Response(status=204)

    async def download(self, _: web.Request) -> web.Response:
        return web.Response(
            body=b"x" * 1000,
            content_type="application/octet-stream",
            headers={"Content-Disposition": "attachment; filename=a.bin"},
        )

    async def cached(self, request: web.Request) -> web.Response:
        return web.Response(text="cached", headers={"Cache-Control": "public, max-age=3600"})

    async def reset(self, request: web.Request) -> web.Response:
        """Close the connection without an answer."""
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def script(self, request: web.Request) -> web.Response:
        return web.Response(
            text="window.loadedFromUrl = true; document.title = 'scripted'", content_type="text/javascript"
        )

    async def style(self, _: web.Request) -> web.Response:
        return web.Response(text="body { background: rgb(0, 0, 255) }", content_type="text/css")

    async def worker(self, _: web.Request) -> web.Response:
        return web.Response(text="self.addEventListener('fetch', () => {})", content_type="text/javascript")

    async def websocket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(f"echo {message.data}")
        return socket

    @web.middleware
    async def remember(self, request: web.Request, handler) -> web.StreamResponse:
        self.seen.append(
            Seen(method=request.method, path=request.path_qs, headers=request.headers, body=await request.read())
        )
        return await handler(request)


def _html(text: str, *, status: int = 200) -> web.Response:
    return web.Response(text=text, status=status, content_type="text/html")


def _app(site: Site) -> web.Application:
    app = web.Application(middlewares=[site.remember])
    routes = {
        "/small": site.small,
        "/heavy": site.heavy,
        "/picture/{name}": site.picture,
        "/slow": site.slow,
        "/never": site.never,
        "/loop": site.loop,
        "/redirect": site.redirect,
        "/set-cookie": site.set_cookie,
        "/echo": site.echo,
        "/secret": site.secret,
        "/empty-404": site.empty_404,
        "/status/{code}": site.status,
        "/nothing": site.nothing,
        "/download": site.download,
        "/cached": site.cached,
        "/reset": site.reset,
        "/script.js": site.script,
        "/style.css": site.style,
        "/worker.js": site.worker,
        "/socket": site.websocket,
    }
    app.router.add_routes([web.get(path, handler) for path, handler in routes.items()])
    app.router.add_route("*", "/{rest:.*}", site.dynamic)
    return app


@contextlib.asynccontextmanager
async def running(*, host: str = "127.0.0.1") -> AsyncIterator[Site]:
    """Serve until the block ends; requests still held are let go first."""
    site = Site()
    site.host = host
    runner = web.AppRunner(_app(site), access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
    await runner.setup()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_CERTIFICATE)
    try:
        for arguments in ({}, {"ssl_context": context}):
            await web.TCPSite(runner, host, 0, **arguments).start()
        site.port, site.tls_port = (address[1] for address in runner.addresses)
        yield site
    finally:
        site.released.set()
        await runner.cleanup()
