"""Claims in SQL against pgbench's update of one row by its primary key, in turn, eight clients.

Every commit of the floor's is flushed, as every CDP session's claim is; a quick action's is not waited for (``leases.sql`` says why).
"""

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


def measure(dsn, size, progress):
    """Medians over rounds: the floor's rate, and of each kind the claims' rate and their p99."""
    each = min(size * 6 // 10 // pgbench.CLIENTS, 1500)
    floors, rates, slowest = [], {kind: [] for kind in KINDS}, {kind: [] for kind in KINDS}
    pgbench.fill(dsn, size)
    for _ in progress(range(ROUNDS), f"claims with {size:,} ready"):
        rate, _times = pgbench.run(dsn, FLOOR, transactions=each)
        floors.append(rate)
        for kind in KINDS:
            rate, times = pgbench.run(dsn, claims("claim_in_region", kind=kind), transactions=each)
            _all_were_claimed(dsn, each * pgbench.CLIENTS)
            rates[kind].append(rate)
            slowest[kind].append(pgbench.percentile(times, 99))
            pgbench.free_all(dsn)
    return statistics.median(floors), _medians(rates), _medians(slowest)


def _medians(of):
    return {kind: statistics.median(values) for kind, values in of.items()}


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
            floor, rates, slowest = measure(dsn, size, progress)
            found.append(
                figures.Figure(name=f"pgbench, one row by its key ({size:,} ready below)", value=floor, unit="/s")
            )
            for kind, said in KINDS.items():
                name, rate = f"claims of {said}, {size:,} ready", rates[kind]
                found += [
                    figures.Figure(
                        name=name, value=rate, unit="/s", floor_value=floor, ratio=rate / floor, target="≥ 0.8"
                    ),
                    figures.Figure(name=f"{name}: p99", value=slowest[kind], unit="ms", target="≤ 5"),
                ]
    return found
