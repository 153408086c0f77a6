"""The injected sidecar in pods of clients: a browser on the pod's own node, at the address of a local Chrome."""

import json
import pathlib
import subprocess
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest

from cluster import access, shell
from support import nodejs
from support import release as releases

CHROME = "http://localhost:9222"
EU = {"name": "eu", "replicas": 2, "maxReplicas": 2, "backup": "us"}
US = {"name": "us", "replicas": 1, "maxReplicas": 1, "backup": "eu"}
NODE = "eu-a1"


@pytest.fixture(scope="module")
def pool(release: releases.Release) -> Iterator[str]:
    """Three browsers in two regions, no waiting."""
    with release.pool("near", regions=[EU, US], onEmpty={"mode": "Fail"}) as name:
        yield name


@pytest.fixture(scope="module")
def pod(release: releases.Release, pool: str) -> Iterator[str]:
    """A client's pod with a sidecar, on the node eu-a1."""
    with release.client("sidecar", node=NODE, inject=True, pool=pool) as name:
        yield name


@pytest.fixture(autouse=True)
def whole(release: releases.Release, pool: str, client: str) -> Iterator[None]:
    """Each test finds three browsers ready, and leaves no session."""
    yield
    for one in release.ask(client, "/devtools/session").json:
        if one["pool"] == pool:
            release.ask(client, f"/devtools/browser/{one['sessionId']}", method="DELETE")
    shell.until(lambda: release.status(pool)["readyReplicas"] == 3, what=f"{pool} whole", deadline=120, every=1)


def ask(release: releases.Release, pod: str, path: str, body: Any = None, **more: Any) -> releases.Answer:
    """A request to the pod's own localhost, without a token."""
    return release.ask(pod, path, body, base=CHROME, token="", **more)


def standing(release: releases.Release, pool: str) -> list[str]:
    """The nodes of the pool's browsers."""
    return [found["spec"]["nodeName"] for found in release.pods(pool)]


_CDP = """
import asyncio, json, sys
import aiohttp
path, messages = json.loads(sys.argv[1]) if len(sys.argv) > 1 else json.load(sys.stdin)
async def main():
    async with aiohttp.ClientSession() as client:
        socket = await client.ws_connect("ws://localhost:9222" + path, max_msg_size=0)
        print(json.dumps({k.removeprefix("X-Browserpool-"): v for k, v in socket._response.headers.items()}))
        for number, message in enumerate(messages):
            await socket.send_json({"id": number, **message})
            while (answer := json.loads((await socket.receive(timeout=60)).data)).get("id") != number:
                pass
            print(json.dumps(answer["result"]))
        await socket.close()
asyncio.run(main())
"""


def cdp(
    release: releases.Release, pod: str, path: str, *messages: dict[str, Any]
) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """The headers of a CDP connection by the sidecar, and the results of ``messages``."""
    first, *rest = release.python(pod, _CDP, text=json.dumps([path, messages])).splitlines()
    return json.loads(first), [json.loads(line) for line in rest]


VERSION = {"method": "Browser.getVersion"}
CLOSE = {"method": "Browser.close"}


def test_a_quick_action_has_a_browser_on_the_pods_own_node(release: releases.Release, pod: str, pool: str) -> None:
    assert NODE in standing(release, pool)
    for _ in range(3):
        answer = ask(release, pod, "/v1/content?cacheTTL=0", {"html": "<p>near</p>"})
        assert answer.status == 200
        assert "near" in answer.json["result"]
        said = {name: answer.headers[f"X-Browserpool-{name}"] for name in ("Node", "Locality", "Pool")}
        assert said == {"Node": NODE, "Locality": "node", "Pool": pool}


def test_on_every_node_that_has_a_browser(release: releases.Release, pool: str) -> None:
    for node in sorted(set(standing(release, pool)) - {NODE}):
        with release.client(f"sidecar-{node}", node=node, inject=True, pool=pool) as pod:
            answer = ask(release, pod, "/v1/screenshot?cacheTTL=0", {"html": "<p>near</p>"})
            assert (answer.status, answer.headers["X-Browserpool-Node"]) == (200, node)
            assert answer.body.startswith(b"\x89PNG")


