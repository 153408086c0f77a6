"""A region with a database of its own: what is there, what happens while it is away, and how the region moves."""

import asyncio
import contextlib
import dataclasses
import datetime
import pathlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from aiohttp import web

from browserpool import metrics
from browserpool.lib import clock
from browserpool.lib import web as lib_web
from browserpool.model import agentapi, claims, credentials, errors, names, pool
from browserpool.model.names import DatabaseName
from browserpool.router import app, target
from browserpool.router import holding as holding_module
from browserpool.store import (
    browsers,
    connect,
    heartbeats,
    leases,
    region_databases,
    regions,
    remote_sessions,
    sessions,
    writers,
)
from support import postgres, routers, waiting

SHOT = "/v1/screenshot"
BODY = {"html": "x"}
EU = "eu-db/dsn"
REF = {"databaseSecretRef": {"name": "eu-db"}}
SPEC: dict[str, Any] = {
    "regions": [{"name": "us"}, {"name": "eu", "backup": "us", **REF}],
    "onEmpty": {"mode": "Fail"},
}


@dataclasses.dataclass(kw_only=True)
class Two:
    """A router, the installation's own database (``rig.database``) and region eu's, whose server is the test's to stop."""

    rig: routers.Rig
    eu: connect.Database
    server: postgres.Server
    secrets: pathlib.Path
    manifest: pool.BrowserPool
    us: routers.Agent
    there: routers.Agent

    async def shot(self, region: str = "eu") -> routers.Answer:
        return await self.rig.post(f"{SHOT}?region={region}", BODY)

    async def ready(self, region: str = "eu") -> None:
        db = self.eu if region == "eu" else self.rig.database
        where = {"pool": self.manifest.name, "region": names.RegionName(region), "most": 1}

        async def known() -> bool:
            with contextlib.suppress(Exception):
                return await browsers.ready(db, **where) == 1
            return False

        await waiting.until(known, deadline=30)

    async def stop(self) -> None:
        """Eu's database is gone, at once. Not on the router's own time: it would fall behind with region us."""
        await asyncio.to_thread(self.server.stop, "immediate")

    async def start(self) -> None:
        await asyncio.to_thread(self.server.start)

    async def served_by_eu(self) -> None:
        """Wait until region eu serves by itself."""

        async def own() -> bool:
            answer = await self.shot()
            return (answer.status, answer.headers.get("X-Browserpool-Region")) == (200, "eu")

        await waiting.until(own, deadline=30, every=0.2)


async def made_pool(rig: routers.Rig, **spec: Any) -> pool.BrowserPool:
    manifest = pool.BrowserPool(
        metadata=pool.Metadata(name="pair"), spec=pool.PoolSpec.model_validate({**SPEC, **spec})
    )
    await routers.pools.put(rig.database, manifest)
    parts = rig.running.services
    await parts.catalog.reload()
    parts.databases.follow(parts.catalog.databases)
    await parts.databases.tried(within=10)
    return manifest


@pytest.fixture(scope="module")
def eu_server() -> Iterator[postgres.Server]:
    with postgres.server(fsync="off") as server:
        postgres.make_template(server)
        yield server


@pytest.fixture
def own_postgres(eu_server: postgres.Server) -> Iterator[tuple[postgres.Server, str]]:
    """A server that each test leaves running, and the dsn of a database of the test's own on it."""
    with postgres.clone(eu_server) as dsn:
        yield eu_server, dsn


