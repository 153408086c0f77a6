"""Calls to the router: one kept-alive client, every call under a deadline, what it refuses passed on as it said it."""

import asyncio
import contextlib
import dataclasses
import functools
import logging
import urllib.parse
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final, Self, TypeVar

import aiohttp
import orjson
import yarl
from aiohttp import web

from browserpool.lib import chance
from browserpool.lib import web as lib_web
from browserpool.model import agentapi, errors
from browserpool.model.names import SessionId
from browserpool.model.wire import envelope
from browserpool.router import bridge
from browserpool.router.sidecar import keeping, passing

log = logging.getLogger(__name__)

T = TypeVar("T")

SILENCE: Final = 600.0
"""Seconds for which a router may say nothing: more than any queue and any action lasts."""
RENEW_DEADLINE: Final = 5.0
END_DEADLINE: Final = 20.0
PAUSES: Final = (0.1, 0.3, 0.6, 1.0)
"""Seconds before a router that refuses the connection is tried again: it restarts, or its Service still names one that is gone.
Nothing was sent until then, so nothing can be done twice."""
HANDSHAKE: Final = 10.0
"""Seconds for the opening of a WebSocket once the connection stands: a Chromium may just be restarting behind it."""


class Refused(Exception):
    """The router, or the browser, would not; ``response`` is what the client is told."""

    def __init__(self, response: web.Response, body: bytes = b"") -> None:
        super().__init__(response.status)
        self.response = response
        self.body = body


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A session. ``said``: the router's headers about it; ``keep_alive`` in seconds. ``direct_url``: none of another cluster's."""

    session_id: SessionId
    direct_url: str | None
    keep_alive: float
    said: Mapping[str, str]


class Router:
    """The client. Close it by leaving its context."""

    def __init__(self, url: str, *, connect_timeout: float) -> None:
        self.url = url.rstrip("/")
        self._connect_timeout = connect_timeout
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            # keepalive_timeout: well under the server's, so that it is not the router who closes a connection in use.
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect_timeout, sock_read=SILENCE),
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Accept-Encoding", "Accept", "Content-Type"),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    def _client(self) -> aiohttp.ClientSession:
        assert self._session is not None, "used outside of its context"
        return self._session

    @contextlib.asynccontextmanager
    async def ask(
        self, method: str, path: str, *, headers: passing.Headers, body: aiohttp.StreamReader | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The router's answer to a request, its body not read yet; ``path`` with its query, encoded.

        Raises:
            errors.Unavailable: it cannot be reached, or went away under the request.
        """
        url = yarl.URL(self.url + path, encoded=True)
        with self._named():
            send = functools.partial(
                self._client().request, method, url, headers=headers, data=body, allow_redirects=False
            )
            async with await _patiently(send) as answer:
                yield answer

    @contextlib.contextmanager
    def _named(self) -> Any:
        try:
            yield
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise errors.Unavailable(
                f"The router at {self.url} cannot be reached; see that it runs, and that this pod may connect to it.",
                retry_after=1,
            ) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise errors.Unavailable(
                f"The router at {self.url} went away under the request; ask again.", retry_after=1
            ) from error

    # ------------------------------------------------------------ sessions

    async def create(self, query: Mapping[str, str], *, headers: passing.Headers) -> Session:
        """A new session, with its pod's address.

        Raises:
            Refused: no browser, no token, no such pool: as the router said it.
            errors.Unavailable: the router cannot be reached.
        """
        return await self._session_of("/devtools/browser?" + urllib.parse.urlencode([*query.items()]), headers)

    async def renewed(self, session_id: str, *, headers: passing.Headers) -> Session:
        """A session that exists, renewed, with a fresh address. Raises as ``create``."""
        return await self._session_of(_renewal(session_id) + "?direct=true", headers)

    async def _session_of(self, path: str, headers: passing.Headers) -> Session:
        async with self.ask("POST", path, headers=headers) as answer:
            body = await answer.read()
            if answer.status != 200:
                raise Refused(_passed(answer, body), body)
            said = orjson.loads(body)
            return Session(
                session_id=SessionId(said["sessionId"]),
                direct_url=said.get("directUrl"),
                keep_alive=said.get("keepAlive", 0) / 1000,
                said=passing.of_the_browser(answer.headers),
            )

    async def renew(self, session_id: SessionId, *, headers: passing.Headers) -> keeping.Renewal:
        """Say that the session is in use. Never raises but when cancelled."""
        try:
            async with (
                asyncio.timeout(RENEW_DEADLINE),
                self.ask("POST", _renewal(session_id), headers=headers) as answer,
            ):
                await answer.read()
                if answer.status in (404, 410):
                    return keeping.Renewal.OVER
                if answer.status == 200:
                    return keeping.Renewal.DONE
                why = f"the router answered {answer.status}"
        except (errors.Unavailable, TimeoutError) as error:
            why = str(error) or "the router does not answer"
        log.warning("a session is not renewed yet", extra={"session": session_id, "why": why})
        return keeping.Renewal.AWAY

    async def end(self, session_id: SessionId, *, headers: passing.Headers) -> None:
        """End a session that its browser has closed. If no router can be told, its lease runs out."""
        try:
            async with (
                asyncio.timeout(END_DEADLINE),
                self.ask("DELETE", f"/devtools/browser/{session_id}", headers=headers) as answer,
            ):
                await answer.read()
        except (errors.Unavailable, TimeoutError) as error:
            log.warning("a session could not be ended", extra={"session": session_id, "why": str(error)})

    # ------------------------------------------------------------ WebSockets

    async def through(self, path: str, *, headers: passing.Headers) -> bridge.Upstream:
        """A WebSocket at the router.

        Raises:
            Refused: it would not.
            errors.Unavailable: it cannot be reached.
        """
        with self._named():
            try:
                return await _patiently(functools.partial(self._opened, self.url + path, headers))
            except aiohttp.WSServerHandshakeError as refusal:
                raise Refused(_refusal(refusal)) from refusal

    async def direct(self, url: str) -> bridge.Upstream | None:
        """A WebSocket at a browser's pod; ``None``: the pod cannot be reached from here, or does not take it."""
        try:
            return await self._opened(url, passing.Headers())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            where = urllib.parse.urlsplit(url).netloc
            log.info("a browser's pod cannot be reached directly", extra={"address": where, "why": repr(error)})
            return None

    async def _opened(self, url: str, headers: passing.Headers) -> bridge.Upstream:
        async with asyncio.timeout(self._connect_timeout + HANDSHAKE):
            return await self._client().ws_connect(
                yarl.URL(url, encoded=True), headers=headers, max_msg_size=0, compress=0, decode_text=False
            )


