"""A router in this process, and stand-in agents: real servers on loopback that check claim tokens and fences, without a Chromium.

What a stand-in does with an action is the test's to choose (``Agent.does``); what it does with a CDP frame is to send it back.
"""

import asyncio
import collections
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import orjson
from aiohttp import web

from browserpool.lib import chance, clock, tasks
from browserpool.lib import web as lib_web
from browserpool.model import agentapi, browsers, credentials, errors, names, pool, tokens
from browserpool.model import terms as session_terms
from browserpool.model.wire import envelope
from browserpool.router import app, settings
from browserpool.store import browsers as browser_rows
from browserpool.store import connect, pools
from browserpool.store import tokens as token_rows
from support import waiting

SIGNING_KEY = "a-key-of-the-tests-own-0123456789"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)

Does = Callable[["Agent", web.Request], Awaitable[web.StreamResponse]]


async def answers_png(_: "Agent", request: web.Request) -> web.StreamResponse:
    """What a healthy agent does with a screenshot."""
    await request.read()
    return web.Response(body=PNG, content_type="image/png", headers={agentapi.BROWSER_MS_USED: "12"})


def answers(body: bytes, *, content_type: str = "image/png", status: int = 200, **headers: str) -> Does:
    async def act(_: "Agent", request: web.Request) -> web.StreamResponse:
        await request.read()
        return web.Response(body=body, content_type=content_type, status=status, headers=headers)

    return act


def refuses(error: errors.BrowserpoolError) -> Does:
    async def act(_: "Agent", request: web.Request) -> web.StreamResponse:
        await request.read()
        return lib_web.json_response(
            envelope.failure(error), status=error.status, headers=envelope.failure_headers(error)
        )

    return act


async def dies(agent: "Agent", request: web.Request) -> web.StreamResponse:
    """The agent's process is gone in the middle of an action."""
    await request.read()
    agent.vanish()
    assert request.transport is not None
    request.transport.abort()
    await asyncio.sleep(30)
    raise AssertionError("cancelled before")