@pytest.fixture
async def two(
    dsn: str, database: connect.Database, own_postgres: tuple[postgres.Server, str], tmp_path: pathlib.Path
) -> AsyncIterator[Two]:
    server, eu_dsn = own_postgres
    (tmp_path / "eu-db").mkdir()
    (tmp_path / "eu-db" / "dsn").write_text(eu_dsn + "\n")
    async with (
        connect.opened(eu_dsn, process="tests") as eu,
        routers.rig(
            dsn, database, regions=("us", "eu"), region="us", secrets_dir=str(tmp_path), recordings=True
        ) as rig,
    ):
        manifest = await made_pool(rig)
        us = await rig.make_agent(manifest, 0, region="us")
        there = await rig.make_agent(manifest, 0, region="eu", database=(EU, eu))
        made = Two(rig=rig, eu=eu, server=server, secrets=tmp_path, manifest=manifest, us=us, there=there)
        await made.ready("us")
        await made.ready("eu")
        try:
            yield made
        finally:
            if not (server.data / "postmaster.pid").exists():
                await made.start()


# ---------------------------------------------------------------- where what is


async def test_a_regions_browsers_and_sessions_are_in_its_database(two: Two) -> None:
    answer = await two.shot()
    assert (answer.status, answer.headers["X-Browserpool-Locality"]) == (200, "region")
    assert len(two.there.served) == 1
    await two.ready()
    [past] = await sessions.past(two.eu)
    assert past.region == "eu"
    assert await sessions.past(two.rig.database) == []


async def test_sessions_of_all_databases_are_listed_found_and_ended(two: Two) -> None:
    made = [await two.rig.post(f"/devtools/browser?region={region}") for region in ("eu", "us")]
    ids = [answer.json["sessionId"] for answer in made]
    listed = await two.rig.request("GET", "/devtools/session")
    assert [one["sessionId"] for one in listed.json] == ids[::-1], "newest first"
    assert [
        one["sessionId"] for one in (await two.rig.request("GET", "/devtools/session?limit=1&offset=1")).json
    ] == ids[:1]
    # As another router would find them.
    for held in two.rig.running.services.claiming.holding.all():
        two.rig.running.services.claiming.holding._held.pop(held.session_id)
    for session in ids:
        assert (await two.rig.request("GET", f"/devtools/session/{session}")).status == 200
        async with two.rig.client.ws_connect(
            f"{two.rig.ws}/devtools/browser/{session}", headers=two.rig.bearer()
        ) as socket:
            await socket.send_str("again")
            assert (await socket.receive(timeout=10)).data == "again"
        assert (await two.rig.request("DELETE", f"/devtools/browser/{session}")).status == 200
    await two.ready()
    history = (await two.rig.request("GET", "/v1/history")).json["history"]
    assert {one["sessionId"] for one in history} == set(ids)
    assert (await two.rig.request("GET", f"/devtools/session/{ids[0]}")).json["closeReasonText"] == "NormalClosure"


async def test_all_are_counted(two: Two) -> None:
    secret = await two.rig.make_token("all", admin=True)
    status = (await two.rig.request("GET", "/v1/status", secret=secret)).json
    assert [one["browser_id"] for one in status["browsers"]] == ["pair-eu-0", "pair-us-0"]
    assert [region["states"]["ready"] for region in status["pools"][0]["regions"]] == [1, 1]
    assert status["databases_away"] == []
    pressure = (await two.rig.request("GET", "/pressure")).json["pressure"]
    assert (pressure["maxConcurrent"], pressure["isAvailable"]) == (2, True)


async def test_a_tokens_share_and_time_are_counted_over_all(two: Two) -> None:
    for region in ("eu", "us"):
        assert (await two.rig.post(f"/devtools/browser?region={region}")).status == 200
    limits = (await two.rig.request("GET", "/v1/limits")).json
    assert len(limits["activeSessions"]) == 2

    async def both_counted() -> bool:
        day = [await routers.app.everywhere.usage.today(db) for db in (two.eu, two.rig.database)]
        return all(one.seconds.get(names.TokenName("tester")) for one in day)

    await waiting.until(both_counted)
    found = (await two.rig.request("GET", "/v1/limits")).json["usedBrowserTimeSeconds"]
    assert found > 0


