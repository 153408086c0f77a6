"""Frames, shadow roots, service workers, and what draws."""

from typing import Final

from support.corpus.model import Answer, Fails, Hold, Page, Shows, html, page

GREEN: Final = (0, 128, 0)
BLUE: Final = (0, 0, 255)
_GREEN = Answer(body="<!doctype html><body style='margin:0;background:green'><p>Inside")
_FRAME = "style='position:absolute;left:200px;top:200px;width:400px;height:300px;border:0'"
_INSIDE: Final = ((400, 400, GREEN),)
_UPON_SCRIPT = "background:blue;position:absolute;left:200px;top:200px;width:400px;height:300px"

PAGES: Final[tuple[Page, ...]] = (
    page(
        "frames-nested",
        f"<iframe src=1 {_FRAME}></iframe>",
        routes={
            "/1": (
                Answer(body="<body style='margin:0'><iframe src=2 style='border:0;width:400px;height:300px'></iframe>"),
            ),
            "/2": (
                Answer(body="<body style='margin:0'><iframe src=3 style='border:0;width:400px;height:300px'></iframe>"),
            ),
            "/3": (_GREEN,),
        },
        expect=Shows(colours=_INSIDE, unseen="Inside"),
        body={"gotoOptions": {"waitUntil": "load"}},
        but={"accessibilityTree": Shows(), "markdown": Shows()},
    ),
    page(
        "frames-of-another-site",
        f"<iframe src=@other@/inside {_FRAME}></iframe>",
        routes={"/inside": (_GREEN,)},
        expect=Shows(colours=_INSIDE),
        body={"gotoOptions": {"waitUntil": "load"}},
    ),
    page(
        "frames-srcdoc",
        f"<iframe srcdoc=\"<body style='background:green'>Inside\" {_FRAME}></iframe>",
        expect=Shows(colours=_INSIDE),
        body={"gotoOptions": {"waitUntil": "load"}},
    ),
    page(
        "frames-sandboxed",
        f"<iframe sandbox src=inside {_FRAME}></iframe>",
        routes={
            "/inside": (
                Answer(
                    body="<body style='margin:0;background:green'><script>top.location = 'about:blank'; alert(1)</script>"
                ),
            )
        },
        expect=Shows(colours=_INSIDE),
        body={"gotoOptions": {"waitUntil": "load"}},
    ),
    page(
        "frames-refused",
        f"<iframe src=inside {_FRAME}></iframe>",
        routes={"/inside": (Answer(body=_GREEN.body, headers=("X-Frame-Options: DENY",)),)},
        body={"gotoOptions": {"waitUntil": "load"}},
    ),
    page(
        "frames-refused-by-ancestors",
        f"<iframe src=inside {_FRAME}></iframe>",
        routes={"/inside": (Answer(body=_GREEN.body, headers=("Content-Security-Policy: frame-ancestors 'none'",)),)},
        body={"gotoOptions": {"waitUntil": "load"}},
    ),
    page("frames-endless", f"<iframe src=inside {_FRAME}></iframe>", routes={"/inside": (Hold(),)}),
    page(
        "frames-endless-awaited",
        f"<iframe src=inside {_FRAME}></iframe>",
        routes={"/inside": (Hold(),)},
        expect=Fails(code=6002),
        body={"gotoOptions": {"timeout": 700, "waitUntil": "load"}},
    ),
    page("frames-in-themselves", "<iframe src=?again></iframe>"),
    page(
        "frames-of-files",
        "<iframe src=file:///etc/passwd></iframe><object data=file:///etc/passwd></object>",
        expect=Shows(unseen="root:"),
    ),
    page("frames-private", "<iframe src=http://10.0.0.1/></iframe><img src=http://169.254.169.254/latest>"),
    page("frames-many", "<iframe srcdoc=x width=20 height=20></iframe>" * 30),
    Page(
        name="frameset",
        routes={
            "/": (
                Answer(body="<title>T</title><frameset cols='50%,50%'><frame src=inside><frame src=inside></frameset>"),
            ),
            "/inside": (_GREEN,),
        },
        expect=Shows(text=None, html="<frameset", colours=((300, 500, GREEN),)),
        body={"gotoOptions": {"waitUntil": "load"}},
    ),
    page(
        "shadow-open",
        f"<div id=h></div><script>h.attachShadow({{mode:'open'}}).innerHTML=\"<p style='{_UPON_SCRIPT}'>In the shadow</p>\"</script>",
        expect=Shows(colours=((500, 400, BLUE),), tree="In the shadow"),
    ),
    page(
        "shadow-closed",
        f"<div id=h></div><script>h.attachShadow({{mode:'closed'}}).innerHTML=\"<p style='{_UPON_SCRIPT}'>In the shadow</p>\"</script>",
        expect=Shows(colours=((500, 400, BLUE),), tree="In the shadow"),
    ),
    page(
        "shadow-declared",
        f"<div><template shadowrootmode=open><p style='{_UPON_SCRIPT}'>In the shadow</p></template></div>",
        expect=Shows(colours=((500, 400, BLUE),), tree="In the shadow"),
    ),
    Page(
        name="service-worker",
        routes={
            "/": (
                Answer(
                    body=html(
                        "<script>navigator.serviceWorker.register('worker.js').then(() => navigator.serviceWorker.ready)"
                        ".then(() => { if (!navigator.serviceWorker.controller) location.reload(); })</script>"
                    )
                ),
            ),
            "/worker.js": (
                Answer(
                    kind="text/javascript",
                    body="addEventListener('install', () => skipWaiting());"
                    "addEventListener('fetch', e => e.respondWith(new Response('<title>Made</title><p id=it>Made by a worker',"
                    "{headers: {'Content-Type': 'text/html'}})))",
                ),
            ),
        },
        expect=Shows(text="Made by a worker", title="Made"),
        body={"waitForFunction": {"fn": "document.title === 'Made'"}},
    ),
    page(
        "canvas",
        "<canvas id=c width=400 height=300 style='position:absolute;left:200px;top:200px'></canvas><script>"
        "const k = c.getContext('2d'); k.fillStyle = 'green'; k.fillRect(0, 0, 400, 300)</script>",
        expect=Shows(colours=_INSIDE),
    ),
    page(
        "webgl",
        "<canvas id=c width=400 height=300 style='position:absolute;left:200px;top:200px'></canvas><script>"
        "const g = c.getContext('webgl', {preserveDrawingBuffer: true}); g.clearColor(0, 0, 1, 1); g.clear(g.COLOR_BUFFER_BIT)</script>",
        expect=Shows(colours=((400, 400, BLUE),)),
    ),
    page(
        "animated",
        "<style>@keyframes k { to { transform: rotate(360deg) } } b { display: inline-block; animation: k .1s linear infinite }</style>"
        "<b>x</b><script>const f = () => { it.style.color = 'red'; it.style.color = ''; requestAnimationFrame(f) }; f()</script>",
    ),
    page(
        "infinite-scroll",
        "<div id=d></div><script>const more = () => { if (innerHeight + scrollY > document.body.scrollHeight - 500)"
        " for (let i = 0; i < 20; i++) d.append(document.createElement('hr'), 'more') }; onscroll = more; more()</script>",
        bodies={"screenshot": {"scrollPage": True}},
    ),
    page(
        "very-long",
        "<style>body { margin: 0 } p { position: absolute }</style><div style='height:50000px'></div>"
        "<div style='position:absolute;left:0;top:49900px;width:200px;height:100px;background:blue'></div>",
        but={"screenshot": Shows(size=(800, 50000), colours=((100, 49950, BLUE), (100, 40000, (255, 255, 255))))},
        bodies={"screenshot": {"screenshotOptions": {"fullPage": True}, "viewport": {"width": 800, "height": 600}}},
    ),
    page(
        "very-wide",
        "<div style='position:absolute;left:49900px;top:0;width:100px;height:100px;background:blue'></div>",
        but={"screenshot": Shows(size=(50000, 600), colours=((49950, 50, BLUE), (30000, 50, (255, 255, 255))))},
        bodies={"screenshot": {"screenshotOptions": {"fullPage": True}, "viewport": {"width": 800, "height": 600}}},
    ),
    page("pictures-endless", "<img src=never width=100 height=100>", routes={"/never": (Hold(),)}),
    page(
        "fonts-endless",
        "<p style='font-family: F'>In a font that never comes</p>",
        head="<style>@font-face { font-family: F; src: url(never) }</style>",
        routes={"/never": (Hold(),)},
        expect=Shows(),
    ),
    page(
        "styles-endless",
        head="<link rel=stylesheet href=never>",
        routes={"/never": (Hold(),)},
        but={"screenshot": Fails(code=6002), "snapshot": Fails(code=6002), "pdf": Fails(code=6002)},
        bodies={each: {"actionTimeout": 1500} for each in ("screenshot", "snapshot", "pdf")},
    ),
)
