"""Each field of the shared body and of a crawl's, with its default and its maximum as the wire format has them."""

import orjson
import pytest

from browserpool.model import errors, pool
from browserpool.model.wire import actions
from browserpool.router.crawl import plan

URL = "https://example.com/"
# A pause is in milliseconds.
SHARED = {
    "url": None,
    "html": "<p>",
    "action_timeout": 120_000,
    "add_script_tag": (),
    "add_style_tag": (),
    "reject_request_pattern": (),
    "allow_request_pattern": (),
    "reject_resource_types": (),
    "allow_resource_types": (),
    "authenticate": None,
    "best_attempt": False,
    "cookies": (),
    "emulate_media_type": None,
    "goto_options": {
        "timeout": 30_000,
        "wait_until": ("domcontentloaded",),
        "referer": None,
        "referrer_policy": None,
    },
    "set_extra_http_headers": {},
    "set_java_script_enabled": True,
    "user_agent": None,
    "viewport": {
        "width": 1920,
        "height": 1080,
        "device_scale_factor": 1.0,
        "has_touch": False,
        "is_landscape": False,
        "is_mobile": False,
    },
    "wait_for_event": None,
    "wait_for_function": None,
    "wait_for_selector": None,
    "wait_for_timeout": 0,
    "cache_ttl": 5,
}
CRAWL = {
    **SHARED,
    "url": URL,
    "html": None,
    "limit": 10,
    "depth": 100_000,
    "source": "all",
    "formats": ("html",),
    "render": True,
    "json_options": None,
    "max_age": 86_400,
    "modified_since": None,
    "options": {
        "include_patterns": (),
        "exclude_patterns": (),
        "include_subdomains": False,
        "include_external_links": False,
    },
    "crawl_purposes": ("search", "ai-input", "ai-train"),
    "content_use": "full",
    "browser": None,
}


def test_defaults_of_the_shared_body() -> None:
    assert actions.parse("content", b'{"html": "<p>"}').model_dump() == SHARED


def test_defaults_of_a_crawl() -> None:
    assert plan.read({"url": URL}).body.model_dump() == CRAWL


def at(path: str, value: float) -> dict[str, object]:
    """A body's field by its path: ``a.b`` is ``b`` of ``a``."""
    *above, name = path.split(".")
    field: dict[str, object] = {name: value}
    for each in reversed(above):
        field = {each: field}
    return field


MOST = {
    "actionTimeout": 120_000,
    "gotoOptions.timeout": 60_000,
    "waitForSelector.timeout": 60_000,
    "waitForTimeout": 60_000,
    "cacheTTL": 86_400,
}
MOST_OF_A_CRAWL = {**MOST, "limit": 100_000, "depth": 100_000, "maxAge": 604_800}


def body(path: str, value: float) -> dict[str, object]:
    fields = at(path, value)
    if isinstance(wait := fields.get("waitForSelector"), dict):
        wait["selector"] = "p"
    return {"url": URL, **fields}


@pytest.mark.parametrize(("path", "most"), MOST.items())
def test_maxima_of_the_shared_body(path: str, most: int) -> None:
    actions.parse("content", orjson.dumps(body(path, most)))
    with pytest.raises(errors.InvalidRequest, match=path):
        actions.parse("content", orjson.dumps(body(path, most + 1)))


@pytest.mark.parametrize(("path", "most"), MOST_OF_A_CRAWL.items())
def test_maxima_of_a_crawl(path: str, most: int) -> None:
    plan.read(body(path, most))
    with pytest.raises(errors.InvalidRequest, match=path):
        plan.read(body(path, most + 1))


def test_maxima_of_a_pdf() -> None:
    assert actions.parse("pdf", b'{"html": "<p>", "pdfOptions": {"timeout": 300000}}')
    with pytest.raises(errors.InvalidRequest, match=r"pdfOptions\.timeout"):
        actions.parse("pdf", b'{"html": "<p>", "pdfOptions": {"timeout": 300001}}')


def test_a_session_is_kept_for_a_minute_unless_its_pool_or_its_client_says_otherwise() -> None:
    assert pool.Sessions().keep_alive == 60.0
