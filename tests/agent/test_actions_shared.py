"""Every field of the body that all quick actions share, on a real page in a real Chromium."""

import asyncio
import functools

import orjson
import pytest
import pytest_asyncio

from browserpool.agent import actions, driver
from browserpool.agent.page import budget, elsewhere
from browserpool.model import errors
from browserpool.model.wire import actions as wire
from support import pages, site, waiting

# One Chromium for the module: what a test leaves behind would be seen by the next, which is the point.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stand():
    async with pages.stand() as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def web():
    async with site.running() as made:
        yield made


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def nothing_leaks(stand):
    """After each test there are only the spare's context and page, if anything."""
    yield
    await waiting.until(lambda: stand.browser.connection.failure is None)
    assert await stand.contexts() == 0
    assert [kind for kind in await stand.targets() if kind not in ("browser", "tab")] == ["page"] * (await blank(stand))


async def blank(stand):
    """Pages of the default context: the one that Chromium starts with."""
    found = await stand.browser.connection.call("Target.getTargets")
    return sum(target["type"] == "page" and target["url"] == "about:blank" for target in found["targetInfos"])


def failure(code):
    return functools.partial(_failure, code)


async def _failure(code, awaitable):
    with pytest.raises(errors.PageFailed) as caught:
        await awaitable
    assert caught.value.code == code, caught.value.message
    assert caught.value.status == 422
    return caught.value.message


# ---------------------------------------------------------------- what is loaded


async def test_every_action_of_the_wire_is_done_here():
    assert set(actions.CAPTURES) == set(wire.AT_AGENTS)


async def test_url(stand, web):
    assert "<h1>Small</h1>" in await stand.content(url=web.url("/small"))


async def test_html_is_awaited_with_its_pictures(stand, web):
    html = (
        f'<!doctype html><title>Mine</title><body style="margin:0"><img src="{web.url("/picture/html?colour=blue")}">'
    )
    picture = await stand.picture(html=html, gotoOptions={"waitUntil": "load"}, viewport={"width": 50, "height": 50})
    assert picture.convert("RGB").getpixel((25, 25)) == (0, 0, 255)
    assert await stand.meta(html=html) == {"status": 200, "title": "Mine"}


async def test_html_without_scripts_is_set_all_the_same(stand):
    html = "<!doctype html><title>Still</title><p id=p>x</p><script>document.title = 'Ran'</script>"
    content = await stand.content(html=html, setJavaScriptEnabled=False)
    assert "<title>Still</title>" in content
    assert '<p id="p">x</p>' in content


async def test_html_cannot_read_files(stand, tmp_path):
    (tmp_path / "secret.txt").write_text("top secret")
    target = (tmp_path / "secret.txt").as_uri()
    html = f"""<iframe src="{target}"></iframe><object data="{target}"></object>
      <script>fetch("{target}").then(r => r.text()).then(t => document.title = t, e => document.title = "refused")</script>"""
    content = await stand.content(html=html, waitForTimeout=200)
    assert "top secret" not in content
    picture = await stand.perform("pdf", html=html)
    assert b"top secret" not in picture.body


async def test_a_bad_status_is_an_answer(stand, web):
    assert (await stand.meta(url=web.url("/status/404"))) == {"status": 404, "title": "Status 404"}
    assert (await stand.meta(url=web.url("/status/500")))["status"] == 500
    assert (await stand.meta(url=web.url("/empty-404")))["status"] == 404


async def test_a_redirect_has_the_status_of_its_end(stand, web):
    assert (await stand.meta(url=web.url("/redirect?to=/small"))) == {"status": 200, "title": "Small"}


# ---------------------------------------------------------------- what goes wrong


