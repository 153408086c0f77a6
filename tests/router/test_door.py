"""Who asks."""

import multidict
import pytest

from browserpool.model import credentials, errors, tokens
from browserpool.model.names import BrowserId, TokenName
from browserpool.router import bearer, door
from browserpool.store import tokens as rows
from support import routers, waiting


@pytest.mark.parametrize(
    ("headers", "query", "expected"),
    [
        ({}, {}, None),
        ({"Authorization": "Bearer abc"}, {}, "abc"),
        ({"authorization": "bearer  abc "}, {}, "abc"),
        ({"Authorization": "Basic abc"}, {}, None),
        ({"Authorization": "Bearer"}, {}, None),
        ({"Authorization": "Bearer "}, {"token": "q"}, "q"),
        ({"X-Auth-Email": "a@b.c", "X-Auth-Key": "k"}, {}, "k"),
        ({"X-Auth-Email": "a@b.c"}, {}, None),
        ({}, {"token": "q"}, "q"),
        ({}, {"token": ""}, None),
        ({"Authorization": "Bearer abc", "X-Auth-Key": "k"}, {"token": "q"}, "abc"),
    ],
)
def test_the_token_in_a_request(headers: dict[str, str], query: dict[str, str], expected: str | None) -> None:
    assert bearer.said(headers=multidict.CIMultiDict(headers), query=query) == expected


def test_an_agent_speaks_for_its_own_browser_only() -> None:
    mine, other = BrowserId("p-r-0"), BrowserId("p-r-1")
    headers = {"Authorization": f"Bearer {credentials.agent_token(signing_key='k' * 16, browser_id=mine)}"}
    door.enter_agent(mine, signing_key="k" * 16, headers=headers)
    for browser_id, key, sent in [(other, "k" * 16, headers), (mine, "x" * 16, headers), (mine, "k" * 16, {})]:
        with pytest.raises(errors.Unauthorized):
            door.enter_agent(browser_id, signing_key=key, headers=sent)


SHUT = [
    ("POST", "/v1/screenshot"),
    ("POST", "/client/v4/accounts/a/browser-rendering/pdf"),
    ("POST", "/devtools/browser"),
    ("GET", "/devtools/browser"),
    ("GET", "/devtools/browser/some-session"),
    ("DELETE", "/devtools/browser/some-session"),
    ("GET", "/devtools/session"),
    ("GET", "/json/list"),
    ("GET", "/json"),
    ("GET", "/v1/status"),
    ("GET", "/metrics"),
]


@pytest.mark.parametrize("secret", ["", "Bearer not-a-token"])
async def test_every_door_is_shut_without_a_token(rig: routers.Rig, secret: str) -> None:
    for method, path in SHUT:
        answer = await rig.request(method, path, headers={"Authorization": secret})
        assert answer.status == 401, path
        assert answer.json["success"] is False
        assert answer.json["errors"][0]["code"] == 10000
        assert "token" in answer.message


async def test_the_old_pair_and_the_query_let_in_too(rig: routers.Rig) -> None:
    await rig.make_pool()
    pair = {"Authorization": "", "X-Auth-Email": "me@example.com", "X-Auth-Key": rig.secret}
    assert (await rig.post("/v1/screenshot", {"html": "x"}, headers=pair)).status == 200
    answer = await rig.post(f"/v1/screenshot?token={rig.secret}", {"html": "x"}, headers={"Authorization": ""})
    assert answer.status == 200


async def test_a_token_made_this_second_is_known_and_one_removed_is_not(rig: routers.Rig) -> None:
    await rows.put(rig.database, tokens.Token(name=TokenName("new"), hash=credentials.hashed("brand-new")))

    async def known() -> bool:
        return (await rig.request("GET", "/devtools/session", secret="brand-new")).status == 200

    await waiting.until(known)
    await rows.remove(rig.database, TokenName("new"))

    async def forgotten() -> bool:
        return not await known()

    await waiting.until(forgotten)


async def test_agents_doors_take_agent_tokens_only(rig: routers.Rig) -> None:
    [agent] = await rig.make_pool()
    word = {"browser_id": agent.browser_id, "address": "127.0.0.1:9"}
    assert (await rig.post("/internal/v1/hello", word)).status == 401
    beat = {"browser_id": agent.browser_id, "incarnation": 1, "sequence": 9, "healthy": True, "clean_fence": 0}
    assert (await rig.post("/internal/v1/heartbeat", beat)).status == 401
