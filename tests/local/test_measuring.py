"""`browserpool bench` measures with real parts, and `browserpool plan` reckons with it."""

import dataclasses
import json
import subprocess
import sys

from browserpool.local import measuring

TINY = measuring.Size(browsers=60, rounds=3, sessions=40, at_once=4)


def browserpool(*words):
    return subprocess.run(
        [sys.executable, "-m", "browserpool", *map(str, words)], capture_output=True, text=True, timeout=60, check=False
    )


async def test_everything_is_measured(tmp_path):
    said = []

    costs = await measuring.measured(TINY, say=said.append)

    # CPU is counted in hundredths of a second, so that so little work may cost none; what is written is counted in bytes.
    assert costs.row_wal > 50
    assert costs.session_wal > 300
    assert costs.browser_row > 300
    assert costs.history_row > 100
    assert all(value >= 0 for value in dataclasses.asdict(costs).values())
    assert len(said) == 5


def test_plan_reckons_with_what_was_measured(tmp_path):
    costs = dict.fromkeys(
        ("batch_cpu", "row_cpu", "session_cpu", "router_heartbeat_cpu", "router_session_cpu"), 1e-4
    ) | dict.fromkeys(("batch_wal", "row_wal", "session_wal", "browser_row", "history_row"), 1000)
    (tmp_path / "capacity.json").write_text(json.dumps(costs))

    done = browserpool("plan", "--browsers", 500_000, "--regions", 5, "--data", tmp_path)

    assert done.returncode == 0, done.stderr
    for word in ("500,000 browsers in 5 regions", "20,000", "910", "database cores", "WAL"):
        assert word in done.stdout


def test_plan_asks_to_measure_first(tmp_path):
    done = browserpool("plan", "--browsers", 10, "--data", tmp_path)

    assert done.returncode == 1
    assert "browserpool bench" in done.stderr


def test_plan_says_what_it_cannot_read(tmp_path):
    (tmp_path / "capacity.json").write_text("{}")

    done = browserpool("plan", "--browsers", 10, "--data", tmp_path)

    assert done.returncode == 1
    assert "cannot be read" in done.stderr