async def test_network_failures_have_their_codes(stand, web):
    closed = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = closed.sockets[0].getsockname()[1]
    closed.close()
    await closed.wait_closed()
    cases = {
        web.url("/small", scheme="https"): errors.Code.CERTIFICATE,
        f"https://127.0.0.1:{web.port}/": errors.Code.CERTIFICATE,
        web.url("/loop"): errors.Code.REDIRECTS,
        web.url("/reset"): errors.Code.EMPTY_RESPONSE,
        web.url("/download"): errors.Code.ABORTED,
        web.url("/nothing"): errors.Code.ABORTED,
        "http://10.0.0.1/": errors.Code.INVALID_ADDRESS,
        "http://169.254.169.254/latest/meta-data": errors.Code.INVALID_ADDRESS,
        "http://no-such-host.invalid/": errors.Code.DNS,
        f"http://127.0.0.1:{port}/": errors.Code.REFUSED,
        "http://127.0.0.1:1/": errors.Code.INVALID_ADDRESS,
        web.url("/redirect?to=http://10.0.0.1:8080/"): errors.Code.INVALID_ADDRESS,
        web.url(f"/redirect?to=http://127.0.0.1:{port}/"): errors.Code.REFUSED,
    }
    for url, code in cases.items():
        await failure(code)(stand.perform("screenshot", url=url))


async def test_a_refused_address_is_named_with_its_reason(stand):
    message = await failure(errors.Code.INVALID_ADDRESS)(stand.content(url="http://192.168.1.1:81/x"))
    assert "192.168.1.1:81" in message
    assert "private" in message


async def test_a_server_that_never_answers(stand, web):
    body = {"url": web.url("/never"), "gotoOptions": {"timeout": 300}}
    message = await failure(errors.Code.TIMEOUT)(stand.content(**body))
    assert "300 ms (gotoOptions.timeout)" in message
    assert await stand.content(**body, bestAttempt=True) == "<html><head></head><body></body></html>"


async def test_a_picture_that_never_comes(stand, web):
    page = web.page("/stuck", f'<title>Stuck</title><p>here</p><img src="{web.url("/never")}">')
    assert "here" in await stand.content(url=page)
    body = {"url": page, "gotoOptions": {"timeout": 300, "waitUntil": "load"}}
    assert "load" in await failure(errors.Code.TIMEOUT)(stand.content(**body))
    assert "here" in await stand.content(**body, bestAttempt=True)
    assert (await stand.picture(**body, bestAttempt=True)).size == (1920, 1080)


async def test_the_whole_action_is_bounded(stand, web):
    message = await failure(errors.Code.TIMEOUT)(stand.content(url=web.url("/never"), actionTimeout=250))
    assert "actionTimeout" in message
    message = await failure(errors.Code.TIMEOUT)(
        stand.content(html="<p>x", waitForTimeout=30_000, actionTimeout=250, bestAttempt=True)
    )
    assert "actionTimeout" in message


async def test_a_script_without_end_ends_with_the_action(stand):
    await failure(errors.Code.TIMEOUT)(
        stand.content(html="<script>for (;;) {}</script>", gotoOptions={"timeout": 300}, actionTimeout=600)
    )


@pytest.mark.parametrize(
    "wait",
    [
        {"gotoOptions": {"waitUntil": "load"}},
        {"waitForTimeout": 30_000},
        {"waitForSelector": {"selector": "#never", "timeout": 30_000}},
    ],
)
async def test_a_crash_ends_it_at_once(stand, web, wait):
    page = web.page("/doomed", f'<title>Doomed</title><img src="{web.url("/never")}">')
    connection = stand.browser.connection

    async def doomed():
        targets = (await connection.call("Target.getTargets"))["targetInfos"]
        return next((each["targetId"] for each in targets if each["title"] == "Doomed"), None)

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        action = group.create_task(failure(errors.Code.CONTEXT_LOST)(stand.content(url=page, **wait)))
        session = await connection.attach(await waiting.until(doomed))
        with pytest.raises(errors.PageFailed):
            await session.call("Page.crash")
        assert "crashed" in await action


async def test_a_caller_that_goes_away_leaves_nothing(stand, web):
    web.held = 0
    task = asyncio.get_running_loop().create_task(stand.content(url=web.url("/never")))
    await waiting.until(lambda: web.held)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await stand.contexts() == 0
    assert "Small" in await stand.content(url=web.url("/small"))


async def test_dialogs_are_dismissed(stand):
    html = "<script>alert(1); document.title = confirm(2) + ' ' + prompt(3); print()</script>"
    assert (await stand.meta(html=html, gotoOptions={"waitUntil": "load"}))["title"] == "false null"


