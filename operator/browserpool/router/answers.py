"""Errors on their way out: each as the wire's envelope, with its status and its headers, and never with our insides."""

import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

from browserpool.lib import web as lib_web
from browserpool.model import errors
from browserpool.model.wire import envelope

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = logging.getLogger(__name__)


def failure(error: errors.BrowserpoolError) -> web.Response:
    """The answer for an error."""
    return lib_web.json_response(envelope.failure(error), status=error.status, headers=envelope.failure_headers(error))


def as_text(error: errors.BrowserpoolError) -> web.Response:
    """The answer for an error at an address whose clients know no envelope: its message alone."""
    return web.Response(text=error.message + "\n", status=error.status, headers=envelope.failure_headers(error))


def from_aiohttp(error: web.HTTPException, request: web.Request) -> web.Response:
    """What aiohttp itself refuses (no such address, wrong method, body too large), in our envelope."""
    match error:
        case web.HTTPNotFound():
            return failure(errors.NotFound(f"There is nothing at {request.path[:200]}."))
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(error.allowed_methods))
            answer = lib_web.json_response(
                envelope.failure(
                    errors.InvalidRequest(f"{request.method} is not for {request.path[:200]}; send {allowed}.")
                ),
                status=405,
            )
            answer.headers["Allow"] = allowed
            return answer
        case web.HTTPRequestEntityTooLarge():
            return failure(errors.TooLarge("The body is over the limit; load the page by its url instead."))
        case _:
            return lib_web.json_response(
                envelope.failure(errors.InvalidRequest(error.reason or "The request cannot be understood.")),
                status=error.status,
            )


def unexpected(error: Exception, request: web.Request) -> web.Response:
    """A fault of ours: logged whole, told in one sentence."""
    log.error("a request failed", extra={"method": request.method, "path": request.path}, exc_info=error)
    return failure(errors.BrowserpoolError("Something went wrong here; the log says what."))


@web.middleware
async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn whatever a handler raises into an answer."""
    try:
        return await handler(request)
    except errors.BrowserpoolError as error:
        return failure(error)
    except web.HTTPException as error:
        return from_aiohttp(error, request)
    except ConnectionResetError:
        raise  # the client is gone: there is nobody to answer
    except Exception as error:  # noqa: BLE001 - the last line before the client: anything unforeseen becomes a 500 without details
        return unexpected(error, request)
