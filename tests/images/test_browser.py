"""The browser's image at work: letters of many scripts, colours of emoji, PDF, WebGL, no zombies, an orderly end."""

import contextlib
import io
import pathlib
import signal
from collections.abc import AsyncIterator, Iterator

import aiohttp
import orjson
import pypdf
import pytest
import pytest_asyncio
from PIL import Image, ImageChops

from browserpool.model import agentapi
from support import agents, containers, waiting

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCRIPTS = {
    "Latin": "ệ", "Greek": "ψ", "Cyrillic": "ж", "Armenian": "ֆ", "Georgian": "ქ", "Hebrew": "ש", "Arabic": "ض", "Syriac": "ܫ",
    "Thaana": "ޝ", "Devanagari": "ह", "Bengali": "হ", "Gurmukhi": "ਹ", "Gujarati": "હ", "Oriya": "ହ", "Tamil": "ஹ", "Telugu": "హ",
    "Kannada": "ಹ", "Malayalam": "ഹ", "Sinhala": "හ", "Thai": "ฮ", "Lao": "ຮ", "Tibetan": "ཧ", "Myanmar": "ဟ", "Khmer": "ហ",
    "Ethiopic": "ሐ", "Cherokee": "Ꮳ", "Mongolian": "ᠮ", "Tifinagh": "ⵣ", "N'Ko": "ߒ", "Han, simplified": "汉", "Han, traditional": "漢",
    "Hiragana": "ゆ", "Katakana": "ヌ", "Hangul": "한", "rare Han": "㐂", "mathematics": "∮", "arrows": "⇶", "chess": "♞", "currency": "₹",
    "box drawing": "╬", "dingbats": "✈", "music": "♬", "circled": "㊗",
}  # fmt: skip
EMOJI = ("😀", "👩🏽‍🚀", "🇯🇵", "❤️")
NOWHERE = "\u0378"
"""A code point that no character has: what is drawn for it is what is drawn for everything that no font has."""
CELL = 64
COLUMNS = 8


