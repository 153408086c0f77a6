"""The agent's URL table (``model.agentapi``): token, custody, work, answer; errors as the wire's envelope."""

import asyncio
import contextlib
import logging
import re
import urllib.parse
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import yarl
from aiohttp import web

from browserpool import metrics
from browserpool.agent import (
    actions,
    bridge,
    chromium,
    commands,
    custody,
    downloads,
    fetch,
    lines,
    links,
    screening,
    session,
    tokens,
)
from browserpool.agent.recording import records
from browserpool.lib import clock, tasks
from browserpool.lib import web as server
from browserpool.model import agentapi, errors
from browserpool.model.claims import SessionKind
from browserpool.model.credentials import ClaimToken
from browserpool.model.wire import crawl, envelope

log = logging.getLogger(__name__)

BODY_LIMIT = 64 * 1024 * 1024
"""Bytes. Routers refuse a client's body over 50 MB; this is the wall behind that one."""
CHROME_DEADLINE = 10.0
_FILE = re.compile(r"[A-Za-z0-9_./-]{1,300}")
_JSON_PREFIX = agentapi.CHROME_JSON.partition("{")[0]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Routes:
    """The handlers, and what they need."""

    def __init__(
        self,
        *,
        checker: tokens.Checker,
        keeper: custody.Custody,
        http: aiohttp.ClientSession,
        links_: links.Links,
        records_: records.Records,
        line: lines.Line,
    ) -> None:
        self._checker = checker
        self._links = links_
        self._records = records_
        self._custody = keeper
        self._http = http
        self._line = line

    def add_to(self, app: web.Application) -> None:
        """Add the routes to ``app``."""
        app.router.add_post(agentapi.ACTION, self.action)
        app.router.add_get(agentapi.CDP, self.cdp)
        app.router.add_get(agentapi.CDP_PAGE, self.cdp_page)
        app.router.add_get(agentapi.CHROME_JSON, self.chrome_json)
        app.router.add_put(agentapi.CHROME_JSON, self.chrome_json)
        app.router.add_get(agentapi.CHROME_DEVTOOLS, self.devtools)
        app.router.add_get(agentapi.DOWNLOADS, self.downloads)
        app.router.add_get(agentapi.DOWNLOAD, self.download)
        app.router.add_post(agentapi.END, self.end)

    async def action(self, request: web.Request) -> web.StreamResponse:
        """A quick action, in a context of its own."""
        token = self._token(request, SessionKind.ACTION)
        name = request.match_info["action"]
        body = await request.read()
        began = clock.monotonic()
        sending: asyncio.Task[None] | None = None
        async with contextlib.AsyncExitStack() as until_sent:
            try:
                async with self._custody.use(token, profile=False) as child, contextlib.AsyncExitStack() as context:
                    until_sent.callback(_refill_soon, child)
                    try:
                        response = await self._perform(name, body, child, context)
                    except errors.BrowserpoolError as error:
                        response = failure(error)
                    seconds = clock.monotonic() - began
                    metrics.AGENT_ACTION_SECONDS.labels(name, str(response.status)).observe(seconds)
                    response.headers[agentapi.BROWSER_MS_USED] = str(round(seconds * 1000))
                    # On its way while the page's context is disposed of. The session goes on until that is done.
                    sending = await until_sent.enter_async_context(
                        tasks.beside(_sent(request, response), name="answer")
                    )
            except errors.BrowserpoolError as error:
                if sending is None:
                    raise
                log.debug("a session ended while its page was cleared away", extra={"why": error.message})
            assert sending is not None, "whatever ended the block before was raised"
            await sending
        return response

    async def _perform(
        self, name: str, body: bytes, child: chromium.Chromium, context: contextlib.AsyncExitStack
    ) -> web.Response:
        """The answer; the page that it is of is gone when ``context`` ends."""
        if name == crawl.FETCH:
            answer = await fetch.perform(body, guard=child.guard)
        else:
            answer = await context.enter_async_context(actions.performed(name, body, browser=child.browser))
        return web.Response(
            body=answer.body, status=answer.status, content_type=answer.content_type, headers=answer.headers
        )

    async def cdp(self, request: web.Request) -> web.StreamResponse:
        """The browser's CDP endpoint."""
        return await self._bridge(request)

    async def cdp_page(self, request: web.Request) -> web.StreamResponse:
        """One page's CDP endpoint."""
        target = request.match_info["target"]
        return await self._bridge(request, target_id=target)

    async def _bridge(self, request: web.Request, *, target_id: str | None = None) -> web.StreamResponse:
        token = self._token(request, SessionKind.CDP, query=request.query.get("token"))
        downstream = bridge.accept()
        try:
            async with self._custody.use(token, profile=True) as child, tasks.Background(grace=0) as background:
                dropped = background.spawn(child.browser.drop_spare(), name="drop the spare")
                await self._records.ensure(token, child)
                upstream = await self._upstream(child, target_id)
                # The client opens its side meanwhile, but is not read before the spare is gone, and so cannot see it go.
                await downstream.prepare(request)
                desk = self._desk(request, token, child, target_id)
                await bridge.run(upstream, downstream, desk=desk, downloads=child.downloads, after=dropped)
        except errors.BrowserpoolError as error:
            if not downstream.prepared:
                raise
            log.info("a CDP connection ended: %s", error.message, extra={"session": token.session_id})
        return downstream

    async def _upstream(self, child: chromium.Chromium, target_id: str | None) -> bridge.Upstream:
        if target_id is None:
            return await self._line.upstream(child)
        return await bridge.connect(self._http, f"ws://{child.endpoint}/devtools/page/{target_id}")

    def _desk(
        self, request: web.Request, token: ClaimToken, child: chromium.Chromium, target_id: str | None
    ) -> commands.Desk:
        base = request.headers.get(agentapi.BASE, "")

        async def live_view(wish: dict[str, Any]) -> dict[str, Any]:
            return await self._links.ask(token.session_id, base=base, wish=wish)

        return commands.Desk(
            session_id=token.session_id,
            target_id=target_id,
            connection=child.browser.connection,
            handoffs=child.handoffs,
            live_view=live_view,
        )

    async def devtools(self, request: web.Request) -> web.StreamResponse:
        """A file of Chromium's own DevTools."""
        token = self._token(request, SessionKind.CDP)
        file = request.match_info["file"]
        if not _FILE.fullmatch(file) or ".." in file:
            raise errors.NotFound("DevTools have no such file.")
        async with self._custody.use(token, profile=False) as child:
            return await self._fetched(request.method, f"http://{child.endpoint}/devtools/{file}")

    async def chrome_json(self, request: web.Request) -> web.StreamResponse:
        """Chrome's own ``/json/…``."""
        token = self._token(request, SessionKind.CDP)
        if screening.is_local_file(urllib.parse.unquote(request.rel_url.raw_query_string)):
            raise errors.InvalidRequest("file: addresses are not opened; serve the file over HTTP.")
        async with self._custody.use(token, profile=True) as child:
            await child.browser.drop_spare()
            await self._records.ensure(token, child)
            # Handed on as it was written: what is decoded here could not be told from what the client encoded.
            asked = request.rel_url.raw_path_qs.removeprefix(_JSON_PREFIX)
            return await self._fetched(request.method, f"http://{child.endpoint}/json/{asked}")

    async def downloads(self, request: web.Request) -> web.StreamResponse:
        """What the session has downloaded."""
        async with self._custody.use(self._token(request, SessionKind.CDP), profile=True) as child:
            return server.json_response(await asyncio.to_thread(downloads.listing, child.downloads))

    async def download(self, request: web.Request) -> web.StreamResponse:
        """The bytes of one of them."""
        async with self._custody.use(self._token(request, SessionKind.CDP), profile=True) as child:
            file = await asyncio.to_thread(downloads.find, child.downloads, request.match_info["file"])
            response = web.FileResponse(file, headers={"Content-Disposition": "attachment"})
            # Sent here, and not after this handler: the file goes with the session.
            await response.prepare(request)
            return response

    async def _fetched(self, method: str, url: str) -> web.Response:
        """What Chromium's own server answers."""
        try:
            async with (
                asyncio.timeout(CHROME_DEADLINE),
                self._http.request(method, yarl.URL(url, encoded=True)) as answer,
            ):
                return web.Response(body=await answer.read(), status=answer.status, content_type=answer.content_type)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise errors.BrowserLost(f"Chromium does not answer over HTTP: {error!r}") from error

    async def end(self, request: web.Request) -> web.StreamResponse:
        """End the token's session; answers when the browser is clean, or cannot be made so."""
        clean = await self._custody.end(self._token(request, None))
        gone = self._custody.leaving.is_set()
        return server.json_response({agentapi.CLEAN: clean and not gone, agentapi.GIVE_UP: gone})

    def _token(self, request: web.Request, kind: SessionKind | None, *, query: str | None = None) -> ClaimToken:
        token = self._checker.check(request.headers.get("Authorization"), query)
        if kind is not None and token.kind != kind:
            raise errors.Forbidden(f"This claim token is for a session of kind {token.kind!r}, not {kind.value!r}.")
        return token


