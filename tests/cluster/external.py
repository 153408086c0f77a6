"""Clusters that others made: the one that KUBECONFIG names, and kind's."""

import dataclasses
import os
import pathlib
import shlex
import shutil
from collections.abc import Sequence

from cluster import access, binaries, shell

_NAME = "browserpool"
_LOAD = "BROWSERPOOL_E2E_LOAD"
_MANIFEST = "/etc/kubernetes/manifests/kube-apiserver.yaml"
_KIND = """kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
nodes:
- role: control-plane
- role: worker
  labels: {topology.kubernetes.io/region: eu, topology.kubernetes.io/zone: eu-a}
- role: worker
  labels: {topology.kubernetes.io/region: eu, topology.kubernetes.io/zone: eu-b}
- role: worker
  labels: {topology.kubernetes.io/region: us, topology.kubernetes.io/zone: us-a}
"""


class Beyond(shell.Failed):
    """This cluster's machines are not ours to touch."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A cluster of which only the API is to be had."""

    def load(self, archives: Sequence[pathlib.Path]) -> None:
        """By the command of BROWSERPOOL_E2E_LOAD, once for each archive."""
        command = shlex.split(os.environ.get(_LOAD, ""))
        if not command:
            raise Beyond(
                f"how do images get into this cluster? Say it: {_LOAD}='minikube image load' (the archive's path is added)"
            )
        for archive in archives:
            shell.run(*command, archive, timeout=600)

    def stop_kubelet(self, node: str) -> None:
        raise Beyond(f"the kubelet of {node} is not ours to stop; leave KUBECONFIG unset for this test")

    def start_kubelet(self, node: str) -> None:
        raise Beyond(f"the kubelet of {node} is not ours to start")

    def stop_apiserver(self) -> None:
        raise Beyond("this cluster's API server is not ours to stop; leave KUBECONFIG unset for this test")

    def start_apiserver(self) -> None:
        raise Beyond("this cluster's API server is not ours to start")

    def close(self) -> None:
        """Nothing of it is ours."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """kind's nodes are containers of Docker's."""

    def load(self, archives: Sequence[pathlib.Path]) -> None:
        for archive in archives:
            shell.run("kind", "load", "image-archive", archive, "--name", _NAME, timeout=600)

    def stop_kubelet(self, node: str) -> None:
        _inside(node, "systemctl", "stop", "kubelet")

    def start_kubelet(self, node: str) -> None:
        _inside(node, "systemctl", "start", "kubelet")

    def stop_apiserver(self) -> None:
        # A static pod: the kubelet ends it when its manifest is gone.
        _inside(f"{_NAME}-control-plane", "mv", _MANIFEST, "/root/")
        shell.until(lambda: not _ready(), what="end of the API server", deadline=60, every=0.5)

    def start_apiserver(self) -> None:
        _inside(f"{_NAME}-control-plane", "mv", f"/root/{pathlib.Path(_MANIFEST).name}", _MANIFEST)
        shell.until(_ready, what="ready API server", deadline=120, every=0.5)

    def close(self) -> None:
        shell.run("kind", "delete", "cluster", "--name", _NAME, timeout=120)


def given(kubeconfig: str) -> access.Cluster:
    """The caller's own cluster."""
    return access.Cluster(kubeconfig=pathlib.Path(kubeconfig).absolute(), tools=tools(), host=Given())


def kind_works() -> bool:
    """Whether kind is here, and a Docker that it can use."""
    if not (shutil.which("kind") and shutil.which("docker")):
        return False
    try:
        shell.run("docker", "info", timeout=20)
    except shell.Failed:
        return False
    return True


def kind() -> access.Cluster:
    """A new cluster of kind's, with as many nodes and regions as ours."""
    shell.say("kind makes a cluster")
    shell.run(
        "kind",
        "create",
        "cluster",
        "--name",
        _NAME,
        "--kubeconfig",
        _kubeconfig(),
        "--wait=180s",
        "--config=-",
        text=_KIND,
        timeout=900,
    )
    return access.Cluster(kubeconfig=_kubeconfig(), tools=tools(), host=Kind())


def _kubeconfig() -> pathlib.Path:
    return binaries.cache() / "kind.kubeconfig"


def _ready() -> bool:
    try:
        return shell.run("kubectl", "--kubeconfig", _kubeconfig(), "get", "--raw", "/readyz", timeout=5) == "ok"
    except shell.Failed:
        return False


def _inside(node: str, *command: str) -> None:
    shell.run("docker", "exec", node, *command, timeout=60)


def tools() -> pathlib.Path:
    """A directory with kubectl and helm: the machine's own if it has both, built ones otherwise."""
    folders = {pathlib.Path(found).parent for name in binaries.CLIENTS if (found := shutil.which(name))}
    both = [folder for folder in folders if all((folder / name).exists() for name in binaries.CLIENTS)]
    return both[0] if both else binaries.ensure(*binaries.CLIENTS)
