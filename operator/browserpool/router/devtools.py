"""Sessions over plain HTTP, under /devtools. What succeeds is bare JSON here: an envelope breaks the SDKs."""

import asyncio
import datetime
import json
import urllib.parse
from typing import Any, Final

import orjson
from aiohttp import web

from browserpool.lib import web as lib_web
from browserpool.model import agentapi, claims, errors, live_view, names, outcomes, terms
from browserpool.model import sessions as model
from browserpool.model.names import SessionId
from browserpool.router import actions, addresses, binding, cdp, direct, holding, lookup, services, waiting
from browserpool.router.liveview import making
from browserpool.router.spilling import listing as elsewhere
from browserpool.router.spilling import serving as spilling
from browserpool.router.spilling import sessions as beyond
from browserpool.store import everywhere

END_WAIT: Final = 5.0
"""Seconds for which DELETE waits to be able to say ``closed`` instead of ``closing``."""
MOST_LISTED: Final = 1000


# ---------------------------------------------------------------- a session's life


async def create(call: services.Call) -> web.StreamResponse:
    """POST …/devtools/browser: claim a browser; the client connects later, within ``keep_alive``.

    ``direct=true``: the answer holds the pod's own address too.
    """
    wanted = await call.wanted(claims.SessionKind.CDP, terms=await cdp.terms_of(call))
    # All that may be refused is looked at before a browser is claimed.
    targets, straight = binding.is_yes(call.request.query, "targets"), direct.is_asked_for(call)

    expires = live_view.milliseconds(call.request.query.get("liveViewUrlExpiresInMs"), "liveViewUrlExpiresInMs")

    async def look(held: holding.Held) -> Any:
        return await chrome(call, held, "list", link=expires) if targets else None

    async def here(patience: waiting.Patience | None) -> tuple[holding.Held, Any] | beyond.Created:
        return await call.services.claiming.engage(wanted, look, patience=patience)

    async with cdp.counted(call) as count:
        with call.services.outcomes.timed(wanted.pool, outcomes.CDP):
            made = await spilling.served(
                call, wanted, patience=None, here=here, there=lambda router: beyond.created(call, wanted, router)
            )
        if isinstance(made, beyond.Created):
            own = {"webSocketDebuggerUrl": addresses.browser(base(call), made.session_id, suffix_=suffix(call))}
            return lib_web.json_response({**made.answer, **own}, headers=made.headers)
        held, found = made
        count(held)
    answer: dict[str, Any] = {
        "sessionId": held.session_id,
        "webSocketDebuggerUrl": addresses.browser(base(call), held.session_id, suffix_=suffix(call)),
    }
    answer |= {"targets": found} if targets else {}
    answer |= direct.fields(call, held) if straight else {}
    return lib_web.json_response(answer, headers=actions.browser_headers(wanted, held))


async def delete(call: services.Call) -> web.StreamResponse:
    """DELETE …/devtools/browser/{session}: end it now. One that is over already is ``closed``."""
    try:
        held = await lookup.mine(call)
    except errors.SessionOver:
        return lib_web.json_response({"status": "closed"})
    release = call.services.claiming.end(held)
    done, _ = await asyncio.wait({release}, timeout=END_WAIT)
    return lib_web.json_response({"status": "closed" if done else "closing"})


# ---------------------------------------------------------------- Chrome's own /json of one session


async def json_any(call: services.Call) -> web.StreamResponse:
    """GET …/{session}/json[/{what}]: version, protocol, list, as Chrome answers them."""
    held = await lookup.mine(call)
    return lib_web.json_response(await chrome(call, held, call.request.match_info.get("what", "list")))


async def json_target(call: services.Call) -> web.StreamResponse:
    """GET …/{session}/json/list/{target}: one entry of the list."""
    held = await lookup.mine(call)
    target = call.request.match_info["target"]
    for entry in await chrome(call, held, "list"):
        if entry.get("id") == target:
            return lib_web.json_response(entry)
    raise errors.NotFound(f"Session {held.session_id} has no target {target[:64]!r}.")


async def json_new(call: services.Call) -> web.StreamResponse:
    """PUT …/{session}/json/new?url=: a new page. Chrome's own form, ``?https://…``, works too."""
    return lib_web.json_response(await opened(call, await lookup.mine(call)))


async def opened(call: services.Call, held: holding.Held) -> Any:
    """A new page of the session, at the address that the request names: Chrome's entry for it."""
    query = call.request.query
    url = query.get("url") or next((name for name, value in query.items() if not value and ":" in name), "about:blank")
    _check_guardrails(held, url)
    return await chrome(call, held, "new", method="PUT", query=urllib.parse.quote(url, safe=""))


def _check_guardrails(held: holding.Held, url: str) -> None:
    """Say so at once if the page could not load; whatever a page does later, the agent sees to."""
    hosts = held.party.terms.allowed_hosts
    try:
        asked = urllib.parse.urlsplit(url)
        host = asked.hostname if asked.scheme in ("http", "https") else None
    except ValueError:
        return
    if hosts is not None and host is not None and not terms.is_allowed(host, hosts):
        raise errors.Forbidden(f"The session's guardrails do not let pages reach {host[:100]}.")


async def json_activate(call: services.Call) -> web.StreamResponse:
    """GET …/{session}/json/activate/{target}: bring it to the front."""
    return await _told(call, "activate")


async def json_close(call: services.Call) -> web.StreamResponse:
    """GET or DELETE …/{session}/json/close/{target}: close it."""
    return await _told(call, "close")


