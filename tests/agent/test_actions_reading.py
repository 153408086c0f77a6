"""What markdown, links, scrape, accessibilityTree and snapshot make of a page."""

import base64
import io

import orjson
import pytest
import pytest_asyncio
from PIL import Image

from browserpool.agent import driver
from browserpool.model import errors
from support import pages, site

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCRIPTED = """<!doctype html><html><head><title>Prices</title></head><body><h1>Prices</h1><div id=out></div>
  <script>document.getElementById('out').innerHTML = '<table><tr><th>What<th>Price<tr><td>tea<td>3</table>'</script>
  <noscript>no script</noscript><style>p { color: red }</style></body></html>"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stand():
    async with pages.stand() as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def web():
    async with site.running() as made:
        yield made


@pytest.fixture
def read(stand):
    async def answer(name, **body):
        made = await stand.perform(name, **body)
        assert made.content_type == "application/json"
        answer = orjson.loads(made.body)
        assert answer["success"], answer
        return answer

    return answer


@pytest.fixture
def result(read):
    async def only(name, **body):
        return (await read(name, **body))["result"]

    return only


# ---------------------------------------------------------------- markdown


async def test_markdown_of_what_scripts_made(read):
    answer = await read("markdown", html=SCRIPTED)
    assert answer["result"].strip() == (
        "---\ntitle: Prices\n---\n\n# Prices\n\n| What | Price |\n| --- | --- |\n| tea | 3 |"
    )
    assert answer["meta"] == {"status": 200, "title": "Prices"}


async def test_markdown_keeps_menus_and_makes_addresses_whole(result, web):
    address = web.page("/deep/page", "<nav><a href='../up?a=b'>Up</a></nav><p><img src=dot.png alt=dot></p>")
    assert (await result("markdown", url=address)).strip() == (
        f"[Up]({web.url('/up?a=b')})\n\n![dot]({web.url('/deep/dot.png')})"
    )


async def test_markdown_of_other_scripts_than_latin(result):
    assert (await result("markdown", html="<p>日本語 &amp; <b>مرحبا</b> 😀</p>")).strip() == "日本語 & **مرحبا** 😀"


async def test_markdown_of_a_document_of_two_thousand_levels(stand, result):
    deep = (
        "let at = document.body; for (let i = 0; i < 2000; i++) { at = at.appendChild(document.createElement('div')) }"
    )
    await result("markdown", html=f"<p>above</p><script>{deep}; at.append('x')</script>")
    assert "alive" in await result("markdown", html="<p>alive</p>")


# ---------------------------------------------------------------- links

LINKS = """<a href="/a">a</a> <a href="/a">again</a> <a href="https://elsewhere.test/b">b</a> <a>none</a>
  <a href="#part">part</a> <a href="mailto:a@b.test">mail</a> <a href="/none" style="display:none">hidden</a>
  <a href="/invisible" style="visibility:hidden">invisible</a> <a href="/clear" style="opacity:0">clear</a>
  <map name=m><area href="/area" shape=rect coords="0,0,1,1"></map>"""


async def test_all_links_in_order_and_as_often_as_they_stand_there(result, web):
    address = web.page("/links", LINKS)
    assert await result("links", url=address) == [
        web.url("/a"), web.url("/a"), "https://elsewhere.test/b", f"{address}#part", "mailto:a@b.test",
        web.url("/none"), web.url("/invisible"), web.url("/clear"), web.url("/area"),
    ]  # fmt: skip


async def test_visible_links(result, web):
    address = web.page("/links", LINKS)
    assert await result("links", url=address, visibleLinksOnly=True) == [
        web.url("/a"), web.url("/a"), "https://elsewhere.test/b", f"{address}#part", "mailto:a@b.test",
    ]  # fmt: skip


async def test_links_of_the_own_host(result, web):
    links = await result("links", url=web.page("/links", LINKS), excludeExternalLinks=True, visibleLinksOnly=True)
    assert links == [web.url("/a"), web.url("/a"), web.url("/links#part"), "mailto:a@b.test"]


async def test_a_page_without_links(result):
    assert await result("links", html="<p>nothing</p>") == []


# ---------------------------------------------------------------- scrape


async def test_scrape(result):
    html = """<!doctype html><p class=x data-n="1" style="position:absolute;left:10px;top:20px;width:30px;height:40px">
      one <b>two</b></p><p class=x>three</p>"""
    found = await result("scrape", html=html, elements=[{"selector": "p.x"}, {"selector": "h1"}])
    assert [entry["selector"] for entry in found] == ["p.x", "h1"]
    assert found[1]["results"] == []
    first, second = found[0]["results"]
    assert (first["text"], first["html"].strip()) == ("one two", "one <b>two</b>")
    assert {"name": "data-n", "value": "1"} in first["attributes"]
    assert [first[side] for side in ("left", "width", "height")] == [10, 30, 40]
    assert second["text"] == "three"


async def test_scrape_says_which_selector_is_none(stand):
    with pytest.raises(errors.InvalidRequest, match=r"elements: 'p\[' is no CSS selector"):
        await stand.perform("scrape", html="<p>", elements=[{"selector": "p"}, {"selector": "p["}])


# ---------------------------------------------------------------- accessibilityTree

FORM = """<!doctype html><title>Form</title><main><h1>Sign <i>in</i></h1>
  <div><div><label>Name <input value=Ada required></label></div></div>
  <input type=checkbox checked aria-label=Stay><button disabled>Go</button><img alt="a cat" src="data:,"><p>Text</p></main>"""


async def test_the_tree_of_what_is_of_interest(read):
    answer = await read("accessibilityTree", html=FORM)
    assert answer["meta"] == {"status": 200, "title": "Form"}
    assert answer["result"]["accessibilityTree"] == {
        "role": "RootWebArea",
        "name": "Form",
        "children": [
            {"role": "heading", "name": "Sign in", "level": 1},
            {"role": "StaticText", "name": "Name "},
            {"role": "textbox", "name": "Name", "value": "Ada", "required": True},
            {"role": "checkbox", "name": "Stay", "checked": True},
            {"role": "button", "name": "Go", "disabled": True},
            {"role": "image", "name": "a cat"},
            {"role": "StaticText", "name": "Text"},
        ],
    }


async def test_the_whole_tree(result):
    tree = (await result("accessibilityTree", html=FORM, interestingOnly=False))["accessibilityTree"]

    def roles(node):
        yield node["role"]
        for child in node.get("children", ()):
            yield from roles(child)

    found = list(roles(tree))
    assert {"main", "heading", "paragraph", "LabelText"} <= set(found)
    assert "InlineTextBox" not in found


async def test_the_tree_below_a_root(result):
    tree = (await result("accessibilityTree", html=FORM, root="h1"))["accessibilityTree"]
    assert (tree["role"], tree["name"]) == ("heading", "Sign in")
    assert "StaticText" in str(tree["children"])


async def test_a_root_that_is_of_no_interest(result):
    answer = await result("accessibilityTree", html="<div id=a></div>", root="#a", interestingOnly=True)
    assert answer == {"accessibilityTree": None}


async def test_a_root_that_is_not_there_and_one_that_is_none(stand):
    with pytest.raises(errors.PageFailed, match="No element matches root 'h2'"):
        await stand.perform("accessibilityTree", html="<p>", root="h2")
    with pytest.raises(errors.InvalidRequest, match="root is no CSS selector"):
        await stand.perform("accessibilityTree", html="<p>", root="h2[")


async def test_a_tree_of_a_thousand_levels_can_still_be_written(result):
    deep = (
        "let at = document.body; for (let i = 0; i < 1000; i++) { at = at.appendChild(document.createElement('ul')) }"
    )
    tree = await result(
        "accessibilityTree", html=f"<p>above</p><script>{deep}; at.append('deepest')</script>", interestingOnly=False
    )
    assert "deepest" in str(tree)


# ---------------------------------------------------------------- snapshot


async def test_a_snapshot_by_default(result):
    found = await result("snapshot", html=SCRIPTED, viewport={"width": 200, "height": 100})
    assert sorted(found) == ["content", "screenshot"]
    assert "<td>tea" in found["content"]
    assert Image.open(io.BytesIO(base64.b64decode(found["screenshot"]))).size == (200, 100)


async def test_a_snapshot_of_everything(result):
    wanted = ["content", "screenshot", "markdown", "accessibilityTree"]
    found = await result(
        "snapshot", html=SCRIPTED, formats=wanted, screenshotOptions={"type": "jpeg", "fullPage": True}
    )
    assert sorted(found) == sorted(wanted)
    assert "| tea | 3 |" in found["markdown"]
    assert found["accessibilityTree"]["name"] == "Prices"
    assert Image.open(io.BytesIO(base64.b64decode(found["screenshot"]))).format == "JPEG"


@pytest.mark.parametrize("name", ["markdown", "links", "accessibilityTree", "snapshot"])
async def test_scripts_off(result, name):
    assert await result(name, html=SCRIPTED, setJavaScriptEnabled=False) is not None


# ---------------------------------------------------------------- pages that have made JavaScript their own

MEDDLED = """<!doctype html><title>Mine</title><a href="http://a.test/">a</a><p id=p>here</p><script>
  Array.from = things => things; Array.prototype.map = Array.prototype.join = () => { throw Error('mine') };
  Object.prototype.extra = 1; Array.prototype.toJSON = () => 'mine'; JSON.stringify = () => 'mine';
  Document.prototype.querySelector = Document.prototype.querySelectorAll = () => null;
  Element.prototype.getBoundingClientRect = () => { throw Error('mine') };
