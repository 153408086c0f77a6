"""A quick action at an upstream: the same body in its words, its answer in ours."""

import dataclasses
import logging
from collections.abc import Mapping
from typing import Final

import aiohttp
from aiohttp import web

from browserpool.model import agentapi, elsewhere, errors
from browserpool.model.wire import envelope, shared
from browserpool.router import relay, remote, services, target
from browserpool.router.moving import addresses, browserless, serving

log = logging.getLogger(__name__)

_PASSED_ON: Final = (
    "Content-Type",
    "Content-Length",
    "Content-Disposition",
    "Retry-After",
    agentapi.BROWSER_MS_USED,
    envelope.NO_RETRY,
)
_NOT_OURS: Final = frozenset({"x-browserpool-pool", "x-browserpool-arm", "x-browserpool-cache"})
_CLIENTS_OWN: Final = frozenset({400, 409, 413, 422})
"""Statuses of Cloudflare's API that speak of what was asked, and go to who asked."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """An action as an upstream is asked for it; ``deadline`` in seconds, the answer's last byte included.

    ``media``: what the answer is, where the upstream does not say.
    """

    action: str
    url: str
    body: bytes
    deadline: float
    media: str | None = None


def asked(
    upstream: elsewhere.Upstream,
    action: str,
    *,
    sent: bytes,
    parsed: shared.QuickAction,
    query: Mapping[str, str],
    deadline: float,
) -> Asked | None:
    """How ``upstream`` is asked; ``None``: it cannot do this."""
    match upstream.kind:
        case elsewhere.UpstreamKind.CDP:
            return None
        case elsewhere.UpstreamKind.CLOUDFLARE:
            url = addresses.action(upstream.url, action, query=addresses.passed_on(query, only=frozenset({"cacheTTL"})))
            return Asked(action=action, url=url, body=sent, deadline=deadline)
        case elsewhere.UpstreamKind.BROWSERLESS:
            body = browserless.body(action, sent, parsed)
            if body is None:
                return None
            url = addresses.action(upstream.url, action, query={"timeout": browserless.timeout(parsed)})
            return Asked(action=action, url=url, body=body, deadline=deadline, media=browserless.media(parsed))


async def answered(
    call: services.Call, wanted: target.Target, ask: Asked, *, said: Mapping[str, str], whole: bool
) -> web.StreamResponse:
    """The upstream's answer on its way to the client, under its headers and ``said``.

    Raises:
        errors.UpstreamFailed: it cannot be reached, or does not know what it is asked.
        errors.BrowserpoolError: what it refused, as ours.
    """
    upstream = wanted.spec.upstream
    assert upstream is not None, "asked of one"
    headers = {**authorized(call, upstream), "Content-Type": "application/json"}
    async with call.services.remote.ask(
        "POST", ask.url, headers=headers, body=ask.body, deadline=ask.deadline
    ) as answer:
        if upstream.kind is elsewhere.UpstreamKind.BROWSERLESS:
            return await _from_browserless(call, wanted, ask, answer, said=said, whole=whole)
        if answer.status not in _CLIENTS_OWN and answer.status >= 300:
            raise await refusal(answer)
        return await _passed(call, answer, headers=_headers(answer, wanted, said), whole=whole)


def authorized(call: services.Call, upstream: elsewhere.Upstream) -> dict[str, str]:
    """The headers that each request to the upstream has.

    Raises:
        errors.UpstreamFailed: its token is not there.
    """
    # It is for other routers of our own. To whoever speaks another language it says nothing but how this installation calls its parts.
    is_perhaps_a_router = upstream.kind is elsewhere.UpstreamKind.CLOUDFLARE
    headers: dict[str, str] = {serving.VIA: call.services.holder} if is_perhaps_a_router else {}
    if upstream.token_secret_ref is not None:
        headers["Authorization"] = f"Bearer {call.services.secrets.read(upstream.token_secret_ref)}"
    return headers


async def _from_browserless(
    call: services.Call,
    wanted: target.Target,
    ask: Asked,
    answer: aiohttp.ClientResponse,
    *,
    said: Mapping[str, str],
    whole: bool,
) -> web.StreamResponse:
    if answer.status != 200:
        raise browserless.complaint(answer.status, (await remote.complaint(answer)).decode(errors="replace"))
    headers = _headers(answer, wanted, said)
    if ask.media is not None:
        headers["Content-Type"] = ask.media
    rewritten = browserless.REWRITTEN.get(ask.action)
    if rewritten is None:
        return await _passed(call, answer, headers=headers, whole=whole)
    came = await relay.whole(answer, headers={})
    assert isinstance(came.body, bytes), "what is read whole is bytes"
    headers.pop("Content-Length", None)
    body = rewritten(came.body, answer.headers)
    return web.Response(body=body, headers={**headers, "Content-Type": "application/json"})


async def _passed(
    call: services.Call, answer: aiohttp.ClientResponse, *, headers: Mapping[str, str], whole: bool
) -> web.StreamResponse:
    if whole:
        return await relay.whole(answer, headers=headers)
    return await relay.passed_on(call.request, answer, headers=headers)


def _headers(answer: aiohttp.ClientResponse, wanted: target.Target, said: Mapping[str, str]) -> dict[str, str]:
    came = remote.headers_of(answer)
    passed = {name: came[name] for name in _PASSED_ON if name in came}
    return {**passed, **who_served(came, wanted), **said}


def who_served(headers: Mapping[str, str], wanted: target.Target) -> dict[str, str]:
    """What another router says of the browser, and what this one adds: that it was not its own."""
    theirs = {
        name: value
        for name, value in headers.items()
        if name.lower().startswith("x-browserpool-") and name.lower() not in _NOT_OURS
    }
    return {**theirs, "X-Browserpool-Pool": wanted.pool, serving.ARM: "upstream"}


async def refusal(answer: aiohttp.ClientResponse) -> errors.BrowserpoolError:
    """What an upstream refused for reasons of its own, as ours."""
    return browserless.refused(answer.status, await _message(answer), retry_after=remote.retry_after(answer))


async def _message(answer: aiohttp.ClientResponse) -> str:
    """What a refusal says: an envelope's message, or the text itself."""
    text = await remote.complaint(answer)
    said = envelope.message(text) or text.decode(errors="replace").strip()
    return said[:300] or f"status {answer.status}"
