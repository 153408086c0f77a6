"""What every quick action's answer has in common on the wire, as the SDKs ask for it: bare or in the envelope, and what it took."""

import aiohttp
import pytest

from browserpool.model.wire import actions
from support import site, stack

# The SDKs say that they accept JSON, whatever they are to get.
ACCEPT = {"Accept": "application/json"}
BARE = {"screenshot": ("image/png", b"\x89PNG"), "pdf": ("application/pdf", b"%PDF-")}
ENVELOPED = {
    "content": (str, {}),
    "markdown": (str, {}),
    "links": (list, {}),
    "scrape": (list, {"elements": [{"selector": "h1"}]}),
    "accessibilityTree": (dict, {}),
    "snapshot": (dict, {}),
}


def test_each_action_is_here() -> None:
    # What json answers is a model's; tests/e2e/test_json_and_cache.py has one.
    assert {*BARE, *ENVELOPED, "json"} == set(actions.ACTIONS)


@pytest.mark.parametrize("action", BARE)
async def test_files_come_as_they_are(
    up: stack.Stack, http: aiohttp.ClientSession, web: site.Site, action: str
) -> None:
    kind, start = BARE[action]
    async with http.post(f"/v1/{action}", json={"url": web.url("/small")}, headers=ACCEPT) as answer:
        assert (answer.status, answer.content_type) == (200, kind)
        assert int(answer.headers["X-Browser-Ms-Used"]) > 0
        assert (await answer.read()).startswith(start)


@pytest.mark.parametrize("action", ENVELOPED)
async def test_everything_else_comes_in_the_envelope(
    up: stack.Stack, http: aiohttp.ClientSession, web: site.Site, action: str
) -> None:
    shape, more = ENVELOPED[action]
    async with http.post(f"/v1/{action}", json={"url": web.url("/small"), **more}, headers=ACCEPT) as answer:
        assert (answer.status, answer.content_type) == (200, "application/json")
        assert int(answer.headers["X-Browser-Ms-Used"]) > 0
        body = await answer.json()
    assert isinstance(body.pop("result"), shape)
    assert body == {"success": True, "errors": [], "messages": [], "meta": {"status": 200, "title": "Small"}}


async def test_a_scrapes_results_are_an_array(up: stack.Stack, http: aiohttp.ClientSession, web: site.Site) -> None:
    """Whatever the SDKs' types say."""
    body = {"url": web.page("/two", "<p id=a>1</p><p>2</p>"), "elements": [{"selector": "p"}, {"selector": "h1"}]}
    async with http.post("/v1/scrape", json=body, headers=ACCEPT) as answer:
        found, nothing = (await answer.json())["result"]
    assert [one["text"] for one in found["results"]] == ["1", "2"]
    assert set(found["results"][0]) == {"text", "html", "attributes", "height", "width", "top", "left"}
    assert found["results"][0]["attributes"] == [{"name": "id", "value": "a"}]
    assert nothing == {"selector": "h1", "results": []}
