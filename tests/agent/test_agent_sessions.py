"""A real agent over HTTP: who is let in, what END does, what passes from one session to the next."""

import asyncio
import datetime
import json
import signal
import socketserver
import struct
from socket import SO_LINGER, SOL_SOCKET

import pytest
from aiohttp import WSMsgType, WSServerHandshakeError

from browserpool.model import agentapi
from browserpool.model.names import BrowserId
from support import agents, site, waiting

CONTENT = "/v1/actions/content"
HTML = {"html": "<p>hello</p>"}
EXPIRED = agents.DATABASE_NOW - datetime.timedelta(seconds=1)


class Client:
    """A CDP client on one WebSocket."""

    def __init__(self, socket):
        self.socket = socket
        self._number = 0

    async def call(self, method, session=None, **params):
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        await self.socket.send_str(json.dumps(message if session is None else message | {"sessionId": session}))
        while True:
            answer = await self.socket.receive(timeout=30)
            assert answer.type is WSMsgType.TEXT, answer
            if (said := json.loads(answer.data)).get("id") == self._number:
                assert "error" not in said, said
                return said["result"]

    async def pages(self):
        return [each for each in (await self.call("Target.getTargets"))["targetInfos"] if each["type"] == "page"]

    async def open_page(self, url):
        target = (await self.call("Target.createTarget", url="about:blank"))["targetId"]
        session = (await self.call("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        await self.call("Page.enable", session)
        await self.call("Page.navigate", session, url=url)
        return target, session

    async def arrive(self, session, url):
        here = f"location.href === '{url}' && document.readyState === 'complete'"
        await waiting.until(lambda: self.evaluate(session, here))

    async def evaluate(self, session, expression):
        answer = await self.call("Runtime.evaluate", session, expression=expression, returnByValue=True)
        return answer["result"].get("value")


@pytest.mark.parametrize(
    ("token", "status"),
    [
        pytest.param("nonsense", 401, id="unsigned"),
        pytest.param(agents.token(2**40, key="another"), 401, id="signed with another key"),
        pytest.param(agents.token(2**40, browser=BrowserId("other-browser-0")), 401, id="for another browser"),
        pytest.param(agents.token(2**40, expires=EXPIRED), 401, id="expired on the database's clock"),
        pytest.param(agents.token(agents.FIRST_FENCE - 1), 409, id="older"),
        pytest.param(agents.token(2**40, kind="cdp"), 403, id="for CDP"),
    ],
)
async def test_refused(agent, token, status):
    answered, body = await agent.post(CONTENT, token, HTML)
    assert answered == status
    assert body["success"] is False
    assert len(body["errors"]) == 1
    if status != 403:
        assert (await agent.end(token))[0] == status
    with pytest.raises(WSServerHandshakeError):
        async with agent.cdp(agents.token(2**40, kind="action") if status == 403 else token):
            pass


async def test_a_session_from_before_this_agent_is_over(agent):
    token = agents.token(agents.FIRST_FENCE)
    assert (await agent.post(CONTENT, token, HTML))[0] == 409
    assert await agent.end(token) == (200, {"clean": True, "gone": False})


async def test_without_a_token_only_probes_answer(agent):
    for method, path in (("POST", CONTENT), ("GET", agentapi.CDP), ("GET", "/v1/json/list"), ("POST", agentapi.END)):
        async with agent.http.request(method, agent.url + path) as answer:
            assert answer.status == 401


async def test_an_address_that_is_none_answers_with_an_envelope(agent):
    async with agent.http.get(agent.url + "/v1/nothing") as answer:
        assert answer.status == 404
        assert (await answer.json())["success"] is False


async def test_an_action_and_its_end(agent, fences, router):
    token = agents.token(next(fences))
    status, body = await agent.post(CONTENT, token, HTML)
    assert (status, "hello" in body["result"]) == (200, True)
    for _ in range(2):
        assert await agent.end(token) == (200, {"clean": True, "gone": False})
    assert (await agent.post(CONTENT, token, HTML))[0] == 409
    await waiting.until(lambda: router.newest["clean_fence"] == agents.FIRST_FENCE + 1)
    assert router.newest["restarts"] == 0
    assert router.newest["uses"] == 1


async def test_a_session_that_was_never_used_ends_clean_at_once(agent, fences):
    assert await agent.end(agents.token(next(fences))) == (200, {"clean": True, "gone": False})


async def test_after_so_many_sessions_chromium_restarts(router, tmp_path, fences):
    async with agents.agent(router, tmp_path, recycle_after=3) as agent:
        groups = []
        for _ in range(4):
            token = agents.token(next(fences))
            assert (await agent.post(CONTENT, token, HTML))[0] == 200
            groups.append(agent.group)
            assert (await agent.end(token))[1]["clean"]
        assert groups[0] == groups[1] == groups[2] != groups[3]


async def test_after_a_cdp_session_no_page_is_made_ahead_until_an_action_comes(agent, fences):
    async def pages():
        [said] = agent.base.rglob("DevToolsActivePort")
        port = said.read_text().splitlines()[0]
        async with agent.http.get(f"http://127.0.0.1:{port}/json/list") as answer:
            return len([one for one in await answer.json() if one["type"] == "page"])

    async def are(number):
        return await pages() == number

    await waiting.until(lambda: are(2))  # Chromium's own, and the one made ahead
    token = agents.token(next(fences), kind="cdp")
    async with agent.cdp(token) as socket:
        assert len(await Client(socket).pages()) == 1
    assert (await agent.end(token))[1]["clean"]
    assert await pages() == 1
    async with agent.cdp(again := agents.token(next(fences), kind="cdp")) as socket:
        assert len(await Client(socket).pages()) == 1
    assert (await agent.end(again))[1]["clean"]
    assert (await agent.post(CONTENT, agents.token(next(fences)), HTML))[0] == 200
    await waiting.until(lambda: are(2))


async def test_two_pages_and_a_reconnection_that_finds_them(agent, fences):
    token = agents.token(next(fences), kind="cdp")
    async with agent.cdp(token) as socket:
        client = Client(socket)
        assert [page["url"] for page in await client.pages()] == ["about:blank"]
        for title in ("one", "two"):
            url = f"data:text/html,<title>{title}</title>"
            _, page = await client.open_page(url)
            await client.arrive(page, url)
    async with agent.cdp(token) as socket, agent.cdp(token) as second:
        client = Client(socket)
        assert {page["title"] for page in await client.pages()} >= {"one", "two"}
        assert len(await Client(second).pages()) == 3


async def test_one_pages_own_endpoint(agent, fences):
    token = agents.token(next(fences), kind="cdp")
    async with agent.http.get(agent.url + "/v1/json/list", headers=agents.bearer(token)) as answer:
        [page] = await answer.json()
    async with agent.cdp(token, f"/v1/cdp/page/{page['id']}") as socket:
        assert await Client(socket).evaluate(None, "1 + 1") == 2
    with pytest.raises(WSServerHandshakeError) as refused:
        async with agent.cdp(token, "/v1/cdp/page/NONE"):
            pass
    assert refused.value.status == 404


async def test_a_websockets_token_may_stand_in_its_address(agent, fences):
    fence = next(fences)
    async with agent.http.ws_connect(f"{agent.url}{agentapi.CDP}?token={agents.token(fence, kind='cdp')}") as socket:
        assert (await Client(socket).call("Browser.getVersion"))["product"]
    for wrong in ("?token=", "?token=nonsense", f"?token={agents.token(fence - 1, kind='cdp')}", ""):
        with pytest.raises(WSServerHandshakeError) as refused:
            async with agent.http.ws_connect(f"{agent.url}{agentapi.CDP}{wrong}"):
                pass
        assert refused.value.status in (401, 409)
    # Nowhere else: other clients can set a header, and addresses end up in logs.
    async with agent.http.post(f"{agent.url}{agentapi.END}?token={agents.token(fence, kind='cdp')}") as answer:
        assert answer.status == 401


async def test_chromes_own_json(agent, fences):
    headers = agents.bearer(agents.token(next(fences), kind="cdp"))
    async with agent.http.get(agent.url + "/v1/json/version", headers=headers) as answer:
        assert "webSocketDebuggerUrl" in await answer.json()
    async with agent.http.put(agent.url + "/v1/json/new?about:blank%23x", headers=headers) as answer:
        assert (await answer.json())["url"] == "about:blank#x"
    async with agent.http.get(agent.url + "/v1/json/list", headers=headers) as answer:
        assert len(await answer.json()) == 2


async def test_nothing_of_a_cdp_session_reaches_the_next(router, tmp_path, fences):
    set_it = "localStorage.setItem('k', 'v'); document.cookie = 'c=1; max-age=1000'; 'set'"
    read_it = "[localStorage.getItem('k'), document.cookie]"
    async with agents.site() as site, agents.agent(router, tmp_path, egress_allow=["127.0.0.0/8"]) as agent:
        seen = []
        for expression in (set_it, read_it):
            token = agents.token(next(fences), kind="cdp")
            async with agent.cdp(token) as socket:
                client = Client(socket)
                _, page = await client.open_page(site)
                await client.arrive(page, site)
                seen.append(await client.evaluate(page, expression))
                seen.append(len(await client.pages()))
            assert await agent.end(token) == (200, {"clean": True, "gone": False})
        assert seen == ["set", 2, [None, ""], 2]


@pytest.mark.parametrize("forgotten", [False, True])
async def test_a_worker_that_chromium_forgot_is_not_shown_to_a_cdp_client(router, tmp_path, fences, forgotten):
    """Of many contexts with service workers, Chromium keeps a worker now and then: one that a connection of the test's own makes."""
    async with site.running() as web, agents.agent(router, tmp_path, egress_allow=["127.0.0.0/8"]) as agent:
        action = agents.token(next(fences))
        assert (await agent.post(CONTENT, action, HTML))[0] == 200
        assert (await agent.end(action))[1]["clean"]
        group = agent.group
        if forgotten:
            await leave_a_worker(agent, web)
        async with agent.cdp(agents.token(next(fences), kind="cdp")) as socket:
            targets = (await Client(socket).call("Target.getTargets"))["targetInfos"]
        assert {one["type"] for one in targets} == {"page"}
        assert (agent.group != group) == forgotten


async def leave_a_worker(agent, web):
    [said] = agent.base.rglob("DevToolsActivePort")
    port, path = said.read_text().split()
    async with agent.http.ws_connect(f"ws://127.0.0.1:{port}{path}", max_msg_size=0) as socket:
        client = Client(socket)
        target, page = await client.open_page(web.url("/small"))
        await client.arrive(page, web.url("/small"))
        ready = "navigator.serviceWorker.register('/worker.js').then(() => navigator.serviceWorker.ready).then(() => 'ready')"
        await waiting.until(lambda: has_evaluated(client, page, ready, "ready"))
        await client.call("Target.closeTarget", targetId=target)


async def has_evaluated(client, page, expression, wanted):
    answer = await client.call("Runtime.evaluate", page, expression=expression, awaitPromise=True, returnByValue=True)
    return answer["result"].get("value") == wanted


async def test_a_big_message_passes_the_bridge(agent, fences):
    async with agent.cdp(agents.token(next(fences), kind="cdp")) as socket:
        client = Client(socket)
        _, page = await client.open_page("about:blank")
        text = await client.evaluate(page, "'x'.repeat(40_000_000)")
        assert len(text) == 40_000_000
        sent = "y" * 5_000_000
        assert await client.evaluate(page, f"'{sent}'.length") == len(sent)


async def test_the_end_of_a_session_closes_its_connections(agent, fences):
    token = agents.token(next(fences), kind="cdp")
    async with agent.cdp(token) as socket:
        await Client(socket).pages()
        assert (await agent.end(token))[1]["clean"]
        async with asyncio.timeout(10):
            assert (await socket.receive()).type in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.CLOSING)
    with pytest.raises(WSServerHandshakeError) as refused:
        async with agent.cdp(token):
            pass
    assert refused.value.status == 409


async def test_a_higher_fence_takes_the_browser_clean(agent, fences):
    older, newer = agents.token(next(fences), kind="cdp"), agents.token(next(fences), kind="cdp")
    async with agent.cdp(older) as socket:
        await Client(socket).open_page("data:text/html,<title>left</title>")
        async with agent.cdp(newer) as taken:
            assert [page["url"] for page in await Client(taken).pages()] == ["about:blank"]
        async with asyncio.timeout(10):
            while (await socket.receive()).type is WSMsgType.TEXT:
                pass
    assert (await agent.end(older))[0] == 409


async def test_the_stores_word_ends_a_session(agent, fences, router):
    fence = next(fences)
    async with agent.cdp(agents.token(fence, kind="cdp")) as socket:
        await Client(socket).pages()
        router.fence, router.recycle = fence, True
        async with asyncio.timeout(15):
            while (await socket.receive()).type is WSMsgType.TEXT:
                pass
    await waiting.until(lambda: router.newest["clean_fence"] == fence, deadline=20)
    assert router.newest["restarts"] == 1


async def test_with_recycle_delete_the_agent_goes_after_a_cdp_session(router, tmp_path, fences):
    async with agents.agent(router, tmp_path, recycle="Delete") as agent:
        action = agents.token(next(fences))
        assert (await agent.post(CONTENT, action, HTML))[0] == 200
        assert await agent.end(action) == (200, {"clean": True, "gone": False})
        token = agents.token(next(fences), kind="cdp")
        async with agent.cdp(token) as socket:
            await Client(socket).pages()
        assert await agent.end(token) == (200, {"clean": False, "gone": True})
        assert await asyncio.to_thread(agent.process.wait, 20) == 0
        assert agents.homes(agent.base) == set()


async def test_a_client_that_leaves_an_action_frees_the_browser(agent, fences, router):
    token = agents.token(next(fences))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await agent.post(CONTENT, token, HTML | {"waitForTimeout": 30_000})
    await waiting.until(lambda: router.newest["load"] == 0)
    assert await agent.end(token) == (200, {"clean": True, "gone": False})
    assert (await agent.post(CONTENT, agents.token(next(fences)), HTML))[0] == 200


async def test_pages_cannot_reach_the_agent_nor_chromiums_cdp(router, tmp_path, fences):
    async with agents.agent(router, tmp_path, egress_allow=["127.0.0.0/8"]) as agent:
        token = agents.token(next(fences), kind="cdp")
        async with agent.http.get(agent.url + "/v1/json/version", headers=agents.bearer(token)) as answer:
            port = (await answer.json())["webSocketDebuggerUrl"].split("/")[2].rpartition(":")[2]
        async with agent.cdp(token) as socket, agents.site() as site:
            client = Client(socket)
            _, page = await client.open_page(site)
            await client.arrive(page, site)
            for address in (f"127.0.0.1:{port}", f"localhost:{port}", agent.address):
                fetched = await client.call(
                    "Runtime.evaluate",
                    page,
                    expression=f"fetch('http://{address}/', {{mode: 'no-cors'}}).then(() => 'reached', () => 'refused')",
                    awaitPromise=True,
                    returnByValue=True,
                )
                assert fetched["result"]["value"] == "refused", address


async def test_a_step_of_the_machines_clock_changes_nothing(agent, fences):
    """The database's clock stands years off this machine's in these tests, and tokens are good all the same."""
    soon = agents.DATABASE_NOW + datetime.timedelta(seconds=60)
    assert (await agent.post(CONTENT, agents.token(next(fences), expires=soon), HTML))[0] == 200


async def test_a_client_that_vanishes_leaves_no_connection_behind(agent, fences, router):
    async with agent.cdp(agents.token(next(fences), kind="cdp")) as socket:
        await Client(socket).pages()
        await waiting.until(lambda: router.newest["load"] == 1)
        socket.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        socket._response.connection.transport.abort()
        await waiting.until(lambda: router.newest["load"] == 0)


async def test_a_client_that_does_not_read_fills_nobodys_memory(agent, fences):
    """Chromium is slowed down instead: 125 MB wait there, not in the agent, which has some 55 of its own."""
    async with agent.cdp(agents.token(next(fences), kind="cdp")) as socket:
        client = Client(socket)
        _, page = await client.open_page("about:blank")
        for number in range(25):
            params = {"expression": "'x'.repeat(5_000_000)", "returnByValue": True}
            message = {"id": 1000 + number, "method": "Runtime.evaluate", "sessionId": page, "params": params}
            await socket.send_str(json.dumps(message))
        sizes = []
        await waiting.until(lambda: sizes.append(agent.memory("VmRSS")) or len(set(sizes[-30:])) == 1 < len(sizes))
        seen = 0
        while seen < 25:
            seen += json.loads((await socket.receive(timeout=30)).data).get("id", 0) >= 1000
        assert agent.memory("VmHWM") < 125_000_000


async def test_no_udp_leaves_a_page(router, tmp_path, fences):
    """WebRTC asks a STUN server over UDP, which no proxy here carries; the address it would learn is the pod's."""
    with socketserver.UDPServer(("127.0.0.1", 0), None) as listener:
        listener.socket.setblocking(False)
        host, port = listener.server_address
        gather = f"""new Promise(done => {{
            const peer = new RTCPeerConnection({{iceServers: [{{urls: 'stun:{host}:{port}'}}]}});
            const found = [];
            peer.onicecandidate = event => event.candidate ? found.push(event.candidate.candidate) : done(found);
            peer.createDataChannel('x');
            peer.createOffer().then(offer => peer.setLocalDescription(offer));
        }})"""
        async with (
            agents.agent(router, tmp_path, egress_allow=["127.0.0.0/8"]) as agent,
            agents.site() as site,
            agent.cdp(agents.token(next(fences), kind="cdp")) as socket,
        ):
            client = Client(socket)
            _, page = await client.open_page(site)
            await client.arrive(page, site)
            answer = await client.call(
                "Runtime.evaluate", page, expression=gather, awaitPromise=True, returnByValue=True
            )
            assert answer["result"]["value"] == []
            with pytest.raises(BlockingIOError):
                listener.socket.recv(2048)


async def test_told_to_stop_it_ends_cdp_connections_after_its_grace(agent, fences):
    async with agent.cdp(agents.token(next(fences), kind="cdp")) as socket:
        await Client(socket).pages()
        agent.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            while (await socket.receive()).type is WSMsgType.TEXT:
                pass
    assert await asyncio.to_thread(agent.process.wait, 20) == 0
    assert agents.homes(agent.base) == set()
