"""One scenario, told to each client that people drive a remote browser with: nothing in it changes but the address."""

import contextlib
import io
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from PIL import Image

from support import clients, javascript, site, stack, waiting

BY_BINDING = ("@cloudflare/puppeteer", "@cloudflare/puppeteer-1.0", "@cloudflare/playwright")
NODE = ("puppeteer-core", "playwright-core", *BY_BINDING)
SIDE = 3400
"""Pixels of a square of noise whose PNG is over 30 MB."""

FORM = """<title>one</title><input type=file><a href=/download>take it</a>
<script>
  const input = document.querySelector('input')
  input.onchange = async () => { document.title = `${input.files[0].name}: ${await input.files[0].text()}` }
</script>"""
NOISE = """<title>two</title><body style="margin:0"><canvas style="display:block"></canvas>
<script>
  const canvas = document.querySelector('canvas')
  canvas.width = canvas.height = %d
  const context = canvas.getContext('2d'), image = context.createImageData(canvas.width, canvas.height)
  const pixels = new Uint32Array(image.data.buffer)
  for (let i = 0, x = 2463534242; i < pixels.length; i++) {
    x ^= x << 13; x ^= x >>> 17; x ^= x << 5
    pixels[i] = x | 0xff000000
  }
  context.putImageData(image, 0, 0)
</script>"""


@pytest.fixture(params=["pyppeteer", *NODE])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@contextlib.asynccontextmanager
async def started(name: str, *, root: pathlib.Path, said: pathlib.Path) -> AsyncIterator[clients.Client]:
    """The client of that name, connected to nothing yet."""
    if name == "pyppeteer":
        yield clients.Pyppeteer()
        return
    with javascript.running(javascript.installed(root), "drivers.mjs", name, errors=said / "errors") as process:
        yield clients.Node(process)


@pytest.fixture
async def client(
    up: stack.Stack, http: aiohttp.ClientSession, name: str, pytestconfig: pytest.Config, tmp_path: pathlib.Path
) -> AsyncIterator[clients.Client]:
    async with started(name, root=pathlib.Path(pytestconfig.rootpath), said=tmp_path) as found:
        yield found
        for one in await live(up):
            await http.delete(f"/devtools/browser/{one['sessionId']}")


def how(up: stack.Stack, session: str | None = None) -> clients.How:
    """Where to connect: for a new session, or for one that is open."""
    rest = f"?token={up.token}&pool=main&keep_alive=60000" if session is None else f"/{session}?token={up.token}"
    return clients.How(
        endpoint=f"{up.websocket}/devtools/browser{rest}",
        router=up.url,
        headers={**up.headers, "X-Browserpool-Pool": "main"},
        session=session,
    )


async def live(up: stack.Stack) -> list[dict[str, Any]]:
    """The sessions that are open, as clients read them."""
    async with up.client() as http, http.get("/devtools/session") as answer:
        found: list[dict[str, Any]] = await answer.json()
        return found


async def test_the_whole_of_it(
    up: stack.Stack,
    http: aiohttp.ClientSession,
    web: site.Site,
    client: clients.Client,
    name: str,
    tmp_path: pathlib.Path,
) -> None:
    web.page("/one", FORM)
    web.page("/two", NOISE % SIDE)
    known = await client.launch(how(up))
    (session,) = [one["sessionId"] for one in await live(up)]
    assert known in (None, session)

    # Two pages.
    await client.drive("open", "one", web.url("/one"))
    await client.drive("open", "two", web.url("/two"))
    assert {"one", "two"} <= set(await client.drive("titles"))

    # A dialog.
    assert await client.drive("dialog", "one", "prompt('your name?')", "me") == {"given": "me", "said": "your name?"}

    # A file up: its content comes from the client.
    await client.drive("upload", "one", "input", "a.txt", "hello")

    async def read() -> bool:
        return "a.txt: hello" in await client.drive("titles")

    await waiting.until(read)

    # A file down: it lies with the browser, and is fetched from there.
    assert await client.drive("download", "one", "a") == {"suggested": "a.bin", "state": "completed"}
    async with http.get(f"/devtools/browser/{session}/downloads") as answer:
        (file,) = await answer.json()
    async with http.get(f"/devtools/browser/{session}/downloads/{file['name']}") as answer:
        assert (file["size"], await answer.read()) == (1000, b"x" * 1000)

    # A message of more than 30 MB.
    await client.drive("screenshot", "two", SIDE, SIDE, str(tmp_path / "picture"))
    picture = (tmp_path / "picture").read_bytes()
    assert len(picture) > 30_000_000
    assert Image.open(io.BytesIO(picture)).size == (SIDE, SIDE)

    # Away, and back.
    await client.drive("disconnect")

    async def free() -> bool:
        return "connectionId" not in (await live(up))[0]

    await waiting.until(free)
    await client.connect(how(up, session))
    assert {"a.txt: hello", "two"} <= set(await client.drive("titles"))

    # The browser closed, the session is over.
    await client.drive("close")

    async def over() -> bool:
        return await live(up) == []

    await waiting.until(over)
    (past,) = [one for one in await up.past() if one.session_id == session]
    assert past.reason == 1


@pytest.mark.parametrize("name", BY_BINDING)
async def test_what_a_binding_is_asked(up: stack.Stack, client: clients.Node) -> None:
    """launch and close, sessions, limits, history."""
    tour = await client.ask("tour", how(up))
    assert (tour["title"], tour["open"]["sessionId"]) == ("toured", tour["session"])
    assert tour["session"] in [one["id"] for one in tour["limits"]["activeSessions"]]

    async def over() -> bool:
        return await live(up) == []

    await waiting.until(over)
    assert tour["session"] in [one["sessionId"] for one in tour["history"]]
