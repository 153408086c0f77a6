"""Keeps each node's nftables as the cluster's NetworkPolicies say: ``python -m cluster.enforcer KUBECONFIG NODE=NAMESPACE...``.

It watches pods, namespaces and policies, and gives a node its whole table anew when the table has changed. While the API server is away
the rules stay as they are.
"""

import contextlib
import http.client
import json
import pathlib
import ssl
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

from cluster import policies, shell

_PATHS = {
    "pods": "/api/v1/pods",
    "namespaces": "/api/v1/namespaces",
    "policies": "/apis/networking.k8s.io/v1/networkpolicies",
}
_LOST = (OSError, http.client.HTTPException, urllib.error.URLError, json.JSONDecodeError, KeyError)
_PAUSE = 0.5
_GATHER = 0.03
"""Seconds that changes are gathered for before tables are written."""


class Api:
    """The API server, as far as lists and watches go."""

    def __init__(self, kubeconfig: pathlib.Path) -> None:
        config = json.loads(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self._server = cluster["server"]
        self._tls = ssl.create_default_context(cafile=cluster["certificate-authority"])
        self._tls.load_cert_chain(user["client-certificate"], user["client-key"])

    def get(self, path: str) -> dict[str, Any]:
        with self._open(path, timeout=30) as answer:
            return json.load(answer)

    def watch(self, path: str, *, version: str) -> Iterator[dict[str, Any]]:
        query = f"{path}?watch=1&timeoutSeconds=300&resourceVersion={version}"
        with self._open(query, timeout=330) as answer:
            for line in answer:
                yield json.loads(line)

    def _open(self, path: str, *, timeout: float) -> http.client.HTTPResponse:
        return urllib.request.urlopen(self._server + path, timeout=timeout, context=self._tls)


class Mirror:
    """What the API server holds of one kind, kept up to date by a thread."""

    def __init__(self, api: Api, path: str, changed: threading.Event) -> None:
        self._api, self._path, self._changed = api, path, changed
        self._objects: dict[str, policies.Object] = {}
        self.complete = threading.Event()
        threading.Thread(target=self._follow, daemon=True).start()

    def objects(self) -> list[policies.Object]:
        return list(self._objects.copy().values())

    def _follow(self) -> None:
        while True:
            with contextlib.suppress(*_LOST):
                listed = self._api.get(self._path)
                self._objects = {one["metadata"]["uid"]: one for one in listed["items"]}
                self.complete.set()
                self._changed.set()
                for event in self._api.watch(self._path, version=listed["metadata"]["resourceVersion"]):
                    self._take(event)
            time.sleep(_PAUSE)

    def _take(self, event: dict[str, Any]) -> None:
        """One change. An ERROR event has no uid, which ends the watch: a new list follows."""
        uid = event["object"]["metadata"]["uid"]
        if event["type"] == "DELETED":
            self._objects.pop(uid, None)
        else:
            self._objects[uid] = event["object"]
        self._changed.set()


def main(kubeconfig: str, *nodes: str) -> None:
    changed = threading.Event()
    api = Api(pathlib.Path(kubeconfig))
    mirrors = {name: Mirror(api, path, changed) for name, path in _PATHS.items()}
    for mirror in mirrors.values():
        mirror.complete.wait()
    namespaces = dict(node.split("=") for node in nodes)
    written: dict[str, str] = {}
    while changed.wait():
        time.sleep(_GATHER)
        changed.clear()
        world = policies.World(**{name: mirror.objects() for name, mirror in mirrors.items()})
        for node, namespace in namespaces.items():
            text = policies.ruleset(world, node=node)
            if written.get(node) != text and _write(text, namespace=namespace):
                written[node] = text


def _write(text: str, *, namespace: str) -> bool:
    try:
        shell.run("nsenter", f"--net=/run/netns/{namespace}", "nft", "-f", "-", text=text, timeout=30)
    except shell.Failed as caught:
        print(f"{caught}\n{text}", file=sys.stderr, flush=True)
        return False
    return True


if __name__ == "__main__":
    main(*sys.argv[1:])
