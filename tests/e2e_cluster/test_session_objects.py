"""BrowserSession objects on a real cluster, and nodes that are emptied while sessions are open."""

import contextlib
import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from cluster import access, shell
from support import release as releases

NODE = "eu-b1"
"""Emptied by a test; no client's pod stands on it."""


@pytest.fixture(scope="module")
def pool(release: releases.Release) -> Iterator[str]:
    """Two browsers, on the one node; never more."""
    on = {"nodeSelector": {"kubernetes.io/hostname": NODE}}
    regions = [{"name": "eu", "replicas": 2, "maxReplicas": 2, **on}]
    with release.pool("objects", regions=regions) as name:
        yield name


@pytest.fixture(autouse=True)
def whole(release: releases.Release, pool: str) -> Iterator[None]:
    """Each test finds two browsers ready, and leaves no object."""
    shell.until(lambda: release.status(pool).get("readyReplicas") == 2, what=f"{pool} whole", deadline=180, every=1)
    yield
    release.cluster.kubectl("delete", "browsersessions", "--all", "--namespace", releases.NAMESPACE)


def apply(release: releases.Release, name: str, **spec: Any) -> None:
    release.cluster.apply(
        {
            "apiVersion": "browserpool.dev/v1alpha1",
            "kind": "BrowserSession",
            "metadata": {"name": name, "namespace": releases.NAMESPACE},
            "spec": {"poolRef": {"name": "objects"}} | spec,
        }
    )


def found(release: releases.Release, name: str) -> access.Object:
    return release.cluster.get("browsersession", name, namespace=releases.NAMESPACE)


def says(release: releases.Release, name: str, reason: str, *, timeout: float = 60) -> dict[str, Any]:
    """Wait until the object is ready, or not, for that reason; answers its status."""

    def so() -> bool:
        conditions = found(release, name).get("status", {}).get("conditions", ())
        return any((one["type"], one["reason"]) == ("Ready", reason) for one in conditions)

    shell.until(so, what=f"{name} {reason}", deadline=timeout, every=0.5)
    return dict(found(release, name)["status"])


_CDP = """
import asyncio, json, sys
import aiohttp
url, token, method = json.load(sys.stdin)
async def main():
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as client:
        socket = await client.ws_connect(url, max_msg_size=0)
        await socket.send_json({"id": 1, "method": method})
        while (answer := json.loads((await socket.receive(timeout=60)).data)).get("id") != 1:
            pass
        print(json.dumps(answer["result"]))
        await socket.close()
asyncio.run(main())
"""


def cdp(release: releases.Release, client: str, url: str, method: str = "Browser.getVersion") -> dict[str, Any]:
    """The result of one CDP command on a session, from a client's pod."""
    answer: dict[str, Any] = json.loads(release.python(client, _CDP, text=json.dumps([url, release.token, method])))
    return answer


# ---------------------------------------------------------------- objects
def test_an_object_becomes_a_browser_that_a_client_can_drive(release: releases.Release, client: str) -> None:
    apply(release, "one", ttl="1h")
    status = says(release, "one", "Claimed")
    assert (status["nodeName"], status["region"], status["spilled"]) == (NODE, "eu", False)
    assert cdp(release, client, status["webSocketDebuggerUrl"])["product"].startswith(("Chrome/", "HeadlessChrome/"))
    row = release.cluster.kubectl("get", "bs", "one", "--namespace", releases.NAMESPACE, "--output", "wide")
    assert status["podName"] in row
    described = release.cluster.kubectl("describe", "bs", "one", "--namespace", releases.NAMESPACE)
    shell.until(
        lambda: (
            "is held for this session"
            in release.cluster.kubectl("events", "--for", "browsersession/one", "--namespace", releases.NAMESPACE)
        ),
        what="an event that tells where",
        deadline=20,
        every=1,
    )
    assert "Web Socket Debugger URL" in described


