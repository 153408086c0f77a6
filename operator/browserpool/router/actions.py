"""A quick action: check, claim, one request to the agent, the answer, release.

The body goes to the agent as the client sent it, once it was found good: it is not written anew. The caller waits for one round trip
to the store and one to the agent; the release runs after the answer.
"""

import contextlib
from collections.abc import Iterator

import aiohttp
from aiohttp import web

from browserpool import metrics
from browserpool.lib import clock
from browserpool.model import agentapi, claims, errors
from browserpool.model.wire import actions as wire
from browserpool.model.wire import envelope, shared
from browserpool.router import holding, relay, services, target

SLACK = 15.0
"""Seconds for what an agent does around an action's own deadline: cleaning up, sending the answer."""
PASSED_ON = (
    "Content-Type",
    "Content-Length",
    "Content-Disposition",
    "Retry-After",
    agentapi.BROWSER_MS_USED,
    envelope.NO_RETRY,
)

_OUTCOMES = {
    400: "invalid",
    413: "invalid",
    422: "page_failed",
    429: "too_many",
    502: "browser_lost",
    503: "no_browser",
}


async def act(call: services.Call) -> web.StreamResponse:
    """POST …/{action}: a whole job in a browser."""
    request = call.request
    action = request.match_info["action"]
    if action not in wire.ACTIONS:
        raise errors.NotFound(
            f"There is no quick action {action[:60]!r}; there are: {', '.join(sorted(wire.ACTIONS))}."
        )
    wanted = await call.wanted(claims.SessionKind.ACTION)
    with _timed(wanted, action):
        call.services.quotas.pass_rate(call.token.name, rate=call.token.rate_per_second)
        async with call.counted():
            body = await read(request, most=call.services.settings.max_body)
            parsed = wire.parse(action, body, cache_ttl=request.query.get("cacheTTL"))
            return await _done(call, wanted, action, body, deadline=deadline(parsed))


async def read(request: web.Request, *, most: int) -> bytes:
    """The request's body.

    Raises:
        errors.TooLarge: more than ``most`` bytes; told from the header already if it says so.
    """
    if (request.content_length or 0) > most:
        metrics.REFUSED.labels("too_large").inc()
        raise errors.TooLarge(
            f"The body has {request.content_length} bytes; the most is {most}: load the page by its url instead."
        )
    return await request.read()


def deadline(parsed: shared.QuickAction) -> float:
    """Seconds until an agent that is at work on this body must have answered."""
    return (parsed.action_timeout or shared.MAX_ACTION_MS) / 1000 + SLACK


async def _done(
    call: services.Call, wanted: target.Target, action: str, body: bytes, *, deadline: float
) -> web.StreamResponse:
    """Claim, ask the agent, answer the client; the release is on its way whatever happens."""
    claiming = call.services.claiming

    async def ask(held: holding.Held) -> web.StreamResponse:
        async with call.services.agents.action(held.party, action, body, deadline=deadline) as answer:
            return await relay.passed_on(call.request, answer, headers=headers(answer, wanted, held))

    held, response = await claiming.engage(wanted, ask)
    claiming.release(held)
    return response


def headers(answer: aiohttp.ClientResponse, wanted: target.Target, held: holding.Held) -> dict[str, str]:
    """The agent's own headers that are the client's business, and which browser it was."""
    passed = {name: answer.headers[name] for name in PASSED_ON if name in answer.headers}
    return {**passed, **browser_headers(wanted, held)}


def browser_headers(wanted: target.Target, held: holding.Held) -> dict[str, str]:
    """Which browser answered, and how near it was."""
    claim = held.claim
    assert claim is not None, "claimed here"
    return {
        "X-Browserpool-Pool": wanted.pool,
        "X-Browserpool-Browser": claim.browser_id,
        "X-Browserpool-Node": claim.node,
        "X-Browserpool-Zone": claim.zone,
        "X-Browserpool-Region": claim.region,
        "X-Browserpool-Locality": claim.locality,
        "X-Browserpool-Session": claim.session_id,
    }


@contextlib.contextmanager
def _timed(wanted: target.Target, action: str) -> Iterator[None]:
    started, outcome = clock.monotonic(), "gone"
    try:
        yield
        outcome = "ok"
    except errors.BrowserpoolError as error:
        outcome = _OUTCOMES.get(error.status, "error")
        raise
    except Exception:
        outcome = "error"
        raise
    finally:
        metrics.ACTION_SECONDS.labels(wanted.pool, action, outcome).observe(clock.monotonic() - started)