async def _patiently(connect: Callable[[], Awaitable[T]]) -> T:
    """``connect``, again while the connection is refused; one that is not answered at all has taken long enough already."""
    for pause in PAUSES:
        with contextlib.suppress(aiohttp.ClientConnectorError):
            return await connect()
        await asyncio.sleep(chance.jitter(pause))
    return await connect()


def _passed(answer: aiohttp.ClientResponse, body: bytes) -> web.Response:
    headers = passing.end_to_end(answer.headers)
    headers.popall("Content-Length", None)
    return web.Response(status=answer.status, body=body, headers=headers)


def _renewal(session_id: str) -> str:
    return agentapi.RENEW.format(session=urllib.parse.quote(session_id, safe=""))


def _refusal(refusal: aiohttp.WSServerHandshakeError) -> web.Response:
    """What is left of an answer to a WebSocket's opening: its status and its headers, not its body."""
    error = errors.BrowserpoolError(
        f"The router refused this WebSocket ({refusal.status}).", code=_code(refusal.status)
    )
    response = lib_web.json_response(envelope.failure(error), status=refusal.status)
    if refusal.headers is not None and "Retry-After" in refusal.headers:
        response.headers["Retry-After"] = refusal.headers["Retry-After"]
    return response


def _code(status: int) -> errors.Code:
    kinds = (errors.InvalidRequest, errors.Unauthorized, errors.Forbidden, errors.NotFound, errors.TooManyRequests)
    return next((kind.default_code for kind in kinds if kind.status == status), errors.Code.CONTEXT_LOST)
