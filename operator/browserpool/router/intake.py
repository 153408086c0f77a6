"""What agents say: hello when they start, heartbeats from then on."""

from typing import Final, TypeVar

import pydantic
from aiohttp import web

from browserpool.lib import web as lib_web
from browserpool.model import agentapi, errors
from browserpool.model import heartbeats as model
from browserpool.model.names import HOME, BrowserId, DatabaseName
from browserpool.router import door, services
from browserpool.store import browsers

Message = TypeVar("Message", model.Hello, model.Heartbeat)

_HELLO: Final = pydantic.TypeAdapter(model.Hello)
_HEARTBEAT: Final = pydantic.TypeAdapter(model.Heartbeat)


async def hello(call: services.Call) -> web.StreamResponse:
    """POST /internal/v1/hello: an agent has started, here is where it is reached."""
    word = await _message(call, _HELLO)
    welcome = await browsers.hello(call.services.databases.of(database(call)), word)
    if welcome is None:
        raise errors.NotFound(f"Browser {word.browser_id} is not registered; whoever starts it registers it first.")
    call.services.database_clock.observe(welcome.now)
    call.services.chromium = word.chromium or call.services.chromium
    return lib_web.json_response(welcome)


async def heartbeat(call: services.Call) -> web.StreamResponse:
    """POST /internal/v1/heartbeat: answered once it is written."""
    beat = await _message(call, _HEARTBEAT)
    try:
        reply = await call.services.heartbeats.of(database(call)).submit(beat)
    except errors.TooManyRequests as full:
        raise errors.Unavailable(full.message, retry_after=full.retry_after) from full
    call.services.database_clock.observe(reply.now)
    return lib_web.json_response(reply)


def database(call: services.Call) -> DatabaseName:
    """The one that the agent's browser is registered in."""
    return DatabaseName(call.request.headers.get(agentapi.DATABASE, HOME))


async def _message(call: services.Call, reader: pydantic.TypeAdapter[Message]) -> Message:
    try:
        word = reader.validate_json(await call.request.read())
    except pydantic.ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'body'}: {one['msg']}" for one in error.errors())
        raise errors.InvalidRequest(f"This is no {error.title}: {wrong}") from error
    door.enter_agent(
        BrowserId(word.browser_id),
        signing_key=call.services.settings.signing_key,
        headers=call.request.headers,
    )
    return word
