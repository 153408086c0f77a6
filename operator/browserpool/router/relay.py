"""An answer passed on as it comes: a small one whole, a large one piece by piece, never more of it in memory than a piece."""

import logging
from collections.abc import Mapping
from typing import Final

import aiohttp
import multidict
from aiohttp import web

from browserpool.model import errors

log = logging.getLogger(__name__)

WHOLE: Final = 1024 * 1024
"""Bytes up to which an answer is read before the first is sent: until then, whoever dies giving it can still be answered for."""


MOST: Final = 256 * 1024 * 1024
"""Bytes of an answer that is read whole, because something else is made of it before it is sent."""


class Copy:
    """An answer's body, gathered while it passes, if it has at most ``most`` bytes."""

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._pieces: list[bytes] = []
        self._size = 0
        self._ended = False

    @property
    def body(self) -> bytes | None:
        """``None`` if it is too large, or did not come to its end."""
        return b"".join(self._pieces) if self._ended and self._size <= self._most else None

    def add(self, piece: bytes) -> None:
        """The next piece; nothing is held of what has become too large."""
        self._size += len(piece)
        if self._size <= self._most:
            self._pieces.append(piece)
        else:
            self._pieces.clear()

    def end(self) -> None:
        """It is whole."""
        self._ended = True


async def whole(
    answer: aiohttp.ClientResponse, *, headers: Mapping[str, str], copy: Copy | None = None
) -> web.Response:
    """``answer`` read to its end, whatever its size up to ``MOST``; nothing of it is sent yet.

    Raises:
        errors.PageFailed: it is larger than that.
        aiohttp.ClientError, TimeoutError: it broke off.
    """
    passed = multidict.CIMultiDict(headers)
    passed.popall("Content-Length", None)
    pieces, size = [], 0
    async for chunk in answer.content.iter_any():
        size += len(chunk)
        if size > MOST:
            raise errors.PageFailed(
                f"What the page gave is larger than {MOST} bytes, which this address can pass on.",
                code=errors.Code.CAPTURE_FAILED,
            )
        pieces.append(chunk)
    body = b"".join(pieces)
    if copy is not None:
        copy.add(body)
        copy.end()
    return web.Response(status=answer.status, body=body, headers=passed)


async def passed_on(
    request: web.Request, answer: aiohttp.ClientResponse, *, headers: Mapping[str, str], copy: Copy | None = None
) -> web.StreamResponse:
    """``answer``'s status and body, under ``headers``; ``copy`` gets the body too.

    Raises:
        aiohttp.ClientError, TimeoutError: it broke off, and nothing was sent yet.
    """
    passed = multidict.CIMultiDict(headers)
    # The length of what is compressed says nothing of what it becomes.
    length = None if "Content-Encoding" in answer.headers else answer.content_length
    if length is not None and length <= WHOLE:
        passed.popall("Content-Length", None)
        body = await answer.read()
        if copy is not None:
            copy.add(body)
            copy.end()
        return web.Response(status=answer.status, body=body, headers=passed)
    # What turns out not to be what it says does so with its first piece.
    piece = await answer.content.readany()
    response = web.StreamResponse(status=answer.status, headers=passed)
    await response.prepare(request)
    try:
        while piece:
            if copy is not None:
                copy.add(piece)
            await response.write(piece)
            piece = await answer.content.readany()
    except (aiohttp.ClientError, TimeoutError) as error:
        # Half of it is with the client: all that can still be said is that it is not whole.
        log.warning("an answer broke off", extra={"path": request.path, "why": repr(error)})
        if request.transport is not None:
            request.transport.abort()
    else:
        if copy is not None:
            copy.end()
        await response.write_eof()
    return response
