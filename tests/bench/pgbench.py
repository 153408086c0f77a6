"""A Postgres to measure, and pgbench on it: several clients, prepared statements, every transaction's time."""

import contextlib
import pathlib
import re
import statistics
import subprocess
import tempfile

import psycopg

from browserpool.store import queries
from support import postgres

CLIENTS = 8
THREADS = 2
DEADLINE = 300


@contextlib.contextmanager
def database():
    """A migrated database on a server with Postgres' own defaults for durability: every commit is flushed."""
    settings = {
        "shared_buffers": "512MB",
        "max_wal_size": "4GB",
        "checkpoint_timeout": "30min",
        "autovacuum_naptime": "5s",
    }
    with postgres.server(on_disk=True, **settings) as server:
        postgres.make_template(server)
        with postgres.clone(server) as dsn:
            yield dsn


def fill(dsn, number):
    """``number`` ready browsers of pool ``bench`` in region ``eu``, on 50 nodes in two zones; nothing else."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("truncate browsers, sessions")
        connection.execute(
            """
            insert into browsers (
                browser_id, pool, region, zone, node, template_hash, fence, region_shelf, zone_shelf, node_shelf, state, healthy,
                incarnation, last_seen, address
            )
            select
                'bench-eu-' || n, 'bench', 'eu', 'zone-' || n %% 2, 'node-' || n %% 50, 't', 1::bigint << 32, shelf('bench', 'eu', ''),
                shelf('bench', 'eu', 'zone/zone-' || n %% 2), shelf('bench', 'eu', 'node/node-' || n %% 50), 'ready', true, 1,
                now() + interval '1 day', 'localhost:1'
            from generate_series(1, %s) n
            """,
            (number,),
        )
        connection.execute("vacuum (analyze) browsers")


def free_all(dsn):
    """Every session over, every browser ready again, what that left behind cleaned up."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("set session_replication_role = replica")  # no history: it is not what is measured
        connection.execute("update browsers set state = 'ready', session_id = null where state = 'claimed'")
        connection.execute("vacuum browsers")


def statement(topic, name, **values):
    """One of the store's own statements with SQL in place of its parameters, for pgbench."""
    text = queries.topic(topic)[name].decode()
    text = re.sub(r"%\((\w+)\)s", lambda found: f"({values[found[1]]})", text).replace("%%", "%")
    # pgbench wants a statement on one line, and would read a comment to its end.
    return " ".join(line.partition("--")[0].strip() for line in text.splitlines())


def run(dsn, script, *, clients=CLIENTS, transactions=None, seconds=None):
    """Transactions a second, and the transactions' times in ms.

    Each client's first is left out of the times: it waits for a new connection's catalogue and plan (10 to 30 ms), which routers have
    behind them before a request comes; and where a client has few transactions, it would be all that a percentile shows.
    """
    how_long = ["--transactions", str(transactions)] if transactions else ["--time", str(seconds)]
    with tempfile.TemporaryDirectory(prefix="bp-pgbench-") as folder:
        file = pathlib.Path(folder) / "script.sql"
        file.write_text(script)
        done = subprocess.run(
            [
                str(postgres.BIN / "pgbench"), "--no-vacuum", "--protocol=prepared", f"--client={clients}", f"--jobs={THREADS}",
                "--log", "--log-prefix", f"{folder}/log", "--file", str(file), *how_long, dsn,
            ],
            check=False,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(done.stderr)
        rate = float(re.search(r"tps = ([0-9.]+)", done.stdout)[1])
        logged = [line.split() for log in pathlib.Path(folder).glob("log*") for line in log.open()]
        times = [int(micros) / 1000 for _client, number, micros, *_ in logged if number != "1"]
    return rate, times


def percentile(times, hundredths):
    """The value under which ``hundredths`` of a hundred lie."""
    return statistics.quantiles(times, n=100)[hundredths - 1]