async def test_a_page_that_opens_windows_leaves_none(stand, web):
    html = f"<script>for (let i = 0; i < 3; i++) open('{web.url('/small')}')</script><p>opened</p>"
    assert "opened" in await stand.content(html=html, waitForTimeout=100)


# ---------------------------------------------------------------- how it is loaded


@pytest.mark.parametrize(
    "wait_until",
    ["load", "domcontentloaded", "networkidle0", "networkidle2", ["load", "networkidle2"], ["domcontentloaded"]],
)
async def test_wait_until(stand, web, wait_until):
    for source in ({"url": web.url("/heavy")}, {"html": f'<p>x<img src="{web.url("/picture/1")}">'}):
        await stand.content(**source, gotoOptions={"waitUntil": wait_until, "timeout": 10_000})


async def test_a_page_that_stops_its_own_loading(stand, web):
    """Chromium then says neither that the document is there nor that all is loaded."""
    url = web.page("/stops", "<title>Stops</title><p>before</p><img src=/never><script>stop()</script><p>after</p>")
    for wait_until in ("domcontentloaded", "load"):
        assert "before" in await stand.content(url=url, gotoOptions={"waitUntil": wait_until})


async def test_a_page_that_leaves_for_another_is_followed(stand, web):
    url = web.page("/leaves", "<title>Leaves</title><script>location.href = '/slow?seconds=0.3'</script>")
    assert "At last" in await stand.content(url=url)


@pytest.mark.parametrize("name", pages.known_actions())
async def test_a_page_that_leaves_for_where_nobody_answers_is_there(stand, web, name):
    """Chromium answers no question about it while it is leaving."""
    url = web.page(
        "/leaves", "<title>Stays</title><p id=it>here<script>onload = () => { location.href = '/never' }</script>"
    )
    elements = {"elements": [{"selector": "#it"}]} if name == "scrape" else {}
    async with asyncio.timeout(15):
        made = await stand.perform(
            name, url=url, gotoOptions={"waitUntil": "load", "timeout": 1000}, waitForTimeout=300, **elements
        )
    if name not in ("screenshot", "pdf"):
        assert orjson.loads(made.body)["meta"]["title"] == "Stays"


@pytest.mark.parametrize(
    ("left", "navigation", "seconds"), [(120, 30, 30), (20, 30, 15), (10, 30, 5), (4, 30, 2), (4, 1, 1), (0, 30, 0)]
)
async def test_a_navigation_without_an_answer_leaves_time_for_the_page_that_is_there(left, navigation, seconds):
    assert elsewhere.patience(budget.Budget(seconds=left, monotonic=lambda: 0.0), navigation=navigation) == seconds


def refusing(monkeypatch, method, *, reason, meanwhile=None):
    """Chromium refuses the first ``method`` of a page, which is at ``meanwhile`` by then."""
    calls, refusals = driver.Session.call, iter([driver.CallRefused(method=method, cdp_code=-32000, reason=reason)])

    async def call(session, called, params=None, *, deadline=driver.DEADLINE):
        if called == method and (refusal := next(refusals, None)) is not None:
            if meanwhile is not None:
                await calls(session, "Page.navigate", {"url": meanwhile})
            raise refusal
        return await calls(session, called, params, deadline=deadline)

    monkeypatch.setattr(driver.Session, "call", call)


@pytest.mark.parametrize(
    ("name", "method", "reason", "body"),
    [
        ("screenshot", "Page.captureScreenshot", "Cannot take screenshot with 0 width.", {}),
        ("screenshot", "Page.getLayoutMetrics", "Internal error", {"screenshotOptions": {"fullPage": True}}),
        ("pdf", "Page.printToPDF", "Printing failed", {}),
        ("accessibilityTree", "Accessibility.getFullAXTree", "Internal error", {}),
        ("accessibilityTree", "DOM.describeNode", "Cannot find context with specified id", {"root": "#it"}),
        ("snapshot", "Accessibility.getFullAXTree", "Internal error", {"formats": ["accessibilityTree", "content"]}),
    ],
)
async def test_what_is_refused_because_the_page_goes_elsewhere_is_done_there(
    stand, web, monkeypatch, name, method, reason, body
):
    there = web.page("/there", "<title>There</title><p id=it>there")
    refusing(monkeypatch, method, reason=reason, meanwhile=there)
    made = await stand.perform(name, url=web.page("/here", "<title>Here</title><p id=it>here"), **body)
    if name == "accessibilityTree":
        assert b'"there"' in made.body
    # In a document that stays it is refused.
    refusing(monkeypatch, method, reason=reason)
    assert method in await failure(errors.Code.CAPTURE_FAILED)(stand.perform(name, url=there, **body))


