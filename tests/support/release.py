"""browserpool on the tests' cluster, as a user installs it: images built here, the chart by Helm, requests from a pod of the user's own.

``installed(cluster)`` is the whole of it; ``Release`` is what tests hold. Everything waits with a deadline.
"""

import base64
import contextlib
import dataclasses
import io
import json
import os
import pathlib
import tarfile
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from cluster import access, shell

ROOT = pathlib.Path(__file__).parents[2]
NAMESPACE = "browserpool"
CLIENTS = "apps"
"""A namespace of clients: pods that ask for it get the sidecar."""
REGISTRY, TAG = "browserpool.local", "e2e"
IMAGES = ("controller", "router", "browser", "postgres")
SERVICE = f"http://browserpool-router.{NAMESPACE}.svc.cluster.local:8080"

_ASK = """
import json, sys, urllib.request, urllib.error, base64
asked = json.load(sys.stdin)
body = asked["body"]
request = urllib.request.Request(asked["url"], method=asked["method"], headers=asked["headers"],
                                 data=None if body is None else json.dumps(body).encode())
try:
    answer = urllib.request.urlopen(request, timeout=asked["timeout"])
except urllib.error.HTTPError as error:
    answer = error
print(json.dumps({"status": answer.status, "headers": dict(answer.headers), "body": base64.b64encode(answer.read()).decode()}))
"""

