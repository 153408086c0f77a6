"""A body of browserless' as one of ours. Pure.

Its fields are nearly ours, which come from it. What differs: the options' name, puppeteer's own defaults (it waits for ``load``, in a
window of 800×600), no cache, patterns that never have flags, elements that are waited for, ``url`` that wins over ``html``. Fields that
cannot be kept to are refused by name.
"""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from browserpool.model import errors
from browserpool.model.wire import objects, shared
from browserpool.router import binding

ELEMENT_WAIT_MS: Final = 30_000
_MOST_MS: Final = 10**9
WINDOW: Final = {"width": 800, "height": 600}
"""puppeteer's, which browserless starts with."""

_OPTIONS: Final = {"screenshot": "screenshotOptions", "pdf": "pdfOptions"}
_REFUSED: Final = {
    "requestInterceptors": "answering a page's requests is not offered; reject them with rejectRequestPattern, or drive the page over CDP",
    "debugOpts": "what happens under way is not reported here; open a session and watch it over CDP",
}
_REFUSED_QUERY: Final = {
    "blockAds": "there is no ad blocker; reject its addresses with rejectRequestPattern",
    "launch": "browsers are started before they are asked for; their flags are in the pool's spec (chromium.args)",
    "profile": "there are no stored profiles; send cookies",
    "stealth": "it is not offered",
}
_OFF: Final = frozenset({"", "false", "0", "{}"})


def translated(action: str, body: bytes, *, query: Mapping[str, str]) -> bytes:
    """The body that our own action of that name takes.

    Raises:
        errors.InvalidRequest: it is no JSON object, or asks for what cannot be done; the message names the field as browserless does.
    """
    refuse(query)
    said = objects.read(body)
    for name, why in _REFUSED.items():
        if said.get(name):
            raise errors.InvalidRequest(f"{name}: {why}.")
    wire = {name: value for name, value in said.items() if name not in _REFUSED and value is not None}
    if wire.get("url"):
        wire.pop("html", None)
    wire["gotoOptions"] = _goto(wire.get("gotoOptions"))
    wire.setdefault("viewport", WINDOW)
    if isinstance(patterns := wire.get("rejectRequestPattern"), list):
        wire["rejectRequestPattern"] = [_pattern(one) for one in patterns]
    if action in _OPTIONS and "options" in wire:
        wire[_OPTIONS[action]] = _options(action, wire.pop("options"))
    if action == "scrape" and isinstance(elements := wire.get("elements"), list):
        wire["elements"] = [_element(one) for one in elements]
    if (timeout := timeout_of(query)) is not None:
        if timeout > shared.MAX_ACTION_MS:
            raise errors.InvalidRequest(
                f"timeout must be at most {shared.MAX_ACTION_MS} ms (given: {timeout:.0f}); "
                "for what takes longer, connect over WebSocket."
            )
        wire["actionTimeout"] = timeout
    return orjson.dumps({"cacheTTL": 0, **wire})


def in_its_words(action: str, message: str) -> str:
    """A complaint of ours with the fields named as browserless names them."""
    ours = _OPTIONS.get(action)
    return message if ours is None else message.replace(ours, "options")


def refuse(query: Mapping[str, str]) -> None:
    """Refuse what the address asks for and cannot be had.

    Raises:
        errors.InvalidRequest: naming it.
    """
    for name, why in _REFUSED_QUERY.items():
        if (text := query.get(name)) is not None and text.strip().lower() not in _OFF:
            raise errors.InvalidRequest(f"?{name}=: {why}.")


def timeout_of(query: Mapping[str, str]) -> float | None:
    """``?timeout=`` in milliseconds; ``None``: there is none, or it is 0, which is none to browserless.

    Raises:
        errors.InvalidRequest: it is no number.
    """
    return float(binding.whole(query, "timeout", least=0, most=_MOST_MS, absent=0)) or None


def _goto(options: Any) -> Any:
    if options is None:
        return {"waitUntil": "load"}
    return {"waitUntil": "load", **options} if isinstance(options, dict) else options


def _pattern(source: Any) -> Any:
    """To us a pattern between slashes may have flags; to browserless the slashes are a part of it."""
    return "[/]" + source[1:] if isinstance(source, str) and source.startswith("/") else source


def _options(action: str, options: Any) -> Any:
    if not isinstance(options, dict):
        raise errors.InvalidRequest("options must be an object.")
    refused = {"path": "files are not written here; the answer is the file"}
    if action == "pdf":
        refused["fullPage"] = "one page of the whole length is not offered; set height"
    for name, why in refused.items():
        if options.get(name):
            raise errors.InvalidRequest(f"options.{name}: {why}.")
    # Fonts that are used have loaded when the page has.
    return {name: value for name, value in options.items() if name not in refused and name != "waitForFonts"}


def _element(element: Any) -> Any:
    """Waited for, for half a minute unless it says otherwise; 0 is no wait to browserless, and the longest there is to us."""
    if not isinstance(element, dict):
        return element
    timeout = element.get("timeout")
    return {**element, "timeout": ELEMENT_WAIT_MS if timeout is None else timeout or 1}
