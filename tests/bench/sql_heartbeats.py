"""Heartbeats as the store writes them, in batches of 100 and row by row."""

import asyncio
import itertools
import statistics
import time

from bench import figures, pgbench
from browserpool.model.heartbeats import Heartbeat
from browserpool.store import connect, heartbeats

BROWSERS = 20_000
WRITERS = 2
SECONDS = 5.0


def words(number):
    """Batches of ``number`` heartbeats without end, each browser's sequence rising."""
    for sequence in itertools.count(1):
        for first in range(0, BROWSERS, number):
            yield [
                Heartbeat.model_construct(
                    browser_id=f"bench-eu-{n + 1}", incarnation=1, sequence=sequence, healthy=True, clean_fence=1 << 32,
                    load=1.0, uses=sequence, restarts=0, memory_bytes=200_000_000,
                )
                for n in range(first, first + number)
            ]  # fmt: skip


async def written(dsn, number):
    """Rows a second, and each batch's milliseconds a row."""
    taken, rows = [], 0
    async with connect.opened(dsn, process="bench", max_size=WRITERS) as db:
        batches = words(number)
        ends = time.perf_counter() + SECONDS

        async def write():
            nonlocal rows
            while (began := time.perf_counter()) < ends:
                batch = next(batches)
                replies = await heartbeats.write(db, batch)
                taken.append((time.perf_counter() - began) * 1000 / number)
                rows += len(replies)

        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(WRITERS):
                group.create_task(write())
        return rows / (time.perf_counter() - began), taken


def run(progress):
    with pgbench.database() as dsn:
        measured = {}
        for number in progress((1, 100), "heartbeats"):
            pgbench.fill(dsn, BROWSERS)
            measured[number] = asyncio.run(written(dsn, number))
    (single, _), (batched, taken) = measured[1], measured[100]
    return [
        figures.Figure(name="heartbeats, row by row", value=single, unit="rows/s"),
        figures.Figure(
            name="heartbeats, batches of 100", value=batched, unit="rows/s", floor_value=single, ratio=batched / single,
            target="≥ 60,000 rows/s",
        ),
        figures.Figure(
            name="heartbeats, batches of 100: p95 a row", value=pgbench.percentile(taken, 95), unit="ms", target="≤ 0.03"
        ),
        figures.Figure(name="heartbeats, batches of 100: median a row", value=statistics.median(taken), unit="ms"),
    ]  # fmt: skip
