"""``Cluster``: what tests hold. Its commands are kubectl's and helm's; its faults are its host's."""

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import select
import subprocess
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from cluster import shell

Object = dict[str, Any]


class Host(Protocol):
    """What only whoever runs the cluster can do. All of it is idempotent, and done when it returns."""

    def load(self, archives: Sequence[pathlib.Path]) -> None:
        """Make these images (archives of docker save's form) known on every node."""

    def stop_kubelet(self, node: str) -> None:
        """The node's kubelet ends; its containers go on."""

    def start_kubelet(self, node: str) -> None: ...

    def stop_apiserver(self) -> None: ...

    def start_apiserver(self) -> None:
        """Returns when it is ready again."""

    def close(self) -> None:
        """Take away what was made for this run."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node that takes pods, and where its labels say that it stands."""

    name: str
    region: str
    zone: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A cluster with an administrator's kubeconfig. ``tools`` holds kubectl and helm."""

    kubeconfig: pathlib.Path
    tools: pathlib.Path
    host: Host

    def kubectl(self, *arguments: str, text: str | None = None, timeout: float = 60.0) -> str:
        """Run kubectl, with ``text`` as its input; answers its output.

        Raises:
            shell.Failed: it ended with another code than 0, or not in time.
        """
        return shell.run(self.tools / "kubectl", *arguments, text=text, timeout=timeout, env=self.environment())

    def helm(self, *arguments: str, timeout: float = 300.0) -> str:
        """Run helm; answers its output."""
        return shell.run(self.tools / "helm", *arguments, timeout=timeout, env=self.environment())

    def environment(self) -> dict[str, str]:
        """This process' environment, with the cluster's programs and kubeconfig in it: for commands that need both."""
        path = f"{self.tools}{os.pathsep}{os.environ.get('PATH', '')}"
        return os.environ | {"KUBECONFIG": str(self.kubeconfig), "PATH": path}

    def apply(self, *objects: Object, namespace: str = "") -> None:
        """Create or change objects; in ``namespace``, or in the ones that they name themselves."""
        listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        where = ["--namespace", namespace] if namespace else []
        self.kubectl("apply", *where, "--filename", "-", text=listed)

    def get(self, kind: str, name: str, *, namespace: str = "default") -> Object:
        """One object."""
        return json.loads(self.kubectl("get", kind, name, "--namespace", namespace, "--output", "json"))

    def listing(self, kind: str, *, namespace: str = "default", selector: str = "") -> list[Object]:
        """The objects of a kind; of all namespaces with ``namespace=""``."""
        where = ["--namespace", namespace] if namespace else ["--all-namespaces"]
        return json.loads(self.kubectl("get", kind, *where, "--selector", selector, "--output", "json"))["items"]

    def delete(self, kind: str, name: str, *, namespace: str = "default", timeout: float = 60.0) -> None:
        """Delete one object, and wait until it is gone. One that is gone already is no error."""
        self.kubectl("delete", kind, name, "--namespace", namespace, "--ignore-not-found", timeout=timeout)

    def exec(
        self, pod: str, *command: str, namespace: str = "default", container: str = "", timeout: float = 60.0
    ) -> str:
        """Run a command in a pod; answers what it wrote to stdout."""
        where = ["--container", container] if container else []
        return self.kubectl("exec", "--namespace", namespace, pod, *where, "--", *command, timeout=timeout)

    def logs(self, pod: str, *, namespace: str = "default", container: str = "") -> str:
        where = ["--container", container] if container else []
        return self.kubectl("logs", "--namespace", namespace, pod, *where)

    def wait(self, what: str, condition: str, *, namespace: str = "default", timeout: float = 120.0) -> None:
        """Wait until ``what`` (``pod/web``, ``deployment/router``) meets a condition, as ``kubectl wait --for`` names it."""
        self.kubectl(
            "wait",
            "--namespace",
            namespace,
            what,
            f"--for={condition}",
            f"--timeout={timeout:.0f}s",
            timeout=timeout + 10,
        )

    @contextlib.contextmanager
    def forward(self, target: str, port: int, *, namespace: str = "default") -> Iterator[str]:
        """``HOST:PORT`` here for a port of ``pod/NAME`` or ``service/NAME`` there, while the block lasts. The API server carries it."""
        command = [str(self.tools / "kubectl"), "port-forward", "--namespace", namespace, target, f":{port}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=self.environment()) as forwarder:
            try:
                yield _forwarded(forwarder, target=target)
            finally:
                forwarder.terminate()

    def nodes(self) -> tuple[Node, ...]:
        """Those that take pods, by name."""
        found = self.listing("nodes", namespace="")
        return tuple(_node(one) for one in found if not one["spec"].get("taints"))


def _forwarded(forwarder: subprocess.Popen[str], *, target: str) -> str:
    """The address that kubectl names in its first line; an empty line means that it has ended."""
    assert forwarder.stdout is not None
    spoke, _, _ = select.select([forwarder.stdout], [], [], 20)
    found = re.match(r"Forwarding from (\S+) ->", forwarder.stdout.readline() if spoke else "")
    if found is None:
        raise shell.Failed(f"kubectl port-forward {target}: no connection within 20 s, or none at all")
    return found[1]


def _node(found: Object) -> Node:
    labels = found["metadata"]["labels"]
    return Node(
        name=found["metadata"]["name"],
        region=labels.get("topology.kubernetes.io/region", ""),
        zone=labels.get("topology.kubernetes.io/zone", ""),
    )