async def test_an_attempt_at_a_page_that_leaves_in_that_moment(stand, web, monkeypatch):
    url = web.page("/loads", "<title>Loads</title><p>here<img src=/never>")
    refusing(monkeypatch, "Page.stopLoading", reason="Not attached to an active page")
    assert "here" in await stand.content(
        url=url, gotoOptions={"waitUntil": "load", "timeout": 300}, bestAttempt=True, actionTimeout=15_000
    )


@pytest.mark.parametrize("does", ["location.href = '@nothing@'", "stop()"])
async def test_html_that_gives_its_own_loading_up_is_there(stand, web, does):
    """Chromium then says neither that the html is there nor that all is loaded."""
    html = f"<title>Stays</title><p>here<script>{does.replace('@nothing@', web.url('/nothing'))}</script>"
    for wait_until in ("domcontentloaded", "load"):
        assert "here" in await stand.content(html=html, gotoOptions={"waitUntil": wait_until, "timeout": 5000})


async def test_html_that_leaves_for_another_page_is_followed(stand, web):
    html = f"<title>Leaves</title><script>location.href = '{web.url('/slow?seconds=0.3')}'</script>"
    assert "At last" in await stand.content(html=html)


async def test_load_waits_for_pictures_and_frames(stand, web):
    page = web.page(
        "/late", f'<img id=i src="{web.url("/picture/9")}"><iframe src="{web.url("/slow?seconds=0.3")}"></iframe>'
    )
    web.seen.clear()
    await stand.content(url=page, gotoOptions={"waitUntil": "load"})
    assert web.requests("/picture/9")
    slow = web.url("/slow?seconds=0.2")
    html = (
        f"<title>Before</title><script>onload = () => document.title = 'After'</script><iframe src='{slow}'></iframe>"
    )
    assert (await stand.meta(html=html, gotoOptions={"waitUntil": "load"}))["title"] == "After"


async def test_network_idle_waits_for_what_scripts_fetch(stand, web):
    html = f"""<title>Before</title><script>
      fetch("{web.url("/slow?seconds=0.3")}", {{mode: "no-cors"}}).then(() => document.title = "After")</script>"""
    meta = await stand.meta(html=html, gotoOptions={"waitUntil": "networkidle0"})
    assert meta["title"] == "After"
    page = web.page("/fetching", html)
    assert (await stand.meta(url=page, gotoOptions={"waitUntil": "networkidle0"}))["title"] == "After"
    assert (await stand.meta(url=page))["title"] == "Before"


async def test_network_idle_with_a_request_that_never_ends(stand, web):
    page = web.page("/hanging", f"<title>x</title><script>fetch('{web.url('/never')}', {{mode: 'no-cors'}})</script>")
    options = {"timeout": 1500, "waitUntil": "networkidle0"}
    await failure(errors.Code.TIMEOUT)(stand.content(url=page, gotoOptions=options))
    await stand.content(url=page, gotoOptions={"timeout": 10_000, "waitUntil": "networkidle2"})


async def test_both_spellings_of_goto_options(stand, web):
    for spelling in ("gotoOptions", "goToOptions"):
        content = await stand.content(url=web.url("/echo"), **{spelling: {"referer": "http://from.test/here"}})
        assert "referer: http://from.test/" in content


@pytest.mark.parametrize(
    ("referrer_policy", "seen"),
    [("unsafe-url", "http://from.test/here"), ("origin", "http://from.test/"), ("no-referrer", None)],
)
async def test_referrer_policy(stand, web, referrer_policy, seen):
    content = await stand.content(
        url=web.url("/echo"), gotoOptions={"referer": "http://from.test/here", "referrerPolicy": referrer_policy}
    )
    assert (f"referer: {seen}\n" in content) if seen else ("referer:" not in content)


