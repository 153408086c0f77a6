"""Pictures of hard pages: those that were looked at once, compared; and writing of all the world, by what can be known of any font."""

import io
import pathlib

import pytest
import pytest_asyncio
from PIL import Image, ImageChops

from support import pages
from support.corpus import server, table

pytestmark = pytest.mark.asyncio(loop_scope="module")

SEEN = pathlib.Path(server.__file__).with_name("pictures")
"""Small pictures that a person has looked at. To renew one: delete it, run its test, look at what it has written, and keep it."""
SMALL = (192, 108)
WINDOW = {"width": 960, "height": 540}
OFF = 48
"""Levels of a channel by which a pixel may differ: edges are smoothed in other ways by other versions."""
MOST_OFF = 0.01
"""Share of pixels that may differ by more: words, in whatever font there is."""
COMPARED = ("frames-nested", "frames-of-another-site", "frameset", "shadow-open", "shadow-closed", "shadow-declared", "canvas",
            "webgl", "kind-png", "kind-svg", "world-arabic", "world-hebrew")  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stand():
    async with pages.stand() as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def web():
    async with server.running(table.PAGES) as served:
        yield served


@pytest.mark.parametrize("name", COMPARED)
async def test_a_page_looks_as_it_did_when_it_was_looked_at(stand, web, name):
    page = next(page for page in table.PAGES if page.name == name)
    made = await stand.perform("screenshot", **{**page.wanted("screenshot"), "url": web.url(page), "viewport": WINDOW})
    picture = Image.open(io.BytesIO(made.body)).convert("RGB").resize(SMALL, Image.Resampling.BOX)
    reference = SEEN / f"{name}.png"
    if not reference.exists():
        picture.quantize(16).save(reference, optimize=True)
        pytest.fail(f"{reference} was not there and has been written: look at it, and keep it if it is right")
    difference = ImageChops.difference(picture, Image.open(reference).convert("RGB"))
    off = sum(max(pixel) > OFF for pixel in difference.get_flattened_data())
    assert off <= MOST_OFF * SMALL[0] * SMALL[1], f"{off} pixels differ"


# ---------------------------------------------------------------- writing

CELL = 120
UNKNOWN = "\u0378"
"""A character that no font has: its picture is the one that stands for all that are missing."""
SCRIPTS = {
    "latin": "abgÄ",
    "greek": "αβγ",
    "cyrillic": "жщя",
    "arabic": "ابج",
    "hebrew": "אבש",
    "chinese": "你好世",
    "japanese": "こにカ",
    "korean": "안녕하",
    "hindi": "नमक",
    "thai": "กขส",
    "emoji": "😀👍🎉",
}
EVERYWHERE = ("latin", "greek", "cyrillic")
"""Scripts that any font of those that come with Chromium has."""


async def inks(stand, characters):
    """The picture of each character, alone."""
    cells = "".join(
        f"<div style='position:absolute;left:{CELL * at}px;top:0;width:{CELL}px;height:{CELL}px;font:60px/2 sans-serif'>{one}</div>"
        for at, one in enumerate(characters)
    )
    picture = await stand.picture(
        html=f"<!doctype html><meta charset=utf-8><body style='margin:0'>{cells}",
        viewport={"width": CELL * len(characters), "height": CELL},
    )
    return [
        picture.convert("RGB").crop((CELL * at, 0, CELL * (at + 1), CELL)).tobytes() for at in range(len(characters))
    ]


@pytest.mark.parametrize("script", SCRIPTS)
async def test_characters_are_told_apart_wherever_there_is_a_font(stand, script):
    blank, missing, *seen = await inks(stand, [" ", UNKNOWN, *SCRIPTS[script]])
    assert blank not in seen, "a character left no trace"
    drawn = [ink for ink in seen if ink != missing]
    assert len(set(drawn)) == len(drawn)
    # A font has a script, or it has not; of emoji an ordinary one may have a few.
    assert len(drawn) == len(seen) or script == "emoji" or (not drawn and script not in EVERYWHERE)


async def test_writing_runs_the_way_of_its_language(stand):
    async def extent(way, text):
        picture = await stand.picture(
            html=f"<!doctype html><meta charset=utf-8><html dir={way}><body style='margin:20px;font:40px sans-serif'>{text}",
            viewport={"width": 800, "height": 100},
        )
        left, _, right, _ = ImageChops.invert(picture.convert("L")).getbbox()
        return left, right

    left, right = await extent("ltr", "abc")
    assert left < 40
    assert right < 400
    left, right = await extent("rtl", "שלום")
    assert left > 400
    assert right > 760
    # Numbers and Latin letters keep their own way inside; what ends the line in writing stands at its left.
    first, _ = await extent("rtl", "<span style='color:white'>שלום</span> abc")
    assert first < (await extent("rtl", "שלום abc"))[1] - 100