@dataclasses.dataclass(kw_only=True)
class Agent:
    """One browser's agent. ``gate``: actions wait until it is set; ``running`` counts those that do."""

    browser_id: names.BrowserId
    router_url: str
    client: aiohttp.ClientSession
    database: str = ""
    """The one that its browser is registered in, as a region names it."""
    does: Does = answers_png
    product: str = "Chrome/156.0.0.0"
    gate: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)
    running: int = 0
    served: list[tuple[str, bytes]] = dataclasses.field(default_factory=list)
    sessions: list[str] = dataclasses.field(default_factory=list)
    terms: list[session_terms.Terms] = dataclasses.field(default_factory=list)
    """Of each claim token that was shown for work."""
    targets: list[str] = dataclasses.field(default_factory=lambda: ["PAGE1"])
    sockets: set[web.WebSocketResponse] = dataclasses.field(default_factory=set)
    overlapping: bool = False
    dirty: bool = False
    """What it says to END: not clean."""
    gone: bool = False
    fence: int = 0
    ended: int = -1
    incarnation: int = 0
    sequence: int = 0
    address: str = ""
    _runner: web.AppRunner | None = None
    _beats: "asyncio.Task[None] | None" = None
    _works: "set[asyncio.Task[web.StreamResponse]]" = dataclasses.field(default_factory=set)

    # ------------------------------------------------------------ its life

    async def start(self, background: tasks.Background) -> None:
        self.gate.set()
        application = web.Application(client_max_size=60 * 1024 * 1024)
        application.router.add_post(agentapi.ACTION, self._action)
        application.router.add_get(agentapi.CDP, self._cdp)
        application.router.add_get(agentapi.CDP_PAGE, self._cdp)
        application.router.add_route("*", agentapi.CHROME_JSON, self._json)
        application.router.add_post(agentapi.END, self._end)
        self._runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.address = f"127.0.0.1:{self._runner.addresses[0][1]}"
        await self.hello()
        await self.beat()
        self._beats = background.spawn(self._keep_beating(), name=f"heartbeats of {self.browser_id}")

    async def stop(self) -> None:
        if self._beats is not None:
            self._beats.cancel()
        if self._runner is not None:
            await self._runner.cleanup()

    def vanish(self) -> None:
        """As if killed: nothing answers at its address any more, and no heartbeat comes."""
        self.gone = True
        if self._beats is not None:
            self._beats.cancel()
        assert self._runner is not None
        for site in self._runner.sites:
            site._server.close()  # type: ignore[attr-defined]
        assert self._runner.server is not None
        for connection in self._runner.server.connections:
            if connection.transport is not None:
                connection.transport.abort()

    def drop_connections(self, how: str = "close") -> None:
        """End the connections that are open, by ``close`` or ``abort``; new ones are taken."""
        assert self._runner is not None
        assert self._runner.server is not None
        for connection in self._runner.server.connections:
            if connection.transport is not None:
                getattr(connection.transport, how)()

    def _bearer(self) -> dict[str, str]:
        token = credentials.agent_token(signing_key=SIGNING_KEY, browser_id=self.browser_id)
        return {"Authorization": f"Bearer {token}", agentapi.DATABASE: self.database}

    async def hello(self) -> None:
        word = {"browser_id": self.browser_id, "address": self.address, "chromium": self.product}
        async with self.client.post(
            self.router_url + agentapi.ROUTER_HELLO, json=word, headers=self._bearer()
        ) as answer:
            assert answer.status == 200, await answer.text()
            welcome = await answer.json()
        self.incarnation, self.fence, self.sequence = welcome["incarnation"], welcome["fence"], 0
        self.ended = self.fence

    async def beat(self, *, healthy: bool = True) -> dict[str, Any]:
        self.sequence += 1
        word = {
            "browser_id": self.browser_id,
            "incarnation": self.incarnation,
            "sequence": self.sequence,
            "healthy": healthy,
            "clean_fence": self.ended,
        }
        async with self.client.post(
            self.router_url + agentapi.ROUTER_HEARTBEAT, json=word, headers=self._bearer()
        ) as answer:
            reply: dict[str, Any] = await answer.json()
            if answer.status == 200 and reply["recycle"]:
                if reply["fence"] >= self.fence:
                    for work in tuple(self._works):
                        work.cancel()
                self.fence = self.ended = max(self.fence, reply["fence"])
            return reply

    async def _keep_beating(self) -> None:
        async def once() -> None:
            with contextlib.suppress(aiohttp.ClientError, OSError):
                await self.beat()

        await tasks.periodically(once, every=0.3, name="beat")

    # ------------------------------------------------------------ its door

    def _claim(self, request: web.Request) -> credentials.ClaimToken:
        text = request.headers.get("Authorization", "").removeprefix("Bearer ") or request.query.get("token", "")
        key = credentials.claim_key(signing_key=SIGNING_KEY, browser_id=self.browser_id)
        token = credentials.verify(text, key=key, browser_id=self.browser_id, now=clock.wall().timestamp())
        if token.fence < self.fence or token.fence <= self.ended:
            raise errors.StaleFence("the claim is older than the newest")
        if token.fence == self.fence and self.sessions[-1:] != [token.session_id]:
            raise errors.StaleFence("the fence is another session's")
        if token.fence > self.fence:
            self.sessions.append(token.session_id)
            for work in tuple(self._works):
                work.cancel()
        self.fence = token.fence
        self.terms.append(token.terms)
        return token

    def _let_in(self, request: web.Request) -> web.Response | None:
        try:
            self._claim(request)
        except errors.BrowserpoolError as error:
            return lib_web.json_response(envelope.failure(error), status=error.status)
        return None

    async def _action(self, request: web.Request) -> web.StreamResponse:
        if (refusal := self._let_in(request)) is not None:
            await request.read()
            return refusal
        if superseded := {work for work in self._works if work.cancelling()}:
            await asyncio.wait(superseded)
        self.served.append((request.match_info["action"], await request.read()))
        async with tasks.beside(self._work(request), name="work") as work:
            self._works.add(work)
            try:
                return await work
            except asyncio.CancelledError:
                if not work.cancelled() or (this := asyncio.current_task()) is None or this.cancelling():
                    raise
                return lib_web.json_response(envelope.failure(errors.StaleFence("the session has ended")), status=409)
            finally:
                self._works.discard(work)

    async def _work(self, request: web.Request) -> web.StreamResponse:
        self.running += 1
        self.overlapping = self.overlapping or self.running > 1
        try:
            await self.gate.wait()
            return await self.does(self, request)
        finally:
            self.running -= 1

    async def _cdp(self, request: web.Request) -> web.StreamResponse:
        if (refusal := self._let_in(request)) is not None:
            return refusal
        target = request.match_info.get("target")
        if target is not None and target not in self.targets:
            return lib_web.json_response(envelope.failure(errors.NotFound("no such target")), status=404)
        socket = web.WebSocketResponse(max_msg_size=0, compress=False)
        await socket.prepare(request)
        self.sockets.add(socket)
        try:
            async for message in socket:
                if message.type is aiohttp.WSMsgType.TEXT and "Browser.close" in message.data:
                    await socket.close()
                elif message.type is aiohttp.WSMsgType.TEXT:
                    await socket.send_str(message.data)
                else:
                    await socket.send_bytes(message.data)
        finally:
            self.sockets.discard(socket)
        return socket

    async def _json(self, request: web.Request) -> web.StreamResponse:
        if (refusal := self._let_in(request)) is not None:
            return refusal
        rest, port = request.match_info["rest"], self.address
        if rest == "version":
            return lib_web.json_response(
                {"Browser": self.product, "webSocketDebuggerUrl": f"ws://{port}/devtools/browser/b1"}
            )
        if rest == "list":
            return lib_web.json_response([self._entry(target) for target in self.targets])
        if rest == "new":
            assert request.method == "PUT"
            self.targets.append(f"PAGE{len(self.targets) + 1}")
            return lib_web.json_response(self._entry(self.targets[-1], url=request.query_string))
        what, _, target = rest.partition("/")
        if target not in self.targets:
            return web.Response(text=f"No such target id: {target}", status=404)
        if what == "close":
            self.targets.remove(target)
        return web.Response(text="Target is closing" if what == "close" else "Target activated")

    def _entry(self, target: str, *, url: str = "about:blank") -> dict[str, str]:
        where = f"{self.address}/devtools/page/{target}"
        return {
            "id": target,
            "type": "page",
            "url": url,
            "devtoolsFrontendUrl": f"https://chrome-devtools-frontend.appspot.com/x/inspector.html?ws={where}",
            "webSocketDebuggerUrl": f"ws://{where}",
        }

    async def _end(self, request: web.Request) -> web.StreamResponse:
        text = request.headers.get("Authorization", "").removeprefix("Bearer ")
        key = credentials.claim_key(signing_key=SIGNING_KEY, browser_id=self.browser_id)
        token = credentials.verify(text, key=key, browser_id=self.browser_id, now=clock.wall().timestamp())
        if token.fence < self.fence:
            return lib_web.json_response(envelope.failure(errors.StaleFence("older")), status=409)
        self.fence = token.fence
        for socket in list(self.sockets):
            await socket.close()
        if not self.dirty:
            self.ended = token.fence
        return lib_web.json_response({agentapi.CLEAN: not self.dirty, agentapi.GIVE_UP: False})