async def test_headers(stand, web):
    content = await stand.content(url=web.url("/echo"), setExtraHTTPHeaders={"X-Mine": "yes", "Accept-Language": "eo"})
    assert "x-mine: yes" in content
    assert "accept-language: eo" in content
    assert "x-mine" not in await stand.content(url=web.url("/echo"))


async def test_user_agent(stand, web):
    content = await stand.content(url=web.url("/echo"), userAgent="Tester/1.0")
    assert "user-agent: Tester/1.0" in content
    html = "<script>document.title = navigator.userAgent</script>"
    assert (await stand.meta(html=html, userAgent="Tester/1.0"))["title"] == "Tester/1.0"


async def test_cookies(stand, web):
    mine = {
        "name": "mine",
        "value": "1",
        "httpOnly": True,
        "sameSite": "Lax",
        "priority": "High",
        "expires": 4102444800,
    }
    other = {"name": "other", "value": "2", "domain": "b.test"}
    partitioned = {
        "name": "p",
        "value": "3",
        "url": "https://b.test/",
        "secure": True,
        "partitionKey": "https://a.test",
    }
    content = await stand.content(url=web.url("/echo", host="a.test"), cookies=[mine, other, partitioned])
    assert "cookie: mine=1</pre>" in content
    content = await stand.content(url=web.url("/echo", host="b.test"), cookies=[mine, other])
    assert "cookie: " in content
    assert "other=2" in content


async def test_a_cookie_that_chromium_refuses(stand, web):
    with pytest.raises(errors.InvalidRequest, match="cookies cannot be used"):
        await stand.content(url=web.url("/echo"), cookies=[{"name": "a;", "value": "b"}])


async def test_authenticate(stand, web):
    user = {"username": "user", "password": "pass"}
    assert (await stand.meta(url=web.url("/secret")))["status"] == 401
    assert await stand.meta(url=web.url("/secret"), authenticate=user) == {"status": 200, "title": "Secret"}
    wrong = await stand.meta(url=web.url("/secret"), authenticate={"username": "user", "password": "wrong"})
    assert wrong["status"] == 401


async def test_credentials_are_not_for_third_parties(stand, web):
    user = {"username": "user", "password": "pass"}
    web.seen.clear()
    html = f"<img src='{web.url('/secret', host='b.test')}'>"
    page = web.page("/with-third-party", html)
    await stand.content(url=page, authenticate=user, gotoOptions={"waitUntil": "load"})
    assert web.requests("/secret")
    assert not any("Authorization" in seen.headers for seen in web.requests("/secret"))


async def test_emulate_media_type(stand):
    html = "<style>@media print { body { background: red } }</style><title>x</title><body>"
    picture = await stand.picture(html=html, emulateMediaType="print", viewport={"width": 20, "height": 20})
    assert picture.convert("RGB").getpixel((10, 10)) == (255, 0, 0)


async def test_java_script_off_is_off(stand, web):
    script = "document.body.dataset.ran = 'yes'; document.title = 'ran'"
    page = web.page(
        "/scripts",
        f'<title>Quiet</title><body onload="{script}"><script>{script}</script><noscript>no script here</noscript>'
        f'<img src=x onerror="{script}"><iframe srcdoc="<script>parent.document.title=\'ran\'</script>"></iframe>',
    )
    on = await stand.content(url=page, gotoOptions={"waitUntil": "load"})
    assert "<title>ran</title>" in on
    off = await stand.content(url=page, setJavaScriptEnabled=False, gotoOptions={"waitUntil": "load"})
    assert "<title>Quiet</title>" in off
    assert "data-ran" not in off
    assert "<p" not in off
    assert (await stand.picture(url=page, setJavaScriptEnabled=False)).size == (1920, 1080)
    assert (await stand.perform("pdf", url=page, setJavaScriptEnabled=False)).body.startswith(b"%PDF-")


