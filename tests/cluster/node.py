"""A node: containerd, kubelet and kube-proxy in a machine of their own."""

import dataclasses
import functools
import json
import pathlib

from cluster import certificates, images, machines, network, record, shell

_SOCKET = "/run/containerd/containerd.sock"
# Directories of the machine's own: what the kubelet and containerd keep where their programs say, and no option moves it.
_OWN = ("/var/lib", "/var/log")
_PLUGINS = "/usr/lib/cni"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A node's name and where it says that it stands."""

    name: str
    region: str
    zone: str


SITES = (
    Site(name="eu-a1", region="eu", zone="eu-a"),
    Site(name="eu-b1", region="eu", zone="eu-b"),
    Site(name="us-a1", region="us", zone="us-a"),
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What all nodes share: the authority, the programs, the record of what is made."""

    authority: certificates.Authority
    tools: pathlib.Path
    kept: record.Record


def make(
    site: Site, *, place: network.Place, setting: Setting, folder: pathlib.Path, logs: pathlib.Path, cgroup: str
) -> machines.Machine:
    """A machine with the configuration of a node; nothing is started yet. ``cgroup`` is the parent of its pods' groups."""
    own = folder / site.name
    for path in _OWN:
        (own / path[1:]).mkdir(parents=True)
    for name, text in _files(site, place=place, authority=setting.authority, cgroup=cgroup).items():
        path = own / "etc" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("@folder@", str(own)))
    machine = machines.make(
        name=site.name, namespace=place.namespace, setup=_setup(own), folder=folder, logs=logs, kept=setting.kept
    )
    machine.commands |= _commands(site, place=place, setting=setting, etc=own / "etc")
    return machine


def start_runtime(machine: machines.Machine, *, tools: pathlib.Path) -> None:
    """Start containerd, and wait until it answers."""
    machine.start("containerd")
    containerd = functools.partial(ctr, machine, "version", tools=tools, timeout=5)
    shell.until(containerd, what=f"containerd on {machine.name} (see {machine.logs})", deadline=60)


def load(machine: machines.Machine, archive: pathlib.Path, *, tools: pathlib.Path) -> None:
    """Import an archive (docker save's or OCI's) where the kubelet finds its images."""
    ctr(machine, "images", "import", str(archive), tools=tools, timeout=600)


def ctr(machine: machines.Machine, *command: str, tools: pathlib.Path, timeout: float = 60.0) -> str:
    """Ask the node's containerd, about what is Kubernetes'."""
    return machine.run(tools / "ctr", "--address", _SOCKET, "--namespace", "k8s.io", *command, timeout=timeout)


def _setup(folder: pathlib.Path) -> str:
    own = [f"mount --bind '{folder / path[1:]}' {path}" for path in _OWN]
    forwarding = "echo 1 > /proc/sys/net/ipv4/ip_forward"
    return "\n".join([*own, "mount -t tmpfs -o mode=755 tmpfs /run", forwarding])


def _files(site: Site, *, place: network.Place, authority: certificates.Authority, cgroup: str) -> dict[str, str]:
    return {
        "containerd.toml": _containerd(),
        "cni/10-pods.conflist": json.dumps(_cni(place)),
        "kubelet.json": json.dumps(_kubelet(authority, cgroup=cgroup)),
        "kube-proxy.json": json.dumps(_proxy(authority, site=site)),
        "resolv.conf": "",
    }


def _commands(site: Site, *, place: network.Place, setting: Setting, etc: pathlib.Path) -> dict[str, list[str]]:
    kubeconfig = setting.authority.kubeconfig(
        f"kubelet-{site.name}", user=f"system:node:{site.name}", group="system:nodes"
    )
    labels = f"topology.kubernetes.io/region={site.region},topology.kubernetes.io/zone={site.zone}"
    env = ["env", f"PATH={setting.tools}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
    options = {
        "containerd": [f"--config={etc / 'containerd.toml'}"],
        "kubelet": [
            *(f"--config={etc / 'kubelet.json'}", f"--kubeconfig={kubeconfig}", f"--hostname-override={site.name}"),
            *(f"--node-ip={place.address}", f"--node-labels={labels}"),
        ],
        "kube-proxy": [f"--config={etc / 'kube-proxy.json'}"],
    }
    # Not containerd, whose containers would inherit it.
    ahead = {"kubelet": machines.AHEAD, "kube-proxy": machines.AHEAD}
    return {name: [*env, *ahead.get(name, ()), str(setting.tools / name), *given] for name, given in options.items()}


def _containerd() -> str:
    # restrict_oom_score_adj: without CAP_SYS_RESOURCE nobody may lower a score, and no pod would start.
    return f"""version = 3
root = "@folder@/containerd"
state = "/run/containerd"
[grpc]
address = "{_SOCKET}"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = "{images.PAUSE}"
[plugins.'io.containerd.cri.v1.runtime']
restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ["{_PLUGINS}"]
conf_dir = "@folder@/etc/cni"
"""


def _cni(place: network.Place) -> dict[str, object]:
    """Each pod on a wire of its own to the node, which routes: so that all that pods say passes the node's rules."""
    addresses = {"type": "host-local", "ranges": [[{"subnet": str(place.pods)}]], "routes": [{"dst": "0.0.0.0/0"}]}
    plugins = [
        {"type": "ptp", "ipMasq": False, "mtu": 1500, "ipam": addresses},
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ]
    return {"cniVersion": "0.4.0", "name": "pods", "plugins": plugins}


def _kubelet(authority: certificates.Authority, *, cgroup: str) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(authority.pair.certificate)},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroup,
        "clusterDNS": [str(network.DNS)],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": f"unix://{_SOCKET}",
        # The disk belongs to the whole machine: how full it is says nothing of this node.
        "evictionHard": dict.fromkeys(
            ("memory.available", "nodefs.available", "nodefs.inodesFree", "imagefs.available"), "0%"
        ),
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "failCgroupV1": False,
        "failSwapOn": False,
        "makeIPTablesUtilChains": False,
        "maxPods": 250,
        "nodeLeaseDurationSeconds": 12,
        "nodeStatusUpdateFrequency": "4s",
        "oomScoreAdj": 0,
        "registryPullQPS": 0,
        "resolvConf": "@folder@/etc/resolv.conf",
        "serializeImagePulls": False,
    }


def _proxy(authority: certificates.Authority, *, site: Site) -> dict[str, object]:
    kubeconfig = authority.kubeconfig(f"kube-proxy-{site.name}", user="system:kube-proxy")
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "hostnameOverride": site.name,
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        "detectLocalMode": "InterfaceNamePrefix",
        "detectLocal": {"interfaceNamePrefix": "veth"},
        # Limits of the whole machine, which are not a namespace's to set.
        "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "oomScoreAdj": 0,
        "nftables": {"minSyncPeriod": "100ms"},
    }
