"""A cluster of our own on this machine, without Docker and without a registry."""

import concurrent.futures
import contextlib
import dataclasses
import fcntl
import json
import os
import pathlib
import platform
import secrets
import shutil
import sys
from collections.abc import Iterator, Sequence

from browserpool.lib import clock
from cluster import access, binaries, cgroups, control, images, machines, manifests, network, node, record, shell

_PROGRAMS = {
    "ip": "iproute2",
    "nft": "nftables",
    "runc": "runc",
    "nsenter": "util-linux",
    "openssl": "openssl",
    "mount": "mount",
    "/usr/lib/cni/ptp": "containernetworking-plugins",
    "debootstrap": "debootstrap",
    "iptables": "iptables",
}
"""Programs that it needs, with the Debian packages that hold them."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """Its machines; an ``access.Host``."""

    control: machines.Machine
    nodes: dict[str, machines.Machine]
    tools: pathlib.Path
    kubeconfig: pathlib.Path

    def load(self, archives: Sequence[pathlib.Path]) -> None:
        with concurrent.futures.ThreadPoolExecutor(len(self.nodes)) as pool:
            jobs = [
                pool.submit(node.load, machine, archive, tools=self.tools)
                for archive in archives
                for machine in self.nodes.values()
            ]
            for job in jobs:
                job.result()

    def stop_kubelet(self, node: str) -> None:
        self.nodes[node].stop("kubelet")

    def start_kubelet(self, node: str) -> None:
        self.nodes[node].start("kubelet")

    def stop_apiserver(self) -> None:
        self.control.stop("kube-apiserver")

    def start_apiserver(self) -> None:
        self.control.start("kube-apiserver")
        self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until the API server says that it is."""
        kubectl = [self.tools / "kubectl", "--kubeconfig", self.kubeconfig, "get", "--raw", "/readyz"]
        what = f"ready API server (see {self.control.logs})"
        shell.until(lambda: shell.run(*kubectl, timeout=5) == "ok", what=what, deadline=90, every=0.2)

    def whole(self) -> bool:
        return all(machine.whole() for machine in (self.control, *self.nodes.values()))

    def close(self) -> None:
        take_away()


def home() -> pathlib.Path:
    """Where a running cluster keeps its things. There can be one in each such place."""
    return pathlib.Path(
        os.environ.get("BROWSERPOOL_CLUSTER_HOME") or binaries.ROOT / ".browserpool" / "cluster"
    ).absolute()


def check() -> None:
    """Raise ``shell.Failed``, which says why, where none can be brought up."""
    check_rights()
    if packages := missing():
        raise shell.Failed(f"a cluster of our own needs packages: apt-get install {' '.join(packages)}")


def check_rights() -> None:
    """As ``check``, but for packages that are missing."""
    if platform.system() != "Linux" or os.geteuid() != 0:
        raise shell.Failed("a cluster of our own needs root on Linux: it makes network namespaces and runs containers")
    try:
        # What a root within a locked container may not do, tried at once instead of a quarter of an hour later.
        shell.run("unshare", "--mount", "--net", "--pid", "--fork", "sh", "-c", "mount -t tmpfs none /mnt", timeout=10)
        cgroups.try_one()
    except (shell.Failed, OSError) as error:
        raise shell.Failed(f"a cluster of our own needs namespaces, mounts and control groups: {error}") from error
    for path in (home(), binaries.cache()):
        if path.is_relative_to("/var/lib") or path.is_relative_to("/run"):
            raise shell.Failed(
                f"{path} lies where nodes have directories of their own; BROWSERPOOL_CLUSTER_HOME and _CACHE move it"
            )


def missing() -> list[str]:
    """Debian packages that it needs and that are not installed."""
    return sorted({package for program, package in _PROGRAMS.items() if not shutil.which(program)})


