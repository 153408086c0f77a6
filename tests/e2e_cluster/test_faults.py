"""What breaks in a cluster, on purpose: each time callers get a clear answer, and what was open stays open."""

import json
import time

import pytest

from cluster import shell
from support import release as releases

EU = {"name": "eu", "replicas": 2, "maxReplicas": 5, "backup": "us"}
US = {"name": "us", "replicas": 1, "maxReplicas": 3}


@pytest.fixture(scope="module")
def pool(release):
    with release.pool("faults", regions=[EU, US], onEmpty={"queueTimeout": "20s"}) as name:
        yield name


def opened(release, client, pool, *, node="eu-a1"):
    """A CDP session on that node, open for ten minutes."""
    made = release.ask(client, f"/devtools/browser?pool={pool}&region=eu&node={node}&keep_alive=600000", {})
    assert made.status == 200, made.body
    return made.json["sessionId"]


@pytest.fixture
def session(release, client, pool):
    """A session of the client's; ended after the test."""
    name = opened(release, client, pool)
    yield name
    release.ask(client, f"/devtools/browser/{name}", method="DELETE")


def lives(release, client, session):
    """Whether the session's browser answers, asked through a router."""
    answer = release.ask(client, f"/devtools/browser/{session}/json/version")
    return answer.status == 200 and "Chrome/" in answer.json["Browser"]


def test_a_browsers_pod_reaches_routers_and_nothing_else_of_the_cluster(release, client, pool):
    pods = release.pods(pool)
    here, other = pods[0], pods[1]["status"]["podIP"]
    database = release.cluster.get("service", "browserpool-database", namespace=releases.NAMESPACE)["spec"]["clusterIP"]
    api = release.cluster.get("service", "kubernetes")["spec"]["clusterIP"]
    router = release.cluster.get("service", "browserpool-router", namespace=releases.NAMESPACE)["spec"]["clusterIP"]
    assert release.act(client, pool).status == 200, "the other agent does listen"
    asked = [[router, 8080], [api, 443], [other, 8082], [other, 8083], ["169.254.169.254", 80]]
    if database != "None":
        asked.append([database, 5432])
    asked += [[one["status"]["podIP"], 5432] for one in release.browserpool_pods("database")]
    said = release.browser_reaches(here["metadata"]["name"], asked)
    assert said == ["open", *["shut"] * (len(asked) - 1)], asked


_KEEP_ASKING = """
import json, sys, time, urllib.request, urllib.error
url, token, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
ends = time.monotonic() + seconds
with open("/tmp/asked", "w") as file:
    while time.monotonic() < ends:
        request = urllib.request.Request(url, data=b'{"html": "<p>on"}', headers={
            "Authorization": "Bearer " + token, "Content-Type": "application/json"})
        try:
            status = urllib.request.urlopen(request, timeout=30).status
        except urllib.error.HTTPError as error:
            # A refusal is told with what it says, for whoever reads why the test failed.
            status = error.code if error.code == 503 else [error.code, error.read().decode()[:300]]
        except Exception as error:
            status = repr(error)
        print(json.dumps([round(time.time(), 1), status]), file=file, flush=True)
        time.sleep(0.3)
    print('[0, "end"]', file=file)
"""


def keep_asking(release, client, pool, seconds):
    """Let the client's pod do one quick action after another by itself; ``asked`` reads how they went."""
    url = f"{releases.SERVICE}/v1/content?pool={pool}&region=eu&cacheTTL=0"
    release.cluster.kubectl(
        "exec", "--stdin", "--namespace", releases.CLIENTS, "--container", "client", client, "--", "sh", "-c",
        '>/tmp/asked; cat >/tmp/ask.py; nohup python /tmp/ask.py "$@" >/dev/null 2>&1 &',
        "sh", url, release.token, str(seconds), text=_KEEP_ASKING,
    )  # fmt: skip


def asked(release, client):
    lines = release.cluster.exec(client, "cat", "/tmp/asked", namespace=releases.CLIENTS, container="client")
    return [json.loads(line)[1] for line in lines.splitlines()]


