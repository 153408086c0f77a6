"""Probes, metrics, the picture for people, and the table of addresses."""

import prometheus_client.parser
import pytest

from browserpool.router import addresses, routes
from support import routers, waiting


async def metric(rig: routers.Rig, name: str, **labels: str) -> float:
    async with rig.client.get(f"http://{rig.running.ops_address}/metrics") as answer:
        assert answer.status == 200
        text = await answer.text()
    for family in prometheus_client.parser.text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return float(sample.value)
    return 0.0


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_probes_need_no_token_on_either_port(rig: routers.Rig, path: str) -> None:
    assert (await rig.request("GET", path, headers={"Authorization": ""})).status == 200
    async with rig.client.get(f"http://{rig.running.ops_address}{path}") as answer:
        assert answer.status == 200


async def test_metrics_on_the_main_port_need_a_token(rig: routers.Rig) -> None:
    answer = await rig.request("GET", "/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert (await rig.request("GET", "/metrics", headers={"Authorization": ""})).status == 401


async def test_the_ops_port_has_nothing_else(rig: routers.Rig) -> None:
    async with rig.client.post(f"http://{rig.running.ops_address}/v1/screenshot", headers=rig.bearer()) as answer:
        assert answer.status == 404


async def test_what_happens_is_counted(rig: routers.Rig) -> None:
    pool = "counted"
    [agent] = await rig.make_pool(pool)
    name = "browserpool_claims_total"
    before = await metric(rig, name, pool=pool, outcome="claimed", locality="region")
    assert (await rig.post("/v1/screenshot", {"html": "x"})).status == 200
    assert (await rig.post("/v1/screenshot", {})).status == 400
    await rig.until_ready(pool)
    assert await metric(rig, name, pool=pool, outcome="claimed", locality="region") == before + 1
    assert await metric(rig, "browserpool_claim_seconds_count", pool=pool) >= 1
    assert await metric(rig, "browserpool_action_seconds_count", pool=pool, action="screenshot", outcome="ok") >= 1
    assert await metric(rig, "browserpool_action_seconds_count", pool=pool, action="screenshot", outcome="invalid") >= 1
    assert await metric(rig, "browserpool_heartbeat_batch_rows_count") >= 1

    async def shown(state: str) -> bool:
        return await metric(rig, "browserpool_browsers", pool=pool, region="local", state=state) == 1

    await waiting.until(lambda: shown("ready"))
    async with rig.client.ws_connect(f"{rig.ws}/devtools/browser", headers=rig.bearer()):
        await waiting.until(lambda: shown("claimed"))
        assert not await shown("ready")
        assert await metric(rig, "browserpool_cdp_connections", pool=pool) == 1
    agent.gate.clear()

    async def released() -> bool:
        return await metric(rig, "browserpool_releases_total", pool=pool, state="ready") >= 1

    await waiting.until(released)


async def test_only_ones_own_sessions_are_named(rig: routers.Rig) -> None:
    """Whoever knows the id of a session without an owner may use it."""
    await rig.make_pool(browsers_=2)
    mine = (await rig.post("/devtools/browser")).json["sessionId"]
    other, admin = await rig.make_token("other"), await rig.make_token("admin", admin=True)
    theirs = (await rig.post("/devtools/browser", secret=other)).json["sessionId"]

    async def named(secret: str | None = None) -> set[str | None]:
        answer = await rig.request("GET", "/v1/status", **({} if secret is None else {"secret": secret}))
        return {one["session_id"] for one in answer.json["browsers"]}

    assert await named() == {mine, None}
    assert await named(other) == {theirs, None}
    assert await named(admin) == {mine, theirs}


async def test_the_whole_picture(rig: routers.Rig) -> None:
    [agent] = await rig.make_pool()
    admin = await rig.make_token("admin", admin=True)
    session = (await rig.post("/devtools/browser")).json["sessionId"]
    seen = (await rig.request("GET", "/v1/status", secret=admin)).json
    [pool] = seen["pools"]
    [region] = pool["regions"]
    assert (pool["name"], pool["queue"], region["name"], region["replicas"]) == ("small", 0, "local", 1)
    assert region["states"] == {"starting": 0, "ready": 0, "claimed": 1, "recycling": 0, "draining": 0}
    assert [one["browser_id"] for one in seen["browsers"]] == [agent.browser_id]
    assert [(one["session_id"], one["token"]) for one in seen["sessions"]] == [(session, "tester")]
    assert [one["region"] for one in seen["regions"]] == ["local"]
    assert agent.address not in str(seen)


async def test_a_token_sees_its_own_share_of_the_picture(rig: routers.Rig) -> None:
    await rig.make_pool("mine")
    await rig.make_pool("theirs")
    await rig.post("/devtools/browser?pool=theirs")
    narrow = await rig.make_token("narrow", pools=frozenset({"mine"}))
    seen = (await rig.request("GET", "/v1/status", secret=narrow)).json
    assert [one["name"] for one in seen["pools"]] == ["mine"]
    assert {one["pool"] for one in seen["browsers"]} == {"mine"}
    assert seen["sessions"] == []


# ---------------------------------------------------------------- the table


def test_every_address_says_what_it_is_for() -> None:
    rows = list(routes.documented())
    assert len(rows) == len(routes.ROUTES)
    assert all(summary for *_, summary in rows), rows


def test_no_address_stands_twice() -> None:
    served = [(route.method, path) for route in routes.ROUTES for path in route.paths]
    assert len(set(served)) == len(served)


def test_only_these_are_public() -> None:
    public = {path for route in routes.ROUTES if route.door is routes.Door.PUBLIC for path in route.paths}
    assert public == {"/json/version", "/json/version/", "/healthz", "/readyz", "/openapi.json", "/docs"}


def test_clients_addresses_stand_under_both_prefixes() -> None:
    for route in routes.ROUTES:
        if route.path.startswith(("/devtools/browser", "/devtools/session", "/{action}")):
            assert set(addresses.CLOUDFLARE) <= set(route.prefixes), route.path
