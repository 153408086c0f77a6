"""How Postgres goes about the statements that must stay fast, on a table of the size that they are for."""

import pytest

from browserpool.store import queries

WISH = {
    "session_id": "s",
    "pool": "default",
    "region": "eu",
    "node": "node-7",
    "slot": 1_000_000_000,
    "kind": "cdp",
    "token": None,
    "holder": "router-1",
    "keep_alive": 60.0,
    "max_lifetime": None,
    "freshness": 15.0,
    "terms": None,
}


@pytest.fixture
async def crowd(fleet):
    """20,000 ready browsers on 200 nodes, and statistics of them."""
    await fleet.sql(
        """
        insert into browsers (
            browser_id, pool, region, zone, node, template_hash, fence, incarnation, address, healthy, last_seen, state,
            region_shelf, zone_shelf, node_shelf
        )
        select
            'default-eu-' || i, 'default', 'eu', 'zone-' || i %% 3, 'node-' || i %% 200, 't1', i::bigint << 32, i, 'host:1', true,
            now(), 'ready', shelf('default', 'eu', ''), shelf('default', 'eu', 'zone/zone-' || i %% 3),
            shelf('default', 'eu', 'node/node-' || i %% 200)
        from generate_series(1, 20000) as i
        """
    )
    await fleet.sql("analyze browsers")
    return fleet


async def plan(fleet, statement, parameters):
    async with fleet.db.pool.connection() as connection:
        cursor = await connection.execute(b"explain " + statement, parameters)
        return "\n".join(line for (line,) in await cursor.fetchall())


@pytest.mark.parametrize(
    ("name", "index"), [("claim_on_node", "browsers_ready_node"), ("claim_in_region", "browsers_ready_region")]
)
async def test_the_usual_claims_probe_one_partial_index(crowd, name, index):
    found = await plan(crowd, queries.topic("leases")[name], WISH)
    assert found.count(f"Index Scan using {index}") == 2, found  # from the slot on, and around
    assert "Sort" not in found, found
    assert "Seq Scan on browsers" not in found, found


@pytest.mark.parametrize(
    ("near", "place"),
    [
        ({"node": "node-7"}, "node"),
        ({"zone": "zone-1"}, "zone"),
        ({"node": "unknown", "zone": "zone-2"}, "zone"),
        ({}, "region"),
    ],
)
async def test_a_claim_reads_a_handful_of_rows_of_many(crowd, near, place):
    async def read():
        async with crowd.db.pool.connection() as connection:
            await connection.execute("select pg_stat_force_next_flush()")
            cursor = await connection.execute(
                "select seq_tup_read + idx_tup_fetch from pg_stat_user_tables where relname = 'browsers'"
            )
            return (await cursor.fetchone())[0]

    before = await read()
    claim = (await crowd.claim("s", **near)).claim
    assert claim.locality == place
    async with crowd.db.pool.connection() as connection:  # the claim's own connection says what it read
        await connection.execute("select pg_stat_force_next_flush()")
    assert 1 <= await read() - before <= 10


async def test_lookups_by_session_use_its_index(crowd):
    found = await plan(crowd, queries.topic("sessions")["live"], {"session_id": "s"})
    assert "browsers_session" in found, found
    found = await plan(crowd, queries.topic("sessions")["prefixed"], {"first": "bs-", "after": "bs."})
    assert "browsers_session" in found, found
    found = await plan(
        crowd,
        queries.topic("leases")["release"],
        {"session_id": "s", "fence": 1, "clean": True, "give_up": False, "reason": 1},
    )
    assert "browsers_session" in found, found


async def test_expiry_walks_the_live_sessions_only(crowd):
    found = await plan(crowd, queries.topic("leases")["expire"], {"limit": 100, "reason": 2})
    assert "browsers_session" in found, found
