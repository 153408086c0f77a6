"""A real Chromium behind the guard tries every way in; a canary on loopback must hear nothing unless it is allowed."""

import asyncio
import contextlib
import ipaddress

import pytest
import pytest_asyncio

from browserpool.agent.page import loading
from browserpool.model import errors
from support import pages, site, waiting

pytestmark = pytest.mark.asyncio(loop_scope="module")

DOOR = "127.0.0.2"
"""The one address of loopback that the pool allows: where the pages of these tests are served."""


class Canary:
    """A server on 127.0.0.1 that counts who comes, over TCP and UDP."""

    def __init__(self):
        self.heard = []
        self.port = 0
        self.udp_port = 0

    async def tcp(self, reader, writer):
        self.heard.append("tcp")
        with contextlib.suppress(ConnectionError):
            await reader.read(1000)
            writer.write(b"HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nContent-Length: 6\r\n\r\ncanary")
            await writer.drain()
        writer.close()

    def datagram_received(self, data, addr):
        self.heard.append("udp")

    def connection_made(self, transport): ...
    def connection_lost(self, exc): ...
    def error_received(self, exc): ...


@pytest_asyncio.fixture(loop_scope="module")
async def canary():
    made = Canary()
    server = await asyncio.start_server(made.tcp, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: made, local_addr=("127.0.0.1", 0))
    made.udp_port = transport.get_extra_info("sockname")[1]
    async with server:
        yield made
    transport.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def door():
    async with site.running(host=DOOR) as made:
        yield made


async def resolve(host):
    """``door.test`` is allowed, ``sneaky.test`` is loopback, ``mixed.test`` is both; the rest is as everywhere."""
    known = {"door.test": [DOOR], "sneaky.test": ["127.0.0.1"], "mixed.test": [DOOR, "127.0.0.1"]}
    if host in known:
        return tuple(ipaddress.ip_address(address) for address in known[host])
    return await pages.resolve(host)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stand():
    async with pages.stand(allow=[DOOR], resolver=resolve) as made:
        yield made


FORMS = (
    "127.0.0.1",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "anything.localhost",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "0",
    "0.0.0.0",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "127.0.0.1.",
    "%31%32%37.0.0.1",
    "①②⑦.⓪.⓪.①",
    "127。0。0。1",
    "sneaky.test",
    "mixed.test",
)


@pytest.mark.parametrize("host", FORMS)
async def test_no_form_of_loopback_is_reached(stand, canary, host):
    with pytest.raises(errors.PageFailed) as caught:
        await stand.content(url=f"http://{host}:{canary.port}/")
    assert caught.value.code in (errors.Code.INVALID_ADDRESS, errors.Code.DNS), caught.value.message
    assert canary.heard == []


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "224.0.0.1",
        "255.255.255.255",
    ],
)
async def test_private_and_metadata_addresses_are_refused(stand, address):
    with pytest.raises(errors.PageFailed) as caught:
        await stand.content(url=f"http://{address}/latest/meta-data/")
    assert caught.value.code == errors.Code.INVALID_ADDRESS, caught.value.message


async def test_a_redirect_does_not_lead_there(stand, door, canary):
    for host in ("127.0.0.1", "sneaky.test"):
        with pytest.raises(errors.PageFailed) as caught:
            await stand.content(url=door.url(f"/redirect?to=http://{host}:{canary.port}/", host="door.test"))
        assert caught.value.code == errors.Code.INVALID_ADDRESS
    assert canary.heard == []


async def test_a_redirect_is_told_by_where_it_led_even_if_that_is_heard_late(stand, door, canary, monkeypatch):
    # Which address failed is said by an event; on a machine that stalls it comes well after the answer that names the error.
    heard = loading.Milestones._navigated

    def late(milestones, params):
        asyncio.get_running_loop().call_later(1.0, heard, milestones, params)

    monkeypatch.setattr(loading.Milestones, "_navigated", late)
    with pytest.raises(errors.PageFailed) as caught:
        await stand.content(url=door.url(f"/redirect?to=http://127.0.0.1:{canary.port}/", host="door.test"))
    assert caught.value.code == errors.Code.INVALID_ADDRESS, caught.value.message


