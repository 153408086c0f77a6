"""A region with a database of its own, on a cluster: what is there, what stays as it is while it is away, and how the region moves."""

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import pytest

from cluster import access, shell
from support import charts
from support import release as releases

SECRET = "eu-db"
DATABASE = f"{SECRET}/dsn"
PASSWORD = "a-password-of-the-tests-own"
OWN = {"databaseSecretRef": {"name": SECRET}}
EU = {"name": "eu", "replicas": 2, "maxReplicas": 4}
US = {"name": "us", "replicas": 1, "maxReplicas": 3}
QUEUE = {"queueTimeout": "30s"}

_FOLDER = "/var/lib/browserpool"
# It is stopped as long as the file is there; the container, and with it the data and the address, stays.
_SERVE = f"while :; do [ -e {_FOLDER}/stopped ] || sh /etc/browserpool/postgres.sh; sleep 0.2; done"


# ---------------------------------------------------------------- the region's Postgres


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Postgres:
    """A Postgres in a pod: the region's, which the test stops and starts, or the chart's."""

    cluster: access.Cluster
    pod: str
    sockets: str

    def registered(self, pool: str) -> list[str]:
        """The regions of the pool's browsers that are registered here, each once."""
        sql = f"select distinct region from browsers where pool = '{pool}' and state <> 'gone' order by region"
        words = ["psql", "-h", self.sockets, "-U", "browserpool", "-At", "-c", sql, "browserpool"]
        return self.cluster.exec(self.pod, *words, namespace=releases.NAMESPACE).split()

    def stop(self) -> None:
        self._shell(f"touch {_FOLDER}/stopped && pg_ctl stop --mode immediate --pgdata $PGDATA")

    def start(self) -> None:
        self._shell(f"rm -f {_FOLDER}/stopped")
        shell.until(self._answers, what="the region's Postgres", deadline=60, every=0.5)

    def _answers(self) -> bool:
        self._shell("sh /etc/browserpool/postgres.sh ready")
        return True

    def _shell(self, line: str) -> None:
        self.cluster.exec(self.pod, "sh", "-c", line, namespace=releases.NAMESPACE)


def _postgres_pod() -> access.Object:
    environment = {
        "PGDATA": f"{_FOLDER}/data",
        "PASSWORD": PASSWORD,
        "MAX_CONNECTIONS": "100",
        "CONFIG": "",
        "SOCKETS": "/tmp",
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": SECRET, "namespace": releases.NAMESPACE},
        "spec": {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 1,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 999,
                "fsGroup": 999,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "postgres",
                    "image": releases.image("postgres"),
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["sh", "-c", _SERVE],
                    "env": [{"name": name, "value": value} for name, value in environment.items()],
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                    "volumeMounts": [
                        {"name": "data", "mountPath": _FOLDER},
                        {"name": "scripts", "mountPath": "/etc/browserpool"},
                    ],
                }
            ],
            "volumes": [
                {"name": "data", "emptyDir": {}},
                {"name": "scripts", "configMap": {"name": SECRET}},
            ],
        },
    }


@pytest.fixture(scope="module")
def eu_db(release: releases.Release) -> Iterator[Postgres]:
    """Region eu's Postgres, whose connection string controller and routers have."""
    cluster, namespace = release.cluster, releases.NAMESPACE
    script = (charts.CHART / "files" / "postgres.sh").read_text()
    named = {"metadata": {"name": SECRET, "namespace": namespace}}
    made = Postgres(cluster=cluster, pod=SECRET, sockets="/tmp")
    try:
        cluster.apply(
            {"apiVersion": "v1", "kind": "ConfigMap", "data": {"postgres.sh": script}, **named}, _postgres_pod()
        )
        cluster.wait(f"pod/{SECRET}", "condition=Ready", namespace=namespace)
        made.start()
        address = cluster.get("pod", SECRET, namespace=namespace)["status"]["podIP"]
        host = f"[{address}]" if ":" in address else address
        dsn = f"postgresql://browserpool:{PASSWORD}@{host}:5432/browserpool"
        cluster.apply({"apiVersion": "v1", "kind": "Secret", "stringData": {"dsn": dsn}, **named})
        _helm(
            cluster, "upgrade", "browserpool", str(charts.CHART), "--reuse-values",
            f"--set-json=database.regions={json.dumps([SECRET])}",
        )  # fmt: skip
        yield made
    finally:
        _helm(cluster, "rollback", "browserpool", "--force-conflicts")
        for kind in ("pod", "secret", "configmap"):
            cluster.delete(kind, SECRET, namespace=namespace)