async def test_lag_is_recorded_where_the_regions_browsers_are(two: Two) -> None:
    async def writers(db: connect.Database) -> dict[str, int]:
        return {one.region: one.writers for one in await regions.listing(db)}

    async def apart() -> bool:
        return await writers(two.eu) == {"eu": 1} and (await writers(two.rig.database)).get("us") == 1

    await waiting.until(apart)
    assert (await writers(two.rig.database))["eu"] == 0


async def test_a_recording_is_kept_beside_its_session(two: Two) -> None:
    made = await two.rig.post("/devtools/browser?region=eu&recording=true")
    session = made.json["sessionId"]
    token = credentials.agent_token(signing_key=routers.SIGNING_KEY, browser_id=two.there.browser_id)
    part = {
        "browser_id": two.there.browser_id,
        "session_id": session,
        "number": 0,
        "final": True,
        "events": [["A", '{"type":4,"timestamp":1000}']],
    }
    answer = await two.rig.post(agentapi.ROUTER_RECORDING, part, secret=token, headers={agentapi.DATABASE: EU})
    assert answer.status == 200
    await two.rig.request("DELETE", f"/devtools/browser/{session}")

    async def kept() -> bool:
        found = await two.rig.request("GET", f"/v1/recording/{session}")
        return found.status == 200 and found.json["result"]["events"] == {"A": [{"type": 4, "timestamp": 1000}]}

    await waiting.until(kept)


# ---------------------------------------------------------------- away


def up() -> float | None:
    return metrics.REGISTRY.get_sample_value("browserpool_region_database_up", {"database": EU})


async def test_a_database_that_is_down_spills_its_region_and_leaves_the_others(two: Two) -> None:
    await two.stop()
    for _ in range(5):
        began = clock.monotonic()
        answer = await two.shot()
        assert (answer.status, answer.headers["X-Browserpool-Locality"]) == (200, "backup"), answer.body
        assert clock.monotonic() - began < 10
        await two.ready("us")
        assert (await two.shot("us")).status == 200
        await two.ready("us")
    secret = await two.rig.make_token("all", admin=True)

    async def said() -> list[str]:
        return list((await two.rig.request("GET", "/v1/status", secret=secret)).json["databases_away"])

    [why] = await waiting.until(said)
    assert why.startswith("The database of Secret eu-db (key dsn) ")
    assert up() == 0
    await two.start()
    await two.served_by_eu()
    assert up() == 1
    assert await said() == []


async def test_who_spills_waits_in_line_like_all(two: Two) -> None:
    await made_pool(two.rig, onEmpty={"mode": "Queue", "queueTimeout": 60})
    two.us.gate.clear()
    busy = two.rig.background.spawn(two.shot("us"), name="busy")
    await waiting.until(lambda: two.us.running == 1)
    await two.stop()
    spilled = two.rig.background.spawn(two.shot(), name="spilled")
    await waiting.until(lambda: two.rig.running.services.claiming.waiting.depth(two.manifest.name) == 1, deadline=20)
    two.us.gate.set()
    assert (await busy).status == 200
    assert (await spilled).headers["X-Browserpool-Locality"] == "backup"
    await two.start()
    await two.served_by_eu()


async def test_one_that_hangs_spills_too(two: Two) -> None:
    with two.server.hung():
        answer = await two.shot()
        assert (answer.status, answer.headers["X-Browserpool-Locality"]) == (200, "backup"), answer.body
    await two.served_by_eu()
    # What it did of the claim that nobody waited for is over too.
    await two.ready()


async def test_where_nothing_may_spill_the_answer_is_clear_and_soon(two: Two) -> None:
    await made_pool(two.rig, spillover="Never")
    await two.stop()
    began = clock.monotonic()
    for _ in range(3):
        answer = await two.shot()
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "1"
        assert "Secret eu-db" in answer.message or "database" in answer.message
    assert clock.monotonic() - began < 60
    assert (await two.shot("us")).status == 200
    await two.start()
    await two.served_by_eu()