def take_away() -> None:
    """Remove what an earlier run left, whether it runs or has crashed."""
    _kept().undo()


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Nobody else brings a cluster up in this ``home`` while the block lasts. Waits for whoever does."""
    home().mkdir(parents=True, exist_ok=True)
    with (home() / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def bring_up() -> access.Cluster:
    """All of it, ready. What stood before is taken away first, so look first (``running``), and be ``alone`` for both.

    Raises:
        shell.Failed: a part did not come up; whatever had is taken away again, save for the logs.
    """
    check()
    tools = binaries.ensure()
    begun = clock.monotonic()
    take_away()
    try:
        made = _make(tools)
        cluster = _access(made)
        _start(made, cluster)
    except BaseException:
        take_away()
        raise
    shell.say(f"ready in {clock.monotonic() - begun:.0f} s: KUBECONFIG={cluster.kubeconfig}")
    return cluster


def running() -> access.Cluster | None:
    """The one that an earlier ``bring_up`` left, if it is whole."""
    path = home() / "current.json"
    if not path.exists():
        return None
    kept = json.loads(path.read_text())
    folder = pathlib.Path(kept["folder"])
    if not folder.exists():
        return None
    made = Ours(
        control=machines.load(folder / "control.json"),
        nodes={site.name: machines.load(folder / f"{site.name}.json") for site in node.SITES},
        tools=pathlib.Path(kept["tools"]),
        kubeconfig=pathlib.Path(kept["kubeconfig"]),
    )
    return _access(made) if made.whole() else None


def _kept() -> record.Record:
    return record.Record(path=home() / "record.jsonl")


def _access(made: Ours) -> access.Cluster:
    return access.Cluster(kubeconfig=made.kubeconfig, tools=made.tools, host=made)


def _make(tools: pathlib.Path) -> Ours:
    run, kept = secrets.token_hex(3), _kept()
    folder, logs = home() / run, home() / "logs"
    kept.folder(folder)
    folder.mkdir(parents=True)
    shutil.rmtree(logs, ignore_errors=True)
    plan = network.plan(run=run, nodes=[site.name for site in node.SITES])
    network.make(plan, kept=kept)
    group = cgroups.make(f"browserpool-{run}", kept=kept)
    machine = machines.make(
        name="control", namespace=plan.control.namespace, setup="", folder=folder, logs=logs / "control", kept=kept
    )
    authority = control.prepare(plan, machine=machine, folder=folder, tools=tools)
    kubeconfig = authority.kubeconfig("admin", user="admin", group="system:masters")
    machine.commands["enforcer"] = _enforcer(plan, kubeconfig=kubeconfig)
    setting = node.Setting(authority=authority, tools=tools, kept=kept)
    nodes = {
        site.name: node.make(
            site,
            place=plan.nodes[site.name],
            setting=setting,
            folder=folder,
            logs=logs / site.name,
            cgroup=cgroups.child(group, site.name),
        )
        for site in node.SITES
    }
    (home() / "current.json").write_text(
        json.dumps({"folder": folder, "tools": tools, "kubeconfig": kubeconfig}, default=str)
    )
    return Ours(control=machine, nodes=nodes, tools=tools, kubeconfig=kubeconfig)


def _enforcer(plan: network.Plan, *, kubeconfig: pathlib.Path) -> list[str]:
    named = [f"{name}={place.namespace}" for name, place in plan.nodes.items()]
    paths = os.pathsep.join(str(binaries.ROOT / source) for source in ("tests", "operator"))
    return ["env", f"PYTHONPATH={paths}", sys.executable, "-m", "cluster.enforcer", str(kubeconfig), *named]


def _start(made: Ours, cluster: access.Cluster) -> None:
    """In an order in which nothing waits for what cannot come, and as much as may be at the same time."""
    with concurrent.futures.ThreadPoolExecutor(len(made.nodes)) as pool:
        runtimes = [pool.submit(node.start_runtime, one, tools=made.tools) for one in made.nodes.values()]
        made.control.start("etcd", "kube-apiserver")
        made.wait_ready()
        made.control.start(*made.control.commands)  # the others end at once where they may not read yet
        for runtime in runtimes:
            runtime.result()
    made.load(
        [
            images.program("pause", tag=images.PAUSE, tools=made.tools),
            images.program("coredns", tag=images.COREDNS, tools=made.tools),
        ]
    )
    for machine in made.nodes.values():
        machine.start("kubelet", "kube-proxy")
    shell.say("control plane ready, waiting for nodes and DNS")
    cluster.apply(*manifests.dns())
    names = [f"node/{name}" for name in made.nodes]
    shell.until(lambda: cluster.kubectl("get", *names), what="registered nodes", deadline=90, every=0.5)
    cluster.kubectl("wait", *names, "--for=condition=Ready", "--timeout=120s", timeout=130)
    cluster.kubectl("rollout", "status", "--namespace=kube-system", "daemonset/coredns", "--timeout=120s", timeout=130)