def test_a_client_that_closes_the_browser_finishes_the_session(release: releases.Release, client: str) -> None:
    apply(release, "closed", ttlSecondsAfterFinished=5)
    status = says(release, "closed", "Claimed")
    cdp(release, client, status["webSocketDebuggerUrl"], "Browser.close")
    status = says(release, "closed", "NormalClosure")
    assert "webSocketDebuggerUrl" not in status
    assert {one["type"]: one["status"] for one in status["conditions"]} == {
        "Claimed": "False",
        "Ready": "False",
        "Finished": "True",
    }
    release.cluster.wait("browsersession/closed", "delete", namespace=releases.NAMESPACE, timeout=60)


def test_a_session_on_which_nothing_happens_ends(release: releases.Release) -> None:
    apply(release, "idle", keepAlive="10s")
    says(release, "idle", "Claimed")
    says(release, "idle", "BrowserIdle", timeout=60)


def test_what_finds_no_browser_waits_for_one_that_is_given_back(release: releases.Release) -> None:
    for name in ("a", "b", "c"):
        apply(release, name, keepAlive="10m")
        says(release, name, "NoBrowserReady" if name == "c" else "Claimed")
    had = found(release, "a")["status"]["podName"]
    release.cluster.delete("browsersession", "a", namespace=releases.NAMESPACE)
    assert says(release, "c", "Claimed", timeout=120)["podName"] == had


def test_a_status_is_not_put_on_another_object_of_the_same_name(release: releases.Release) -> None:
    apply(release, "again", keepAlive="10m")
    first = says(release, "again", "Claimed")["sessionId"]
    release.cluster.delete("browsersession", "again", namespace=releases.NAMESPACE)
    apply(release, "again", keepAlive="10m")
    second = says(release, "again", "Claimed", timeout=120)["sessionId"]
    assert first != second == f"bs-{found(release, 'again')['metadata']['uid']}"


# ---------------------------------------------------------------- nodes that are emptied
@contextlib.contextmanager
def draining(release: releases.Release, pool: str) -> Iterator["subprocess.Popen[str]"]:
    """``kubectl drain`` of the pool's node at work; afterwards pods may stand there again."""
    drain = [
        str(release.cluster.tools / "kubectl"), "drain", NODE, "--timeout=240s", "--delete-emptydir-data",
        "--ignore-daemonsets", f"--pod-selector=browserpool.dev/pool={pool}",
    ]  # fmt: skip
    try:
        with subprocess.Popen(
            drain, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=release.cluster.environment()
        ) as running:
            try:
                yield running
            finally:
                running.terminate()
    finally:
        release.cluster.kubectl("uncordon", NODE)


def test_emptying_a_node_waits_for_the_sessions_on_it_and_cuts_none(
    release: releases.Release, client: str, pool: str
) -> None:
    apply(release, "kept", keepAlive="10m")
    status = says(release, "kept", "Claimed")
    held = status["podName"]
    uids = {one["metadata"]["name"]: one["metadata"]["uid"] for one in release.pods(pool)}
    (free,) = set(uids) - {held}

    def stands(name: str) -> bool:
        return any(one["metadata"]["uid"] == uids[name] for one in release.pods(pool))

    with draining(release, pool) as drain:
        shell.until(lambda: not stands(free), what="the free browser gone", deadline=90, every=1)
        # It has asked for the held one by now, more than once if it took long, and been told to come again.
        assert drain.poll() is None, drain.communicate()[0]
        assert stands(held)
        assert "product" in cdp(release, client, status["webSocketDebuggerUrl"])
        release.cluster.delete("browsersession", "kept", namespace=releases.NAMESPACE)
        said, _ = drain.communicate(timeout=180)
        assert drain.returncode == 0, said
        assert "held by a session" in said
        assert not stands(held)


def test_a_dry_run_of_it_changes_nothing(release: releases.Release, pool: str) -> None:
    said = release.cluster.kubectl(
        "drain", NODE, "--dry-run=server", "--timeout=60s", "--delete-emptydir-data", "--ignore-daemonsets",
        f"--pod-selector=browserpool.dev/pool={pool}",
    )  # fmt: skip
    assert "drained (server dry run)" in said
    assert release.status(pool)["readyReplicas"] == 2
    apply(release, "after", keepAlive="10m")
    says(release, "after", "Claimed")