def all_asked(release, client):
    """How they went, once all are through."""
    shell.until(lambda: asked(release, client)[-1:] == ["end"], what="the client's last request", deadline=120, every=2)
    return asked(release, client)[:-1]


def test_quick_actions_go_on_while_the_api_server_is_away(release, client, pool, session):
    keep_asking(release, client, pool, 45)
    shell.until(lambda: len(asked(release, client)) > 3, what="requests on their way", deadline=30, every=1)
    release.cluster.host.stop_apiserver()
    time.sleep(30)  # what is tested is a time without it
    release.cluster.host.start_apiserver()
    shell.until(release.cluster.nodes, what="the API server again", deadline=60, every=1)
    answers = all_asked(release, client)
    assert [one for one in answers if one != 200] == []
    assert len(answers) > 30
    assert lives(release, client, session)
    # And the controller goes on where it was.
    release.put(pool, regions=[EU | {"replicas": 3}, US], onEmpty={"queueTimeout": "20s"})
    release.wait_ready(pool)
    release.put(pool, regions=[EU, US], onEmpty={"queueTimeout": "20s"})
    release.wait_ready(pool)


def test_a_router_that_dies_takes_no_session_with_it(release, client, pool, session):
    before = {pod["metadata"]["name"] for pod in release.browserpool_pods("router")}
    release.cluster.kubectl(
        "delete", "pod", "--namespace", releases.NAMESPACE, "--grace-period=0", "--force", *before, timeout=60
    )
    shell.until(
        lambda: _served(release, client, session), what="the session through a new router", deadline=90, every=1
    )
    assert release.act(client, pool).status == 200


def _served(release, client, session):
    try:
        return lives(release, client, session)
    except shell.Failed:
        return False


def test_the_database_restarts(release, client, pool, session):
    keep_asking(release, client, pool, 40)
    (database,) = release.browserpool_pods("database")
    name = database["metadata"]["name"]
    restarts = database["status"]["containerStatuses"][0]["restartCount"]
    release.cluster.exec(name, "sh", "-c", "kill -INT 1", namespace=releases.NAMESPACE)

    def restarted():
        pod = release.cluster.get("pod", name, namespace=releases.NAMESPACE)
        status = pod["status"]["containerStatuses"][0]
        return status["restartCount"] > restarts and status["ready"]

    shell.until(restarted, what="the database restarted", deadline=90, every=1)
    shell.until(lambda: release.act(client, pool).status == 200, what="an action", deadline=60, every=1)
    answers = all_asked(release, client)
    assert [one for one in answers if one not in (200, 503)] == []
    assert answers[-1] == 200
    assert lives(release, client, session)
    release.wait_ready(pool)


def test_a_node_that_falls_silent(release, client, pool):
    """Its browsers are replaced elsewhere in the region; a session on it, whose pod still runs, is not cut meanwhile."""
    lost = "eu-b1"
    session = opened(release, client, pool, node=lost)
    assert [one["node"] for one in listed(release, client, pool) if one["session_id"] == session] == [lost]
    release.cluster.host.stop_kubelet(lost)
    try:
        release.cluster.wait(f"node/{lost}", "condition=Ready=Unknown", timeout=90)

        def replaced():
            ready = [
                one["node"] for one in listed(release, client, pool) if (one["state"], one["region"]) == ("ready", "eu")
            ]
            return len(ready) >= 2 and set(ready) == {"eu-a1"}

        shell.until(replaced, what="two ready browsers of eu, all on the node that is left", deadline=180, every=2)
        assert lives(release, client, session)
        answer = release.act(client, pool, query="&region=eu")
        assert (answer.status, answer.headers["X-Browserpool-Node"]) == (200, "eu-a1")
        release.ask(client, f"/devtools/browser/{session}", method="DELETE")
    finally:
        release.cluster.host.start_kubelet(lost)
    release.cluster.wait(f"node/{lost}", "condition=Ready", timeout=90)
    release.wait_ready(pool)


def listed(release, client, pool):
    """The pool's browsers as a router shows them."""
    return [one for one in release.ask(client, "/v1/status").json["browsers"] if one["pool"] == pool]
