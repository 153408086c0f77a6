"""browserless' actions over plain HTTP: its bodies in, bare answers out, errors as text."""

from typing import Any

import orjson
from aiohttp import web

from browserpool.lib import web as lib_web
from browserpool.model import agentapi, errors
from browserpool.model.wire import envelope
from browserpool.router import actions, services
from browserpool.router.browserless import bodies

_KEPT = ("Retry-After", envelope.LONG_WAIT, envelope.NO_RETRY, agentapi.BROWSER_MS_USED)


async def screenshot(call: services.Call) -> web.StreamResponse:
    """POST /screenshot: browserless': a picture of the page, bare."""
    return await _performed(call, "screenshot")


async def pdf(call: services.Call) -> web.StreamResponse:
    """POST /pdf: browserless': the page, printed, bare."""
    return await _performed(call, "pdf")


async def content(call: services.Call) -> web.StreamResponse:
    """POST /content: browserless': the page's HTML, bare."""
    answer = await _performed(call, "content", whole=True)
    if (said := _envelope(answer)) is None:
        return answer
    return web.Response(text=said["result"], content_type="text/html", headers=_headers(answer, said))


async def scrape(call: services.Call) -> web.StreamResponse:
    """POST /scrape: browserless': what selectors find, as {"data": […]}; each is waited for."""
    answer = await _performed(call, "scrape", whole=True)
    if (said := _envelope(answer)) is None:
        return answer
    return lib_web.json_response({"data": said["result"], "debug": None}, headers=_headers(answer, said))


async def not_offered(call: services.Call) -> web.StreamResponse:
    """POST /function: and its like, which run the caller's code on the server: 501, on purpose."""
    raise errors.NotOffered(
        f"{call.request.path[:60]} would run your code on the server, and is left out on purpose: "
        "connect to a browser over WebSocket (/chromium) and run it where you are."
    )


async def _performed(call: services.Call, action: str, *, whole: bool = False) -> web.StreamResponse:
    """Our own action of that name; what it refuses, in browserless' words."""

    async def source(call: services.Call) -> bytes:
        body = await actions.read(call.request, most=call.services.settings.max_body)
        return bodies.translated(action, body, query=call.request.query)

    try:
        answer = await actions.perform(call, action, source=source, whole=whole)
    except errors.InvalidRequest as error:
        raise errors.InvalidRequest(bodies.in_its_words(action, error.message), code=error.code) from error
    # What is under way already is no error: an agent's errors are short, and come whole.
    if not isinstance(answer, web.Response) or answer.status < 400:
        return answer
    return web.Response(text=_message(action, answer) + "\n", status=answer.status, headers=_headers(answer))


def _envelope(answer: web.StreamResponse) -> Any:
    """What a good answer of ours holds; ``None``: it is an error's."""
    if not isinstance(answer, web.Response) or answer.status != 200:
        return None
    return orjson.loads(answer.body)  # type: ignore[arg-type]


def _message(action: str, answer: web.Response) -> str:
    message = envelope.message(answer.body)  # type: ignore[arg-type]
    if message is None:
        return f"The browser's agent answered {answer.status}."
    return bodies.in_its_words(action, message)


def _headers(answer: web.StreamResponse, said: Any = None) -> dict[str, str]:
    headers = {
        name: value for name, value in answer.headers.items() if name in _KEPT or name.startswith("X-Browserpool-")
    }
    status = None if said is None else said.get("meta", {}).get("status")
    return headers if status is None else {**headers, "X-Response-Code": str(status)}