def test_with_the_nodes_browsers_taken_the_next_is_of_the_region_and_then_of_the_backup(
    release: releases.Release, pod: str, pool: str
) -> None:
    made = [ask(release, pod, "/devtools/browser?keep_alive=120000", {}) for _ in range(3)]
    said = [(one.headers["X-Browserpool-Region"], one.headers["X-Browserpool-Locality"]) for one in made]
    here = standing(release, pool).count(NODE)
    assert said == [("eu", "node")] * here + [("eu", "region")] * (2 - here) + [("us", "backup")]
    assert all(one.json["webSocketDebuggerUrl"].startswith("ws://localhost:9222/") for one in made)
    none = ask(release, pod, "/v1/content?cacheTTL=0", {"html": "x"})
    assert (none.status, "Retry-After" in none.headers) == (503, True)


def test_cdp_goes_straight_to_the_pod_and_its_end_frees_the_browser(
    release: releases.Release, pod: str, pool: str
) -> None:
    said, [version, _] = cdp(release, pod, "/devtools/browser", VERSION, CLOSE)
    assert (said["Way"], said["Node"], said["Locality"]) == ("direct", NODE, "node")
    assert "Chrome/" in version["product"]
    shell.until(lambda: release.status(pool)["readyReplicas"] == 3, what="the browser back", deadline=60, every=0.5)


def test_a_pod_that_a_policy_keeps_it_from_is_reached_by_the_router(
    release: releases.Release, pod: str, pool: str
) -> None:
    label = ("label", "pod", pod, "--namespace", releases.CLIENTS, "--overwrite")
    # The chart's policy lets those in to browsers that bear the label.
    release.cluster.kubectl(*label, "browserpool.dev/inject=no-more")
    try:

        def proxied() -> bool:
            said, [version, _] = cdp(release, pod, "/devtools/browser", VERSION, CLOSE)
            assert "Chrome/" in version["product"]
            return said["Way"] == "proxied"

        shell.until(proxied, what="the policy in force", deadline=60, every=1)
    finally:
        release.cluster.kubectl(*label, "browserpool.dev/inject=true")
    shell.until(
        lambda: cdp(release, pod, "/devtools/browser", CLOSE)[0]["Way"] == "direct",
        what="the policy gone", deadline=60, every=1,
    )  # fmt: skip


_THROUGH_A_RESTART = """
import asyncio, json, sys
import aiohttp
async def main():
    async with aiohttp.ClientSession() as client:
        socket = await client.ws_connect("ws://localhost:9222/devtools/browser?keep_alive=10000")
        session = socket._response.headers["X-Browserpool-Session"]
        print(session, socket._response.headers["X-Browserpool-Way"], flush=True)
        number, renewed, first = 0, 0, None
        while renewed < 25_000:
            number += 1
            await socket.send_json({"id": number, "method": "Browser.getVersion"})
            assert (await socket.receive_json(timeout=20))["id"] == number
            try:
                async with client.get("http://localhost:9222/devtools/session/" + session) as answer:
                    expires = (await answer.json())["expiresAt"] if answer.status == 200 else first
            except aiohttp.ClientError:
                expires = first
            first = first or expires
            renewed = (expires or 0) - (first or 0)
            await asyncio.sleep(0.2)
        await socket.send_json({"id": 0, "method": "Browser.close"})
        print("renewed", number)
        await socket.close()
asyncio.run(main())
"""


@pytest.mark.faults
def test_a_direct_session_goes_on_while_its_router_is_replaced(release: releases.Release, pod: str, pool: str) -> None:
    """For longer than its keep-alive: what renews it is another router, or the new one."""
    command = [
        str(release.cluster.tools / "kubectl"),
        "exec",
        "--namespace",
        releases.CLIENTS,
        "--container",
        "client",
        pod,
    ]
    command += ["--", "timeout", "120", "python", "-c", _THROUGH_A_RESTART]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=release.cluster.environment()) as script:
        assert script.stdout is not None
        assert script.stdout.readline().split()[1] == "direct"
        [router] = [one for one in release.browserpool_pods("router") if one["spec"]["nodeName"] == NODE]
        release.cluster.kubectl(
            "delete", "pod", router["metadata"]["name"], "--namespace", releases.NAMESPACE, "--grace-period=1"
        )  # fmt: skip
        assert script.stdout.readline().startswith("renewed")
    release.cluster.kubectl("rollout", "status", "daemonset/browserpool-router", "--namespace", releases.NAMESPACE)


