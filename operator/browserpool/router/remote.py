"""Calls to other systems: one kept-alive client, every call under a deadline."""

import asyncio
import contextlib
import io
import urllib.parse
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Final, Self

import aiohttp
import multidict
import yarl

from browserpool.lib import web
from browserpool.model import errors
from browserpool.router import bridge

HANDSHAKE: Final = 10.0
"""Seconds for the opening of a WebSocket once the connection stands: the other may have to start a browser for it."""
PIECE: Final = 1024 * 1024
"""Bytes of a body that are sent at once."""
MOST_SAID: Final = 64 * 1024
"""Bytes of a complaint that are read."""
WORDS: Final = 5.0
"""Seconds for a complaint's words, once its status is there."""

_READABLE: Final = frozenset({"", "identity", "gzip", "deflate"})
"""What aiohttp undoes by itself. It passes on what it does not know, and knows others only if further packages are there."""
_OF_AN_ENCODING: Final = frozenset({"content-encoding", "content-length"})


class Remote:
    """The client. Close it by leaving its context."""

    def __init__(self, *, connect_timeout: float) -> None:
        self._connect_timeout = connect_timeout
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            # keepalive_timeout: under Node's five seconds, so that it is not the other who closes a connection in use.
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=4),
            skip_auto_headers=("User-Agent", "Accept-Encoding", "Accept"),
            # What one caller's request is told to remember is not for the next one's.
            cookie_jar=aiohttp.DummyCookieJar(),
            # For WebSockets, which can be given none of their own: only so is it known which of them were never sent.
            timeout=aiohttp.ClientTimeout(sock_connect=self._connect_timeout),
            trace_configs=[_without_redirects()],
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    @contextlib.asynccontextmanager
    async def ask(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None = None, deadline: float
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer, its body not read yet; ``deadline`` (seconds) covers the body too.

        A body that is compressed all the same is decompressed as it is read: ``headers_of`` is what goes with it.

        Raises:
            errors.UpstreamFailed: it cannot be reached, went away, was too slow, or compresses in a way that is not known here.
        """
        assert self._session is not None, "used outside of its context"
        data = io.BytesIO(body) if body is not None and len(body) >= PIECE else body
        timeout = aiohttp.ClientTimeout(total=deadline, sock_connect=self._connect_timeout)
        with _named(url):
            async with self._session.request(
                method,
                yarl.URL(url, encoded=True),
                headers={"Accept-Encoding": "identity", **headers},
                data=data,
                timeout=timeout,
                allow_redirects=False,
            ) as answer:
                _check_encoding(answer)
                yield answer

    async def websocket(self, url: str, *, headers: Mapping[str, str]) -> bridge.Upstream:
        """An open WebSocket. Frames come as bytes, of any size, not compressed.

        Raises:
            aiohttp.WSServerHandshakeError: it would not.
            errors.UpstreamFailed: it cannot be reached.
        """
        assert self._session is not None, "used outside of its context"
        with _named(url):
            async with asyncio.timeout(self._connect_timeout + HANDSHAKE):
                return await self._session.ws_connect(
                    yarl.URL(url, encoded=True), headers=headers, max_msg_size=0, compress=0, decode_text=False
                )


def headers_of(answer: aiohttp.ClientResponse) -> multidict.CIMultiDict[str]:
    """An answer's headers, fit to be sent on with its body as it is read here."""
    left_out = _OF_AN_ENCODING if "Content-Encoding" in answer.headers else frozenset()
    return multidict.CIMultiDict(
        (name, web.sendable(text)) for name, text in answer.headers.items() if name.lower() not in left_out
    )


def retry_after(answer: aiohttp.ClientResponse) -> int | None:
    """Seconds after which whoever answers may be asked again, if it says so, and not by a date."""
    text = answer.headers.get("Retry-After", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else None


async def whole(answer: aiohttp.ClientResponse, *, most: int) -> bytes:
    """The rest of an answer, however many pieces it comes in.

    Raises:
        errors.UpstreamFailed: it has more than ``most`` bytes.
        aiohttp.ClientError, TimeoutError: it broke off; ``Remote.ask`` makes it ours.
    """
    read = bytearray()
    await _gather(answer, read, most=most + 1)
    if len(read) > most:
        raise errors.UpstreamFailed(f"{answer.url.host} answered with more than {most} bytes.")
    return bytes(read)


async def complaint(answer: aiohttp.ClientResponse) -> bytes:
    """What an answer says that serves nobody, as far as it comes: its status stands, whatever becomes of its words."""
    read = bytearray()
    with contextlib.suppress(aiohttp.ClientError, TimeoutError):
        async with asyncio.timeout(WORDS):
            await _gather(answer, read, most=MOST_SAID)
    return bytes(read)


async def _gather(answer: aiohttp.ClientResponse, read: bytearray, *, most: int) -> None:
    while len(read) < most and (piece := await answer.content.read(most - len(read))):
        read += piece


def _check_encoding(answer: aiohttp.ClientResponse) -> None:
    encoding = answer.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in _READABLE:
        raise errors.UpstreamFailed(
            f"{answer.url.host} compresses its answers unasked, and not with gzip or deflate (Content-Encoding: {encoding[:40]!r}): "
            "let it heed Accept-Encoding."
        )


def _without_redirects() -> aiohttp.TraceConfig:
    """A WebSocket's opening cannot be told not to follow them, and who is asked is not to say where a client ends up."""
    made = aiohttp.TraceConfig()
    made.on_request_redirect.append(_refuse)
    return made


async def _refuse(_: aiohttp.ClientSession, __: object, redirect: aiohttp.TraceRequestRedirectParams) -> None:
    redirect.response.close()
    where = urllib.parse.urlsplit(str(redirect.url)).netloc.rpartition("@")[2]
    raise errors.UpstreamFailed(f"{where} leads elsewhere ({redirect.response.status}), which is not followed.")


@contextlib.contextmanager
def _named(url: str) -> Iterator[None]:
    try:
        yield
    except aiohttp.WSServerHandshakeError:
        raise
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        where = urllib.parse.urlsplit(url).netloc.rpartition("@")[2]
        raise errors.UpstreamFailed(
            f"{where} cannot be reached, or went away: {type(error).__name__}.", retry_after=1
        ) from error
