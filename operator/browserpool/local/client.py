"""What the commands ask of a router, here or elsewhere. What it refuses comes back as a sentence."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import aiohttp
import orjson

from browserpool.local import directory, problems
from browserpool.model import agentapi

_TIMEOUT = aiohttp.ClientTimeout(total=360, connect=10)
"""Seconds; an action may take five minutes."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Router:
    """Where it is, and with which token."""

    url: str
    token: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """``used_ms`` is how long the action kept its browser, if the router said so."""

    body: bytes
    used_ms: float | None


def found(data: pathlib.Path, environment: Mapping[str, str] = os.environ) -> Router:
    """The router that BROWSERPOOL_URL and BROWSERPOOL_TOKEN name, or else the one that `up` runs on ``data``.

    Raises:
        problems.Problem: there is neither.
    """
    home = directory.Directory(path=data)
    url = environment.get("BROWSERPOOL_URL") or home.read("url")
    token = environment.get("BROWSERPOOL_TOKEN") or home.read("token")
    if not url:
        raise problems.Problem(
            f"No router is known: `browserpool up` does not run on {data}. Start it, name its directory with --data, "
            f"or set BROWSERPOOL_URL and BROWSERPOOL_TOKEN."
        )
    if not token:
        raise problems.Problem(f"There is no token in {home.token}. Set BROWSERPOOL_TOKEN to one that {url} gave out.")
    return Router(url=url.rstrip("/"), token=token)


async def act(
    router: Router, action: str, body: Mapping[str, Any], *, wishes: Mapping[str, str] | None = None
) -> Answer:
    """POST a quick action; ``wishes`` are query parameters (pool, region, zone, node).

    Raises:
        problems.Problem: no answer, or a refusal: with the router's own words.
    """
    return await _asked(router, "POST", f"/v1/{action}", body=body, wishes=wishes)


async def status(router: Router) -> dict[str, Any]:
    """What the router says of pools, regions, browsers and sessions.

    Raises:
        problems.Problem: as of ``act``.
    """
    answer = await _asked(router, "GET", "/v1/status")
    shown: dict[str, Any] = orjson.loads(answer.body)
    return shown


async def outcomes(router: Router, pool: str, *, since: str) -> dict[str, Any]:
    """How the pool's requests ended, by action and by who served; ``since``: a duration like ``1h``.

    Raises:
        problems.Problem: as of ``act``; the token must be an admin's.
    """
    answer = await _asked(router, "GET", "/v1/outcomes", wishes={"pool": pool, "since": since})
    shown: dict[str, Any] = orjson.loads(answer.body)
    return shown


async def _asked(
    router: Router,
    method: str,
    path: str,
    *,
    body: Mapping[str, Any] | None = None,
    wishes: Mapping[str, str] | None = None,
) -> Answer:
    headers = {"Authorization": f"Bearer {router.token}"}
    data = None if body is None else orjson.dumps(body)
    if data is not None:
        headers["Content-Type"] = "application/json"
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT) as http,
            http.request(method, router.url + path, data=data, headers=headers, params=wishes or {}) as answer,
        ):
            content = await answer.read()
            used = answer.headers.get(agentapi.BROWSER_MS_USED)
            if answer.status >= 300:
                raise problems.Problem(_refusal(content, status=answer.status, url=router.url))
            return Answer(body=content, used_ms=float(used) if used else None)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise problems.Problem(
            f"The router at {router.url} does not answer: {str(error) or type(error).__name__}."
        ) from None


def _refusal(content: bytes, *, status: int, url: str) -> str:
    try:
        said = "; ".join(str(error["message"]) for error in orjson.loads(content)["errors"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        said = content[:200].decode(errors="replace")
    return f"{said} ({status} from {url})"


def result(answer: Answer) -> bytes:
    """The text in an enveloped answer's ``result``, as UTF-8."""
    return str(orjson.loads(answer.body)["result"]).encode()
