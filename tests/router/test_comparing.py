"""Both arms side by side: what a router answers, and what the command shows."""

import pytest
from rich import console

from browserpool.local import comparing as table
from browserpool.model.names import PoolName
from browserpool.model.outcomes import Arm, Kind, Tally
from browserpool.router.moving import comparing
from browserpool.store import outcomes
from support import routers

POOL = PoolName("small")


def tally(*seconds: float, failures: int = 0) -> Tally:
    counted = Tally()
    for number, one in enumerate(seconds):
        counted.count(one, failed=number < failures)
    return counted


def kind(action: str, arm: Arm = Arm.POOL, template: str = "") -> Kind:
    return Kind(pool=POOL, arm=arm, action=action, template=template)


FOUND = {
    kind("screenshot", template="t1"): tally(*[0.1] * 50),
    kind("screenshot", template="t2"): tally(*[0.1] * 49, 30.0, failures=1),
    kind("screenshot", Arm.UPSTREAM): tally(*[0.4] * 10, failures=5),
    kind("pdf"): tally(2.0),
    kind("cdp", Arm.UPSTREAM): tally(0.03),
}


def test_templates_are_taken_together_and_all_actions_stand_at_the_end() -> None:
    lines = comparing.compared(FOUND)
    assert [(one["action"], one["arm"], one["requests"], one["failures"], one["errorRate"]) for one in lines] == [
        ("cdp", "upstream", 1, 0, 0.0),
        ("pdf", "pool", 1, 0, 0.0),
        ("screenshot", "pool", 100, 1, 0.01),
        ("screenshot", "upstream", 10, 5, 0.5),
        ("all", "pool", 101, 1, 0.009901),
        ("all", "upstream", 10, 5, 0.5),
    ]
    shot = lines[2]
    assert (80 < shot["p50Ms"] < 110, 80 < shot["p95Ms"] < 111, shot["p99Ms"]) == (True, True, pytest.approx(110))
    assert shot["meanMs"] == pytest.approx((99 * 0.1 + 30) * 10)
    assert comparing.compared({}) == []


def shown(found: object) -> str:
    screen = console.Console(width=120)
    with screen.capture() as said:
        screen.print(table.shown(found))  # type: ignore[arg-type]
    return said.get()


def test_the_table_has_a_line_for_each_arm_of_an_action() -> None:
    said = shown({"pool": POOL, "since": 3600.0, "outcomes": comparing.compared(FOUND)}).splitlines()
    assert said[0].strip() == "pool small, the last 60 minutes"
    assert [line.split() for line in said[4:6]] == [
        ["screenshot", "pool", "100", "1", "1.00%", *said[4].split()[5:]],
        ["upstream", "10", "5", "50.00%", *said[5].split()[4:]],
    ]
    assert said[6].startswith("all quick actions")
    assert "nobody" in shown({"pool": POOL, "since": 60.0, "outcomes": []})


async def test_an_admin_is_told_of_all_routers_and_of_this_one_to_the_second(rig: routers.Rig) -> None:
    await rig.make_pool()
    admin = await rig.make_token("admin", admin=True)
    await outcomes.add(rig.database, FOUND)
    assert (await rig.post("/v1/links", {"html": "x"})).status == 200
    answer = await rig.request("GET", "/v1/outcomes?since=1h", secret=admin)
    assert (answer.status, answer.json["pool"], answer.json["since"]) == (200, "small", 3600)
    lines = {(one["action"], one["arm"]): one["requests"] for one in answer.json["outcomes"]}
    assert lines[("links", "pool")] == 1
    assert lines[("all", "pool")] == 102
    gone = await rig.request("GET", "/v1/outcomes?pool=gone", secret=admin)
    assert (gone.status, gone.json["outcomes"]) == (200, [])


@pytest.mark.parametrize("since", ["0", "-1", "soon", "8d", "1e9"])
async def test_a_time_that_cannot_be_is_refused(rig: routers.Rig, since: str) -> None:
    await rig.make_pool()
    admin = await rig.make_token("admin", admin=True)
    answer = await rig.request("GET", f"/v1/outcomes?since={since}", secret=admin)
    assert (answer.status, "since" in answer.message) == (400, True)


async def test_it_is_for_admins(rig: routers.Rig) -> None:
    await rig.make_pool()
    assert (await rig.request("GET", "/v1/outcomes")).status == 403
    await rig.make_pool("another")
    admin = await rig.make_token("admin", admin=True)
    answer = await rig.request("GET", "/v1/outcomes", secret=admin)
    assert (answer.status, "another, small" in answer.message) == (400, True)
