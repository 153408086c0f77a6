"""A quick action at another cluster's router: the same body, and its answer as it comes."""

from collections.abc import Mapping
from typing import Final

from aiohttp import web

from browserpool.model import agentapi, elsewhere, errors
from browserpool.model.wire import envelope
from browserpool.router import relay, remote, services, target
from browserpool.router.spilling import rules, serving

_PASSED_ON: Final = (
    "Content-Type",
    "Content-Length",
    "Content-Disposition",
    "Retry-After",
    agentapi.BROWSER_MS_USED,
    envelope.NO_RETRY,
)


async def answered(
    call: services.Call,
    wanted: target.Target,
    to: elsewhere.BackupRouter,
    *,
    action: str,
    body: bytes,
    deadline: float,
    said: Mapping[str, str],
    whole: bool,
) -> web.StreamResponse:
    """Its answer on the way to the client, under its headers and ``said``. ``deadline`` in seconds; ``whole`` as for ``actions.perform``.

    Raises:
        serving.Unserved: it has not done it.
        errors.BrowserLost: it went away at work.
    """
    headers = {**serving.headers(call, to), "Content-Type": "application/json"}
    url = rules.address(to, f"/v1/{action}", query=call.request.query, pool=wanted.pool)
    serving.enter(call, to)
    try:
        async with call.services.remote.ask("POST", url, headers=headers, body=body, deadline=deadline) as answer:
            await serving.check(call, to, answer)
            came = remote.headers_of(answer)
            passed = {name: came[name] for name in _PASSED_ON if name in came}
            shown = {**passed, **rules.about_the_browser(came, pool=wanted.pool), **said}
            if whole:
                return await relay.whole(answer, headers=shown)
            return await relay.passed_on(call.request, answer, headers=shown)
    except errors.UpstreamFailed as error:
        raise serving.away(call, to, error) from error
