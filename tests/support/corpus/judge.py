"""Whether an answer is what a page expects of an action."""

import base64
import io
from typing import Any

import orjson
import pypdf
from PIL import Image

from support.corpus import model


def complaint(
    page: model.Page, action: str, *, status: int, body: bytes, links: tuple[str, ...] | None = None
) -> str | None:
    """What is wrong with the answer; ``None``: nothing. ``links`` are the page's, with the server's addresses."""
    expected = page.expected(action)
    if isinstance(expected, model.Either):
        expected = expected.shows if status == 200 else _any_of(expected, status, body)
    if isinstance(expected, model.Fails):
        return _failed(expected, status, body)
    if status != 200:
        return f"{status}: {body[:500].decode(errors='replace')}"
    return _LOOKS[action](expected, body, links)


def _any_of(expected: model.Either, status: int, body: bytes) -> model.Fails:
    code = orjson.loads(body)["errors"][0]["code"]
    return model.Fails(
        code=code if code in expected.codes else -1, status=status if status in expected.statuses else -1
    )


def _failed(expected: model.Fails, status: int, body: bytes) -> str | None:
    if status == 200:
        return f"200 instead of {expected}: {body[:300]!r}"
    (error,) = orjson.loads(body)["errors"]
    if (status, error["code"]) != (expected.status, expected.code) or expected.says not in error["message"]:
        return f"{status} {error} instead of {expected}"
    return None


def _enveloped(expected: model.Shows, body: bytes) -> tuple[Any, str | None]:
    said = orjson.loads(body)
    meta = said["meta"]
    wrong = meta["status"] != expected.status or (expected.title is not None and meta["title"] != expected.title)
    return said["result"], f"meta is {meta}" if wrong else None


def _content(expected: model.Shows, body: bytes, _: object) -> str | None:
    result, wrong = _enveloped(expected, body)
    return wrong or _of_html(expected, result)


def _of_html(expected: model.Shows, result: str) -> str | None:
    if expected.html is not None and expected.html not in result:
        return f"no {expected.html!r} in {_short(result)}"
    return _unseen(expected, result)


def _unseen(expected: model.Shows, result: str) -> str | None:
    if expected.unseen is not None and f">{expected.unseen}" in result:
        return f"{expected.unseen!r} in {_short(result)}"
    return None


def _markdown(expected: model.Shows, body: bytes, _: object) -> str | None:
    result, wrong = _enveloped(expected, body)
    return wrong or _of_markdown(expected, result)


def _of_markdown(expected: model.Shows, result: str) -> str | None:
    missing = expected.text is not None and expected.text not in result
    return f"no {expected.text!r} in {_short(result)}" if missing else None


def _links(expected: model.Shows, body: bytes, links: tuple[str, ...] | None) -> str | None:
    result, wrong = _enveloped(expected, body)
    if wrong is None and links is not None and result != list(links):
        return f"{result} instead of {links}"
    return wrong


def _scrape(expected: model.Shows, body: bytes, _: object) -> str | None:
    result, wrong = _enveloped(expected, body)
    found = [one["text"] for one in result[0]["results"]]
    if wrong is None and expected.text is not None and not (len(found) == 1 and expected.text in found[0]):
        return f"{found} instead of {expected.text!r}"
    return wrong


def _tree(expected: model.Shows, body: bytes, _: object) -> str | None:
    result, wrong = _enveloped(expected, body)
    return wrong or _of_tree(expected, result["accessibilityTree"])


def _of_tree(expected: model.Shows, tree: Any) -> str | None:
    wanted = expected.tree if expected.tree is not None else expected.text
    said = orjson.dumps(tree).decode()
    return f"no {wanted!r} in {_short(said)}" if wanted is not None and wanted not in said else None


def _screenshot(expected: model.Shows, body: bytes, _: object) -> str | None:
    picture = Image.open(io.BytesIO(body)).convert("RGB")
    if picture.size != expected.size:
        return f"the picture is {picture.size}"
    if not expected.blank and picture.getcolors(1) is not None:
        return "the picture is of one colour"
    seen = [(x, y, picture.getpixel((x, y))) for x, y, _ in expected.colours]
    return f"the picture has {seen}" if seen != list(expected.colours) else None


def _pdf(expected: model.Shows, body: bytes, _: object) -> str | None:
    pages = pypdf.PdfReader(io.BytesIO(body)).pages
    return None if len(pages) else "the PDF has no page"


def _snapshot(expected: model.Shows, body: bytes, _: object) -> str | None:
    result, wrong = _enveloped(expected, body)
    return (
        wrong
        or _of_html(expected, result["content"])
        or _of_markdown(expected, result["markdown"])
        or _of_tree(expected, result["accessibilityTree"])
        or _screenshot(expected, base64.b64decode(result["screenshot"]), None)
    )


def _short(text: str) -> str:
    return repr(text if len(text) < 600 else f"{text[:300]}…{text[-200:]}")


_LOOKS = {
    "content": _content,
    "screenshot": _screenshot,
    "pdf": _pdf,
    "markdown": _markdown,
    "links": _links,
    "scrape": _scrape,
    "accessibilityTree": _tree,
    "snapshot": _snapshot,
}