async def test_sessions_outlive_their_databases_absence(two: Two) -> None:
    async with two.rig.client.ws_connect(
        f"{two.rig.ws}/devtools/browser?region=eu&keep_alive=10000", headers=two.rig.bearer()
    ) as socket:
        await socket.send_str("before")
        assert (await socket.receive(timeout=10)).data == "before"
        await two.stop()
        for number in range(20):
            await socket.send_str(f"meanwhile {number}")
            assert (await socket.receive(timeout=10)).data == f"meanwhile {number}"
            await asyncio.sleep(0.05)
        [held] = two.rig.running.services.claiming.holding.all()
        listed = await two.rig.request("GET", "/devtools/session")
        assert (listed.status, listed.json) == (200, []), "what can be listed is"
        # Neither there nor over: nobody can say.
        assert (await two.rig.request("GET", "/devtools/session/unheard-of")).status == 503
        await two.start()

        async def lease() -> datetime.datetime | None:
            with contextlib.suppress(errors.Unavailable):
                live = await sessions.live(two.eu, held.session_id)
                assert live is not None, "it was ended while nobody could renew it"
                return live.expires_at
            return None

        before = await waiting.until(lease, deadline=30)

        async def renewed() -> bool:
            await socket.send_str("after")
            assert (await socket.receive(timeout=10)).data == "after"
            now = await lease()
            return now is not None and now > before

        await waiting.until(renewed, deadline=30, every=0.1)
    await two.ready()


async def test_what_others_ended_is_dropped_though_another_database_is_away(two: Two) -> None:
    for region in ("eu", "us"):
        assert (await two.rig.post(f"/devtools/browser?region={region}")).status == 200
    holding = two.rig.running.services.claiming.holding
    held = {one.region: one for one in holding.all()}
    held["eu"].active = True
    await two.stop()
    await waiting.until(two.rig.running.services.databases.away, deadline=20)
    # Another router ended it; this one looks when the lease that it knows of has long run out.
    await leases.release(two.rig.database, session_id=held["us"].session_id, fence=held["us"].party.fence, clean=True)
    held["us"].keep_alive = 0.1
    await waiting.until(held["us"].over.is_set, deadline=20)
    assert held["us"].why_over == holding_module.IDLE
    assert not held["eu"].over.is_set()
    await two.start()
    await waiting.until(lambda: not two.rig.running.services.databases.away(), deadline=20)


async def test_a_region_serves_on_without_the_installations_own_database(
    dsn: str, database: connect.Database, own_postgres: tuple[postgres.Server, str], tmp_path: pathlib.Path
) -> None:
    """Here eu's database is the tests' own, and the installation's is the server that stops."""
    server, home_dsn = own_postgres
    (tmp_path / "eu-db").mkdir()
    (tmp_path / "eu-db" / "dsn").write_text(dsn)
    async with (
        connect.opened(home_dsn, process="tests") as home,
        routers.rig(home_dsn, home, regions=("us", "eu"), region="us", secrets_dir=str(tmp_path)) as rig,
    ):
        manifest = await made_pool(rig)
        await rig.make_agent(manifest, 0, region="eu", database=(EU, database))

        async def ready() -> bool:
            return await browsers.ready(database, pool=manifest.name, region=names.RegionName("eu"), most=1) == 1

        await waiting.until(ready)
        await asyncio.to_thread(server.stop, "immediate")
        try:
            for _ in range(3):
                answer = await rig.post(f"{SHOT}?region=eu", BODY)
                assert (answer.status, answer.headers.get("X-Browserpool-Locality")) == (200, "region"), answer.body
                await waiting.until(ready)
            made = await rig.post("/devtools/browser?region=eu")
            assert made.status == 200, made.body
            path = f"/devtools/browser/{made.json['sessionId']}"
            async with rig.client.ws_connect(f"{rig.ws}{path}", headers=rig.bearer()) as socket:
                await socket.send_str("on")
                assert (await socket.receive(timeout=10)).data == "on"
            assert (await rig.request("DELETE", path)).status == 200
            await waiting.until(ready)
        finally:
            await asyncio.to_thread(server.start)