_CONNECT = """
import json, socket, sys
for host, port in json.load(sys.stdin):
    try:
        socket.create_connection((host, port), timeout=3).close()
        print("open")
    except OSError as error:
        print("shut")
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back; header names are as the server wrote them."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """An installation that stands, and the token that its chart made."""

    cluster: access.Cluster
    token: str

    # ------------------------------------------------ pools

    @contextlib.contextmanager
    def pool(self, name: str, *, ready: bool = True, **spec: Any) -> Iterator[str]:
        """A pool while the block lasts; afterwards it and its pods are gone."""
        self.put(name, **spec)
        try:
            if ready:
                self.wait_ready(name)
            yield name
        finally:
            self.cluster.delete("browserpool", name, namespace=NAMESPACE)
            shell.until(lambda: not self.pods(name), what=f"{name}'s pods gone", deadline=180, every=1)

    def put(self, name: str, **spec: Any) -> None:
        """Create or change it."""
        self.cluster.apply(
            {
                "apiVersion": "browserpool.dev/v1alpha1",
                "kind": "BrowserPool",
                "metadata": {"name": name, "namespace": NAMESPACE},
                "spec": spec,
            }
        )

    def wait_ready(self, name: str, *, timeout: float = 240) -> None:
        """Wait until the pool's condition Ready holds for its present generation."""

        def ready() -> bool:
            found = self.cluster.get("browserpool", name, namespace=NAMESPACE)
            status = found.get("status", {})
            held = {one["type"]: one["status"] for one in status.get("conditions", ())}
            if status.get("observedGeneration") != found["metadata"]["generation"] or held.get("Ready") != "True":
                raise shell.Failed(json.dumps(status))  # said if it stays so
            return True

        shell.until(ready, what=f"pool {name} ready", deadline=timeout, every=1)

    def status(self, name: str) -> dict[str, Any]:
        """``status`` of the pool."""
        return dict(self.cluster.get("browserpool", name, namespace=NAMESPACE).get("status", {}))

    def pods(self, pool: str) -> list[access.Object]:
        """The pool's pods, those that are being deleted included."""
        return self.cluster.listing("pods", namespace=NAMESPACE, selector=f"browserpool.dev/pool={pool}")

    def again(self, name: str) -> str:
        """The image ``name`` of this tree by another tag too, known on every node: another version that differs in nothing."""
        made, folder = image(name, tag=f"{TAG}-again"), _archives()
        again = folder / f"browserpool-{name}-again.tar"
        _retag(folder / f"browserpool-{name}.tar", again, tag=made)
        self.cluster.host.load([again])
        again.unlink()
        return made

    # ------------------------------------------------ clients

    @contextlib.contextmanager
    def client(self, name: str, *, node: str = "", inject: bool = False, **annotations: str) -> Iterator[str]:
        """A pod of a user's, with Python in it; it gets the sidecar with ``inject``."""
        self.cluster.apply(_client(name, node=node, inject=inject, annotations=annotations))
        try:
            self.cluster.wait(f"pod/{name}", "condition=Ready", namespace=CLIENTS, timeout=120)
            yield name
        finally:
            self.cluster.kubectl("delete", "pod", name, "--namespace", CLIENTS, "--grace-period=1", timeout=90)

    def ask(
        self,
        client: str,
        path: str,
        body: Any = None,
        *,
        method: str = "",
        base: str = SERVICE,
        headers: dict[str, str] | None = None,
        token: str | None = None,
        timeout: float = 60,
    ) -> Answer:
        """One HTTP request from a client's pod; with the release's token, unless another (or ``""``: none) is given."""
        secret = self.token if token is None else token
        asked = {
            "url": base + path,
            "method": method or ("GET" if body is None else "POST"),
            "headers": {"Content-Type": "application/json"}
            | ({"Authorization": f"Bearer {secret}"} if secret else {})
            | (headers or {}),
            "body": body,
            "timeout": timeout,
        }
        said = self.python(client, _ASK, text=json.dumps(asked), timeout=timeout + 30)
        answer = json.loads(said)
        return Answer(status=answer["status"], headers=answer["headers"], body=base64.b64decode(answer["body"]))

    def python(self, client: str, script: str, *, text: str = "", timeout: float = 90) -> str:
        """Run a Python script in a client's pod with ``text`` as its input; answers what it printed."""
        return self.cluster.kubectl(
            "exec", "--stdin", "--namespace", CLIENTS, "--container", "client", client, "--", "python", "-c",
            textwrap.dedent(script), text=text, timeout=timeout,
        )  # fmt: skip

    def client_reaches(self, client: str, asked: Sequence[Sequence[str | int]]) -> list[str]:
        """Whether a client's pod reaches these hosts and ports: ``open`` or ``shut``, in their order."""
        return self.python(client, _CONNECT, text=json.dumps(asked)).split()

    def browser_reaches(self, pod: str, asked: Sequence[Sequence[str | int]]) -> list[str]:
        """The same of a browser's pod."""
        return self.cluster.kubectl(
            "exec", "--stdin", "--namespace", NAMESPACE, pod, "--", "python", "-c", _CONNECT,
            text=json.dumps(asked), timeout=60,
        ).split()  # fmt: skip

    def act(self, client: str, pool: str, *, html: str = "<h1>x</h1>", query: str = "", **more: Any) -> Answer:
        """The quick action ``content`` on ``pool``; done, never from the cache."""
        return self.ask(client, f"/v1/content?pool={pool}&cacheTTL=0{query}", {"html": html}, **more)

    def browserpool_pods(self, component: str) -> list[access.Object]:
        """Pods of ``controller``, ``router``, ``database``."""
        return self.cluster.listing(
            "pods",
            namespace=NAMESPACE,
            selector=f"app.kubernetes.io/name=browserpool,app.kubernetes.io/component={component}",
        )


def _client(name: str, *, node: str, inject: bool, annotations: dict[str, str]) -> access.Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": CLIENTS,
            "labels": {"app": "client"} | ({"browserpool.dev/inject": "true"} if inject else {}),
            "annotations": {f"browserpool.dev/{key}": value for key, value in annotations.items()},
        },
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": node} if node else {},
            # Nobody makes it anew: it waits for a node that falls silent.
            "tolerations": [
                {"key": f"node.kubernetes.io/{taint}", "operator": "Exists", "effect": "NoExecute"}
                for taint in ("not-ready", "unreachable")
            ],
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 1,
            "containers": [
                {
                    "name": "client",
                    "image": image("router"),
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["sleep", "infinity"],
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                        "runAsNonRoot": True,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                }
            ],
        },
    }


def image(name: str, *, tag: str = TAG) -> str:
    """What an image of this tree is called."""
    return f"{REGISTRY}/browserpool-{name}:{tag}"


