"""Dialogs, windows, loops; hostile and greedy JavaScript."""

from typing import Final

from support.corpus.model import ACTIONS, SOON, Answer, Either, Fails, Page, Shows, page

_ANYTHING = Shows(text=None, title=None, links=None, blank=True)
_LATE = {"actionTimeout": 1200}
"""For pages that are there, and then do not let anybody look."""


def script(name: str, code: str, **more: object) -> Page:
    return page(name, f"<script>{code}</script>", **more)


DIALOGS: Final[tuple[Page, ...]] = (
    script("alerts", "for (let i = 0; i < 100; i++) alert(i)"),
    script("alerts-for-ever", "for (;;) alert(1)", expect=Fails(code=6002), body=SOON),
    script("alerts-always", "setInterval(() => alert(1), 1)"),
    script("confirms", "for (let i = 0; i < 50; i++) if (confirm(i)) document.title = 'Yes'"),
    script("prompts", "for (let i = 0; i < 50; i++) if (prompt(i) !== null) document.title = 'Yes'"),
    script("before-unload", "onbeforeunload = e => { e.preventDefault(); e.returnValue = 'stay' }"),
    script(
        "before-unload-and-away",
        "onbeforeunload = e => { e.preventDefault(); e.returnValue = 'stay' }; location.href = 'other'",
        routes={"/other": (Answer(body="<title>T</title><p id=it>Here it is"),)},
        body={"waitForTimeout": 100},
    ),
    script("unload-endless", "onunload = onpagehide = () => { for (;;); }"),
    script("prints", "for (let i = 0; i < 20; i++) print(); setInterval(print, 5)"),
    script(
        "permissions",
        "Notification.requestPermission(); navigator.geolocation.getCurrentPosition(() => {});"
        "navigator.mediaDevices?.getUserMedia({video: true, audio: true}).catch(() => {}); navigator.clipboard?.readText().catch(() => {});"
        "navigator.requestMIDIAccess?.().catch(() => {}); navigator.storage?.persist()",
    ),
    script(
        "protocols", "for (const to of ['mailto:x@y.test', 'tel:1', 'intent://x', 'market://x']) location.href = to"
    ),
    script(
        "fullscreen",
        "document.documentElement.requestFullscreen().catch(() => {}); document.body.requestPointerLock?.()",
    ),
)

WINDOWS: Final[tuple[Page, ...]] = (
    script("windows", "for (let i = 0; i < 15; i++) open('about:blank')"),
    script("windows-always", "setInterval(() => open('about:blank'), 50)", body={"waitForTimeout": 300}),
    script(
        "windows-of-pages",
        "open('other'); open('@other@/other')",
        routes={
            "/other": (
                Answer(body="<title>Other</title><script>alert(1); for (let i = 0; i < 9; i++) alert(i)</script>"),
            )
        },
    ),
    script("windows-with-alerts", "const w = open('about:blank'); w.alert(1); document.title = 'T'"),
    script("windows-to-file", "open('file:///etc/passwd')", expect=Shows(unseen="root:")),
    script("closes-itself", "close()"),
    script("leaves-itself", "location.href = 'about:blank'", expect=Either(codes=(), shows=_ANYTHING)),
)