async def test_a_connection_string_may_come_late_and_change(
    dsn: str, database: connect.Database, own_postgres: tuple[postgres.Server, str], tmp_path: pathlib.Path
) -> None:
    _, eu_dsn = own_postgres
    async with (
        connect.opened(eu_dsn, process="tests") as eu,
        routers.rig(dsn, database, regions=("us", "eu"), region="us", secrets_dir=str(tmp_path)) as rig,
    ):
        manifest = await made_pool(rig, spillover="Never")
        answer = await rig.post(f"{SHOT}?region=eu", BODY)
        assert answer.status == 503
        assert "Secret eu-db is not mounted here" in answer.message
        (tmp_path / "eu-db").mkdir()
        (tmp_path / "eu-db" / "dsn").write_text("host=/nowhere dbname=none")
        parts = rig.running.services

        async def refused() -> bool:
            return "gave no connection" in parts.databases.away()[EU]  # type: ignore[index]

        await waiting.until(refused, deadline=20)
        (tmp_path / "eu-db" / "dsn").write_text(eu_dsn)
        await waiting.until(lambda: not parts.databases.away(), deadline=20)
        await rig.make_agent(manifest, 0, region="eu", database=(EU, eu))

        async def served() -> bool:
            return (await rig.post(f"{SHOT}?region=eu", BODY)).status == 200

        await waiting.until(served)


async def test_an_agent_of_a_database_that_nobody_names_is_told_so(two: Two) -> None:
    two.there.database = "no-such/dsn"
    answer = await two.there.beat()
    assert answer["success"] is False
    assert "no-such" in answer["errors"][0]["message"]


async def test_what_no_pool_names_any_more_is_looked_after_as_long_as_the_controller_says(two: Two) -> None:
    made = await two.rig.post("/devtools/browser?region=eu")
    await region_databases.replace(two.rig.database, [EU])  # type: ignore[list-item]
    await routers.pools.remove(two.rig.database, two.manifest.name)
    parts = two.rig.running.services
    await waiting.until(lambda: not parts.catalog.pools)
    await asyncio.sleep(0.5)
    assert (await two.rig.request("GET", f"/devtools/session/{made.json['sessionId']}")).status == 200
    await region_databases.replace(two.rig.database, [])
    await waiting.until(lambda: len(parts.databases.open()) == 1)


def lose_first_answer(monkeypatch: pytest.MonkeyPatch, *, region: str) -> list[claims.ClaimAnswer]:
    """The connection breaks when the server has committed the first claim in that region."""
    real, lost = leases.claim, []

    async def claim(db: connect.Database, request: claims.ClaimRequest, **how: Any) -> claims.ClaimAnswer:
        answer = await real(db, request, **how)
        if not lost and request.region == region and answer.claim is not None:
            lost.append(answer)
            raise errors.Unavailable("The connection broke.", retry_after=1)
        return answer

    monkeypatch.setattr(leases, "claim", claim)
    return lost


