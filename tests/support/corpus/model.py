"""A page as values: what its server sends, and what each action must make of it."""

import dataclasses
from collections.abc import Mapping
from typing import Any

WINDOW = {"width": 800, "height": 600}
ACTIONS = ("content", "screenshot", "pdf", "markdown", "links", "scrape", "accessibilityTree", "snapshot")

# ---------------------------------------------------------------- what a server does
# In any bytes that are sent, @origin@ is the server's own address, @other@ the same server as another site, @tls@ its address over TLS.


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer. ``gzipped``: its body is sent compressed; ``promised``: the Content-Length, if it lies; -1: none at all."""

    body: str | bytes = b""
    status: str = "200 OK"
    kind: str | None = "text/html; charset=utf-8"
    headers: tuple[str, ...] = ()
    version: str = "HTTP/1.1"
    gzipped: bool = False
    promised: int | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """Bytes as they are, ``times`` over."""

    data: bytes
    times: int = 1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Nothing more, until the client goes away."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Nothing, for a moment."""

    seconds: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Drip:
    """``data`` again and again, until the client goes away."""

    data: bytes
    every: float = 0.05


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reset:
    """The connection, reset (RST)."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class If:
    """``then`` if the request has this text in its head, ``otherwise`` if not."""

    has: bytes
    then: Answer
    otherwise: Answer


Step = Answer | Send | Hold | Pause | Drip | Reset | If


# ---------------------------------------------------------------- what is expected


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Shows:
    """The page is there.

    ``text`` is what Markdown, the tree and the element ``#it`` have; ``html`` what the document has; each ``None`` if nothing is said of
    it. ``links``: all of them. ``colours``: of the picture, at places. ``size``: of the picture. ``blank``: it may be of one colour.
    ``unseen``: what must stand nowhere.
    """

    text: str | None = "Here it is"
    html: str | None = None
    title: str | None = "T"
    status: int = 200
    links: tuple[str, ...] | None = ()
    tree: str | None = None
    colours: tuple[tuple[int, int, tuple[int, int, int]], ...] = ()
    size: tuple[int, int] = (800, 600)
    blank: bool = False
    unseen: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Fails:
    """An error of this code; ``says`` stands in its message."""

    code: int
    says: str = ""
    status: int = 422


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Either:
    """What cannot be known beforehand, as the page races against us: it is there, or it is an error of one of these codes."""

    codes: tuple[int, ...]
    shows: Shows
    statuses: tuple[int, ...] = (422,)


Expected = Shows | Fails | Either


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """``routes``: the steps of each path; the page itself is at ``path``. ``url`` is another address than the server's own.

    ``body``: the request's further fields; ``bodies``: those of one action. ``but``: what one action must make of it instead.
    """

    name: str
    routes: Mapping[str, tuple[Step, ...]] = dataclasses.field(default_factory=dict)
    expect: Expected = Shows()
    path: str = "/"
    url: str | None = None
    body: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    bodies: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    but: Mapping[str, Expected] = dataclasses.field(default_factory=dict)
    actions: tuple[str, ...] = ACTIONS

    def expected(self, action: str) -> Expected:
        return self.but.get(action, self.expect)

    def wanted(self, action: str) -> dict[str, Any]:
        """The request's body, without the address."""
        return {"viewport": WINDOW, **self.body, **_ALWAYS.get(action, {}), **self.bodies.get(action, {})}


_ALWAYS: Mapping[str, Mapping[str, Any]] = {
    "scrape": {"elements": [{"selector": "#it"}]},
    "snapshot": {"formats": ["content", "screenshot", "markdown", "accessibilityTree"]},
}

SOON = {"gotoOptions": {"timeout": 700}}
"""For pages that never come."""


def html(body: str = "", *, head: str = "", title: str = "T") -> str:
    """A document with a title, whose ``#it`` says that it is there."""
    return f"<!doctype html><html><head><title>{title}</title>{head}</head><body><p id=it>Here it is</p>{body}</body></html>"


def page(name: str, inside: str = "", /, *, head: str = "", expect: Expected = Shows(), **more: Any) -> Page:
    """A page of HTML at ``/``; ``routes`` in ``more`` come on top."""
    routes = {"/": (Answer(body=html(inside, head=head)),), **more.pop("routes", {})}
    return Page(name=name, routes=routes, expect=expect, **more)