@contextlib.asynccontextmanager
async def started(image: containers.Container, log: pathlib.Path) -> AsyncIterator[agents.Agent]:
    """The image's own program, healthy in a container, and a router's endpoints for it."""
    async with agents.router() as router, aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as http:
        variables = agents.environment(router, base=pathlib.Path("/data"), ops_port=0, sandbox="off")
        settings = {name: value for name, value in variables.items() if name.startswith("BROWSERPOOL_")}
        with image.running(log, **settings) as process:
            await waiting.until(lambda: router.hellos or process.poll() is not None, deadline=60)
            assert process.poll() is None, log.read_text()
            made = agents.Agent(
                process=process,
                router=router,
                address=router.hellos[-1]["address"],
                base=pathlib.Path("/data"),
                log=log,
                http=http,
            )
            await made.healthy(deadline=60)
            yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def agent(browser: containers.Container, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[agents.Agent]:
    async with started(browser, tmp_path_factory.mktemp("browser") / "log") as made:
        yield made


@pytest.fixture(scope="module")
def fences() -> Iterator[int]:
    return iter(range(agents.FIRST_FENCE + 1, agents.FIRST_FENCE + 100))


@pytest.fixture
def perform(agent, fences):
    async def performed(action: str, **body: object) -> bytes:
        token = agents.token(next(fences))
        url, data = agent.url + agentapi.ACTION.format(action=action), orjson.dumps(body)
        async with agent.http.post(url, data=data, headers=agents.bearer(token)) as answer:
            content = await answer.read()
            assert answer.status == 200, content
        await agent.end(token)
        return content

    return performed


def grid(characters: list[str], *, font: str) -> str:
    cells = "".join(f"<b>{character}</b>" for character in characters)
    return f"""<!doctype html><meta charset=utf-8><style>
      body {{ margin: 0; width: {CELL * COLUMNS}px; font: 40px/{CELL}px {font} }}
      b {{ float: left; width: {CELL}px; height: {CELL}px; overflow: hidden; text-align: center; font-weight: 400 }}
    </style>{cells}"""


def cells(picture: Image.Image, number: int) -> list[Image.Image]:
    corners = [(at % COLUMNS * CELL, at // COLUMNS * CELL) for at in range(number)]
    return [picture.crop((x, y, x + CELL, y + CELL)) for x, y in corners]


def same(one: Image.Image, other: Image.Image) -> bool:
    return ImageChops.difference(one, other).getbbox() is None


@pytest.fixture
def drawn(perform):
    async def pictures(characters: list[str], *, font: str) -> list[Image.Image]:
        window = {"width": CELL * COLUMNS, "height": CELL * (len(characters) // COLUMNS + 1)}
        content = await perform("screenshot", html=grid(characters, font=font), viewport=window)
        return cells(Image.open(io.BytesIO(content)).convert("RGB"), len(characters))

    return pictures


@pytest.mark.parametrize("font", ["sans-serif", "serif", "monospace"])
async def test_every_script_has_letters(drawn, font):
    space, nowhere, *letters = await drawn([" ", NOWHERE, *SCRIPTS.values()], font=font)
    assert not same(space, nowhere), "what no font has is drawn as nothing, so that this test cannot tell"
    missing = [
        script for script, letter in zip(SCRIPTS, letters, strict=True) if same(letter, nowhere) or same(letter, space)
    ]
    assert missing == []


async def test_emoji_have_colours(drawn):
    nowhere, *pictures = await drawn([NOWHERE, *EMOJI], font="sans-serif")
    for emoji, picture in zip(EMOJI, pictures, strict=True):
        saturation = picture.convert("HSV").getchannel("S").getextrema()[1]
        assert saturation > 60, emoji
        assert not same(picture, nowhere)


async def test_a_page_of_japanese_gets_japanese_forms(drawn):
    chinese, japanese = await drawn(
        ['<i lang="zh-CN" style="font-style:normal">直</i>', '<i lang="ja" style="font-style:normal">直</i>'],
        font="sans-serif",
    )
    assert not same(chinese, japanese)


async def test_a_pdf_holds_its_letters(perform):
    content = await perform("pdf", html="<meta charset=utf-8><p>Grüße, 漢字, שלום, 한국어")
    text = pypdf.PdfReader(io.BytesIO(content)).pages[0].extract_text()
    assert all(word in text for word in ("Grüße", "漢字", "한국어"))


async def test_webgl_draws_without_a_gpu(perform):
    html = """<!doctype html><body style="margin:0"><canvas id=c width=100 height=100></canvas><script>
      const gl = c.getContext("webgl", {preserveDrawingBuffer: true});
      gl.clearColor(0, 0, 1, 1); gl.clear(gl.COLOR_BUFFER_BIT);
    </script>"""
    content = await perform("screenshot", html=html, viewport={"width": 100, "height": 100})
    assert Image.open(io.BytesIO(content)).convert("RGB").getpixel((50, 50)) == (0, 0, 255)


async def test_fonts_are_known_before_the_first_page(browser, agent):
    said = [
        line
        for line in browser.exec("fc-cache", "-v", "--system-only").splitlines()
        if line.startswith("/usr/share/fonts/")
    ]
    assert len(said) > 3
    assert all("existing cache is valid" in line or "looped directory" in line for line in said), said


async def test_orphans_are_reaped(browser, agent):
    browser.exec("sh", "-c", "for i in 1 2 3; do (sleep 0.0$i &) & done")
    states = "cat /proc/[0-9]*/stat | sed 's/.*) //' | cut -c1 | sort -u"
    await waiting.until(lambda: "Z" not in browser.exec("sh", "-c", states), deadline=5, every=0.1)


async def test_sigterm_ends_it_in_order(browser, agent):
    """The last test: its container is everybody's here."""
    agent.process.send_signal(signal.SIGTERM)
    await waiting.until(lambda: agent.process.poll() is not None, deadline=20)
    assert agent.process.returncode == 0, agent.log.read_text()