async def test_a_claim_whose_answer_was_lost_is_undone_and_not_taken_for_the_next_attempts(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    await made_pool(two.rig, spillover="WhenEmptyOrStale", onEmpty={"mode": "Queue", "queueTimeout": 60})
    two.us.gate.clear()
    busy = two.rig.background.spawn(two.shot("us"), name="busy")
    await waiting.until(lambda: two.us.running == 1)
    lost = lose_first_answer(monkeypatch, region="eu")
    # Nothing is free at the backup: who asks stands in line, and asks again when eu answers again.
    made = await two.rig.post("/devtools/browser?region=eu&keep_alive=60000")
    assert made.status == 200, made.body
    session = made.json["sessionId"]
    [answer] = lost
    assert answer.claim is not None
    assert session != answer.claim.session_id
    live = await sessions.live(two.eu, session)
    assert live is not None
    past = await sessions.past(two.eu)
    assert [one.session_id for one in past] == [answer.claim.session_id], "the first one has given its browser up"
    async with two.rig.client.ws_connect(
        f"{two.rig.ws}/devtools/browser/{session}", headers=two.rig.bearer()
    ) as socket:
        await socket.send_str("on")
        assert (await socket.receive(timeout=10)).data == "on"
    two.us.gate.set()
    assert (await busy).status == 200


async def test_who_asks_once_more_after_a_lost_answer_gets_a_session_of_another_id(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line of those who look elsewhere meanwhile: the same wish is asked for twice."""
    parts = two.rig.running.services
    lost = lose_first_answer(monkeypatch, region="us")
    wanted = target.resolve(
        target.Wishes(region=names.RegionName("us")),
        pools=parts.catalog.pools,
        grant=target.Grant(token=names.TokenName("tester"), pools=None),
        home=parts.place.home,
        kind=claims.SessionKind.CDP,
        session_id=names.SessionId("wished-for"),
        holder=parts.holder,
        action_lease=10,
    )
    with pytest.raises(errors.Unavailable):
        await parts.claiming.acquire(wanted)
    # The undo has given the browser back: asked for under the lost id, the answer would be that it is over.
    await two.ready("us")
    held = await parts.claiming.acquire(wanted)
    assert lost[0].claim is not None
    assert held.session_id != lost[0].claim.session_id
    parts.claiming.release(held)
    await two.ready("us")


async def test_the_undo_of_a_lost_claim_leaves_alone_what_is_held_here(two: Two) -> None:
    made = await two.rig.post("/devtools/browser?region=eu")
    claiming = two.rig.running.services.claiming
    [held] = claiming.holding.all()
    await claiming._undo(held.database, held.session_id, lease=60)
    assert not held.ending
    assert await sessions.live(two.eu, made.json["sessionId"]) is not None


# ---------------------------------------------------------------- who looks for one thing


async def test_sessions_of_another_clusters_router_are_followed_while_a_database_is_away(two: Two) -> None:
    async def there(request: web.Request) -> web.Response:
        return web.json_response({"sessionId": request.path.rsplit("/", 1)[-1]})

    served = web.Application()
    served.router.add_get("/{path:.*}", there)
    async with lib_web.serve(served, host="127.0.0.1", port=0, grace=0.1) as address:
        backed = {"name": "us", "backupRouter": {"url": f"http://{address}"}}
        await made_pool(two.rig, regions=[backed, {"name": "eu", **REF}])
        session = names.SessionId("5f197ac4-dff4-4b8e-a64d-3bc25da40099")
        remembered = remote_sessions.Remote(
            session_id=session, pool=two.manifest.name, region=names.RegionName("us"), token=names.TokenName("tester")
        )
        await remote_sessions.put(two.rig.database, remembered)
        await two.stop()
        await waiting.until(two.rig.running.services.databases.away, deadline=20)
        for path in (f"/devtools/session/{session}", f"/devtools/browser/{session}/json/version"):
            answer = await two.rig.request("GET", path)
            assert answer.status == 200, answer.body
        # What is not there either may be in the database that is away.
        unknown = await two.rig.request("GET", "/devtools/session/unheard-of")
        assert unknown.status == 503
        assert "Secret eu-db" in unknown.message


async def test_what_is_over_is_over_though_another_database_is_away(two: Two) -> None:
    session = (await two.rig.post("/devtools/browser?region=us")).json["sessionId"]
    assert (await two.rig.request("DELETE", f"/devtools/browser/{session}")).status == 200
    await two.ready("us")
    await two.stop()
    await waiting.until(two.rig.running.services.databases.away, deadline=20)
    assert (await two.rig.request("GET", f"/devtools/browser/{session}/json/list")).status == 410
    assert (await two.rig.request("GET", f"/devtools/session/{session}")).json["closeReasonText"] == "NormalClosure"


async def test_what_one_database_has_is_found_before_another_has_answered(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = (await two.rig.post("/devtools/browser?region=eu")).json["sessionId"]
    parts = two.rig.running.services
    parts.claiming.holding._held.pop(session)
    real, found = sessions.live, asyncio.Event()

    async def live(db: connect.Database, session_id: names.SessionId) -> Any:
        if db is parts.databases.home:
            await found.wait()
        return await real(db, session_id)

    monkeypatch.setattr(sessions, "live", live)
    try:
        async with asyncio.timeout(30):
            answer = await two.rig.request("GET", f"/devtools/session/{session}")
    finally:
        found.set()
    assert (answer.status, answer.json["region"]) == (200, "eu")


# ---------------------------------------------------------------- those who write, count and stop


async def test_a_database_that_is_opened_anew_has_its_lag_recorded(
    database: connect.Database, own_postgres: tuple[postgres.Server, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is closed while its regions are made known in it, and opened again before they are."""
    _, eu_dsn = own_postgres
    rules = heartbeats.BatchSettings(lag_interval=0.05)
    eu_region, name = names.RegionName("eu"), DatabaseName(EU)
    pools = {names.PoolName("pair"): pool.PoolSpec.model_validate(SPEC)}
    real, asked, known = regions.ensure, asyncio.Event(), asyncio.Event()
    deadlines = []

    async def ensure(db: connect.Database, names_: Any) -> None:
        asked.set()
        deadlines.append(db.deadline)
        await known.wait()
        await real(db, names_)

    monkeypatch.setattr(regions, "ensure", ensure)
    async with (
        connect.opened(eu_dsn, process="tests") as eu,
        heartbeats.BatchWriter(database, rules, writer=names.HolderId("router")) as home,
    ):
        both = writers.Writers(rules, home, writer=names.HolderId("router"))
        async with both.serving(name, eu):
            first = asyncio.create_task(both.serve([eu_region], pools))  # noqa: TID251 - awaited below
            await asked.wait()
        async with both.serving(name, eu):
            known.set()
            await first
            await both.serve([eu_region], pools)

            async def recorded() -> bool:
                return [(one.region, one.writers) for one in await regions.listing(eu)] == [("eu", 1)]

            await waiting.until(recorded)
    assert max(deadlines) < eu.deadline, "who reads the catalog waits for it"


async def test_no_session_is_dropped_that_a_database_was_not_asked_for(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eu is away when the lists are asked for, and back before the last of them is there."""
    assert (await two.rig.post("/devtools/browser?region=eu")).status == 200
    parts = two.rig.running.services
    [held] = parts.claiming.holding.all()
    assert held.token is not None
    real = sessions.listing

    async def listing(db: connect.Database, **which: Any) -> Any:
        found = await real(db, **which)
        await waiting.until(lambda: not parts.databases.away(), deadline=20)
        return found

    monkeypatch.setattr(sessions, "listing", listing)
    parts.databases.suspect(held.database, errors.Unavailable("no answer"))
    await parts.claiming.holding.recheck(held.token)
    assert not held.over.is_set()
    assert parts.quotas.running(held.token) == 1


async def test_a_days_use_is_not_forgotten_while_a_database_is_away(two: Two) -> None:
    assert (await two.rig.post("/devtools/browser?region=eu")).status == 200

    async def used() -> float:
        return float((await two.rig.request("GET", "/v1/limits")).json["usedBrowserTimeSeconds"])

    before = await waiting.until(used)
    await two.stop()
    await waiting.until(two.rig.running.services.databases.away, deadline=20)
    assert await used() >= before


async def test_a_router_that_stops_waits_for_no_end_that_is_in_a_database_that_is_away(two: Two) -> None:
    assert (await two.rig.post("/devtools/browser?region=eu&keep_alive=600000")).status == 200
    parts = two.rig.running.services
    [held] = parts.claiming.holding.all()
    await two.stop()
    await waiting.until(parts.databases.away, deadline=20)
    parts.claiming.end(held)
    async with asyncio.timeout(30):
        await app.drain(parts)
    assert held.ending, "nobody could write that it is over"


async def test_a_router_that_stops_tells_of_the_ends_that_it_could_write(
    dsn: str,
    database: connect.Database,
    own_postgres: tuple[postgres.Server, str],
    tmp_path: pathlib.Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Here eu's database is the tests' own, and the installation's is the server that stops."""
    server, home_dsn = own_postgres
    (tmp_path / "eu-db").mkdir()
    (tmp_path / "eu-db" / "dsn").write_text(dsn)
    async with (
        connect.opened(home_dsn, process="tests") as home,
        routers.rig(
            home_dsn, home, regions=("us", "eu"), region="us", secrets_dir=str(tmp_path), release_on_exit=True
        ) as rig,
    ):
        manifest = await made_pool(rig)
        there = await rig.make_agent(manifest, 0, region="eu", database=(EU, database))

        async def ready() -> bool:
            return await browsers.ready(database, pool=manifest.name, region=names.RegionName("eu"), most=1) == 1

        await waiting.until(ready)
        made = await rig.post("/devtools/browser?region=eu")
        assert made.status == 200, made.body
        # As if it had been made by a claim of which this router has heard nothing.
        held = rig.running.services.claiming.holding._held.pop(made.json["sessionId"])
        await asyncio.to_thread(server.stop, "immediate")
        try:
            await app.drain(rig.running.services)
            assert await sessions.live(database, held.session_id) is None
            await waiting.until(lambda: there.ended == held.party.fence)
        finally:
            await asyncio.to_thread(server.start)
    assert "not be ended" in caplog.text


# ---------------------------------------------------------------- moving


async def test_while_a_region_moves_both_databases_serve_it(two: Two) -> None:
    """From eu's database to the installation's own, where there is no browser yet."""
    region = {"name": "eu", "movingFrom": REF}
    await made_pool(two.rig, regions=[{"name": "us"}, region], spillover="Never")
    old = await two.shot()
    assert (old.status, len(two.there.served)) == (200, 1)
    await two.ready()
    new = await two.rig.make_agent(two.manifest, 1, region="eu")

    async def known() -> bool:
        where = {"pool": two.manifest.name, "region": names.RegionName("eu"), "most": 1}
        return await browsers.ready(two.rig.database, **where) == 1

    await waiting.until(known)
    assert (await two.shot()).status == 200
    assert (len(two.there.served), len(new.served)) == (1, 1)
    await waiting.until(known)
    # The new one is taken: the old one serves on.
    held = await two.rig.post("/devtools/browser?region=eu&targets=true")
    assert new.sessions[-1] == held.json["sessionId"]
    assert (await two.shot()).status == 200
    assert len(two.there.served) == 2
    await two.ready()
    # Without a browser in either it is empty, as ever.
    assert (await two.rig.post("/devtools/browser?region=eu&targets=true")).status == 200
    assert (await two.shot()).status == 503


async def test_pools_are_read_in_time_while_a_regions_database_hangs(
    dsn: str, database: connect.Database, hanging: postgres.Server, tmp_path: pathlib.Path
) -> None:
    """What tokens have used is asked of all databases, and takes as long as the slowest."""
    with postgres.clone(hanging) as eu_dsn:
        (tmp_path / "eu-db").mkdir()
        (tmp_path / "eu-db" / "dsn").write_text(eu_dsn)
        async with routers.rig(dsn, database, region="us", secrets_dir=str(tmp_path)) as rig:
            await made_pool(rig)
            await rig.make_token("limited", daily_seconds=1000)
            parts = rig.running.services
            await waiting.until(lambda: not parts.databases.away())
            with hanging.hung():
                await asyncio.sleep(0.5)
                manifest = pool.BrowserPool(metadata=pool.Metadata(name="new"), spec=pool.PoolSpec())
                await routers.pools.put(database, manifest)
                await waiting.until(lambda: manifest.name in parts.catalog.pools, deadline=1)