_PUPPETEER = """
import puppeteer from 'puppeteer-core';
const browser = await puppeteer.connect({browserURL: 'http://localhost:9222'});
const page = await browser.newPage();
await page.setViewport({width: 320, height: 240});
await page.setContent('<title>near</title><body style="background: lime">');
const shot = await page.screenshot();
const sessions = await (await fetch('http://localhost:9222/v1/status')).json();
console.log(JSON.stringify({
    title: await page.title(), version: await browser.version(),
    width: new DataView(shot.buffer, shot.byteOffset).getUint32(16),
    nodes: sessions.sessions.map((one) => one.node),
}));
await browser.close();
"""

_PLAYWRIGHT = """
import playwright from './package/index.js';
const browser = await playwright.chromium.connectOverCDP('http://localhost:9222');
const page = await browser.newPage();
await page.setContent('<button onclick="this.textContent = 1">press</button>');
await page.getByRole('button').click();
console.log(await page.getByRole('button').textContent());
await browser.close();
"""


def test_puppeteer_and_playwright_find_a_local_chrome(
    release: releases.Release, pod: str, pool: str, pytestconfig: pytest.Config
) -> None:
    nodejs.copy(release, pod, cache=pathlib.Path(pytestconfig.rootpath) / ".browserpool" / "js")
    said = json.loads(nodejs.run(release, pod, textwrap.dedent(_PUPPETEER)))
    assert (said["title"], said["width"], said["nodes"]) == ("near", 320, [NODE])
    assert "Chrome/" in said["version"]
    assert nodejs.run(release, pod, textwrap.dedent(_PLAYWRIGHT)).strip() == "1"


def test_a_pod_without_a_token_runs_and_is_told_what_to_do(release: releases.Release, namespace: str) -> None:
    release.cluster.kubectl("label", "namespace", namespace, "browserpool.dev/injection=enabled")
    made = releases._client("bare", node=NODE, inject=True, annotations={})
    made["metadata"]["namespace"] = namespace
    release.cluster.apply(made)
    release.cluster.wait("pod/bare", "condition=Ready", namespace=namespace)
    said = release.cluster.exec("bare", "python", "-c", textwrap.dedent(_MESSAGE), namespace=namespace)
    assert said.startswith("401 ")
    assert "make a Secret browserpool-token with the key token in this pod's namespace" in said
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "browserpool-token", "namespace": namespace}}
    release.cluster.apply({**secret, "stringData": {"token": release.token}})
    # kubelet looks about once a minute.
    shell.until(
        lambda: release.cluster.exec("bare", "python", "-c", textwrap.dedent(_MESSAGE), namespace=namespace).startswith("200 "),
        what="the Secret mounted", deadline=180, every=2,
    )  # fmt: skip


_MESSAGE = """
import urllib.request, urllib.error
try:
    answer = urllib.request.urlopen("http://localhost:9222/v1/status", timeout=30)
except urllib.error.HTTPError as error:
    answer = error
print(answer.status, answer.read().decode())
"""


def test_a_pod_whose_work_is_done_ends(release: releases.Release, pool: str) -> None:
    """The sidecar does not keep it: native ones are told to stop when the others have ended, and this one does so at once."""
    made: access.Object = releases._client("job", node=NODE, inject=True, annotations={"pool": pool})
    made["spec"]["restartPolicy"] = "Never"
    made["spec"]["containers"][0]["command"] = ["python", "-c", textwrap.dedent(_MESSAGE)]
    release.cluster.apply(made)
    try:
        release.cluster.wait("pod/job", "jsonpath={.status.phase}=Succeeded", namespace=releases.CLIENTS, timeout=60)
        found = release.cluster.get("pod", "job", namespace=releases.CLIENTS)
        [sidecar] = found["status"]["initContainerStatuses"]
        assert sidecar["state"]["terminated"]["exitCode"] == 0
        assert release.cluster.logs("job", namespace=releases.CLIENTS, container="client").startswith("200 ")
    finally:
        release.cluster.delete("pod", "job", namespace=releases.CLIENTS)
