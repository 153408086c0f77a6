"""A quick action: check, claim, one request to the agent, the answer, release.

The body goes to the agent as the client sent it, once it was found good: it is not written anew. The caller waits for one round trip
to the store and one to the agent; the release runs after the answer. What was answered less than ``cacheTTL`` seconds ago is answered
again instead, without a browser.
"""

import contextlib
import dataclasses
from collections.abc import Awaitable, Callable, Iterator, Mapping

import aiohttp
from aiohttp import web

from browserpool import metrics
from browserpool.lib import clock
from browserpool.model import agentapi, claims, elsewhere, errors, outcomes
from browserpool.model.wire import actions as wire
from browserpool.model.wire import envelope, shared
from browserpool.model.wire import extract as extract_wire
from browserpool.router import extract, holding, relay, services, target, waiting
from browserpool.router.cache import policy
from browserpool.router.moving import asking, serving
from browserpool.router.spilling import asking as beyond
from browserpool.router.spilling import serving as spilled

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


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A checked request; ``asked``: where its answer may be kept, if it may."""

    wanted: target.Target
    action: str
    body: bytes
    parsed: shared.QuickAction
    asked: policy.Asked | None

    @property
    def said(self) -> Mapping[str, str]:
        """What an answer that had to be made says of the cache."""
        return policy.MISS if self.asked is not None else {}


_OUTCOMES = {
    400: "invalid",
    413: "invalid",
    422: "page_failed",
    429: "too_many",
    501: "invalid",
    502: "browser_lost",
    503: "no_browser",
}


Source = Callable[[services.Call], Awaitable[bytes]]
"""Gives an action's body in our own wire format."""


async def act(call: services.Call) -> web.StreamResponse:
    """POST …/{action}: a whole job in a browser."""
    action = call.request.match_info["action"]
    if action not in wire.ACTIONS:
        raise errors.NotFound(
            f"There is no quick action {action[:60]!r}; there are: {', '.join(sorted(wire.ACTIONS))}."
        )
    return await perform(call, action)


async def perform(
    call: services.Call, action: str, *, source: Source | None = None, whole: bool = False
) -> web.StreamResponse:
    """The action, by whichever door it came: the same limits, cache, claim and errors. ``source`` gives its body, once it is its turn.

    ``whole``: the answer is a ``web.Response``, which nothing of was sent yet, for a door that makes something else of it.
    """
    wanted = await call.wanted(claims.SessionKind.ACTION)
    with _timed(wanted, action) as timing:
        call.services.quotas.admit(call.token)
        async with contextlib.AsyncExitStack() as turn:
            # What the cache may answer takes no turn of the caller's. A long body is not read before it is its turn.
            short = call.services.cache.may_look(call.request.content_length)
            if not short:
                await turn.enter_async_context(call.counted())
            job = await _checked(call, wanted, action, source or _sent)
            if job.asked is not None and (hit := await call.services.cache.get(job.asked)) is not None:
                timing.outcome = "cached"
                return web.Response(body=hit.answer.body, headers=policy.headers(hit.answer, age=hit.age))
            if short:
                await turn.enter_async_context(call.counted())
            answer = await _served(call, job, whole=whole)
            timing.outcome = "ok" if answer.status < 400 else _OUTCOMES.get(answer.status, "error")
            return answer


async def _sent(call: services.Call) -> bytes:
    return await read(call.request, most=call.services.settings.max_body)


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


async def _checked(call: services.Call, wanted: target.Target, action: str, source: Source) -> Job:
    body = await source(call)
    parsed = wire.parse(action, body, cache_ttl=call.request.query.get("cacheTTL"))
    scope = policy.Scope(caller=call.token, pool=wanted.pool, region=wanted.request.region)
    asked = call.services.cache.asked(scope, action, body, ttl=parsed.cache_ttl)
    return Job(wanted=wanted, action=action, body=body, parsed=parsed, asked=asked)


async def _served(call: services.Call, job: Job, *, whole: bool) -> web.StreamResponse:
    """The answer of one of the pool's browsers, or of the system that it takes over from."""
    if job.wanted.spec.upstream is not None:
        return await _moving(call, job, job.wanted.spec.upstream, whole=whole)
    with call.services.outcomes.timed(job.wanted.pool, job.action) as counted:
        answer = await _done(call, job, whole=whole)
        counted.failed = outcomes.is_failure(answer.status)
        return answer


async def _moving(call: services.Call, job: Job, upstream: elsewhere.Upstream, *, whole: bool) -> web.StreamResponse:
    ask = asking.asked(
        upstream,
        job.action,
        sent=job.body,
        parsed=job.parsed,
        query=call.request.query,
        deadline=deadline(job.parsed),
    )

    async def there() -> web.StreamResponse:
        assert ask is not None, "asked only if it can be"
        return await asking.answered(call, job.wanted, ask, said=job.said, whole=whole)

    sides = serving.Sides(
        pool=lambda patience: _done(call, job, whole=whole, patience=patience),
        upstream=None if ask is None else there,
        failed=lambda answer: isinstance(answer, web.Response) and outcomes.is_failure(answer.status),
    )
    return await serving.served(call, job.wanted, job.action, sides)


