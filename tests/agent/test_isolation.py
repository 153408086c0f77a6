"""Nothing passes from one caller to the next: what the first leaves behind, the second looks for."""

import asyncio

import pytest
import pytest_asyncio

from browserpool.model import errors
from support import pages, site, waiting

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stand():
    async with pages.stand() as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def web():
    async with site.running() as made:
        yield made


LEAVE = """<title>working</title><script>(async () => {
  document.cookie = 'left=cookie; max-age=3600';
  localStorage.setItem('left', 'local'); sessionStorage.setItem('left', 'session');
  await new Promise((done, failed) => {
    const opening = indexedDB.open('left', 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore('things').put('db', 'left');
    opening.onsuccess = () => { opening.result.close(); done(); }; opening.onerror = failed; });
  const cache = await caches.open('left'); await cache.put('/left', new Response('cached'));
  await navigator.serviceWorker.register('/worker.js');  await navigator.serviceWorker.ready;
  const root = await navigator.storage.getDirectory(); await root.getFileHandle('left', {create: true});
  new SharedWorker(URL.createObjectURL(new Blob(['onconnect = () => {}'])), 'left');
  window.name = 'left'; history.pushState(null, '', '?pushed');
  document.title = 'left everything'; DONE;
})().catch(error => { document.title = 'failed: ' + error; DONE })</script>"""

LOOK = """<title>working</title><script>(async () => {
  const found = [];
  if (document.cookie) found.push('cookie');
  if (localStorage.length) found.push('localStorage');
  if (sessionStorage.length) found.push('sessionStorage');
  if ((await indexedDB.databases()).length) found.push('indexedDB');
  if ((await caches.keys()).length) found.push('caches');
  if ((await navigator.serviceWorker.getRegistrations()).length) found.push('serviceWorker');
  for await (const name of (await navigator.storage.getDirectory()).keys()) found.push('file ' + name);
  if (window.name) found.push('name');
  if (history.length > 2) found.push('history');
  document.title = 'found: ' + found.join(); DONE;
})().catch(error => { document.title = 'failed: ' + error; DONE })</script>"""


DONE = "document.documentElement.dataset.done = 1"


async def title_of(stand, **body):
    """The title once the page's script is done."""
    return (await stand.meta(**body, waitForSelector={"selector": "html[data-done]", "timeout": 10_000}))["title"]


async def secure(web):
    """The address of a page whose origin counts as secure: loopback."""
    return web.page("/leave", LEAVE.replace("DONE", DONE)), web.page("/look", LOOK.replace("DONE", DONE))


async def test_what_one_caller_stores_the_next_does_not_find(stand, web):
    leave, look = await secure(web)
    assert await title_of(stand, url=leave) == "left everything"
    assert await title_of(stand, url=look) == "found:"


async def test_the_look_finds_what_there_is(stand, web):
    """The test of the test: in one context, what was left is found."""
    leave, look = await secure(web)
    both = web.page("/both", LEAVE.replace("document.title = 'left everything'; DONE", f"location = '{look}'"))
    title = await title_of(stand, url=both)
    for kind in ("cookie", "localStorage", "sessionStorage", "indexedDB", "caches", "serviceWorker", "file left"):
        assert kind in title, (kind, title)
    assert leave != look


async def test_callers_at_the_same_time_do_not_see_each_other(stand, web):
    leave, look = await secure(web)
    left, found, _ = await asyncio.gather(
        title_of(stand, url=leave, waitForTimeout=300),
        title_of(stand, url=look, waitForTimeout=150),
        stand.content(html="<p>x"),
    )
    assert (left, found) == ("left everything", "found:")


async def test_cookies_of_servers_and_of_bodies(stand, web):
    await stand.content(url=web.url("/set-cookie"))
    await stand.content(url=web.url("/echo"), cookies=[{"name": "given", "value": "1", "domain": "127.0.0.1"}])
    assert "cookie:" not in await stand.content(url=web.url("/echo"))


async def test_the_cache_of_one_is_not_the_cache_of_another(stand, web):
    web.seen.clear()
    for _ in range(2):
        await stand.content(url=web.url("/cached"))
    assert len(web.requests("/cached")) == 2


async def test_credentials_are_forgotten(stand, web):
    user = {"username": "user", "password": "pass"}
    assert (await stand.meta(url=web.url("/secret"), authenticate=user))["status"] == 200
    assert (await stand.meta(url=web.url("/secret")))["status"] == 401
    with_address = web.url("/secret").replace("http://", "http://user:pass@")
    assert (await stand.meta(url=with_address))["status"] == 200
    assert (await stand.meta(url=web.url("/secret")))["status"] == 401


async def test_rules_of_one_do_not_bind_the_next(stand, web):
    await stand.content(
        url=web.url("/echo"),
        setExtraHTTPHeaders={"X-Left": "1"},
        userAgent="Left/1.0",
        setJavaScriptEnabled=False,
        emulateMediaType="print",
        viewport={"width": 321, "height": 123, "isMobile": True, "hasTouch": True},
        rejectResourceTypes=["image"],
    )
    content = await stand.content(url=web.url("/echo"))
    assert "x-left" not in content
    assert "Left/1.0" not in content
    html = """<script>document.title = [innerWidth, innerHeight, matchMedia('print').matches, navigator.maxTouchPoints].join()</script>"""
    assert (await stand.meta(html=html))["title"] == "1920,1080,false,0"


async def test_permissions_are_asked_anew(stand, web):
    """A permission that is granted in one context is not granted in the next."""
    query = "navigator.permissions.query({name: 'geolocation'})"
    ask = web.page(
        "/ask", f"<title>asking</title><script>{query}.then(p => {{ document.title = p.state; {DONE} }})</script>"
    )
    before = await title_of(stand, url=ask)
    connection = stand.browser.connection

    async def asked():
        return any(each["title"] == before for each in (await connection.call("Target.getTargets"))["targetInfos"])

    task = asyncio.get_running_loop().create_task(stand.content(url=ask, waitForTimeout=30_000))
    await waiting.until(asked)
    for context_id in await own_contexts(connection):
        await connection.call(
            "Browser.grantPermissions", {"permissions": ["geolocation"], "browserContextId": context_id}
        )
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert before != "granted"
    assert await title_of(stand, url=ask) == before


async def own_contexts(connection):
    return (await connection.call("Target.getBrowserContexts"))["browserContextIds"]


async def test_no_page_sees_the_devtools_of_another(stand, web):
    """A page cannot reach CDP, whatever the pool allows of loopback."""
    port = int(stand.browser.connection.url.split(":")[2].split("/")[0])
    stand.guard.protect(port)
    with pytest.raises(errors.PageFailed) as caught:
        await stand.content(url=f"http://127.0.0.1:{port}/json/version")
    assert caught.value.code == errors.Code.INVALID_ADDRESS


async def test_nothing_is_left_after_a_hundred_callers(stand, web):
    for number in range(100):
        await stand.content(html=f"<p>{number}")
    assert await stand.contexts() == 0
    assert len([kind for kind in await stand.targets() if kind == "page"]) <= 1
    assert stand.guard.connections <= 40