</script>"""
NAMED = """<!doctype html><title>Mine</title><a href="http://a.test/">a</a><p id=p>here</p>
  <form name=links></form><form name=querySelector></form><form name=querySelectorAll></form><img name=title><form name=childNodes></form>
  <form id=form><input name=attributes><input name=innerHTML><input name=getBoundingClientRect></form>"""


@pytest.mark.parametrize("html", [MEDDLED, NAMED])
async def test_what_a_page_has_done_to_javascript_does_not_reach_our_scripts(stand, read, html):
    assert '<p id="p">here</p>' in (await read("content", html=html))["result"]
    assert "here" in (await read("markdown", html=html))["result"]
    assert (await read("links", html=html))["result"] == ["http://a.test/"]
    scraped = (await read("scrape", html=html, elements=[{"selector": "#p"}, {"selector": "form"}]))["result"]
    assert [one["text"] for one in scraped[0]["results"]] == ["here"]
    assert (await read("accessibilityTree", html=html, root="#p"))["meta"] == {"status": 200, "title": "Mine"}
    await stand.perform("screenshot", html=html, selector="#p", waitForSelector={"selector": "#p", "visible": True})


async def test_the_callers_own_scripts_meet_what_the_page_has_made(result):
    html = "<p>x</p><script>window.made = 1</script>"
    tag = {"content": "document.body.append('made ' + window.made)"}
    assert "made 1" in await result(
        "content", html=html, addScriptTag=[tag], waitForFunction={"fn": "window.made === 1"}
    )


async def test_a_visit_is_of_one_document_though_the_page_leaves_meanwhile(stand, web, monkeypatch):
    """What a crawl keeps as an address's text must be that address's."""
    there = web.page("/there", "<title>There</title><a href=/of-there>x</a>")
    here = web.page("/here", "<title>Here</title><a href=/of-here>x</a>")
    call = driver.Session.call

    async def leaves_after_a_look(session, method, params=None, *, deadline=driver.DEADLINE):
        made = await call(session, method, params, deadline=deadline)
        if method == "Runtime.evaluate":
            await call(session, "Page.navigate", {"url": there})
        return made

    monkeypatch.setattr(driver.Session, "call", leaves_after_a_look)
    seen = orjson.loads((await stand.perform("crawl-visit", url=here)).body)["result"]
    assert (seen["url"], seen["title"], seen["links"]) == (here, "Here", [web.url("/of-here")])