async def _done(
    call: services.Call, job: Job, *, whole: bool, patience: waiting.Patience | None = None
) -> web.StreamResponse:
    """The answer of one of the region's browsers, or of another cluster's where the region has none."""
    return await spilled.served(
        call,
        job.wanted,
        patience=patience,
        here=lambda wait: _here(call, job, whole=whole, patience=wait),
        there=lambda router: beyond.answered(
            call,
            job.wanted,
            router,
            action=job.action,
            body=job.body,
            deadline=deadline(job.parsed),
            said=job.said,
            whole=whole,
        ),
    )


async def _here(call: services.Call, job: Job, *, whole: bool, patience: waiting.Patience | None) -> web.StreamResponse:
    """Claim, ask the agent, answer the client; the release is on its way whatever happens."""
    claiming, cache = call.services.claiming, call.services.cache

    async def ask(held: holding.Held) -> tuple[web.StreamResponse, relay.Copy | None]:
        copy = relay.Copy(most=cache.rules.most_each) if job.asked is not None else None
        async with call.services.agents.action(
            held.party, job.action, job.body, deadline=deadline(job.parsed)
        ) as answer:
            said = {**headers(answer, job.wanted, held), **job.said}
            if whole:
                return await relay.whole(answer, headers=said, copy=copy), copy
            return await relay.passed_on(call.request, answer, headers=said, copy=copy), copy

    if isinstance(job.parsed, extract_wire.Json):
        return await _extracted(call, job, job.parsed, patience=patience)
    held, (response, copy) = await claiming.engage(job.wanted, ask, patience=patience)
    claiming.release(held)
    if job.asked is not None and copy is not None:
        cache.put(job.asked, status=response.status, headers=response.headers, body=copy.body)
    return response


async def _extracted(
    call: services.Call, job: Job, wanted: extract_wire.Json, *, patience: waiting.Patience | None
) -> web.StreamResponse:
    """``json``: the page's text from an agent; then, with the browser given back, what a model says of it."""
    services, most = call.services, call.services.settings.ai_page_chars
    question = await services.models.question(wanted)

    async def ask(held: holding.Held) -> tuple[dict[str, str], extract.Read | web.StreamResponse]:
        async with services.agents.action(
            held.party, extract.AT_AGENT, extract.body(job.body), deadline=deadline(job.parsed)
        ) as answer:
            said = {**headers(answer, job.wanted, held), **job.said}
            if answer.status != 200:
                return said, await relay.passed_on(call.request, answer, headers=said)
            if (answer.content_length or 0) > extract.MAX_PAGE:
                raise extract.too_large(answer.content_length or 0)
            return said, extract.read(await answer.read(), most=most)

    held, (said, page) = await services.claiming.engage(job.wanted, ask, patience=patience)
    services.claiming.release(held)
    if isinstance(page, web.StreamResponse):
        return page
    said.pop("Content-Length", None)
    try:
        body = extract.answer(await services.models.answer(question, page.page), page)
    except errors.BrowserpoolError as error:
        # A browser did its part, and took its time.
        error.headers = {name: text for name, text in said.items() if name != "Content-Type"}
        raise
    if job.asked is not None:
        services.cache.put(job.asked, status=200, headers=said, body=body)
    return web.Response(body=body, headers=said)


def headers(answer: aiohttp.ClientResponse, wanted: target.Target, held: holding.Held) -> dict[str, str]:
    """The agent's own headers that are the client's business, and which browser it was."""
    passed = {name: answer.headers[name] for name in PASSED_ON if name in answer.headers}
    return {**passed, **browser_headers(wanted, held)}


def browser_headers(wanted: target.Target, held: holding.Held) -> dict[str, str]:
    """Which browser answered, and how near it was."""
    claim = held.claim
    assert claim is not None, "claimed here"
    arm = {} if wanted.spec.upstream is None else {serving.ARM: "pool"}
    return {
        **arm,
        "X-Browserpool-Pool": wanted.pool,
        "X-Browserpool-Browser": claim.browser_id,
        "X-Browserpool-Node": claim.node,
        "X-Browserpool-Zone": claim.zone,
        "X-Browserpool-Region": claim.region,
        "X-Browserpool-Locality": claim.locality,
        "X-Browserpool-Session": claim.session_id,
    }


@dataclasses.dataclass(slots=True)
class _Timing:
    outcome: str = ""
    """How it ended, where the block knows better than its end does."""


@contextlib.contextmanager
def _timed(wanted: target.Target, action: str) -> Iterator[_Timing]:
    started, timing, outcome = clock.monotonic(), _Timing(), "gone"
    try:
        yield timing
        outcome = timing.outcome
    except errors.BrowserpoolError as error:
        by_model = isinstance(error, errors.ModelFailed | errors.ModelUnavailable)
        outcome = "model_failed" if by_model else _OUTCOMES.get(error.status, "error")
        raise
    except Exception:
        outcome = "error"
        raise
    finally:
        metrics.ACTION_SECONDS.labels(wanted.pool, action, outcome).observe(clock.monotonic() - started)
