"""What is made when: hooks and Jobs of installing and upgrading, secrets that are generated once, values that are refused."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys

import helm_python
import psycopg
import pytest
import yaml

from browserpool.model import credentials
from browserpool.store import connect, tokens
from support import charts, postgres
from support.waiting import until

BUNDLED = {"database": {"bundled": {"enabled": True}}}
EXISTING = {"database": {"existingSecret": "dsn"}}
OWN_TOKEN = {**EXISTING, "token": {"existingSecret": "mine"}}


def hooks(documents):
    return {
        f"{one['kind']}/{one['metadata']['name']}": one["metadata"]["annotations"]["helm.sh/hook"]
        for one in documents
        if "helm.sh/hook" in one["metadata"].get("annotations", {})
        and one["metadata"]["annotations"]["helm.sh/hook"] != "test"
    }


BEFORE = "pre-install,pre-upgrade"
MIGRATIONS = [
    # values, an upgrade, hooks, the Job
    (EXISTING, False, {"Secret/browserpool-migrate-token": BEFORE, "Job/browserpool-migrate": BEFORE}, "migrate"),
    (EXISTING, True, {"Secret/browserpool-migrate-token": BEFORE, "Job/browserpool-migrate": BEFORE}, "migrate"),
    (OWN_TOKEN, False, {"Job/browserpool-migrate": BEFORE}, "migrate"),
    (BUNDLED, False, {}, "schema"),
    (BUNDLED, True, {"Secret/browserpool-migrate-token": BEFORE, "Job/browserpool-migrate": BEFORE}, "migrate"),
]


@pytest.mark.parametrize(("values", "upgrade", "expected", "job"), MIGRATIONS)
def test_migrations_run_before_what_needs_them(values, upgrade, expected, job):
    documents = charts.rendered(values, upgrade=upgrade)
    assert hooks(documents) == expected
    assert [one["metadata"]["name"] for one in documents if one["kind"] == "Job"] == [f"browserpool-{job}"]
    template = charts.one(documents, "Job", f"browserpool-{job}")["spec"]["template"]["spec"]
    named = {
        entry["valueFrom"]["secretKeyRef"]["name"]
        for container in template["containers"] + template["initContainers"]
        for entry in container["env"]
    }
    database = "browserpool-database" if values is BUNDLED else "dsn"
    token = "mine" if values is OWN_TOKEN else "browserpool-token" if not expected else "browserpool-migrate-token"
    assert named == {database, token}
    waits = [name for name, spec, _ in charts.pod_templates(documents) if "wait-for-schema" in str(spec)]
    assert len(waits) == (2 if values is BUNDLED else 0)


def test_the_hooks_secret_is_there_before_its_job():
    weights = {
        one["kind"]: int(one["metadata"]["annotations"]["helm.sh/hook-weight"])
        for one in charts.rendered(EXISTING)
        if one["metadata"]["name"].startswith("browserpool-migrate") and one["kind"] != "NetworkPolicy"
    }
    assert weights["Secret"] < weights["Job"]


# ---------------------------------------------------------------- the Job's own commands
def commands(values):
    template = next(one for one in charts.rendered(values) if one["kind"] == "Job")["spec"]["template"]["spec"]
    return [container["command"] for container in template["initContainers"] + template["containers"]]


async def test_the_jobs_commands_make_the_tables_and_register_the_token(postgres_server):
    with psycopg.connect(postgres_server.dsn(), autocommit=True) as connection:
        connection.execute("create database chart template template0")
    dsn = postgres_server.dsn("chart")
    values = {**EXISTING, "token": {"pools": ["eu", "us"], "concurrency": 5, "ratePerSecond": 2.5, "dailySeconds": 600}}
    for command in commands(values):
        assert command[0] == "python"
        await asyncio.to_thread(
            subprocess.run,
            [sys.executable, *command[1:]],
            env={**os.environ, "BROWSERPOOL_DSN": dsn, "BROWSERPOOL_TOKEN": "generated"},
            check=True,
            timeout=60,
        )
    (token,) = await connect.once(dsn, tokens.listing, process="test")
    assert (token.name, token.hash, token.admin) == ("default", credentials.hashed("generated"), False)
    assert (token.pools, token.concurrency, token.rate_per_second) == ({"eu", "us"}, 5, 2.5)
    assert token.daily_seconds == 600


@pytest.mark.parametrize(("token", "admin"), [({}, False), ({"admin": True}, True)])
def test_the_token_that_clients_get_is_no_administrators_unless_the_values_say_so(token, admin):
    _, put = commands({**EXISTING, "token": token})
    assert ("--admin" in put) == admin


# ---------------------------------------------------------------- generated secrets
def texts(documents, kind="Secret"):
    return {
        f"{one['metadata'].get('namespace')}/{one['metadata']['name']}": one["stringData"]
        for one in documents
        if one["kind"] == kind and "stringData" in one
    }


def test_a_generated_secret_is_the_same_wherever_the_release_uses_it():
    found = texts(charts.rendered({**EXISTING, "sidecar": {"namespaces": ["apps"]}}))
    token = found["browsers/browserpool-token"]["token"]
    assert len(token) == 48
    assert found["apps/browserpool-token"]["token"] == token
    assert found["browsers/browserpool-migrate-token"]["token"] == token
    database = texts(charts.rendered(BUNDLED))["browsers/browserpool-database"]
    assert database["dsn"] == (
        f"postgresql://browserpool:{database['password']}@browserpool-database.browsers.svc:5432/browserpool"
    )


def test_two_installations_share_no_secret():
    first, second = (texts(charts.rendered(BUNDLED)) for _ in range(2))
    assert len(first) == 3
    for name, values in first.items():
        for key, value in values.items():
            assert second[name][key] != value


def test_named_secrets_are_used_and_none_is_generated():
    values = {**OWN_TOKEN, "signingKey": {"existingSecret": "key"}, "webhooks": {"enabled": False}}
    documents = charts.rendered(values)
    assert [one["metadata"]["name"] for one in documents if one["kind"] == "Secret"] == []
    used = re.findall(r"name: (key|mine|dsn)\b", yaml.safe_dump_all(documents))
    assert set(used) == {"key", "mine", "dsn"}


# ---------------------------------------------------------------- values
REFUSED = [
    ({}, "database.existingSecret"),
    ({"database": {"existingSecret": "dsn", "bundled": {"enabled": True}}}, "exclude each other"),
    ({**EXISTING, "routers": {}}, "routers"),
    ({**EXISTING, "router": {"kind": "StatefulSet"}}, "kind"),
    ({**EXISTING, "router": {"service": {"port": 0}}}, "port"),
    ({**EXISTING, "networkPolicy": {"browsers": {"allowCIDRs": ["10.0.0.1"]}}}, "allowCIDRs"),
    ({"database": {"existingSecret": "dsn", "regions": ["EU"]}}, "regions"),
    ({**EXISTING, "networkPolicy": {"regionDatabases": {"cidrs": ["10.0.0.1"]}}}, "cidrs"),
    ({**EXISTING, "networkPolicy": {"regionDatabases": {"ports": []}}}, "ports"),
    ({**EXISTING, "router": {"cache": {"where": "redis"}}}, "where"),
    ({**EXISTING, "router": {"ai": {"url": "http://models/v1"}}}, "router.ai.model"),
    ({**EXISTING, "sidecar": {"namespaces": ["Apps"]}}, "namespaces"),
    ({**EXISTING, "webhooks": {"timeoutSeconds": 4}}, "timeoutSeconds"),
    ({**OWN_TOKEN, "sidecar": {"namespaces": ["apps"]}}, "token.existingSecret"),
]


@pytest.mark.parametrize(("values", "why"), REFUSED)
def test_values_that_cannot_work_are_refused_with_a_reason(values, why):
    with pytest.raises(helm_python.HelmError, match=re.escape(why)):
        charts.rendered(values)


# ---------------------------------------------------------------- the API
def test_upgrades_carry_the_definitions_and_uninstalling_leaves_them():
    root = charts.CHART.parents[1] / "crds"
    sources = {path.name: yaml.safe_load(path.read_text()) for path in root.glob("*.yaml")}
    assert len(sources) == 2
    made = {
        one["metadata"]["name"]: one for one in charts.rendered(EXISTING) if one["kind"] == "CustomResourceDefinition"
    }
    for source in sources.values():
        one = made.pop(source["metadata"]["name"])
        assert one["spec"] == source["spec"]
        assert one["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert made == {}
    assert not (charts.CHART / "crds").exists(), "Helm would install them there, and never again"


# ---------------------------------------------------------------- the bundled Postgres
async def test_the_bundled_postgres_is_made_once_and_keeps_its_data(unused_tcp_port):
    with postgres.own_folder() as folder:
        script = shutil.copy(charts.CHART / "files" / "postgres.sh", folder)
        environment = {
            "PATH": f"{postgres.BIN}:{os.environ['PATH']}",
            "PGDATA": str(folder / "data"),
            "PASSWORD": "first",
            "MAX_CONNECTIONS": "50",
            "CONFIG": "work_mem = 5MB",
            "SOCKETS": str(folder),
            "TMPDIR": str(folder),
            "PGPORT": str(unused_tcp_port),
        }

        def is_ready():
            with postgres.started("sh", script, "ready", environment=environment) as asked:
                return asked.wait(timeout=10) == 0

        dsn = f"postgresql://browserpool:first@127.0.0.1:{unused_tcp_port}/browserpool"
        for start in range(2):
            with postgres.started("sh", script, environment=environment) as server:
                await until(is_ready, deadline=60, every=0.2)
                rows = await connect.once(dsn, lambda db, number=start: _remembered(db, number), process="test")
                assert rows == [(number,) for number in range(start + 1)]
                server.send_signal(signal.SIGINT)
                assert server.wait(timeout=30) == 0


async def _remembered(db, number):
    async with db.pool.connection() as connection:
        await connection.execute("create table if not exists kept (number int)")
        await connection.execute("insert into kept values (%s)", [number])
        assert (await (await connection.execute("show work_mem")).fetchone()) == ("5MB",)
        return await (await connection.execute("select number from kept order by number")).fetchall()
