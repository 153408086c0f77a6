"""``python -m bench.fleet JSON``: so many agents' heartbeats, or claims, against one database for a while; prints what it saw as JSON.

A process of its own, as a router is: it drives the real batch writer, of which ``settings`` are given. What comes within ``warm_up``
seconds is not counted: plans are made, and every page of the table is written whole once.
"""

import asyncio
import json
import sys

import uvloop

from bench import pgbench
from browserpool.lib import chance, clock
from browserpool.model import claims, errors
from browserpool.model.heartbeats import Heartbeat
from browserpool.model.names import HolderId, PoolName, RegionName, SessionId
from browserpool.store import connect, heartbeats, leases

FENCE = 1 << 32
_TICK = 0.01
_SAMPLE = 0.05


class Timed(heartbeats.BatchWriter):
    """Keeps how long each batch took to write, in seconds a row."""

    def __init__(self, *arguments, **more):
        super().__init__(*arguments, **more)
        self.seconds_a_row = []

    async def _write_isolating(self, batch):
        began = clock.monotonic()
        await super()._write_isolating(batch)
        self.seconds_a_row.append((clock.monotonic() - began) / len(batch))


class Fleet:
    """Agents ``first`` to ``first + count`` of ``pgbench.fill``, whose heartbeats are spread evenly over ``interval`` seconds."""

    def __init__(self, writer, *, first, count, interval, sequence):
        self._writer = writer
        self._names = [f"bench-eu-{n}" for n in range(first, first + count)]
        self._per_second = count / interval
        self._sequence = sequence
        self.sent = self.written = self.refused = 0

    async def run(self, until):
        began, sent = clock.monotonic(), 0
        while (now := clock.monotonic()) < until:
            due = int((now - began) * self._per_second)
            for n in range(sent, due):
                self._send(n)
            sent = due
            await asyncio.sleep(_TICK)

    def _send(self, n):
        rounds, who = divmod(n, len(self._names))
        beat = Heartbeat(
            browser_id=self._names[who], incarnation=1, sequence=self._sequence + rounds, healthy=True, clean_fence=FENCE, load=0.5,
            uses=7, memory_bytes=200_000_000,
        )  # fmt: skip
        self.sent += 1
        try:
            self._writer.queue(beat).add_done_callback(self._done)
        except errors.TooManyRequests:
            self.refused += 1

    def _done(self, answer):
        if not answer.cancelled() and answer.exception() is None:
            self.written += 1
        else:
            self.refused += 1


async def beats(*, dsn, first, count, interval, seconds, warm_up, sequence, settings):
    lags = []
    async with (
        connect.opened(dsn, process="fleet", max_size=settings.get("max_in_flight", 2) + 1) as db,
        Timed(
            db,
            heartbeats.BatchSettings(queue_limit=count + 1, **settings),
            regions=[RegionName("eu")],
            writer=HolderId(f"fleet-{first}"),
        ) as writer,
    ):
        fleet = Fleet(writer, first=first, count=count, interval=interval, sequence=sequence)
        end = clock.monotonic() + warm_up + seconds
        running = asyncio.get_running_loop().create_task(fleet.run(end))
        await asyncio.sleep(warm_up)
        sent, written = fleet.sent, fleet.written
        writer.seconds_a_row.clear()
        while clock.monotonic() < end:
            lags.append(writer.lag())
            await asyncio.sleep(_SAMPLE)
        found = {"sent": fleet.sent - sent, "written": fleet.written - written, "refused": fleet.refused, "lags": lags}
        found["a_row"] = pgbench.percentile(writer.seconds_a_row, 95)
        await running
    return found


async def claimed(*, dsn, seconds, warm_up, per_second):
    """Claims at an even pace, each released a moment later: their times in ms, and how many were refused since the region was stale."""
    times, stale = [], 0

    async def one(counted):
        nonlocal stale
        request = claims.ClaimRequest(
            session_id=SessionId(chance.unique_id()), pool=PoolName("bench"), region=RegionName("eu"),
            kind=claims.SessionKind.ACTION, keep_alive=10, holder=HolderId("bench"),
        )  # fmt: skip
        began = clock.monotonic()
        answer = await leases.claim(db, request, freshness=1e6)
        if counted:
            times.append((clock.monotonic() - began) * 1000)
            stale += answer.outcome is claims.Outcome.STALE
        if answer.outcome is claims.Outcome.STALE:
            return
        assert answer.claim is not None, answer.outcome
        await asyncio.sleep(0.05)
        await leases.release(db, session_id=request.session_id, fence=answer.claim.fence, clean=True)

    async with connect.opened(dsn, process="claims", max_size=8) as db, asyncio.TaskGroup() as group:
        began = clock.monotonic()
        for n in range(int((warm_up + seconds) * per_second)):
            await asyncio.sleep(max(0.0, began + n / per_second - clock.monotonic()))
            group.create_task(one(n > warm_up * per_second))
    return {"times": times, "stale": stale / len(times)}


def main(order):
    work = {"beats": beats, "claims": claimed}[order.pop("what")]
    print(json.dumps(uvloop.run(work(**order))))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
