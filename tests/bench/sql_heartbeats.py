"""Heartbeats in SQL, in batches of 100 and row by row, in turn; and as one process of Python writes them."""

import asyncio
import statistics

import psycopg

from bench import figures, pgbench
from browserpool.lib import clock
from browserpool.model.heartbeats import Heartbeat
from browserpool.store import connect, heartbeats

BROWSERS = 20_000
BATCH = 100
WRITERS = 2
ROUNDS = 5
FENCE = 1 << 32


def script(size):
    """One batch of neighbours somewhere in the fleet, whose sequence has risen, in the order that the store sends."""

    ids = f"select 'bench-eu-' || :first + n as id from generate_series(1, {size}) n"
    same = (
        "1::bigint",
        "nextval('beats')",
        "true",
        f"{FENCE}::bigint",
        "0.5::float8",
        "7::bigint",
        "0::bigint",
        "2e8::bigint",
    )
    columns = ", ".join(f"array_fill({value}, array[{size}])" for value in same)
    return (
        f"\\set first random(0, {BROWSERS // size - 1}) * {size}\n"
        f'select count(*) from write_heartbeats((select array_agg(id order by id collate "C") from ({ids}) ids), {columns});\n'
    )


async def through_python(dsn, sequence):
    """Rows a second of ``heartbeats.write``, two batches at a time, all browsers once."""
    word = {"incarnation": 1, "sequence": sequence, "healthy": True, "clean_fence": FENCE}
    beats = [Heartbeat(browser_id=f"bench-eu-{n}", **word) for n in range(1, BROWSERS + 1)]
    batches = iter([beats[first : first + BATCH] for first in range(0, BROWSERS, BATCH)])

    async def write(db):
        for batch in batches:
            assert len(await heartbeats.write(db, batch)) == BATCH

    async with connect.opened(dsn, process="bench", max_size=WRITERS) as db:
        await asyncio.gather(*(heartbeats.write(db, beats[:1]) for _ in range(WRITERS)))
        began = clock.monotonic()
        async with asyncio.TaskGroup() as group:
            for _ in range(WRITERS):
                group.create_task(write(db))
        return BROWSERS / (clock.monotonic() - began)


def measure(dsn, connection, progress):
    """Of each round: rows a second one by one, in batches, through Python; and the batches' p95 in ms a row."""
    single, batched, slowest, python = [], [], [], []
    for _ in progress(range(ROUNDS), "heartbeats"):
        rate, _times = pgbench.run(dsn, script(1), clients=WRITERS, transactions=1_000)
        single.append(rate)
        rate, times = pgbench.run(dsn, script(BATCH), clients=WRITERS, transactions=300)
        batched.append(rate * BATCH)
        slowest.append(pgbench.percentile(times, 95) / BATCH)
        sequence = connection.execute("select nextval('beats')").fetchone()[0]
        python.append(asyncio.run(through_python(dsn, sequence)))
        # All were written, none refused as too old: what is fast because it writes nothing is not measured here.
        assert connection.execute("select min(sequence) from browsers").fetchone()[0] == sequence
    return tuple(statistics.median(values) for values in (single, batched, slowest, python))


def run(progress):
    with pgbench.database() as dsn, psycopg.connect(dsn, autocommit=True) as connection:
        pgbench.fill(dsn, BROWSERS)
        connection.execute("create sequence beats")
        single, batched, slowest, python = measure(dsn, connection, progress)
    return [
        figures.Figure(name="heartbeats, row by row", value=single, unit="rows/s"),
        figures.Figure(
            name="heartbeats, batches of 100", value=batched, unit="rows/s", floor_value=single, ratio=batched / single,
            target="≥ 60,000 rows/s",
        ),
        figures.Figure(name="heartbeats, batches of 100: p95 a row", value=slowest, unit="ms", target="≤ 0.03"),
        figures.Figure(name="heartbeats, batches of 100, by one process of Python", value=python, unit="rows/s"),
    ]  # fmt: skip