def _refill_soon(child: chromium.Chromium) -> None:
    """However the action ended. Not where a CDP client has come meanwhile: he would see a page that is not his."""
    if session.needs_spare(child.traces) and child.browser.connection.failure is None:
        child.browser.refill_soon()


async def _sent(request: web.Request, response: web.Response) -> None:
    await response.prepare(request)
    await response.write_eof()


def failure(error: errors.BrowserpoolError) -> web.Response:
    """``error`` as the wire has it."""
    return server.json_response(envelope.failure(error), status=error.status, headers=envelope.failure_headers(error))


@web.middleware
async def errors_as_envelopes(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever a handler raises becomes an envelope with its status."""
    try:
        return await handler(request)
    except errors.BrowserpoolError as error:
        return failure(error)
    except web.HTTPRequestEntityTooLarge:
        return failure(errors.TooLarge(f"The body is over {BODY_LIMIT // 1024**2} MB."))
    except web.HTTPException as error:
        return server.json_response(_envelope_of(error), status=error.status)
    except Exception:  # the last wall: the client gets an envelope, the log gets the rest
        log.exception("a request failed in a way that nobody foresaw", extra={"path": request.path})
        return failure(errors.BrowserpoolError("The agent failed; its log says why."))


def _envelope_of(error: web.HTTPException) -> dict[str, Any]:
    code = errors.Code.NOT_FOUND if error.status == 404 else errors.Code.BAD_REQUEST
    return envelope.failure(errors.BrowserpoolError(error.reason, code=code))