WAYS = """<title>working</title><body><script>(async () => {
  const target = 'HOST', tried = [];
  const attempt = async (name, work) => {
    const late = new Promise(done => setTimeout(done, 3000, 'late'));
    tried.push(name + ' ' + await Promise.race([work().then(() => 'through', () => 'refused'), late]));
  };
  const loaded = (tag, change) => new Promise((done, failed) => {
    const element = document.createElement(tag); element.onload = done; element.onerror = failed;
    change(element); document.body.append(element); });
  const http = 'http://' + target, ws = 'ws://' + target;
  await attempt('fetch', () => fetch(http + '/fetch', {mode: 'no-cors'}));
  await attempt('redirect', () => fetch('/redirect?to=' + http + '/redirected', {mode: 'no-cors'}));
  await attempt('xhr', () => new Promise((done, failed) => {
    const request = new XMLHttpRequest(); request.open('GET', http + '/xhr');
    request.onload = done; request.onerror = failed; request.send(); }));
  await attempt('img', () => loaded('img', e => e.src = http + '/img'));
  await attempt('script', () => loaded('script', e => e.src = http + '/script'));
  await attempt('style', () => loaded('link', e => { e.rel = 'stylesheet'; e.href = http + '/style'; }));
  await attempt('websocket', () => new Promise((done, failed) => {
    const socket = new WebSocket(ws + '/ws'); socket.onopen = done; socket.onerror = failed; }));
  await attempt('eventsource', () => new Promise((done, failed) => {
    const source = new EventSource(http + '/events'); source.onopen = done; source.onerror = failed; }));
  await attempt('worker', () => new Promise((done, failed) => {
    const source = `fetch('${http}/worker', {mode: 'no-cors'}).then(() => postMessage(1), () => postMessage(0))`;
    const worker = new Worker(URL.createObjectURL(new Blob([source])));
    worker.onmessage = event => event.data ? done() : failed(); }));
  navigator.sendBeacon(http + '/beacon', 'x');
  document.body.insertAdjacentHTML('beforeend',
    `<iframe src="${http}/iframe"></iframe><object data="${http}/object"></object><video src="${http}/video"></video>
     <link rel=prefetch href="${http}/prefetch"><link rel=preconnect href="${http}"><link rel=dns-prefetch href="//sneaky.test">
     <form id=f action="${http}/form" target=w></form>`);
  window.open(http + '/popup'); f.submit();
  try {
    const turn = {username: 'u', credential: 'c'};
    const peer = new RTCPeerConnection({iceServers: [{urls: 'stun:127.0.0.1:UDP'},
      {...turn, urls: 'turn:127.0.0.1:UDP?transport=udp'}, {...turn, urls: 'turn:127.0.0.1:TCP?transport=tcp'}]});
    peer.createDataChannel('x'); await peer.setLocalDescription(await peer.createOffer());
  } catch (error) { tried.push('webrtc ' + error.name); }
  try { await new WebTransport('https://127.0.0.1:UDP/').ready; } catch (error) { tried.push('webtransport refused'); }
  await new Promise(done => setTimeout(done, 700));
  document.title = tried.join(', ');
})().catch(error => document.title = 'failed: ' + error)</script>"""


async def try_all_ways(stand, door, canary, host):
    html = (
        WAYS.replace("HOST", f"{host}:{canary.port}")
        .replace("UDP", str(canary.udp_port))
        .replace("TCP", str(canary.port))
    )
    page = door.page(f"/ways-{host}", html).replace(DOOR, "door.test")
    wait = {"selector": "html[data-done]", "timeout": 40_000}
    watch = "setInterval(() => { if (document.title !== 'working') document.documentElement.dataset.done = 1 }, 20)"
    return (await stand.meta(url=page, addScriptTag=[{"content": watch}], waitForSelector=wait))["title"]


@pytest.mark.parametrize("host", ["127.0.0.1", "sneaky.test", "localhost"])
async def test_no_way_out_of_a_page_leads_there(stand, door, canary, host):
    tried = await try_all_ways(stand, door, canary, host)
    assert "through" not in tried
    assert tried.count("refused") == 10, tried
    assert canary.heard == []


async def test_where_the_pool_allows_it_they_all_do(door, canary):
    """The test of the test: the same page, with loopback allowed."""
    async with pages.stand(resolver=resolve) as open_stand:
        tried = await try_all_ways(open_stand, door, canary, "127.0.0.1")
        for way in ("fetch", "redirect", "xhr", "script", "style", "worker"):
            assert f"{way} through" in tried, tried
        assert canary.heard.count("tcp") > 5
        # SOCKS carries no UDP, and nothing goes around it.
        assert "udp" not in canary.heard


async def test_websockets_work_where_allowed(stand, door):
    html = f"""<title>working</title><script>const socket = new WebSocket('ws://door.test:{door.port}/socket');
      socket.onopen = () => socket.send('hello'); socket.onmessage = event => document.title = event.data;</script>"""
    meta = await stand.meta(url=door.page("/ws", html).replace(DOOR, "door.test"), waitForTimeout=500)
    assert meta["title"] == "echo hello"


async def test_an_answer_that_changes_after_the_check_changes_nothing(door, canary):
    """DNS rebinding: the first answer is allowed and the second is loopback; each connection is judged by its own."""
    answers = []

    async def rebinding(_host):
        answers.append(DOOR if not answers else "127.0.0.1")
        return (ipaddress.ip_address(answers[-1]),)

    async with pages.stand(allow=[DOOR], resolver=rebinding) as victim:
        html = f"""<title>working</title><script>fetch('http://rebind.test:{canary.port}/').then(
            () => document.title = 'through', () => document.title = 'refused')</script>"""
        page = door.page("/rebinding", html).replace(DOOR, "rebind.test")
        assert (await victim.meta(url=page, waitForTimeout=500))["title"] == "refused"
    assert answers[:2] == [DOOR, "127.0.0.1"]
    assert canary.heard == []


async def test_cdp_is_not_reached_even_where_loopback_is_allowed(door):
    async with pages.stand() as stand:
        port = int(stand.browser.connection.url.split(":")[2].split("/")[0])
        stand.guard.protect(port)
        for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]"):
            with pytest.raises(errors.PageFailed) as caught:
                await stand.content(url=f"http://{host}:{port}/json/version")
            assert caught.value.code == errors.Code.INVALID_ADDRESS
        html = f"""<title>working</title><script>fetch('http://127.0.0.1:{port}/json/version', {{mode: 'no-cors'}})
          .then(() => document.title = 'through', () => document.title = 'refused')</script>"""
        assert (await stand.meta(url=door.page("/cdp", html), waitForTimeout=300))["title"] == "refused"


async def test_connections_end_with_their_pages(door):
    async with pages.stand() as stand:
        await stand.content(url=door.url("/heavy"), gotoOptions={"waitUntil": "load"})
        await waiting.until(lambda: stand.guard.connections == 0, deadline=20)
