"""Recordings at a router: what it takes from agents, whom it gives the whole, and for how long."""

from typing import Any

import orjson
import pytest

from browserpool.model import agentapi, credentials
from browserpool.router import recording as recording_module
from browserpool.store import connect, recordings
from support import routers

EVENTS = [
    ["A", '{"type":4,"timestamp":1000}'],
    ["B", '{"type":4,"timestamp":1500.5}'],
    ["A", '{"type":2,"timestamp":4380}'],
]


@pytest.fixture
async def rig(dsn: str, database: connect.Database):
    async with routers.rig(dsn, database, recordings=True, recording_bytes=1024) as made:
        yield made


async def started(rig: routers.Rig) -> tuple[str, routers.Agent]:
    answer = await rig.post("/devtools/browser?recording=true&targets=true")
    assert answer.status == 200, answer.body
    session = str(answer.json["sessionId"])
    [agent] = [one for one in rig.agents if session in one.sessions]
    assert agent.terms[-1].recording
    return session, agent


async def handed(
    rig: routers.Rig,
    agent: routers.Agent,
    session: str,
    number: Any,
    events: Any,
    *,
    final: Any = False,
    browser: str = "",
) -> routers.Answer:
    token = credentials.agent_token(signing_key=routers.SIGNING_KEY, browser_id=agent.browser_id)
    body = {
        "browser_id": browser or agent.browser_id,
        "session_id": session,
        "number": number,
        "final": final,
        "events": events,
    }
    return await rig.post(agentapi.ROUTER_RECORDING, body, secret=token)


async def ended(rig: routers.Rig, session: str) -> None:
    assert (await rig.request("DELETE", f"/devtools/browser/{session}")).json == {"status": "closed"}


@pytest.mark.parametrize(
    "prefix", ["/v1", "/client/v4/accounts/a/browser-run", "/client/v4/accounts/a/browser-rendering"]
)
async def test_the_whole_is_given_when_the_session_is_over(rig: routers.Rig, prefix: str) -> None:
    await rig.make_pool()
    session, agent = await started(rig)
    where = f"{prefix}/recording/{session}"
    assert (await handed(rig, agent, session, 1, [EVENTS[2]])).json == {"more": True}
    for _ in range(2):  # its answer was lost
        assert (await handed(rig, agent, session, 0, EVENTS[:2])).json == {"more": True}
    assert (await rig.request("GET", where)).status == 404
    await ended(rig, session)
    assert (await rig.request("GET", where)).status == 404  # its last part may be on its way
    assert (await handed(rig, agent, session, 2, [], final=True)).json == {"more": True}
    answer = await rig.request("GET", where)
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.json == {
        "success": True, "errors": [], "messages": [],
        "result": {
            "sessionId": session,
            "duration": 3380,
            "events": {
                "A": [{"type": 4, "timestamp": 1000}, {"type": 2, "timestamp": 4380}],
                "B": [{"type": 4, "timestamp": 1500.5}],
            },
        },
    }  # fmt: skip
    assert (await rig.request("GET", where, secret=await rig.make_token("other"))).status == 404


