"""Calls to browsers' agents: one kept-alive client for all, every call under a deadline.

A failure is told apart by what may have happened: ``Untouched`` means that nothing of the request was done, so that another browser
may be asked; ``errors.BrowserLost`` means that it was under way.
"""

import asyncio
import contextlib
import dataclasses
import io
import logging
from collections.abc import AsyncIterator
from typing import Any, Self

import aiohttp
import orjson
import yarl

from browserpool.model import agentapi, credentials, errors
from browserpool.model import terms as session_terms
from browserpool.model.names import BrowserId, Fence, SessionId
from browserpool.model.wire import envelope
from browserpool.router import dbclock

log = logging.getLogger(__name__)

TOKEN_LIFE = 120.0
"""Seconds. Only the way to the agent takes time: what a token opened stays open after it has expired."""
PIECE = 1024 * 1024
"""Bytes of a body that are sent at once."""
_UNTOUCHED = frozenset({401, 409, 503})
"""The agent does not take the claim, or has no Chromium for it. Not 502: its Chromium died under the work, which may have done much."""


class Untouched(errors.BrowserLost):
    """The browser cannot be had, and has done nothing of what was asked."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """One session at one agent."""

    session_id: SessionId
    browser_id: BrowserId
    fence: Fence
    address: str
    kind: str
    terms: session_terms.Terms = session_terms.NONE


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What became of the browser; ``give_up``: its agent will exit instead of recycling."""

    clean: bool
    give_up: bool = False


NOT_CLEAN = Ending(clean=False)


