"""How many browsers one Postgres on this machine takes: simulated agents' heartbeats by the real batch writers, and claims.

Row by row, in batches of 100, and in larger ones; each way until it falls behind. ``python -m bench scale``, or ``make bench-scale``.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys

from bench import chart, figures, pgbench

SIZES = tuple(int(n) for n in os.environ.get("SIZES", "5000,50000,100000,250000,500000").split(","))
INTERVAL = 5.0
SECONDS = float(os.environ.get("SECONDS_EACH", "20"))
WARM_UP = 10.0
WRITERS = 2
CLAIMS_PER_SECOND = 100
MAX_LAG = 2.0
WAYS = {
    "row by row": {"max_batch_size": 1, "max_in_flight": 8},
    "batches of 100": {},
    "batches of 1,000": {"max_batch_size": 1000},
}
PICTURE = pathlib.Path(".browserpool/scale.svg")


def process(**order):
    words = [sys.executable, "-m", "bench.fleet", json.dumps(order)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def finished(child):
    said, _ = child.communicate(timeout=SECONDS + WARM_UP + 300)
    if child.returncode:
        raise RuntimeError("a fleet failed; what it said is above")
    return json.loads(said)


def one(dsn, size, settings):
    """So many browsers, for a while."""
    pgbench.fill(dsn, size)
    times = {"dsn": dsn, "seconds": SECONDS, "warm_up": WARM_UP}
    share = size // WRITERS
    fleets = [
        process(
            what="beats", first=1 + n * share, count=share, interval=INTERVAL, sequence=1, settings=settings, **times
        )
        for n in range(WRITERS)
    ]
    claims = process(what="claims", per_second=CLAIMS_PER_SECOND, **times)
    seen, claimed = [finished(fleet) for fleet in fleets], finished(claims)
    lags = [lag for fleet in seen for lag in fleet["lags"]]
    return {
        "rows": sum(fleet["written"] for fleet in seen) / SECONDS,
        "wanted": size / INTERVAL,
        "lag": pgbench.percentile(lags, 99),
        "a_row": statistics.mean(fleet["a_row"] for fleet in seen) * 1000,
        "claim": pgbench.percentile(claimed["times"], 99),
        "stale": claimed["stale"],
    }


def keeps_up(found):
    return found["lag"] < MAX_LAG and found["rows"] > 0.95 * found["wanted"] and not found["stale"]


def run(progress):
    rows, made = [], []
    with pgbench.database() as dsn:
        for way, settings in WAYS.items():
            for size in progress(SIZES, f"heartbeats {way}"):
                if rows and rows[-1]["way"] == way and not rows[-1]["keeps_up"]:
                    break  # it has fallen behind already, and more of them would only show it again
                found = one(dsn, size, settings)
                rows.append({"way": way, "size": size, "keeps_up": keeps_up(found), **found})
                made += figures_of(rows[-1])
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(chart.drawn(rows, bound=MAX_LAG))
    for way in WAYS:
        most = max((row["size"] for row in rows if row["way"] == way and row["keeps_up"]), default=0)
        made.append(figures.Figure(name=f"most browsers whose lag stays under 2 s, {way}", value=most, unit=""))
    return made


def figures_of(row):
    name = f"{row['size']:,} browsers, {row['way']}"
    return [
        figures.Figure(
            name=f"{name}: heartbeats written", value=row["rows"], unit="/s", floor_value=row["wanted"], ratio=row["rows"] / row["wanted"]
        ),
        figures.Figure(name=f"{name}: lag p99", value=row["lag"], unit="s", target="< 2"),
        figures.Figure(name=f"{name}: batch p95 a row", value=row["a_row"], unit="ms"),
        figures.Figure(name=f"{name}: claim p99", value=row["claim"], unit="ms"),
        figures.Figure(name=f"{name}: claims refused, the region being stale", value=100 * row["stale"], unit="%"),
    ]  # fmt: skip