async def _told(call: services.Call, what: str) -> web.StreamResponse:
    held = await lookup.mine(call)
    target = call.request.match_info["target"]
    if not names.is_target_id(target):
        raise errors.NotFound(f"Session {held.session_id} has no target {target[:64]!r}.")
    return lib_web.json_response({"message": await chrome(call, held, f"{what}/{target}")})


async def chrome(
    call: services.Call,
    held: holding.Held,
    rest: str,
    *,
    method: str = "GET",
    query: str = "",
    link: int = live_view.DEFAULT_MS,
) -> Any:
    """Chrome's answer, its addresses made ours; text where it answers with text. ``link``: milliseconds for which links to pages hold.

    Raises:
        errors.NotFound: Chrome knows no such address or target.
        errors.BrowserLost: it cannot be asked.
    """
    status, body = await call.services.agents.chrome_json(held.party, rest, method=method, query=query)
    if status == 404:
        raise errors.NotFound(body.decode(errors="replace")[:200] or "Chrome knows nothing of that.")
    if status != 200:
        raise errors.BrowserLost(f"The browser answered {status}.", retry_after=1)
    held.touch()
    try:
        value = orjson.loads(body)
    except ValueError:
        # Chrome's protocol description nests deeper than orjson goes; plain words (activate, close) are no JSON at all.
        try:
            value = json.loads(body)
        except ValueError:
            return body.decode(errors="replace")
    if rest == "protocol":
        return value
    rewritten = addresses.rewritten(value, base_=base(call), session_id=held.session_id, suffix_=suffix(call))
    return making.linked(call, held, rewritten, milliseconds=link)


# ---------------------------------------------------------------- lists of sessions


async def listing(call: services.Call) -> web.StreamResponse:
    """GET …/devtools/session?limit&offset: the caller's live sessions, newest first."""
    query = call.request.query
    limit = binding.whole(query, "limit", least=0, most=MOST_LISTED, absent=100)
    offset = binding.whole(query, "offset", least=0, most=10**9, absent=0)
    return lib_web.json_response(await live(call, limit=limit, offset=offset))


async def live(call: services.Call, *, limit: int, offset: int = 0) -> list[dict[str, Any]]:
    """What the caller reads of his live sessions, here and in other clusters, newest first."""
    there = await elsewhere.live(call)
    # Which of those elsewhere are on a page is known only beside all that are newer.
    found = await everywhere.listing(
        call.services.databases,
        token=call.owner,
        limit=limit + offset if there else limit,
        offset=0 if there else offset,
    )
    shown = [live_shown(call, one) for one in found]
    if not there:
        return shown
    shown += [_shown_beyond(call, one) for one in there]
    shown.sort(key=lambda one: one["startTime"], reverse=True)
    return shown[offset : offset + limit]


async def one(call: services.Call) -> web.StreamResponse:
    """GET …/devtools/session/{session}: a live session, or what is remembered of a past one."""
    session_id = SessionId(call.request.match_info["session"])
    if names.is_session_id(session_id):
        parts = call.services
        found = await everywhere.session(parts.databases, session_id, background=parts.background)
        if found is not None and call.may_use(found.pool, found.token):
            shown = past_shown(found) if isinstance(found, model.Past) else live_shown(call, found)
            return lib_web.json_response(shown)
    raise lookup.unknown(session_id)


def live_shown(call: services.Call, session: model.Session) -> dict[str, Any]:
    """What a client reads of a live session."""
    shown: dict[str, Any] = {
        "sessionId": session.session_id,
        "startTime": milliseconds(session.started_at),
        "pool": session.pool,
        "region": session.region,
        "kind": session.kind,
        "expiresAt": milliseconds(session.expires_at),
    }
    # Present means: somebody is connected now.
    if session.connection is not None and session.connection.ended_at is None:
        shown |= _connection(session.connection)
    if session.kind is claims.SessionKind.CDP:
        shown["webSocketDebuggerUrl"] = addresses.browser(base(call), session.session_id, suffix_=suffix(call))
    return shown


def _shown_beyond(call: services.Call, session: elsewhere.Shown) -> dict[str, Any]:
    """The same of one that another cluster has: as that says, but for what is this one's to say."""
    own = {
        "pool": session.pool,
        "kind": claims.SessionKind.CDP,
        "webSocketDebuggerUrl": addresses.browser(base(call), session.session_id, suffix_=suffix(call)),
    }
    return {**session.said, **own}


def past_shown(session: model.Past) -> dict[str, Any]:
    """What a client reads of one that is over."""
    return {
        "sessionId": session.session_id,
        "startTime": milliseconds(session.started_at),
        "endTime": milliseconds(session.ended_at),
        "closeReason": int(session.reason),
        "closeReasonText": claims.CLOSE_REASON_TEXTS[session.reason],
        "pool": session.pool,
        "region": session.region,
        "kind": session.kind,
        **({} if session.connection is None else _connection(session.connection)),
    }


def _connection(connection: model.Connection) -> dict[str, Any]:
    """The CDP connection that was opened last."""
    shown: dict[str, Any] = {
        "connectionId": connection.connection_id,
        "connectionStartTime": milliseconds(connection.started_at),
    }
    if connection.ended_at is not None:
        shown["connectionEndTime"] = milliseconds(connection.ended_at)
    return shown


def milliseconds(moment: datetime.datetime) -> int:
    """Since 1970, as JavaScript counts."""
    return round(moment.timestamp() * 1000)


def base(call: services.Call) -> str:
    request = call.request
    return addresses.base(
        scheme=request.scheme,
        host=request.host,
        path=request.rel_url.raw_path,
        public_url=addresses.said_base(request.headers.get(agentapi.BASE)) or call.services.settings.public_url,
    )


def suffix(call: services.Call) -> str:
    return addresses.suffix(call.request.query.get("token"))
