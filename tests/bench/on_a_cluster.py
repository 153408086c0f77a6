"""On a Kubernetes: how fast pools fill, what that costs the API server, and what a client's pod waits for a browser.

Not among those that run when none is named: it needs a cluster, and makes one where none is given (root, minutes).
"""

import json
import statistics

from bench import figures
from browserpool.lib import clock
from cluster import ensure, shell
from support import release as releases
from support import replica

READY, LOST, ROUNDS, ACTIONS = 12, 6, 40, 100
SPREAD = [{"name": "eu", "replicas": READY * 2 // 3}, {"name": "us", "replicas": READY // 3}]
ELSEWHERE = [{"name": "eu", "replicas": 0, "backup": "us"}, {"name": "us", "replicas": READY // 3}]
NEAR = {
    "node": "",
    "zone": "&node=none&zone=eu-b",
    "region": "&node=none&zone=none",
}
"""What a client asks for, by how near the answer is then."""

_CLAIMS = """
import http.client, json, sys, time
given = json.load(sys.stdin)
headers = {"Authorization": "Bearer " + given["token"], "Content-Type": "application/json"}
router = http.client.HTTPConnection(given["host"], 8080, timeout=60)

def ask(method, path, body=None):
    began = time.perf_counter()
    router.request(method, path, body=body, headers=headers)
    answer = router.getresponse()
    said = answer.read()
    took = (time.perf_counter() - began) * 1000
    if answer.status != 200:
        sys.exit(f"{method} {path}: {answer.status} {said[:300]}")
    return took, answer.headers.get("X-Browserpool-Locality"), said

found = {}
for _ in range(given["rounds"]):
    took, locality, said = ask("POST", given["path"], given["body"])
    found.setdefault(locality, []).append(took)
    if given["close"]:
        ask("DELETE", "/devtools/browser/" + json.loads(said)["sessionId"])
print(json.dumps(found))
"""


def asked(release, client, path, *, rounds, body="{}", close=False):
    """How long ``rounds`` requests of a client's pod took over one connection: milliseconds, by how near the browsers stood."""
    given = {
        "host": releases.SERVICE.removeprefix("http://").removesuffix(":8080"),
        "token": release.token,
        "path": path,
        "body": body,
        "rounds": rounds,
        "close": close,
    }
    return json.loads(release.python(client, _CLAIMS, text=json.dumps(given), timeout=300))


def writes(audit):
    """Writes of the controller but for its Lease and the pool's status, which time makes it write; None: nobody shows the log."""
    seen = audit.requests()
    if seen is None:
        return None
    verbs, apart = {"create", "update", "patch", "delete"}, {"leases", "browserpools/status"}
    return sum(number for (verb, kind, _), number in seen.items() if verb in verbs and kind not in apart)


def audited(release):
    return replica.Audit(release.cluster, namespace=releases.NAMESPACE, account="browserpool-controller")


def filling(release, pool):
    """From nothing to ready, then with some of them gone."""
    log, began = audited(release), clock.monotonic()
    release.put(pool, regions=SPREAD, refill={"maxBatch": READY})
    release.wait_ready(pool)
    took = clock.monotonic() - began
    yield figures.Figure(name=f"kubectl apply until {READY} browsers are ready, on 3 nodes", value=took, unit="s")
    if (written := writes(log)) is not None:
        yield figures.Figure(name="API server: controller's writes a pod", value=written / READY, unit="writes")
    gone = [pod["metadata"]["name"] for pod in release.pods(pool)][:LOST]
    began = clock.monotonic()
    release.cluster.kubectl("delete", "pod", "--namespace", releases.NAMESPACE, "--force", "--grace-period=0", *gone)
    shell.until(lambda: not whole(release, pool), what="a status that knows of the loss", deadline=60)
    release.wait_ready(pool)
    yield figures.Figure(
        name=f"refill of {LOST} lost browsers", value=LOST / (clock.monotonic() - began), unit="browsers/s"
    )


def whole(release, pool):
    return release.status(pool).get("readyReplicas") == READY


def acting(release, client, pool):
    """Quick actions from a client's pod."""
    body = json.dumps({"html": "<h1>x</h1>"})
    path = f"/v1/content?pool={pool}&cacheTTL=0"
    asked(release, client, path, rounds=5, body=body)
    log = audited(release)
    took = asked(release, client, path, rounds=ACTIONS, body=body)
    name = "content from a client's pod, on its own node"
    yield figures.Figure(name=name, value=statistics.median(took["node"]), unit="ms p50")
    if (written := writes(log)) is not None:
        name = "API server: writes a quick action"
        yield figures.Figure(name=name, value=written / ACTIONS, unit="writes", target="0")


def claiming(release, client, pool, locality, query):
    """Claims of CDP sessions from a client's pod; each is closed before the next.

    What is given back is ready again after a moment, and some claims go farther meanwhile; those do not count.
    """
    path = f"/devtools/browser?pool={pool}&keep_alive=60000{query}"
    took = asked(release, client, path, rounds=ROUNDS, close=True)
    name = f"claim from a client's pod, nearest: {locality}"
    return figures.Figure(name=name, value=statistics.median(took[locality]), unit="ms p50")


def run(progress):
    found = []
    with (
        ensure.cluster() as cluster,
        releases.installed(cluster) as release,
        release.client("bench", node="eu-a1") as client,
    ):
        with release.pool("bench", ready=False, regions=[SPREAD[0] | {"replicas": 0}]) as pool:
            found += filling(release, pool)
            found += acting(release, client, pool)
            for locality, query in progress(NEAR.items(), "localities"):
                found.append(claiming(release, client, pool, locality, query))
        with release.pool("bench-backup", regions=ELSEWHERE) as pool:
            found.append(claiming(release, client, pool, "backup", ""))
    return found
