"""The commands that speak to the store, each as a process."""

import asyncio
import os
import socket
import subprocess
import sys

import pytest

from browserpool.model import credentials, errors
from browserpool.model.names import DatabaseName
from browserpool.store import connect, migrate_regions, region_databases, tokens


def run(*arguments, **environment):
    """Exit code, standard output, standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "browserpool", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout.strip(), done.stderr.strip()


async def kept(dsn):
    return await connect.once(dsn, tokens.listing, process="test")


# ---------------------------------------------------------------- migrate
def test_an_empty_database_lacks_the_schema_until_it_is_migrated(empty):
    code, _, why = run("migrate", "--check", BROWSERPOOL_DSN=empty)
    assert code == 1
    assert "run `browserpool migrate`" in why
    code, said, _ = run("migrate", "--wait", "30", BROWSERPOOL_DSN=empty)
    assert (code, said.startswith("applied: 0001_initial")) == (0, True)
    assert run("migrate", BROWSERPOOL_DSN=empty)[:2] == (0, "nothing to apply")
    assert run("migrate", "--check", BROWSERPOOL_DSN=empty)[:2] == (0, "the schema is this version's")


def test_who_waits_for_the_schema_goes_on_once_it_is_there(empty):
    waiting = subprocess.Popen(
        [sys.executable, "-m", "browserpool", "migrate", "--check", "--wait", "50"],
        env={**os.environ, "BROWSERPOOL_DSN": empty},
        stdout=subprocess.PIPE,
        text=True,
    )
    with waiting:
        assert run("migrate", BROWSERPOOL_DSN=empty)[0] == 0
        assert waiting.communicate(timeout=60)[0].strip() == "the schema is this version's"
    assert waiting.returncode == 0


def test_a_database_that_is_away_is_said_so():
    code, _, why = run("migrate", BROWSERPOOL_DSN="host=127.0.0.1 port=1 user=nobody dbname=nothing")
    assert code == 1
    assert "Postgres" in why or "database" in why


async def test_the_databases_of_regions_are_migrated_too_as_far_as_they_can_be(dsn, empty, tmp_path):
    async def noted(db):
        await region_databases.replace(db, [DatabaseName(f"{name}/dsn") for name in ("eu-db", "us-db", "asia-db")])

    await connect.once(dsn, noted, process="test")
    for name, text in (("eu-db", empty), ("us-db", "host=127.0.0.1 port=1 user=nobody dbname=nothing")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "dsn").write_text(f"{text}\n")
    given = {"BROWSERPOOL_DSN": dsn, "BROWSERPOOL_SECRETS_DIR": str(tmp_path)}
    code, said, why = await asyncio.to_thread(run, "migrate", **given)
    # A region's fault keeps nobody else from being upgraded.
    assert code == 0
    own, eu = said.splitlines()
    assert own == "nothing to apply"
    assert eu.startswith("the database of Secret eu-db (key dsn): applied: 0001_initial")
    asia, us = sorted(why.splitlines())
    assert asia.startswith("browserpool: the database of Secret asia-db (key dsn) is left as it is: ")
    assert "database.regions" in asia
    assert us.startswith("browserpool: the database of Secret us-db (key dsn) is left as it is: ")
    assert run("migrate", "--check", BROWSERPOOL_DSN=empty)[:2] == (0, "the schema is this version's")
    _, said, _ = await asyncio.to_thread(run, "migrate", **given)
    assert said.splitlines()[1] == "the database of Secret eu-db (key dsn): nothing to apply"


async def test_a_regions_database_that_hangs_holds_up_no_migration_for_long(dsn, tmp_path, monkeypatch):
    monkeypatch.setattr(migrate_regions, "DEADLINE", 0.5)
    name = DatabaseName("eu-db/dsn")
    await connect.once(dsn, lambda db: region_databases.replace(db, [name]), process="test")
    (tmp_path / "eu-db").mkdir()
    # It takes connections, and says nothing.
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        (tmp_path / "eu-db" / "dsn").write_text(f"host=127.0.0.1 port={port} user=nobody dbname=nothing")
        [(found, done)] = [one async for one in migrate_regions.apply(dsn, tmp_path)]
    assert found == name
    assert isinstance(done, errors.Unavailable)
    assert "0.5 s" in done.message


# ---------------------------------------------------------------- tokens
async def test_a_token_from_the_environment_is_kept_hashed_with_its_limits(dsn):
    limits = [
        "--pool",
        "eu",
        "--pool",
        "us",
        "--concurrency",
        "3",
        "--rate",
        "2.5",
        "--daily-seconds",
        "600",
        "--admin",
    ]
    code, said, why = await asyncio.to_thread(
        run, "token", "put", "ci", *limits, BROWSERPOOL_DSN=dsn, BROWSERPOOL_TOKEN="a long secret"
    )
    assert (code, said, why) == (0, "the token ci is registered", "")
    (token,) = await kept(dsn)
    assert token.hash == credentials.hashed("a long secret")
    assert (token.pools, token.concurrency, token.rate_per_second, token.admin) == ({"eu", "us"}, 3, 2.5, True)
    assert token.daily_seconds == 600
    listed = await asyncio.to_thread(run, "token", "list", BROWSERPOOL_DSN=dsn)
    assert listed == (0, "ci\teu, us\t3 sessions at once\t2.5 requests/s\t600 s of browsers a day\tadmin", "")


async def test_a_token_without_a_secret_gets_a_fresh_one_each_time(dsn):
    first, second = [(await asyncio.to_thread(run, "token", "put", "a", BROWSERPOOL_DSN=dsn))[1] for _ in range(2)]
    assert first != second
    (token,) = await kept(dsn)
    assert token.hash == credentials.hashed(second)
    assert (token.pools, token.admin) == (None, False)


async def test_a_removed_token_is_gone_and_an_unknown_one_is_said_so(dsn):
    await asyncio.to_thread(run, "token", "put", "a", BROWSERPOOL_DSN=dsn)
    assert (await asyncio.to_thread(run, "token", "remove", "a", BROWSERPOOL_DSN=dsn))[0] == 0
    assert await kept(dsn) == []
    code, _, why = await asyncio.to_thread(run, "token", "remove", "a", BROWSERPOOL_DSN=dsn)
    assert (code, "browserpool token list" in why) == (1, True)


@pytest.mark.parametrize("wrong", [["--concurrency", "0"], ["--rate", "-1"], ["--daily-seconds", "0"]])
def test_limits_that_would_lock_everyone_out_are_refused(dsn, wrong):
    assert run("token", "put", "a", *wrong, BROWSERPOOL_DSN=dsn)[0] == 2
