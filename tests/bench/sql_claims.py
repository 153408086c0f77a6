"""Claims in SQL against pgbench's update of one row by its primary key, in turn, eight clients.

Every commit of the floor's is flushed, as every CDP session's claim is; a quick action's is not waited for (``leases.sql`` says why).
"""

import dataclasses
import statistics

import psycopg

from bench import figures, pgbench

SIZES = (1_000, 20_000, 100_000)
ROUNDS = 5
FLOOR = "\\set id random(1, 20000)\nupdate floor set value = value + 1 where id = :id;\n"
KINDS = {"action": "quick actions", "cdp": "CDP sessions"}


def claims(name, *, kind="action", node="null"):
    text = pgbench.statement(
        "leases", name, session_id="'s' || :session", pool="'bench'::text", region="'eu'::text", node=node, kind=f"'{kind}'",
        token="'t'", holder="'bench'", keep_alive="10", max_lifetime="null", freshness="15", slot=":slot", terms="null",
    )  # fmt: skip
    return f"\\set session random(1, 9000000000000000)\n\\set slot random(0, 2147483646)\n{text}\n"


@dataclasses.dataclass(frozen=True, slots=True)
class Pace:
    """``rate`` in transactions a second, ``slowest`` the 99th percentile of their times in ms."""

    rate: float
    slowest: float


def measure(dsn, size, progress):
    """The pace of the floor, and of the claims of each kind."""
    each = min(size * 6 // 10 // pgbench.CLIENTS, 1500)
    floors, paces = [], {kind: [] for kind in KINDS}
    pgbench.fill(dsn, size)
    for _ in progress(range(ROUNDS), f"claims with {size:,} ready"):
        floors.append(_pace(dsn, FLOOR, transactions=each))
        for kind in KINDS:
            paces[kind].append(_pace(dsn, claims("claim_in_region", kind=kind), transactions=each))
            _all_were_claimed(dsn, each * pgbench.CLIENTS)
            pgbench.free_all(dsn)
    return _median(floors), {kind: _median(of) for kind, of in paces.items()}


def _pace(dsn, script, *, transactions):
    rate, times = pgbench.run(dsn, script, transactions=transactions)
    return Pace(rate, pgbench.percentile(times, 99))


def _median(paces):
    return Pace(statistics.median(pace.rate for pace in paces), statistics.median(pace.slowest for pace in paces))


def _all_were_claimed(dsn, number):
    """What is fast because it finds nothing is not measured here."""
    with psycopg.connect(dsn) as connection:
        [found] = connection.execute("select count(*) from browsers where state = 'claimed'").fetchone()
    assert found >= number * 0.99, f"{found} of {number} claims found a browser"


def run(progress):
    found = []
    with pgbench.database() as dsn:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(
                "create table floor (id integer primary key, value integer not null, filler text not null)"
            )
            connection.execute("insert into floor select n, 0, repeat('x', 200) from generate_series(1, 20000) n")
            connection.execute("vacuum analyze floor")
        for size in SIZES:
            found += figured(size, *measure(dsn, size, progress))
    return found


def figured(size, floor, paces):
    """Rows for people: the floor's, then each kind's beside it."""
    name = f"pgbench, one row by its key ({size:,} ready below)"
    found = [
        figures.Figure(name=name, value=floor.rate, unit="/s"),
        figures.Figure(name=f"{name}: p99", value=floor.slowest, unit="ms"),
    ]
    for kind, said in KINDS.items():
        name, pace = f"claims of {said}, {size:,} ready", paces[kind]
        found += [
            figures.Figure(
                name=name,
                value=pace.rate,
                unit="/s",
                floor_value=floor.rate,
                ratio=pace.rate / floor.rate,
                target="≥ 0.8",
            ),
            figures.Figure(
                name=f"{name}: p99",
                value=pace.slowest,
                unit="ms",
                floor_value=floor.slowest,
                ratio=pace.slowest / floor.slowest,
                target="≤ 5 ms",
            ),
        ]
    return found