async def test_one_whose_agent_died_is_given_after_a_while(rig: routers.Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    await rig.make_pool()
    session, agent = await started(rig)
    await handed(rig, agent, session, 0, EVENTS)
    await ended(rig, session)
    assert (await rig.request("GET", f"/v1/recording/{session}")).status == 404
    monkeypatch.setattr(recording_module, "FINALIZING", 0.0)
    assert (await rig.request("GET", f"/v1/recording/{session}")).json["result"]["duration"] == 3380


async def test_an_agent_tells_of_its_own_sessions_alone(rig: routers.Rig) -> None:
    await rig.make_pool(browsers_=2)
    session, agent = await started(rig)
    [other] = [one for one in rig.agents if one is not agent]
    assert (await handed(rig, other, session, 0, EVENTS)).json == {"more": False}
    assert (await handed(rig, agent, "another-session", 0, EVENTS)).json == {"more": False}
    assert (await handed(rig, agent, session, 0, EVENTS, browser=other.browser_id)).status == 401
    await ended(rig, session)
    assert (await rig.request("GET", f"/v1/recording/{session}")).status == 404


async def test_it_ends_when_there_is_too_much_of_it(rig: routers.Rig) -> None:
    await rig.make_pool()
    session, agent = await started(rig)
    large = [["A", orjson.dumps({"type": 3, "timestamp": 5, "data": "x" * 600}).decode()]]
    assert (await handed(rig, agent, session, 0, large)).json == {"more": True}
    assert (await handed(rig, agent, session, 1, large)).json == {"more": False}
    assert (await handed(rig, agent, session, 2, large)).json == {"more": False}
    await ended(rig, session)
    kept = (await rig.request("GET", f"/v1/recording/{session}")).json["result"]["events"]
    assert len(kept["A"]) == 1


async def test_what_is_no_event_is_left_out(rig: routers.Rig) -> None:
    """Who drives a browser may make its pages say anything."""
    await rig.make_pool()
    session, agent = await started(rig)
    deep = '{"timestamp":7,"data":' + '{"a":[' * 150 + "]}" * 150 + "}"
    odd = [
        ["A", "{"], ["A", "[]"], ["A", "1],[2"], ["A", '{"type":1}'], ["A", '{"timestamp":"now"}'], ["A", '{"timestamp":true}'],
        ["A", '{"timestamp":1e300}'], ["A"], "A", None, ["x" * 65, '{"timestamp":1}'], ["é", '{"timestamp":1}'], [1, '{"timestamp":1}'],
        ["A", 5], ["A", deep], ['"', '{"timestamp":6}'],
    ]  # fmt: skip
    assert (await handed(rig, agent, session, 0, odd)).json == {"more": True}
    assert (await handed(rig, agent, session, -1, [])).status == 400
    assert (await handed(rig, agent, session, "0", [])).status == 400
    assert (await handed(rig, agent, session, 0, None)).status == 400
    assert (await handed(rig, agent, session, 0, [], final=None)).status == 400
    await ended(rig, session)
    await handed(rig, agent, session, 1, [], final=True)
    kept = (await rig.request("GET", f"/v1/recording/{session}")).json["result"]["events"]
    assert {page: len(events) for page, events in kept.items()} == {"A": 1, '"': 1}


async def test_an_event_with_half_an_emoji_is_kept(rig: routers.Rig) -> None:
    await rig.make_pool()
    session, agent = await started(rig)
    texts = [r"\ud83d", r"\ude00", r"\ud83d\ude00", r"\\ud83d"]
    told = [["A", f'{{"timestamp":{number},"text":"{text}"}}'] for number, text in enumerate(texts)]
    await handed(rig, agent, session, 0, told)
    await ended(rig, session)
    await handed(rig, agent, session, 1, [], final=True)
    kept = (await rig.request("GET", f"/v1/recording/{session}")).json["result"]["events"]
    assert [event["text"] for event in kept["A"]] == ["\ufffd", "\ufffd", "\U0001f600", r"\ud83d"]


async def test_one_without_events_is_one_all_the_same(rig: routers.Rig) -> None:
    await rig.make_pool()
    session, agent = await started(rig)
    await handed(rig, agent, session, 0, [], final=True)
    await ended(rig, session)
    assert (await rig.request("GET", f"/v1/recording/{session}")).json["result"] == {
        "sessionId": session, "duration": 0, "events": {},
    }  # fmt: skip


async def test_old_ones_are_forgotten_with_all_their_pieces(rig: routers.Rig, database: connect.Database) -> None:
    await rig.make_pool()
    session, agent = await started(rig)
    await handed(rig, agent, session, 0, EVENTS, final=True)
    await ended(rig, session)
    assert await recordings.prune(database, older_than=60) == 0
    await recording_module.prune(rig.running.services)
    assert (await rig.request("GET", f"/v1/recording/{session}")).status == 200
    assert await recordings.prune(database, older_than=0) == 1
    assert (await rig.request("GET", f"/v1/recording/{session}")).status == 404
    assert await recordings.pieces(database, session) == []  # type: ignore[arg-type]
