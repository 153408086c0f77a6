"""A browser for one visit of a crawl, and what its agent is asked: last in every line, and never in anybody's way."""

import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import aiohttp
import orjson

from browserpool.lib import chance
from browserpool.model import agentapi, claims, crawls, errors, pool
from browserpool.model.names import SessionId, TokenName
from browserpool.router import agents, holding, services, target, waiting

MAX_ANSWER: Final = 64 * 1024 * 1024
"""Bytes of an agent's answer that are read; what a job keeps of it is bounded more tightly."""
AT_ONCE: Final = waiting.Patience(seconds=0, limit=0)


class Nobody(Exception):
    """There is no browser to be had at once. Nothing was done."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the agent said; ``browser_ms``: for how long it had the browser."""

    result: Mapping[str, Any]
    browser_ms: int


Ask = Callable[[str, Mapping[str, Any], float], Awaitable[Answer]]
"""An agent's action, its body, and the seconds until it must have answered.

Raises ``Nobody``, ``errors.BrowserLost`` where another browser may do better, and ``errors.PageFailed``, which no other would mend.
"""


def asker(parts: services.Services, place: crawls.Place, *, token: TokenName) -> Ask:
    """How a job of ``token`` at ``place`` asks."""

    async def ask(action: str, body: Mapping[str, Any], deadline: float) -> Answer:
        spec = parts.catalog.pools.get(place.pool)
        if spec is None:
            raise Nobody
        content = orjson.dumps(dict(body))

        async def use(held: holding.Held) -> Answer | errors.PageFailed:
            async with parts.agents.action(held.party, action, content, deadline=deadline) as answer:
                return await _read(answer)

        wanted = _wanted(parts, place, spec, token=token)
        try:
            held, answer = await parts.claiming.engage(wanted, use, patience=AT_ONCE)
        except (errors.NoBrowser, errors.TooManyRequests, errors.Unavailable) as error:
            raise Nobody from error
        parts.claiming.release(held)
        if isinstance(answer, errors.PageFailed):
            raise answer
        return answer

    return ask


def _wanted(parts: services.Services, place: crawls.Place, spec: pool.PoolSpec, *, token: TokenName) -> target.Target:
    """Anywhere in the region, and in no other: what is near is for those who wait for an answer."""
    request = claims.ClaimRequest(
        session_id=SessionId(chance.unique_id()),
        pool=place.pool,
        region=place.region,
        kind=claims.SessionKind.ACTION,
        keep_alive=parts.settings.action_lease,
        holder=parts.holder,
        token=token,
    )
    return target.Target(pool=place.pool, spec=spec, request=request)


async def _read(answer: aiohttp.ClientResponse) -> Answer | errors.PageFailed:
    """What the agent says, or what it says of the page: neither speaks against the browser."""
    if (answer.content_length or 0) > MAX_ANSWER:
        return errors.PageFailed(f"The page is larger than {MAX_ANSWER // 1024**2} MB.")
    content = await answer.read()
    try:
        said = orjson.loads(content)
        if answer.status == 200:
            spent = int(answer.headers.get(agentapi.BROWSER_MS_USED, "0"))
            return Answer(result=said["result"], browser_ms=spent)
        complaint = said["errors"][0]
        message, code = str(complaint["message"]), errors.Code(complaint["code"])
    except (ValueError, LookupError, TypeError) as error:
        raise errors.BrowserLost(f"The browser's agent answered {answer.status}, and not in its own words.") from error
    if answer.status < 500:
        return errors.PageFailed(message, code=code)
    raise agents.Untouched(message) if answer.status == 503 else errors.BrowserLost(message)
