"""What routers count of the requests that they serve, and when it reaches the store."""

import pytest

from browserpool.model import errors
from browserpool.model.names import PoolName
from browserpool.model.outcomes import Arm, Kind
from browserpool.router import outcomes
from browserpool.store import browsers, connect
from browserpool.store import outcomes as store
from support import postgres, routers, waiting

POOL = PoolName("small")


async def found(rig: routers.Rig, pool: str = POOL) -> dict[str, tuple[int, int]]:
    """Requests and failures by action, once all is written."""
    await rig.running.services.outcomes.write()
    sums = await store.sums(rig.database, PoolName(pool), since=3600)
    assert {kind.arm for kind in sums} <= {Arm.POOL}
    return {kind.action: (tally.requests, tally.failures) for kind, tally in sums.items()}


async def test_actions_and_sessions_are_counted(rig: routers.Rig) -> None:
    await rig.make_pool(browsers_=2)
    for _ in range(2):
        assert (await rig.post("/v1/screenshot", {"html": "x"})).status == 200
    assert (await rig.post("/devtools/browser")).status == 200
    assert await found(rig) == {"screenshot": (2, 0), "cdp": (1, 0)}
    assert await found(rig) == {"screenshot": (2, 0), "cdp": (1, 0)}, "written once"


async def test_outcomes_tell_by_what_the_browser_was_started_with(rig: routers.Rig) -> None:
    [agent] = await rig.make_pool(onEmpty={"mode": "Fail"})
    [row] = await browsers.listing(rig.database)
    assert row.template_hash
    # By each of the ways to claim: in the region, on the node, and by the function that looks at all.
    for query in ("", f"?node={row.node}", f"?zone={row.zone}"):
        assert (await rig.post(f"/v1/screenshot{query}", {"html": "x"})).status == 200
        await rig.until_ready()
    agent.does = routers.dies
    assert (await rig.post("/v1/pdf", {"html": "x"})).status == 502
    assert (await rig.post("/v1/pdf", {"html": "x"})).status == 503
    await rig.running.services.outcomes.write()
    sums = await store.sums(rig.database, POOL, since=3600)
    assert {(kind.action, kind.template): (one.requests, one.failures) for kind, one in sums.items()} == {
        ("screenshot", row.template_hash): (3, 0),
        ("pdf", row.template_hash): (1, 1),
        ("pdf", ""): (1, 1),  # none was ready
    }


async def test_a_connection_counts_when_it_stands(rig: routers.Rig) -> None:
    await rig.make_pool()
    async with rig.client.ws_connect(rig.ws + "/devtools/browser", headers=rig.bearer()):
        assert await found(rig) == {"cdp": (1, 0)}


async def test_failures_are_the_systems_own(rig: routers.Rig) -> None:
    [agent] = await rig.make_pool(onEmpty={"mode": "Fail"})
    agent.does = routers.refuses(errors.PageFailed("no such host", code=errors.Code.DNS))
    assert (await rig.post("/v1/screenshot", {"html": "x"})).status == 422
    assert (await rig.request("POST", "/v1/screenshot", data=b"nonsense")).status == 400
    await rig.until_ready()
    agent.does = routers.dies
    assert (await rig.post("/v1/pdf", {"html": "x"})).status == 502
    assert (await rig.post("/v1/content", {"html": "x"})).status == 503
    assert await found(rig) == {"screenshot": (1, 0), "pdf": (1, 1), "content": (1, 1)}


async def test_who_went_away_is_not_counted(rig: routers.Rig) -> None:
    [agent] = await rig.make_pool()
    agent.gate.clear()
    request = rig.background.spawn(rig.post("/v1/screenshot", {"html": "x"}), name="busy")
    await waiting.until(lambda: agent.running == 1, deadline=5)
    request.cancel()
    await waiting.until(lambda: agent.running == 0, deadline=5)
    await waiting.until(lambda: rig.running.services.running == 0, deadline=5)
    assert await found(rig) == {}


async def test_what_the_store_could_not_take_is_written_later(own_postgres: tuple[postgres.Server, str]) -> None:
    server, dsn = own_postgres
    async with connect.opened(dsn, process="tests", max_size=2) as database:
        counts = outcomes.Outcomes(db=database)
        kind = Kind(pool=POOL, arm=Arm.UPSTREAM, action="pdf")
        counts.record(kind, seconds=0.1, failed=False)
        server.stop()
        with pytest.raises(errors.Unavailable):
            await counts.write()
        counts.record(kind, seconds=0.2, failed=True)
        await counts.stop()
        server.start()
        await counts.write()
        [(found, tally)] = (await store.sums(database, POOL, since=60)).items()
        assert (found, tally.requests, tally.failures) == (kind, 2, 1)


async def test_the_last_seconds_are_written_at_the_end(dsn: str, database: connect.Database) -> None:
    async with routers.rig(dsn, database) as rig:
        await rig.make_pool()
        assert (await rig.post("/v1/screenshot", {"html": "x"})).status == 200
    sums = await store.sums(database, POOL, since=60)
    assert [tally.requests for tally in sums.values()] == [1]


async def test_memory_is_bounded(database: connect.Database) -> None:
    counts = outcomes.Outcomes(db=database)
    for number in range(outcomes.MOST_KINDS + 10):
        counts.record(Kind(pool=PoolName(f"p{number}"), arm=Arm.POOL, action="pdf"), seconds=1, failed=False)
    await counts.write()
    assert await store.prune(database, older_than=-3600) == outcomes.MOST_KINDS