class Agents:
    """The client. Close it by leaving its context."""

    def __init__(
        self, *, signing_key: str, database_clock: dbclock.DatabaseClock, connect_timeout: float, end_timeout: float
    ) -> None:
        self._signing_key = signing_key
        self._clock = database_clock
        self._connect_timeout = connect_timeout
        self._end_timeout = end_timeout
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        # keepalive_timeout: well under the server's own, so that it is never the agent who closes a connection we are about to use.
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=30)
        self._session = aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Accept-Encoding", "Accept"),
            timeout=self._timeout(None),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    def _client(self) -> aiohttp.ClientSession:
        assert self._session is not None, "used outside of its context"
        return self._session

    def direct_url(self, party: Party) -> str:
        """The browser's own address, with a claim token that is good for connecting within ``TOKEN_LIFE``."""
        return f"ws://{party.address}{agentapi.CDP}?token={self._token(party)}"

    def _headers(self, party: Party) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token(party)}"}

    def _token(self, party: Party) -> str:
        now = self._clock.now()
        if now is None:
            raise errors.Unavailable("The database's time is not known yet; ask again.", retry_after=1)
        key = credentials.claim_key(signing_key=self._signing_key, browser_id=party.browser_id)
        token = credentials.ClaimToken(
            browser_id=party.browser_id,
            session_id=party.session_id,
            fence=party.fence,
            kind=party.kind,
            expires=now + TOKEN_LIFE,
            terms=party.terms,
        )
        return credentials.sign(token, key=key)

    def _timeout(self, total: float | None) -> aiohttp.ClientTimeout:
        return aiohttp.ClientTimeout(total=total, sock_connect=self._connect_timeout)

    @contextlib.asynccontextmanager
    async def action(
        self, party: Party, action: str, body: bytes, *, deadline: float
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The agent's answer to a quick action, its body not read yet; ``deadline`` (seconds) covers the body too.

        Raises:
            Untouched: another browser may be asked.
            errors.BrowserLost: the agent went away, or did not answer in time.
        """
        url = f"http://{party.address}{agentapi.ACTION.format(action=action)}"
        headers = {**self._headers(party), "Content-Type": "application/json"}
        # A large body goes in pieces: written at once, it would hold up everybody else.
        data = body if len(body) < PIECE else io.BytesIO(body)
        with _named(party):
            async with self._client().post(url, data=data, headers=headers, timeout=self._timeout(deadline)) as answer:
                if answer.status in _UNTOUCHED:
                    raise Untouched(await _complaint(answer), retry_after=1)
                yield answer

    async def end(self, party: Party) -> Ending:
        """Tell the agent that the session is over; wait until it has cleaned up. Never raises but when cancelled."""
        try:
            try:
                return await self._ended(party)
            except aiohttp.ServerDisconnectedError:
                # The connection was an old one; to say it twice does no harm.
                return await self._ended(party)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, errors.Unavailable) as error:
            log.info("an agent could not be told of an end", extra={"browser": party.browser_id, "why": repr(error)})
            return NOT_CLEAN

    async def _ended(self, party: Party) -> Ending:
        url = f"http://{party.address}{agentapi.END}"
        async with self._client().post(
            url, headers=self._headers(party), timeout=self._timeout(self._end_timeout)
        ) as answer:
            if answer.status != 200:
                log.info(
                    "an agent would not end a session", extra={"browser": party.browser_id, "status": answer.status}
                )
                return NOT_CLEAN
            said = orjson.loads(await answer.read())
            return Ending(clean=bool(said.get(agentapi.CLEAN)), give_up=bool(said.get(agentapi.GIVE_UP)))

    async def chrome_json(self, party: Party, rest: str, *, method: str = "GET", query: str = "") -> tuple[int, bytes]:
        """Status and body of Chrome's own ``/json/<rest>``."""
        path = agentapi.CHROME_JSON.replace("{rest:.*}", rest)
        url = yarl.URL(f"http://{party.address}{path}{'?' + query if query else ''}", encoded=True)
        with _named(party):
            async with self._client().request(
                method, url, headers=self._headers(party), timeout=self._timeout(10)
            ) as answer:
                if answer.status in _UNTOUCHED:
                    raise Untouched(await _complaint(answer), retry_after=1)
                return answer.status, await answer.read()

    async def devtools_file(self, party: Party, file: str) -> tuple[int, str, bytes]:
        """Status, content type and body of a file of the DevTools that the browser carries."""
        path = agentapi.CHROME_DEVTOOLS.replace("{file:.*}", file)
        with _named(party):
            async with self._client().get(
                yarl.URL(f"http://{party.address}{path}", encoded=True),
                headers=self._headers(party),
                timeout=self._timeout(10),
            ) as answer:
                return answer.status, answer.content_type, await answer.read()

    @contextlib.asynccontextmanager
    async def download(self, party: Party, file: str) -> AsyncIterator[aiohttp.ClientResponse]:
        """The agent's answer with a download of the session, its body not read yet; ``file`` as in a path, empty for the list of all.

        Raises:
            errors.NotFound: there is no such file.
            errors.BrowserLost: the agent cannot be asked.
        """
        path = agentapi.DOWNLOAD.format(file=file) if file else agentapi.DOWNLOADS
        url = yarl.URL(f"http://{party.address}{path}", encoded=True)
        with _named(party):
            async with self._client().get(url, headers=self._headers(party), timeout=self._timeout(None)) as answer:
                if answer.status == 404:
                    raise errors.NotFound(await _complaint(answer))
                if answer.status != 200:
                    raise errors.BrowserLost(await _complaint(answer), retry_after=1)
                yield answer

    async def cdp(
        self, party: Party, target: str | None = None, *, base: str = ""
    ) -> aiohttp.ClientWebSocketResponse[Any]:
        """An open CDP connection to the browser, or to one page of it. Frames come as bytes, of any size, not compressed.

        ``base`` is where the client came in, for links that he asks for over CDP.
        """
        path = agentapi.CDP if target is None else agentapi.CDP_PAGE.format(target=target)
        with _named(party):
            try:
                async with asyncio.timeout(self._connect_timeout + 8):
                    return await self._client().ws_connect(
                        yarl.URL(f"http://{party.address}{path}", encoded=True),
                        headers={**self._headers(party), agentapi.BASE: base} if base else self._headers(party),
                        max_msg_size=0,
                        compress=0,
                        autoping=True,
                        decode_text=False,
                    )
            except aiohttp.WSServerHandshakeError as refusal:
                if refusal.status == 404 and target is not None:
                    raise errors.NotFound(f"Session {party.session_id} has no target {target}.") from refusal
                raise Untouched(
                    f"Browser {party.browser_id} refused the connection ({refusal.status}).", retry_after=1
                ) from refusal


@contextlib.contextmanager
def _named(party: Party) -> Any:
    """What the client library raises, as our own errors."""
    browser = party.browser_id
    try:
        yield
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        raise Untouched(f"Browser {browser} cannot be reached.", retry_after=1) from error
    except TimeoutError as error:
        raise errors.BrowserLost(
            f"Browser {browser} did not answer in time; its session is over.", retry_after=1
        ) from error
    except (aiohttp.ClientError, OSError) as error:
        raise errors.BrowserLost(f"Browser {browser} went away under the request.", retry_after=1) from error


async def _complaint(answer: aiohttp.ClientResponse) -> str:
    """The message of the agent's error envelope."""
    return envelope.message(await answer.read()) or f"The browser's agent answered {answer.status}."