async def test_viewport(stand):
    html = """<script>document.title = [innerWidth, innerHeight, devicePixelRatio, navigator.maxTouchPoints > 0,
        screen.orientation.type, matchMedia("(hover: none)").matches].join()</script>"""
    assert (await stand.meta(html=html))["title"].startswith("1920,1080,1,false")
    viewport = {"width": 400, "height": 300, "deviceScaleFactor": 2, "hasTouch": True, "isLandscape": True}
    assert (await stand.meta(html=html, viewport=viewport))["title"].startswith("400,300,2,true,landscape-primary")
    assert (await stand.picture(html=html, viewport=viewport)).size == (800, 600)
    mobile = {"width": 360, "height": 640, "isMobile": True, "hasTouch": True}
    wide = f'<meta name=viewport content="width=720">{html}'
    assert (await stand.meta(html=wide, viewport=mobile))["title"].startswith("720,")


# ---------------------------------------------------------------- after the load


async def test_add_script_tag(stand, web):
    content = await stand.content(
        html="<title>x</title>",
        addScriptTag=[
            {"content": "document.title += 1"},
            {"url": web.url("/script.js"), "id": "mine"},
            {"content": "document.title += 2"},
        ],
    )
    assert "<title>scripted2</title>" in content
    assert 'id="mine"' in content
    module = await stand.content(html="<title>x</title>", addScriptTag=[{"content": "1", "type": "module"}])
    assert 'type="module"' in module


@pytest.mark.parametrize("policy", ["default-src 'none'", "require-trusted-types-for 'script'; trusted-types nobody"])
async def test_a_policy_against_scripts_is_not_against_the_callers(stand, web, policy):
    url = web.page(
        "/strict", f'<meta http-equiv="Content-Security-Policy" content="{policy}"><title>Strict</title><p>x'
    )
    script, style = {"content": "document.body.append('put in')"}, {"content": "p { color: red }"}
    content = await stand.content(url=url, addScriptTag=[script, {"url": web.url("/script.js")}], addStyleTag=[style])
    assert "put in" in content
    assert "<title>scripted</title>" in content


async def test_add_style_tag(stand, web):
    blue = {"html": "<title>x</title><body>", "viewport": {"width": 20, "height": 20}}
    for tag in ({"url": web.url("/style.css")}, {"content": "body { background: rgb(0, 0, 255) }"}):
        picture = await stand.picture(**blue, addStyleTag=[tag])
        assert picture.convert("RGB").getpixel((10, 10)) == (0, 0, 255)


async def test_a_tag_that_does_not_load(stand, web):
    body = {"html": "<title>x</title>", "addScriptTag": [{"url": web.url("/reset")}]}
    assert "addScriptTag[0]" in await failure(errors.Code.CAPTURE_FAILED)(stand.content(**body))
    assert await stand.content(**body, bestAttempt=True)


async def test_wait_for_selector(stand):
    html = """<script>setTimeout(() => document.body.innerHTML = '<p id=late style="display:none">x</p>', 100);
      setTimeout(() => late.style.display = 'block', 200); setTimeout(() => late.remove(), 400)</script><body>"""
    assert "display:none" in await stand.content(html=html, waitForSelector={"selector": "#late"})
    assert "display: block" in await stand.content(html=html, waitForSelector={"selector": "#late", "visible": True})
    style = "<p id=there>x</p><script>setTimeout(() => there.style.visibility = 'hidden', 100)</script>"
    assert "hidden" in await stand.content(html=style, waitForSelector={"selector": "#there", "hidden": True})
    assert await stand.content(html="<p>", waitForSelector={"selector": "#absent", "hidden": True})


async def test_wait_for_selector_works_without_scripts_and_across_navigations(stand, web):
    assert await stand.content(
        html="<p id=p>x</p>", waitForSelector={"selector": "#p", "visible": True}, setJavaScriptEnabled=False
    )
    page = web.page("/hop", f"<script>setTimeout(() => location = '{web.url('/small')}', 50)</script>")
    assert "Paragraph 1" in await stand.content(url=page, waitForSelector={"selector": "h1"})


async def test_a_selector_that_never_comes(stand):
    body = {"html": "<p>here", "waitForSelector": {"selector": "#never", "timeout": 100}}
    assert "#never" in await failure(errors.Code.TIMEOUT)(stand.content(**body))
    assert "here" in await stand.content(**body, bestAttempt=True)


