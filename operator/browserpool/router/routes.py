"""The URL table. What is not in it does not exist; ``documented`` is what the README's HTTP section must list."""

import dataclasses
import enum
from collections.abc import Iterator
from typing import Final

from browserpool.model import agentapi
from browserpool.router import (
    actions,
    addresses,
    cdp,
    chromejson,
    devtools,
    direct,
    downloads,
    intake,
    limits,
    recording,
    services,
    status,
    worker_binding,
)
from browserpool.router.browserless import actions as browserless
from browserpool.router.browserless import connecting, picture
from browserpool.router.crawl import doors
from browserpool.router.liveview import making, opening
from browserpool.router.mcpserver import doors as mcp
from browserpool.router.moving import comparing
from browserpool.router.openapi import serving


class Door(enum.StrEnum):
    """Who may come in."""

    PUBLIC = "public"
    TOKEN = "token"  # noqa: S105 - a kind of door
    AGENT = "agent"
    """The agent token of the browser that the message is about; its handler checks, because the body says which."""
    LINK = "link"
    """A signed link, which the address holds; its handler checks."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One line of the table. It is served under each of ``prefixes``. ``websocket``: a GET that upgrades."""

    method: str
    path: str
    handler: services.Handler
    door: Door = Door.TOKEN
    prefixes: tuple[str, ...] = ("",)
    websocket: bool = False
    plain_errors: bool = False
    """Errors go back as text, their message alone: its clients know no envelope."""

    @property
    def summary(self) -> str:
        """The first line of the handler's docstring, after the address that it begins with."""
        return (self.handler.__doc__ or "").strip().splitlines()[0].partition(": ")[2]

    @property
    def paths(self) -> tuple[str, ...]:
        """Whole path templates."""
        return tuple(prefix + self.path for prefix in self.prefixes)


_ANYWHERE: Final = (*addresses.CLOUDFLARE, "/v1", "")


def _devtools(method: str, path: str, handler: services.Handler, *, websocket: bool = False) -> Route:
    return Route(method=method, path=f"/devtools{path}", handler=handler, prefixes=_ANYWHERE, websocket=websocket)


_BROWSERLESS: Final = ("", "/chromium", "/chrome")


def _browserless(method: str, path: str, handler: services.Handler, *, prefixes: tuple[str, ...] = ("",)) -> Route:
    return Route(method=method, path=path, handler=handler, prefixes=prefixes, plain_errors=True)