_STEADY = "us-a1"
VALUES: dict[str, Any] = {
    "image": {"registry": REGISTRY, "tag": TAG},
    "database": {
        "bundled": {
            "enabled": True,
            "image": image("postgres"),
            "persistence": {"enabled": False},
        }
    },
    "sidecar": {"namespaces": [CLIENTS]},
}


def build(cluster: access.Cluster) -> None:
    """The images of this tree, made and known on every node. What has not changed is not made again."""
    folder = _archives()
    folder.mkdir(parents=True, exist_ok=True)
    shell.say("building images")
    settings = os.environ | {"SAVE": str(folder), "IMAGE_REGISTRY": REGISTRY, "IMAGE_TAG": TAG}
    shell.run(ROOT / "images" / "build.sh", *IMAGES, timeout=1800, env=settings)
    shell.say("loading images into the nodes")
    cluster.host.load([folder / f"browserpool-{name}.tar" for name in IMAGES])


def _archives() -> pathlib.Path:
    return ROOT / ".browserpool" / "images"


def _retag(source: pathlib.Path, target: pathlib.Path, *, tag: str) -> None:
    """Write an archive of docker save's form again, its image called ``tag``. Indexes of other forms name it too, and are left out."""
    with tarfile.open(source) as found, tarfile.open(target, mode="w") as made:
        for member in found:
            content = found.extractfile(member) if member.isfile() else None
            if member.name == "manifest.json" and content is not None:
                (one,) = json.load(content)
                text = json.dumps([one | {"RepoTags": [tag]}]).encode()
                member.size, content = len(text), io.BytesIO(text)
            if member.name not in ("index.json", "oci-layout", "repositories"):
                made.addfile(member, content)


@contextlib.contextmanager
def installed(cluster: access.Cluster, *, values: dict[str, Any] | None = None) -> Iterator[Release]:
    """The chart's release ``browserpool``, its namespaces held to the restricted level of pod security; gone afterwards."""
    build(cluster)
    # What an interrupted run left may still be going away; into that nothing can be made.
    shell.until(lambda: not _ending(cluster), what="earlier namespaces gone", deadline=180, every=1)
    cluster.apply(_namespace(NAMESPACE), _namespace(CLIENTS, injection="enabled"))
    given = ROOT / ".browserpool" / "e2e-values.json"
    given.write_text(json.dumps(_placed(cluster) | (values or {})))
    try:
        shell.say("installing the chart")
        cluster.helm(
            "upgrade", "--install", "browserpool", str(ROOT / "charts" / "browserpool"), "--namespace", NAMESPACE,
            "--values", str(given), "--wait", "--timeout", "10m",
            # The definitions are kept when a release goes, and may be another's, or kubectl's.
            "--take-ownership", "--force-conflicts", timeout=660,
        )  # fmt: skip
        secret = cluster.get("secret", "browserpool-token", namespace=CLIENTS)["data"]["token"]
        yield Release(cluster=cluster, token=base64.b64decode(secret).decode())
    finally:
        cluster.helm("uninstall", "browserpool", "--namespace", NAMESPACE, "--ignore-not-found", "--wait")
        for name in (NAMESPACE, CLIENTS):
            cluster.delete("namespace", name, timeout=180)


def _placed(cluster: access.Cluster) -> dict[str, Any]:
    """``VALUES``, with the database on a node of our own cluster that no test silences: it has its data nowhere else."""
    if not any(one["metadata"]["name"] == _STEADY for one in cluster.listing("nodes", namespace="")):
        return VALUES
    bundled = VALUES["database"]["bundled"] | {"nodeSelector": {"kubernetes.io/hostname": _STEADY}}
    return VALUES | {"database": {"bundled": bundled}}


def _ending(cluster: access.Cluster) -> list[str]:
    found = cluster.listing("namespaces", namespace="")
    return [
        one["metadata"]["name"]
        for one in found
        if one["metadata"]["name"] in (NAMESPACE, CLIENTS) and one["status"]["phase"] == "Terminating"
    ]


def _namespace(name: str, *, injection: str = "") -> access.Object:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    labels |= {"browserpool.dev/injection": injection} if injection else {}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