def _helm(cluster: access.Cluster, *arguments: str) -> None:
    cluster.helm(*arguments, "--namespace", releases.NAMESPACE, "--wait", timeout=660)


@pytest.fixture(scope="module")
def pool(release: releases.Release, eu_db: Postgres) -> Iterator[str]:
    """Two browsers in eu, in its own database, and one in us, in the installation's."""
    with release.pool("sharded", regions=[EU | OWN | {"backup": "us"}, US], onEmpty=QUEUE) as name:
        yield name


# ---------------------------------------------------------------- what a client does meanwhile

_ASKING = """
import json, os, sys, time, urllib.request, urllib.error
url, token = sys.argv[1:]
ends = time.monotonic() + 240
while time.monotonic() < ends and not os.path.exists(__file__ + ".stop"):
    request = urllib.request.Request(url, data=b'{"html": "<p>on"}', headers={
        "Authorization": "Bearer " + token, "Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            answer.read()
            said = [answer.status, answer.headers["X-Browserpool-Region"]]
    except urllib.error.HTTPError as error:
        said = [error.code, error.read().decode()[:300]]
    except Exception as error:
        said = [0, repr(error)]
    print(json.dumps(said))
    time.sleep(0.1)
print('"end"')
"""
_SPEAKING = """
import asyncio, json, os, sys, time, aiohttp

async def main():
    url, token = sys.argv[1:]
    ends = time.monotonic() + 240
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer " + token}) as http:
        async with http.ws_connect(url) as socket:
            number = 0
            while time.monotonic() < ends and not os.path.exists(__file__ + ".stop"):
                number += 1
                await socket.send_json({"id": number, "method": "Browser.getVersion"})
                while (said := json.loads(await asyncio.wait_for(socket.receive_str(), 30))).get("id") != number:
                    pass
                print(json.dumps("Chrome/" in said["result"]["product"]))
                await asyncio.sleep(0.1)
    print('"end"')

asyncio.run(main())
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A script that runs in a client's pod by itself, until it is told to end."""

    cluster: access.Cluster
    client: str
    name: str

    def start(self, text: str, *words: str) -> None:
        line = f'cd /tmp; cat >{self.name}.py; nohup python -u /tmp/{self.name}.py "$@" >{self.name}.out 2>&1 &'
        self.cluster.kubectl(
            "exec", "--stdin", "--namespace", releases.CLIENTS, "--container", "client", self.client, "--",
            "sh", "-c", line, "sh", *words, text=text,
        )  # fmt: skip

    def said(self) -> list[Any]:
        """What it has printed so far, a value a line; a line that is none, such as a traceback's, as it is."""
        lines = self._run("cat", f"/tmp/{self.name}.out").splitlines()
        return [_value(line) for line in lines]

    def goes_on(self, *, more: int = 5) -> None:
        """Wait until it has printed ``more`` lines than now."""
        before = len(self.said())
        shell.until(lambda: len(self.said()) >= before + more, what=f"{self.name} goes on", deadline=90, every=0.5)

    def stop(self) -> None:
        self._run("touch", f"/tmp/{self.name}.py.stop")

    def ended(self) -> list[Any]:
        """All that it printed, once it has been told to end and did."""
        self.stop()
        shell.until(lambda: self.said()[-1:] == ["end"], what=f"{self.name}'s end", deadline=90, every=0.5)
        return self.said()[:-1]

    def _run(self, *command: str) -> str:
        return self.cluster.exec(self.client, *command, namespace=releases.CLIENTS, container="client")


