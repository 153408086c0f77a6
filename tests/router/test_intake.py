"""What agents say."""

import pytest

from browserpool.model import credentials
from browserpool.model.names import BrowserId
from browserpool.store import browsers
from support import routers

HELLO = {"browser_id": "small-local-0", "address": "127.0.0.1:9"}


def signed(browser_id: str = "small-local-0") -> dict[str, str]:
    token = credentials.agent_token(signing_key=routers.SIGNING_KEY, browser_id=BrowserId(browser_id))
    return {"Authorization": f"Bearer {token}"}


async def test_hello_and_heartbeats_make_a_browser_ready(rig: routers.Rig) -> None:
    [agent] = await rig.make_pool()
    [row] = await browsers.listing(rig.database)
    assert (row.address, row.chromium, row.healthy) == (agent.address, agent.product, True)
    reply = await agent.beat()
    assert (reply["known"], reply["recycle"], reply["drain"]) == (True, False, False)
    assert reply["fence"] == agent.fence


async def test_hello_of_a_browser_that_nobody_registered_is_404(rig: routers.Rig) -> None:
    answer = await rig.post("/internal/v1/hello", HELLO, headers=signed())
    assert answer.status == 404
    assert "not registered" in answer.message


async def test_an_older_incarnation_is_told_that_it_is_not_known(rig: routers.Rig) -> None:
    [agent] = await rig.make_pool()
    old = {
        "browser_id": agent.browser_id,
        "incarnation": agent.incarnation,
        "sequence": 99,
        "healthy": True,
        "clean_fence": 0,
    }
    await agent.hello()
    answer = await rig.post("/internal/v1/heartbeat", old, headers=signed(agent.browser_id))
    assert answer.json["known"] is False


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("hello", {}, "browser_id"),
        ("hello", {**HELLO, "more": 1}, "more"),
        ("heartbeat", {"browser_id": "b", "incarnation": 2**70}, "incarnation"),
        ("heartbeat", [], "body"),
    ],
)
async def test_what_is_no_message_is_400_by_its_field(rig: routers.Rig, path: str, body: object, words: str) -> None:
    answer = await rig.post(f"/internal/v1/{path}", body, headers=signed())
    assert (answer.status, words in answer.message) == (400, True)


async def test_one_browsers_token_says_nothing_for_another(rig: routers.Rig) -> None:
    await rig.make_pool(browsers_=2)
    for word in (
        HELLO,
        {"browser_id": "small-local-0", "incarnation": 1, "sequence": 5, "healthy": False, "clean_fence": 0},
    ):
        path = "hello" if "address" in word else "heartbeat"
        answer = await rig.post(f"/internal/v1/{path}", word, headers=signed("small-local-1"))
        assert answer.status == 401
    assert await rig.states() == {"ready": 2}