@dataclasses.dataclass(kw_only=True)
class Rig:
    """A router, its store, and the agents of its pools."""

    running: app.Running
    database: connect.Database
    client: aiohttp.ClientSession
    background: tasks.Background
    secret: str = ""
    agents: list[Agent] = dataclasses.field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://{self.running.address}"

    @property
    def ws(self) -> str:
        return f"ws://{self.running.address}"

    def bearer(self, secret: str | None = None) -> dict[str, str]:
        return {"Authorization": f"Bearer {secret or self.secret}"}

    async def make_token(self, name: str = "tester", **rules: Any) -> str:
        """A new token's secret."""
        secret = chance.secret()
        token = tokens.Token(name=names.TokenName(name), hash=credentials.hashed(secret), **rules)
        await token_rows.put(self.database, token)
        await self.running.services.catalog.reload()
        return secret

    async def make_pool(self, name: str = "small", *, browsers_: int = 1, **spec: Any) -> list[Agent]:
        """A pool with so many browsers, all ready."""
        manifest = pool.BrowserPool(
            metadata=pool.Metadata(name=name), spec=pool.PoolSpec.model_validate({"replicas": browsers_, **spec})
        )
        await pools.put(self.database, manifest)
        await self.running.services.catalog.reload()
        made = [await self.make_agent(manifest, ordinal) for ordinal in range(browsers_)]
        await self.until_ready(name, browsers_)
        return made

    async def respec(self, name: str = "small", **spec: Any) -> None:
        """Another spec for a pool that is there, with as many browsers as it has."""
        number = sum(agent.browser_id.startswith(f"{name}-") for agent in self.agents)
        manifest = pool.BrowserPool(
            metadata=pool.Metadata(name=name), spec=pool.PoolSpec.model_validate({"replicas": number, **spec})
        )
        await pools.put(self.database, manifest)
        await self.running.services.catalog.reload()

    async def make_agent(
        self,
        manifest: pool.BrowserPool,
        ordinal: int,
        *,
        region: str | None = None,
        database: tuple[str, connect.Database] | None = None,
    ) -> Agent:
        where = names.RegionName(region or manifest.spec.regions[0].name)
        browser_id = names.browser_id(pool=manifest.name, region=where, ordinal=ordinal)
        database_name, db = database or ("", self.database)
        await browser_rows.register(
            db,
            browsers.Registration(
                browser_id=browser_id,
                pool=manifest.name,
                region=where,
                zone=names.ZoneName(f"zone-{ordinal % 2}"),
                node=names.NodeName(f"node-{ordinal}"),
                template_hash="t",
            ),
        )
        agent = Agent(browser_id=browser_id, router_url=self.url, client=self.client, database=database_name)
        await agent.start(self.background)
        self.agents.append(agent)
        return agent

    async def states(self, pool_name: str = "small") -> dict[str, int]:
        counted: collections.Counter[str] = collections.Counter()
        for one in await browser_rows.counts(self.database):
            if one.pool == pool_name:
                counted[str(one.state)] += one.number
        return dict(counted)

    async def until_ready(self, pool_name: str = "small", number: int = 1) -> None:
        async def whole() -> bool:
            return await self.states(pool_name) == ({"ready": number} if number else {})

        await waiting.until(whole, deadline=10)

    async def post(self, path: str, body: object = None, *, secret: str | None = None, **kwargs: Any) -> "Answer":
        headers = {**self.bearer(secret), **kwargs.pop("headers", {})}
        async with self.client.post(self.url + path, json=body, headers=headers, **kwargs) as answer:
            return Answer(status=answer.status, headers=dict(answer.headers), body=await answer.read())

    async def request(self, method: str, path: str, *, secret: str | None = None, **kwargs: Any) -> "Answer":
        headers = {**self.bearer(secret), **kwargs.pop("headers", {})}
        async with self.client.request(method, self.url + path, headers=headers, **kwargs) as answer:
            return Answer(status=answer.status, headers=dict(answer.headers), body=await answer.read())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def message(self) -> str:
        return str(self.json["errors"][0]["message"])


