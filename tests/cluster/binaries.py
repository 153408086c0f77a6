"""Kubernetes and what goes with it, built from Go modules (``go/go.mod`` pins them) into a cache, and again only when that changes."""

import hashlib
import os
import pathlib
import re
import shutil

from browserpool.lib import clock
from cluster import shell

SOURCE = pathlib.Path(__file__).parent / "go"
ROOT = pathlib.Path(__file__).parents[2]

PACKAGES = {
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
    "kubelet": "k8s.io/kubernetes/cmd/kubelet",
    "kube-proxy": "k8s.io/kubernetes/cmd/kube-proxy",
    "kubectl": "k8s.io/kubernetes/cmd/kubectl",
    "etcd": "go.etcd.io/etcd/server/v3",
    "containerd": "github.com/containerd/containerd/v2/cmd/containerd",
    "containerd-shim-runc-v2": "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
    "ctr": "github.com/containerd/containerd/v2/cmd/ctr",
    "helm": "helm.sh/helm/v4/cmd/helm",
    "coredns": "./coredns",
    "pause": "./pause",
}
CLIENTS = ("kubectl", "helm")
"""What is enough where the cluster is another's."""


def cache() -> pathlib.Path:
    """Where built things are kept between runs: the user's cache, so that another clone need not build Kubernetes again."""
    home = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    return pathlib.Path(os.environ.get("BROWSERPOOL_CLUSTER_CACHE") or home / "browserpool" / "cluster").absolute()


def ensure(*names: str) -> pathlib.Path:
    """Build what is missing of these programs (all, when none is named); answers the directory that holds them.

    Raises:
        shell.Failed: there is no Go that is new enough, or a build failed.
    """
    folder = cache() / f"bin-{_digest()}"
    missing = [name for name in names or PACKAGES if not (folder / name).exists()]
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
        _need_go()
        shell.say(
            f"building {len(missing)} programs from source (Kubernetes {version()}), once; some 15 minutes on two cores"
        )
    for name in missing:
        _build(name, folder=folder)
    return folder


def version() -> str:
    """Kubernetes' own, as ``v1.37.2``."""
    return _required("k8s.io/kubernetes")


def _build(name: str, *, folder: pathlib.Path) -> None:
    begun = clock.monotonic()
    partial = folder / f"{name}.partial"
    command = ["go", "build", "-C", SOURCE, "-trimpath", "-ldflags", _ldflags(), "-o", partial, PACKAGES[name]]
    shell.run(*_nice(), *command, timeout=2400, env=_environment())
    partial.rename(folder / name)
    shell.say(f"  {name} in {clock.monotonic() - begun:.0f} s")


def _ldflags() -> str:
    versions = [
        f"-X {package}.gitVersion={version()}"
        for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    ]
    return " ".join(["-s -w", *versions])


def _environment() -> dict[str, str]:
    return os.environ | {"CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false", "GOCACHE": str(cache() / "go-build")}


def _nice() -> list[str]:
    return ["nice", "-n", "5"] if shutil.which("nice") else []


def _need_go() -> None:
    wanted = _found(r"^go (\S+)$", "go.mod names no Go")
    if not shutil.which("go"):
        raise shell.Failed(f"building a cluster needs Go {wanted} or newer, and there is none: see go.dev/dl")
    # Asked where go.mod lies: newer ones fetch the release that it wants, where they may.
    found = shell.run("go", "env", "GOVERSION", folder=SOURCE)
    if _minor(found) < _minor(wanted):
        raise shell.Failed(f"building a cluster needs Go {wanted} or newer; here is {found.strip()}")


def _minor(text: str) -> tuple[int, int]:
    numbers = re.findall(r"\d+", text)
    return int(numbers[0]), int(numbers[1])


def _required(module: str) -> str:
    return _found(rf"^(?:require)?\s*{re.escape(module)} (v\S+)", f"go.mod does not require {module}")


def _found(pattern: str, complaint: str) -> str:
    found = re.search(pattern, (SOURCE / "go.mod").read_text(), re.MULTILINE)
    if found is None:
        raise shell.Failed(complaint)
    return found[1]


def _digest() -> str:
    """Of everything that decides what is built."""
    digest = hashlib.sha256(repr((PACKAGES, _ldflags())).encode())
    for path in sorted([*SOURCE.glob("go.*"), *SOURCE.glob("*/*.go")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
