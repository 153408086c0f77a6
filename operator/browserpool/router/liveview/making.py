"""A link for whoever may use the session: the caller of the API, or an agent whose client asks over CDP."""

import urllib.parse
from typing import Any

import orjson
from aiohttp import web

from browserpool.lib import web as lib_web
from browserpool.model import errors, live_view
from browserpool.model.names import BrowserId, SessionId
from browserpool.router import addresses, binding, door, holding, lookup, services

Page = dict[str, Any]


async def create(call: services.Call) -> web.StreamResponse:
    """POST …/devtools/browser/{session}/live_view: a link to look at the session, or to drive it, in one's own browser."""
    held = await lookup.mine(call)
    wish = live_view.wish(binding.json_object(await call.request.read()))
    held.touch()
    return lib_web.json_response(await made(call.services, held, wish, origin=call.origin))


async def ask(call: services.Call) -> web.StreamResponse:
    """POST /internal/v1/live-view: the same, for an agent whose client asks over CDP."""
    said = binding.json_object(await call.request.read())
    browser_id, session_id = BrowserId(str(said.get("browser_id"))), SessionId(str(said.get("session_id")))
    door.enter_agent(browser_id, signing_key=call.services.settings.signing_key, headers=call.request.headers)
    held = await running(call.services, session_id)
    if held.party.browser_id != browser_id:
        raise lookup.unknown(session_id)
    wished = said.get("wish")
    wish = live_view.wish(wished if isinstance(wished, dict) else {})
    origin = addresses.origin(
        scheme=call.request.scheme,
        host=call.request.host,
        said=str(said.get("base")),
        public_url=call.services.settings.public_url,
    )
    return lib_web.json_response(await made(call.services, held, wish, origin=origin))


async def running(parts: services.Services, session_id: SessionId) -> holding.Held:
    """The session of that id, whosever it is: a link is its bearer's right.

    Raises:
        errors.NotFound: there is no such session.
        errors.SessionOver: it has ended, and with it every link to it.
    """
    return await lookup.found(parts, session_id, may_use=lambda _pool, _owner: True, then="its links went with it")


async def made(parts: services.Services, held: holding.Held, wish: live_view.Wish, *, origin: str) -> dict[str, Any]:
    """The link and what it opens, as the wire has it.

    Raises:
        errors.NotFound: the session has no such page, or none at all.
    """
    target_id = chosen(await pages(parts, held), wish.target_id)
    text = signed(parts, held, wish, target_id)
    options: dict[str, Any] = {"mode": wish.mode}
    if wish.read_only:
        options["guardrails"] = {"mode": live_view.READ_ONLY}
    return {
        "id": target_id,
        "devtoolsFrontendUrl": frontend(origin, text, wish, target_id),
        "webSocketDebuggerUrl": addresses.websocket(origin) + connection(text, wish.mode, target_id),
        "options": options,
    }


async def pages(parts: services.Services, held: holding.Held) -> list[Page]:
    """Chrome's entries for the session's pages, the one that was opened first ahead.

    Raises:
        errors.BrowserLost: it cannot be asked.
    """
    status, body = await parts.agents.chrome_json(held.party, "list")
    if status != 200:
        raise errors.BrowserLost(f"The browser answered {status}.", retry_after=1)
    # Chrome lists the newest first.
    return [entry for entry in reversed(orjson.loads(body)) if entry.get("type") == "page"]


def chosen(entries: list[Page], target_id: str | None) -> str:
    """The page that is meant; pure."""
    found = [str(entry["id"]) for entry in entries if target_id in (None, entry["id"])]
    if not found:
        raise errors.NotFound(
            "The session has no page to look at; open one."
            if target_id is None
            else f"The session has no page {target_id}; json/list names those that it has."
        )
    return found[0]


def signed(parts: services.Services, held: holding.Held, wish: live_view.Wish, target_id: str) -> str:
    """The signed text of a link.

    Raises:
        errors.Unavailable: the database's time, by which links expire, is not known yet.
    """
    link = live_view.Link(
        session_id=held.session_id,
        target_id=target_id,
        mode=wish.mode,
        read_only=wish.read_only,
        expires=now(parts) + wish.milliseconds / 1000,
    )
    return live_view.sign(link, signing_key=parts.settings.signing_key)


def now(parts: services.Services) -> float:
    """The database's time."""
    known = parts.database_clock.now()
    if known is None:
        raise errors.Unavailable("The database's time is not known yet; ask again.", retry_after=1)
    return known


def connection(text: str, mode: live_view.Mode, target_id: str) -> str:
    """The path of the CDP connection that a link opens; pure."""
    return f"/live/{text}/browser" if mode is live_view.Mode.FULL else f"/live/{text}/page/{target_id}"


def frontend(origin: str, text: str, wish: live_view.Wish, target_id: str) -> str:
    """What a person opens; pure. DevTools send what a read-only link does not let through, so those open the viewer's page."""
    if wish.mode is not live_view.Mode.DEVTOOLS or wish.read_only:
        return f"{origin}/live/{text}"
    scheme, _, where = (addresses.websocket(origin) + connection(text, wish.mode, target_id)).partition("://")
    return f"{origin}/live/{text}/devtools/inspector.html?{scheme}={urllib.parse.quote(where, safe='/:')}"


def linked(call: services.Call, held: holding.Held, value: Any, *, milliseconds: int = live_view.DEFAULT_MS) -> Any:
    """Chrome's list of targets, or one entry of it, with a link to each page where Chrome has the address of its own frontend."""
    if isinstance(value, list):
        return [linked(call, held, one, milliseconds=milliseconds) for one in value]
    if not isinstance(value, dict) or value.get("type") != "page":
        return value
    wish, target_id = live_view.Wish(milliseconds=milliseconds), str(value["id"])
    text = signed(call.services, held, wish, target_id)
    return {**value, "devtoolsFrontendUrl": frontend(call.origin, text, wish, target_id)}