def config(dsn: str, **changes: Any) -> settings.RouterSettings:
    """A router's settings for a test: everything periodic goes fast."""
    defaults: dict[str, Any] = {
        "dsn": dsn,
        "signing_key": SIGNING_KEY,
        "port": 0,
        "ops_port": 0,
        "catalog_reload": 0.2,
        "renew_interval": 0.1,
        "expire_interval": 0.1,
        "status_reload": 0.1,
        "usage_interval": 0.1,
        "max_batch_timeout": 0.05,
        "poll_first": 0.02,
        "poll_most": 0.1,
        "connect_timeout": 1.0,
        "drain_timeout": 60.0,
        "cdp_drain_timeout": 0.1,
        # A request that is sent twice is to be done twice, unless the cache is what a test is about.
        "cache": "off",
    }
    return settings.RouterSettings(**{**defaults, **changes})


@contextlib.asynccontextmanager
async def rig(dsn: str, database: connect.Database, **changes: Any) -> AsyncIterator[Rig]:
    """A router that serves, with one token that may do everything with every pool."""
    agents: list[Agent] = []
    async with aiohttp.ClientSession() as client, tasks.Background(grace=0.1) as background:
        try:
            async with app.running(config(dsn, **changes)) as running:
                made = Rig(running=running, database=database, client=client, background=background, agents=agents)
                made.secret = await made.make_token()
                yield made
        finally:
            # After the router, which ends what sessions are left at agents that still answer.
            for agent in agents:
                await agent.stop()