ROUTES: Final = (
    # Before the quick actions: of two addresses with a parameter the first one that fits is taken.
    Route(method="POST", path="/crawl", handler=doors.create, prefixes=(*addresses.CLOUDFLARE, "/v1")),
    Route(method="GET", path="/crawl/{job}", handler=doors.read, prefixes=(*addresses.CLOUDFLARE, "/v1")),
    Route(method="DELETE", path="/crawl/{job}", handler=doors.cancel, prefixes=(*addresses.CLOUDFLARE, "/v1")),
    Route(method="POST", path="/{action}", handler=actions.act, prefixes=(*addresses.CLOUDFLARE, "/v1")),
    _devtools("POST", "/browser", devtools.create),
    _devtools("GET", "/browser", cdp.launch, websocket=True),
    _devtools("GET", "/browser/{session}", cdp.reconnect, websocket=True),
    _devtools("DELETE", "/browser/{session}", devtools.delete),
    _devtools("GET", "/browser/{session}/page/{target}", cdp.page, websocket=True),
    _devtools("GET", "/browser/{session}/json", devtools.json_any),
    _devtools("GET", "/browser/{session}/json/{what:version|protocol|list}", devtools.json_any),
    _devtools("GET", "/browser/{session}/json/list/{target}", devtools.json_target),
    _devtools("PUT", "/browser/{session}/json/new", devtools.json_new),
    _devtools("GET", "/browser/{session}/json/activate/{target}", devtools.json_activate),
    _devtools("GET", "/browser/{session}/json/close/{target}", devtools.json_close),
    _devtools("DELETE", "/browser/{session}/json/close/{target}", devtools.json_close),
    _devtools("GET", "/browser/{session}/downloads", downloads.listing),
    _devtools("GET", "/browser/{session}/downloads/{file}", downloads.fetch),
    _devtools("POST", "/browser/{session}/live_view", making.create),
    Route(method="GET", path="/recording/{session}", handler=recording.get, prefixes=(*addresses.CLOUDFLARE, "/v1")),
    _devtools("GET", "/session", devtools.listing),
    _devtools("GET", "/session/{session}", devtools.one),
    Route(method="GET", path="/v1/acquire", handler=worker_binding.acquire),
    Route(method="GET", path="/v1/connectDevtools", handler=worker_binding.connect, websocket=True),
    Route(method="GET", path="/v1/sessions", handler=worker_binding.listing),
    Route(method="GET", path="/v1/history", handler=worker_binding.history),
    Route(method="GET", path="/json/version", handler=chromejson.version, door=Door.PUBLIC),
    # playwright's connectOverCDP asks with the slash.
    Route(method="GET", path="/json/version/", handler=chromejson.version, door=Door.PUBLIC),
    Route(method="GET", path="/json", handler=chromejson.pages),
    Route(method="GET", path="/json/list", handler=chromejson.pages),
    Route(method="PUT", path="/json/new", handler=chromejson.new),
    Route(method="GET", path="/json/activate/{target}", handler=chromejson.activate),
    Route(method="GET", path="/json/close/{target}", handler=chromejson.close),
    Route(method="GET", path="/devtools/page/{target}", handler=cdp.any_page, websocket=True),
    Route(method="GET", path="/live/{link}", handler=opening.page, door=Door.LINK),
    Route(method="GET", path="/live/{link}/browser", handler=opening.connect_whole, door=Door.LINK, websocket=True),
    Route(method="GET", path="/live/{link}/page/{target}", handler=opening.connect, door=Door.LINK, websocket=True),
    Route(method="GET", path="/live/{link}/devtools/{file:.*}", handler=opening.devtools, door=Door.LINK),
    _browserless("POST", "/screenshot", browserless.screenshot, prefixes=_BROWSERLESS),
    _browserless("POST", "/pdf", browserless.pdf, prefixes=_BROWSERLESS),
    _browserless("POST", "/content", browserless.content, prefixes=_BROWSERLESS),
    _browserless("POST", "/scrape", browserless.scrape, prefixes=_BROWSERLESS),
    _browserless("POST", "/function", browserless.not_offered, prefixes=_BROWSERLESS),
    _browserless("GET", "/pressure", picture.pressure),
    _browserless("GET", "/sessions", picture.listing),
    Route(method="GET", path="", handler=connecting.connect, prefixes=("/", "/chromium", "/chrome"), websocket=True),
    Route(method="POST", path=agentapi.RENEW, handler=direct.renew),
    Route(method="POST", path="/mcp", handler=mcp.serve),
    Route(method="GET", path="/limits", handler=limits.report, prefixes=(*addresses.CLOUDFLARE, "/v1")),
    Route(method="GET", path="/v1/status", handler=status.status),
    Route(method="GET", path="/v1/outcomes", handler=comparing.report),
    Route(method="GET", path="/openapi.json", handler=serving.openapi, door=Door.PUBLIC),
    Route(method="GET", path="/docs", handler=serving.docs, door=Door.PUBLIC),
    Route(method="GET", path="/healthz", handler=status.healthz, door=Door.PUBLIC),
    Route(method="GET", path="/readyz", handler=status.readyz, door=Door.PUBLIC),
    Route(method="GET", path="/metrics", handler=status.exposition),
    Route(method="POST", path=agentapi.ROUTER_HELLO, handler=intake.hello, door=Door.AGENT),
    Route(method="POST", path=agentapi.ROUTER_HEARTBEAT, handler=intake.heartbeat, door=Door.AGENT),
    Route(method="POST", path=agentapi.ROUTER_LIVE_VIEW, handler=making.ask, door=Door.AGENT),
    Route(method="POST", path=agentapi.ROUTER_RECORDING, handler=recording.part, door=Door.AGENT),
)

OPS_ROUTES: Final = (
    Route(method="GET", path="/healthz", handler=status.healthz, door=Door.PUBLIC),
    Route(method="GET", path="/readyz", handler=status.readyz, door=Door.PUBLIC),
    Route(method="GET", path="/metrics", handler=status.exposition, door=Door.PUBLIC),
)
"""The port of its own that probes and Prometheus use."""


def documented() -> Iterator[tuple[str, str, str, str]]:
    """Method (``WS`` for WebSockets), shortest path, door, summary: one tuple a line of the table."""
    for route in ROUTES:
        yield ("WS" if route.websocket else route.method), min(route.paths, key=len), str(route.door), route.summary
