"""Our actions asked of browserless, and its answers in our own form. Pure.

What browserless cannot do, or does differently, is not asked of it: ``body`` says so with ``None``, and the pool serves.
"""

import html
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from browserpool.model import errors
from browserpool.model.wire import envelope, screenshot, shared

ACTIONS: Final = frozenset({"content", "pdf", "scrape", "screenshot"})
"""Those that both have, at the same addresses."""

_OPTIONS: Final = {"screenshotOptions": "options", "pdfOptions": "options"}
_LEFT_OUT: Final = frozenset({"actionTimeout", "cacheTTL", "goToOptions"})
"""What has another place there, or none."""
_TITLE: Final = re.compile(r"<title[^>]*>([^<]*)</title>", re.IGNORECASE)
_TIMED_OUT: Final = ("timeout", "timed out")


def body(action: str, sent: bytes, parsed: shared.QuickAction) -> bytes | None:
    """The body for browserless of one that was found good; ``None``: it has no such action, or would not do as it is asked to."""
    if action not in ACTIONS or parsed.allow_request_pattern or parsed.allow_resource_types:
        return None
    if not parsed.set_java_script_enabled or parsed.user_agent is not None:
        return None  # it pays no heed to the one, and wants the other as text or as an object, by its version
    asked: dict[str, Any] = {
        _OPTIONS.get(name, name): value
        for name, value in orjson.loads(sent).items()
        if name not in _LEFT_OUT and value is not None
    }
    if (patterns := _patterns(asked.get("rejectRequestPattern", ()))) is None:
        return None
    asked["rejectRequestPattern"] = patterns
    # Its own defaults are puppeteer's.
    asked["gotoOptions"] = _goto(parsed.goto_options)
    asked.setdefault("viewport", {"width": shared.DEFAULT_VIEWPORT.width, "height": shared.DEFAULT_VIEWPORT.height})
    return orjson.dumps(asked)


def timeout(parsed: shared.QuickAction) -> str:
    """Milliseconds for its ``?timeout=``."""
    return f"{parsed.action_timeout or shared.MAX_ACTION_MS:.0f}"


def media(parsed: shared.QuickAction) -> str | None:
    """What a picture's answer is: it calls every picture a PNG."""
    if not isinstance(parsed, screenshot.Screenshot):
        return None
    options = parsed.screenshot_options
    return "text/plain" if options.encoding == "base64" else f"image/{options.type}"


def _goto(options: shared.GotoOptions) -> dict[str, Any]:
    given = {"timeout": options.timeout, "waitUntil": list(options.wait_until)}
    more = {"referer": options.referer, "referrerPolicy": options.referrer_policy}
    return given | {name: value for name, value in more.items() if value is not None}


def _patterns(given: Any) -> list[str] | None:
    """Bare ones; ``None``: one has flags, which it knows nothing of."""
    found = []
    for pattern in given:
        inner, slash, flags = pattern[1:].rpartition("/") if pattern.startswith("/") else ("", "", "")
        if slash and flags:
            return None
        found.append(inner if slash else pattern)
    return found


# ---------------------------------------------------------------- answers


def content(text: bytes, headers: Mapping[str, str]) -> bytes:
    """The page's HTML in our envelope."""
    status = headers.get("X-Response-Code", "")
    document = text.decode(errors="replace")
    title = _TITLE.search(document)
    meta = {
        "status": int(status) if status.isascii() and status.isdigit() and len(status) == 3 else 200,
        "title": html.unescape(title[1]).strip() if title else "",
    }
    return orjson.dumps(envelope.success(document, meta=meta))


def scrape(text: bytes, _: Mapping[str, str]) -> bytes:
    """What selectors found in our envelope.

    Raises:
        errors.UpstreamFailed: it is not what browserless answers.
    """
    try:
        found = orjson.loads(text)["data"]
    except (ValueError, LookupError, TypeError) as error:
        raise errors.UpstreamFailed("The upstream's answer is not browserless': it has no data.") from error
    return orjson.dumps(envelope.success(found))


REWRITTEN: Final[Mapping[str, Callable[[bytes, Mapping[str, str]], bytes]]] = {"content": content, "scrape": scrape}
"""The actions whose answers come bare there and in an envelope here."""


def complaint(status: int, text: str) -> errors.BrowserpoolError:
    """Its error as one of ours.

    It answers for a page that fails as for itself (500): what names a network error or a timeout is the page's.
    """
    said = " ".join(text.split())[:300] or f"status {status}"
    if status == 408 or (status == 500 and any(words in said.lower() for words in _TIMED_OUT)):
        return errors.PageFailed(f"The page was too slow: {said}", code=errors.Code.TIMEOUT)
    if status == 500 and "net::ERR_" in said:
        return errors.PageFailed(f"The page failed: {said}")
    if status == 400:
        return errors.InvalidRequest(f"The upstream takes no such body: {said}")
    return refused(status, said)


def refused(status: int, said: str, *, retry_after: int | None = None) -> errors.BrowserpoolError:
    """What any upstream refuses for reasons of its own, or of whoever set it up: not for the client's."""
    if status == 429:
        return errors.QueueFull(f"The upstream is full ({said}).", retry_after=retry_after or 1)
    if status == 503:
        return errors.NoBrowser(f"The upstream has no browser ({said}).", retry_after=retry_after or 1)
    if status in (401, 403):
        return errors.UpstreamFailed(f"The upstream does not take this router's token ({said}): see tokenSecretRef.")
    if status == 404:
        return errors.UpstreamFailed(f"The upstream has no such address ({said}): see its url and kind.")
    return errors.UpstreamFailed(f"The upstream answered {status} ({said}).", retry_after=1)
