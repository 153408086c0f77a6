"""The recordings of this agent: begun with a session's first connection, finished with the Chromium that it ran in."""

import asyncio
import logging
from typing import Any, Final, Self

import aiohttp
import orjson

from browserpool.agent import chromium, settings
from browserpool.agent.recording import outbox, pages
from browserpool.lib import tasks
from browserpool.model import agentapi, credentials, errors, recordings
from browserpool.model.names import SessionId

log = logging.getLogger(__name__)

DEADLINE: Final = 15.0
GRACE: Final = 10.0
"""Seconds that an agent which stops takes to hand over what it has."""


class Records:
    """Used as an async context manager: on leaving, what runs is finished."""

    def __init__(self, *, http: aiohttp.ClientSession, wanted: settings.AgentSettings) -> None:
        self._http = http
        self._url = wanted.router_url.rstrip("/") + agentapi.ROUTER_RECORDING
        self._headers = wanted.headers
        self._browser_id = wanted.browser_id
        self._background = tasks.Background(grace=GRACE)
        self._running: dict[SessionId, chromium.Chromium] = {}
        self._outboxes: dict[SessionId, outbox.Outbox] = {}
        self._stopping = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping.set()
        await self._background.close()

    async def ensure(self, token: credentials.ClaimToken, child: chromium.Chromium) -> None:
        """Record the token's session in ``child`` from now on, if its terms say so and it is not recorded already."""
        session_id = token.session_id
        if not token.terms.recording or self._running.get(session_id) is child:
            return
        self._running[session_id] = child
        # A Chromium that died was another's: the session's parts are numbered on.
        box = self._outboxes.setdefault(session_id, outbox.Outbox(self._sender(session_id)))
        opened = pages.Pages(connection=child.browser.connection, tell=box.put)
        await opened.open()
        self._background.spawn(self._record(session_id, child, box, opened), name="record a session")

    async def _record(
        self, session_id: SessionId, child: chromium.Chromium, box: outbox.Outbox, opened: pages.Pages
    ) -> None:
        async with tasks.Background(grace=0) as background:
            sending = background.spawn(box.run(), name="send a recording")
            stopping = background.spawn(self._stopping.wait(), name="stop recording")
            ends: set[asyncio.Future[Any]] = {sending, stopping, child.gone}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            sending.cancel()
            await asyncio.wait({sending})
            await opened.close()
            await box.finish()
            # There may have been enough of it before; until its Chromium is gone nobody begins it anew.
            await asyncio.wait(ends - {sending}, return_when=asyncio.FIRST_COMPLETED)
        if child.gone.done() and self._running.get(session_id) is child:
            del self._running[session_id]
            self._forget_others(session_id)

    def _forget_others(self, session_id: SessionId) -> None:
        """The browser serves one session at a time: the outboxes of those before are of no use."""
        for other in set(self._outboxes) - set(self._running) - {session_id}:
            del self._outboxes[other]

    def _sender(self, session_id: SessionId) -> outbox.Send:
        async def send(part: recordings.Part) -> bool:
            return await self._sent(session_id, part)

        return send

    async def _sent(self, session_id: SessionId, part: recordings.Part) -> bool:
        said = {"browser_id": self._browser_id, "session_id": session_id, **recordings.plain(part)}
        timeout = aiohttp.ClientTimeout(total=DEADLINE)
        try:
            async with self._http.post(
                self._url, data=orjson.dumps(said), headers=self._headers, timeout=timeout
            ) as answer:
                body = await answer.read()
                if answer.status >= 500:
                    raise errors.Unavailable(f"The router answered {answer.status}.")
                return answer.status == 200 and bool(orjson.loads(body).get("more"))
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise errors.Unavailable(f"The router does not answer: {error!r}") from error