async def test_a_selector_that_is_none(stand):
    for name, body in (("content", {"waitForSelector": {"selector": "p["}}), ("screenshot", {"selector": "p["})):
        with pytest.raises(errors.InvalidRequest, match="selector"):
            await stand.perform(name, html="<p>x", **body)


async def test_wait_for_timeout(stand):
    html = "<title>Before</title><script>setTimeout(() => document.title = 'After', 150)</script>"
    assert (await stand.meta(html=html))["title"] == "Before"
    assert (await stand.meta(html=html, waitForTimeout=400))["title"] == "After"


# ---------------------------------------------------------------- which requests go on


@pytest.mark.parametrize(
    ("rules", "arrived"),
    [
        ({"rejectResourceTypes": ["image"]}, {"/style.css", "/script.js", "/small"}),
        ({"rejectResourceTypes": ["stylesheet", "script"]}, {"/picture/a", "/picture/b", "/small"}),
        ({"rejectResourceTypes": ["document"]}, {"/picture/a", "/picture/b", "/style.css", "/script.js"}),
        ({"allowResourceTypes": ["image"]}, {"/picture/a", "/picture/b"}),
        ({"rejectRequestPattern": ["/.*\\.CSS$/i"]}, {"/picture/a", "/picture/b", "/script.js", "/small"}),
        ({"allowRequestPattern": ["picture"]}, {"/picture/a", "/picture/b"}),
        ({"allowRequestPattern": ["picture"], "rejectRequestPattern": ["/b$"]}, {"/picture/a"}),
        ({"allowResourceTypes": ["image", "script"], "allowRequestPattern": ["/a$", "css"]}, {"/picture/a"}),
        ({"allowResourceTypes": ["image"], "rejectResourceTypes": ["image"]}, set()),
    ],
)
async def test_request_rules(stand, web, rules, arrived):
    page = web.page(
        "/ruled",
        """<link rel=stylesheet href=/style.css><img src=/picture/a><img src=/picture/b>
           <script src=/script.js></script><iframe src=/small></iframe>""",
    )
    web.seen.clear()
    await stand.content(url=page, **rules, gotoOptions={"waitUntil": "load"})
    assert {seen.path for seen in web.seen} - {"/ruled", "/favicon.ico"} == arrived


async def test_rules_hold_for_fetches_frames_of_other_sites_and_workers(stand, web):
    fetching = f"fetch('{web.url('/picture/blocked')}', {{mode: 'no-cors'}})"
    page = web.page(
        "/worker-page",
        f"""<iframe src="{web.url("/inner", host="b.test")}"></iframe><script>{fetching};
        new Worker(URL.createObjectURL(new Blob([`{fetching}`])))</script>""",
    )
    web.page("/inner", f"<img src='{web.url('/picture/blocked')}'><script>{fetching}</script>")
    web.seen.clear()
    await stand.content(
        url=page,
        rejectRequestPattern=["blocked"],
        gotoOptions={"waitUntil": ["load", "networkidle0"], "timeout": 20_000},
    )
    assert web.requests("/inner")
    assert not web.requests("/picture/blocked")


@pytest.mark.parametrize(
    ("rules", "title"),
    [
        ({}, "open"),
        ({"rejectResourceTypes": ["websocket"]}, "error"),
        ({"allowResourceTypes": ["document", "script"]}, "error"),
        ({"allowResourceTypes": ["websocket"]}, "open"),
    ],
)
async def test_rules_for_websockets(stand, web, rules, title):
    html = f"""<title>working</title><script>const socket = new WebSocket('ws://127.0.0.1:{web.port}/socket');
      socket.onopen = () => {{ document.title = 'open'; document.body.id = 'done' }};
      socket.onerror = () => {{ document.title = 'error'; document.body.id = 'done' }}</script><body>"""
    for source in ({"html": html}, {"url": web.page("/socketed", html)}):
        web.seen.clear()
        meta = await stand.meta(**source, **rules, waitForSelector={"selector": "#done", "timeout": 10_000})
        assert meta["title"] == title
        assert bool(web.requests("/socket")) == (title == "open")
