"""An answer passed on as it comes: a small one whole, a large one piece by piece, never more of it in memory than a piece."""

import logging
from collections.abc import Mapping
from typing import Final

import aiohttp
import multidict
from aiohttp import web

log = logging.getLogger(__name__)

WHOLE: Final = 1024 * 1024
"""Bytes up to which an answer is read before the first is sent: until then, whoever dies giving it can still be answered for."""


async def passed_on(
    request: web.Request, answer: aiohttp.ClientResponse, *, headers: Mapping[str, str]
) -> web.StreamResponse:
    """``answer``'s status and body, under ``headers``.

    Raises:
        aiohttp.ClientError, TimeoutError: it broke off, and nothing was sent yet.
    """
    passed = multidict.CIMultiDict(headers)
    if (answer.content_length or 0) <= WHOLE and answer.content_length is not None:
        passed.popall("Content-Length", None)
        return web.Response(status=answer.status, body=await answer.read(), headers=passed)
    response = web.StreamResponse(status=answer.status, headers=passed)
    await response.prepare(request)
    try:
        async for chunk in answer.content.iter_any():
            await response.write(chunk)
    except (aiohttp.ClientError, TimeoutError) as error:
        # Half of it is with the client: all that can still be said is that it is not whole.
        log.warning("an answer broke off", extra={"path": request.path, "why": repr(error)})
        if request.transport is not None:
            request.transport.abort()
    else:
        await response.write_eof()
    return response