def _value(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return line


@contextlib.contextmanager
def script(release: releases.Release, client: str, name: str, text: str, *words: str) -> Iterator[Script]:
    """It runs while the block does."""
    made = Script(cluster=release.cluster, client=client, name=name)
    made.start(text, *words)
    try:
        yield made
    finally:
        made.stop()


@contextlib.contextmanager
def spoken_to(release: releases.Release, client: str, pool: str, name: str) -> Iterator[tuple[str, Script]]:
    """A CDP session in eu that is spoken to all the time; yields its browser's name and what speaks."""
    made = release.ask(client, f"/devtools/browser?pool={pool}&region=eu&keep_alive=600000", {})
    assert made.status == 200, made.body
    session, url = made.json["sessionId"], made.json["webSocketDebuggerUrl"]
    browsers = release.ask(client, "/v1/status").json["browsers"]
    (browser,) = [one["browser_id"] for one in browsers if one["session_id"] == session]
    try:
        with script(release, client, name, _SPEAKING, url, release.token) as speaking:
            speaking.goes_on()
            yield browser, speaking
    finally:
        release.ask(client, f"/devtools/browser/{session}", method="DELETE")


# ---------------------------------------------------------------- what is there


def in_status(release: releases.Release, pool: str, region: str) -> dict[str, Any]:
    """What the pool's status says of the region."""
    (found,) = [one for one in release.status(pool)["regions"] if one["name"] == region]
    return dict(found)


def condition(release: releases.Release, pool: str, kind: str) -> tuple[str, str]:
    """Status and reason of the pool's condition."""
    (found,) = [one for one in release.status(pool)["conditions"] if one["type"] == kind]
    return found["status"], found["reason"]


def pods(release: releases.Release, pool: str, region: str) -> dict[str, tuple[str, int, bool, str]]:
    """The region's pods by name: uid, restarts, whether it is being deleted, the database that it is registered in."""
    return {
        one["metadata"]["name"]: (
            one["metadata"]["uid"],
            sum(container["restartCount"] for container in one["status"].get("containerStatuses", ())),
            "deletionTimestamp" in one["metadata"],
            one["metadata"].get("annotations", {}).get("browserpool.dev/database", ""),
        )
        for one in release.pods(pool)
        if one["metadata"]["labels"]["browserpool.dev/region"] == region
    }


def place(answer: releases.Answer) -> tuple[str, str]:
    """The region that served, and how near that was."""
    assert answer.status == 200, answer.body
    return answer.headers["X-Browserpool-Region"], answer.headers["X-Browserpool-Locality"]


def home_database(release: releases.Release) -> Postgres:
    """The installation's own."""
    (pod,) = release.browserpool_pods("database")
    return Postgres(cluster=release.cluster, pod=pod["metadata"]["name"], sockets="/var/run/postgresql")


def test_a_regions_browsers_are_registered_in_its_database_and_serve(
    release: releases.Release, client: str, pool: str, eu_db: Postgres
) -> None:
    assert eu_db.registered(pool) == ["eu"]
    assert home_database(release).registered(pool) == ["us"]
    assert [one[3] for one in pods(release, pool, "eu").values()] == [DATABASE] * 2
    assert [one[3] for one in pods(release, pool, "us").values()] == [""]
    assert place(release.act(client, pool, query="&region=eu"))[0] == "eu"
    assert place(release.act(client, pool, query="&region=us"))[0] == "us"
    assert condition(release, pool, "DatabaseFresh")[0] == "True"


def test_while_a_regions_database_is_away_nothing_of_it_is_touched_and_the_other_serves_and_scales(
    release: releases.Release, client: str, pool: str, eu_db: Postgres
) -> None:
    eu = EU | OWN | {"backup": "us"}
    with spoken_to(release, client, pool, "away") as (_, speaking):
        release.wait_ready(pool)
        before = pods(release, pool, "eu")
        eu_db.stop()
        try:
            shell.until(
                lambda: in_status(release, pool, "eu").get("database") == "Away",
                what="the status says that eu's database is away", deadline=60, every=0.5,
            )  # fmt: skip
            assert condition(release, pool, "DatabaseFresh") == ("False", "RegionDatabaseUnreachable")
            for _ in range(3):
                assert place(release.act(client, pool, query="&region=eu")) == ("us", "backup")
                assert place(release.act(client, pool, query="&region=us"))[0] == "us"
            # eu is to have another number as well: it waits until somebody knows what there is.
            more = [eu | {"replicas": 3}, US | {"replicas": 2}]
            release.put(pool, regions=more, onEmpty=QUEUE)
            shell.until(
                lambda: in_status(release, pool, "us")["ready"] == 2, what="another browser in us", deadline=90, every=1
            )
            assert place(release.act(client, pool, query="&region=us"))[0] == "us"
            assert pods(release, pool, "eu") == before
            speaking.goes_on()
        finally:
            eu_db.start()
        shell.until(
            lambda: place(release.act(client, pool, query="&region=eu"))[0] == "eu",
            what="eu serves again", deadline=60, every=0.5,
        )  # fmt: skip
        release.wait_ready(pool)
        after = pods(release, pool, "eu")
        assert after.items() >= before.items()
        assert len(after) == len(before) + 1
        assert "database" not in in_status(release, pool, "eu")
        said = speaking.ended()
    assert (len(said) > 20, {str(one) for one in said}) == (True, {"True"})
    release.put(pool, regions=[eu, US], onEmpty=QUEUE)
    release.wait_ready(pool)


def test_a_region_moves_under_load_without_a_request_that_fails_or_a_session_that_is_cut(
    release: releases.Release, client: str, pool: str, eu_db: Postgres
) -> None:
    """To the installation's own database; the one that it leaves is stopped at the end."""
    # Nobody else is to serve what eu cannot.
    rest: dict[str, Any] = {"spillover": "Never", "onEmpty": QUEUE}
    release.put(pool, regions=[EU | OWN, US], **rest)
    release.wait_ready(pool)
    url = f"{releases.SERVICE}/v1/content?pool={pool}&region=eu&cacheTTL=0"
    with script(release, client, "asking", _ASKING, url, release.token) as asking:
        with spoken_to(release, client, pool, "moving") as (browser, speaking):
            asking.goes_on()
            kept = pods(release, pool, "eu")[browser]
            release.put(pool, regions=[EU | {"movingFrom": OWN}, US], **rest)

            def moved() -> bool:
                here = pods(release, pool, "eu")
                old = {name for name, (_, _, _, database) in here.items() if database}
                said = in_status(release, pool, "eu")
                # A row is forgotten in the round after the one that saw its pod go.
                return old == {browser} and said["ready"] >= EU["replicas"] and said.get("elsewhere") == 1

            shell.until(moved, what="all but the session's browser in the new database", deadline=120, every=1)
            assert condition(release, pool, "Moving") == ("True", "BrowsersLeft")
            speaking.goes_on()
            asking.goes_on()
            assert pods(release, pool, "eu")[browser] == kept
            said = speaking.ended()
        assert (len(said) > 20, {str(one) for one in said}) == (True, {"True"})
        shell.until(
            lambda: condition(release, pool, "Moving") == ("True", "NothingLeft"),
            what="nothing left in the old database", deadline=90, every=1,
        )  # fmt: skip
        assert "eu" in home_database(release).registered(pool)
        assert eu_db.registered(pool) == []
        release.put(pool, regions=[EU, US], **rest)
        release.wait_ready(pool)
        eu_db.stop()
        try:
            asking.goes_on()
            answers = asking.ended()
            release.wait_ready(pool)
            assert condition(release, pool, "Moving") == ("False", "Settled")
        finally:
            eu_db.start()
    assert [one for one in answers if one != [200, "eu"]] == []
    assert len(answers) > 30