LOOPS: Final[tuple[Page, ...]] = (
    script("busy-for-a-while", "const end = Date.now() + 800; while (Date.now() < end);"),
    script("busy-for-ever", "for (;;);", expect=Fails(code=6002), body=SOON),
    script(
        "busy-for-ever-best-attempt", "for (;;);", expect=Fails(code=6002), body={**SOON, **_LATE, "bestAttempt": True}
    ),
    script(
        "busy-after-the-load",
        "onload = () => setTimeout(() => { for (;;); }, 50)",
        body={**_LATE, "waitForTimeout": 200},
        expect=Fails(code=6002),
    ),
    script(
        "busy-promises",
        "const again = () => Promise.resolve().then(again); again()",
        expect=Fails(code=6002),
        body=SOON,
    ),
    script("busy-pattern", "/^(a+)+$/.test('a'.repeat(40) + 'b')", expect=Fails(code=6002), body=SOON),
    script("busy-worker", "new Worker(URL.createObjectURL(new Blob(['for (;;);'])))"),
    script("busy-timers", "for (let i = 0; i < 50; i++) setInterval(() => { for (let j = 0; j < 1e4; j++); }, 0)"),
    script("debugger", "debugger; setInterval(() => { debugger }, 5)"),
    script(
        "reloads",
        "onload = () => location.reload()",
        expect=Either(codes=(6002, 6003), shows=_ANYTHING),
        bodies={each: {"actionTimeout": 2500} for each in ACTIONS},
    ),
    script("reloads-at-once", "location.reload()", expect=Fails(code=6002), body=SOON),
    page(
        "refreshes",
        head="<meta http-equiv=refresh content=0>",
        expect=Either(codes=(6002, 6003), shows=_ANYTHING),
        bodies={each: {"actionTimeout": 2500} for each in ACTIONS},
    ),
    script(
        "history-back",
        "onload = () => { history.pushState(1, '', '?1'); history.pushState(2, '', '?2'); setInterval(() => history.back(), 10);"
        "onpopstate = () => history.pushState(3, '', '?3') }",
        expect=Either(codes=(6002, 6003), shows=_ANYTHING),
    ),
    script("history-storm", "for (let i = 0; i < 500; i++) history.pushState(i, '', '?' + i)"),
    script("hash-storm", "let i = 0; setInterval(() => { location.hash = i++ }, 1)"),
    script("stops-itself", "stop()"),
    Page(
        name="writes-for-ever",
        routes={
            "/": (
                Answer(body="<script>document.open(); document.write('<title>T</title><p id=it>Here it is')</script>"),
            )
        },
    ),
    script(
        "frames-storm",
        "setInterval(() => { const f = document.createElement('iframe'); document.body.append(f); setTimeout(() => f.remove(), 5) }, 5)",
    ),
    script("mutates-always", "setInterval(() => { it.textContent = 'Here it is' + Math.random() }, 0)"),
    script("console-storm", "for (let i = 0; i < 5000; i++) console.log('x'.repeat(100), {i})"),
    script("errors-storm", "setInterval(() => { throw new Error('mine') }, 1)"),
    script("cookies-storm", "for (let i = 0; i < 500; i++) document.cookie = 'c' + i + '=' + 'x'.repeat(1000)"),
    script("websockets-storm", "for (let i = 0; i < 50; i++) new WebSocket('ws://127.0.0.1:@port@/')"),
)

HOSTILE: Final[tuple[Page, ...]] = (
    script(
        "meddles",
        "Array.from = things => things; Array.prototype.map = Array.prototype.join = () => { throw Error('mine') };"
        "Object.prototype.extra = 1; Array.prototype.toJSON = () => 'mine'; JSON.stringify = () => 'mine';"
        "Document.prototype.querySelectorAll = () => null; window.Promise = null; window.XMLSerializer = null",
    ),
    page(
        "names",
        "<form name=links></form><form name=querySelectorAll></form><img name=title>"
        "<form name=childNodes></form><form name=documentElement></form>",
    ),
    script("removes-itself", "document.documentElement.remove()", expect=Shows(text=None, title="", blank=True)),
    script("freezes", "Object.freeze(document); Object.freeze(Document.prototype); Object.freeze(Array.prototype)"),
    Page(
        name="policy",
        routes={
            "/": (
                Answer(
                    body="<title>T</title><p id=it>Here it is<script>document.title = 'Ran'</script>",
                    headers=("Content-Security-Policy: default-src 'none'",),
                ),
            )
        },
    ),
    Page(
        name="policy-sandbox",
        routes={
            "/": (
                Answer(
                    body="<title>T</title><p id=it>Here it is<script>document.title = 'Ran'</script>",
                    headers=("Content-Security-Policy: sandbox",),
                ),
            )
        },
    ),
    script(
        "memory",
        "const kept = []; for (;;) kept.push(new Array(1e6).fill(0.5))",
        # Where memory is short all round, Chromium may go with its page.
        expect=Either(codes=(6000,), statuses=(422, 502), shows=Shows(text="never")),
    ),
    script(
        "memory-in-buffers",
        "const kept = []; try { for (let i = 0; i < 64; i++) kept.push(new Uint8Array(2 ** 22).fill(1)) } catch {}",
    ),
    script("recursion", "const f = () => f(); try { f() } catch {}"),
    script(
        "workers-storm", "for (let i = 0; i < 20; i++) new Worker(URL.createObjectURL(new Blob(['postMessage(1)'])))"
    ),
    script("shared-worker", "new SharedWorker(URL.createObjectURL(new Blob(['setInterval(() => {}, 1)'])))"),
)

PAGES: Final = (*DIALOGS, *WINDOWS, *LOOPS, *HOSTILE)
