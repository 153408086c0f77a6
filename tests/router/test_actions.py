"""Quick actions through the router: what comes back, and that the browser comes back too."""

import pytest

from support import routers, waiting

ACCOUNT = "/client/v4/accounts/any"


@pytest.mark.parametrize("prefix", [f"{ACCOUNT}/browser-rendering", f"{ACCOUNT}/browser-run", "/v1"])
async def test_a_screenshot_by_each_address(rig: routers.Rig, prefix: str) -> None:
    [agent] = await rig.make_pool()
    answer = await rig.post(f"{prefix}/screenshot", {"url": "https://example.com"})
    assert (answer.status, answer.body) == (200, routers.PNG)
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["X-Browser-Ms-Used"] == "12"
    assert answer.headers["X-Browserpool-Browser"] == agent.browser_id
    assert answer.headers["X-Browserpool-Pool"] == "small"
    assert answer.headers["X-Browserpool-Locality"] == "region"
    assert answer.headers["X-Browserpool-Session"] == agent.sessions[-1]
    await rig.until_ready()
