"""The control plane: etcd, API server, controller manager and scheduler, in one machine."""

import json
import pathlib
from collections.abc import Mapping

from cluster import certificates, machines, network

# What waits for a lost node waits for a minute and more by default, and so would tests.
_GRACE = "20s"
_TOLERATION = 20
_AUDIT = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata", "userGroups": ["system:serviceaccounts"]}, {"level": "None"}],
}
_NAMES = [
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "localhost",
]
_QUERIES = {"kube-api-burst": 400, "kube-api-qps": 200, "leader-elect": "false"}


def prepare(
    plan: network.Plan, *, machine: machines.Machine, folder: pathlib.Path, tools: pathlib.Path
) -> certificates.Authority:
    """Give ``machine`` the commands of a control plane that keeps its things in ``folder``; nothing is started yet."""
    authority = certificates.authority(folder / "credentials", server=f"https://{plan.control.address}:6443")
    tokens = authority.service_accounts()
    (folder / "audit.json").write_text(json.dumps(_AUDIT))
    options = {
        "etcd": _etcd(folder),
        "kube-apiserver": _apiserver(plan, authority=authority, tokens=tokens, folder=folder),
        "kube-controller-manager": _controller_manager(authority, tokens=tokens),
        "kube-scheduler": _scheduler(authority),
    }
    machine.commands |= {
        name: [*machines.AHEAD, str(tools / name), *(f"--{option}={value}" for option, value in given.items())]
        for name, given in options.items()
    }
    return authority


def _etcd(folder: pathlib.Path) -> Mapping[str, object]:
    return {
        "data-dir": folder / "etcd",
        "listen-peer-urls": "http://127.0.0.1:2380",
        "log-level": "warn",
        # Nothing in it has to outlive a power cut.
        "unsafe-no-fsync": "true",
    }


def _apiserver(
    plan: network.Plan, *, authority: certificates.Authority, tokens: certificates.Pair, folder: pathlib.Path
) -> Mapping[str, object]:
    addresses = [str(plan.control.address), "127.0.0.1", str(network.SERVICES[1])]
    names = [*(f"DNS:{name}" for name in _NAMES), *(f"IP:{address}" for address in addresses)]
    serving = authority.serving("kube-apiserver", names=names)
    kubelets = authority.client("kubelet-client", user="kube-apiserver", group="system:masters")
    return {
        "advertise-address": plan.control.address,
        "allow-privileged": "true",
        "audit-log-path": folder / "audit.log",
        "audit-policy-file": folder / "audit.json",
        "authorization-mode": "Node,RBAC",
        "client-ca-file": authority.pair.certificate,
        "default-not-ready-toleration-seconds": _TOLERATION,
        "default-unreachable-toleration-seconds": _TOLERATION,
        "enable-admission-plugins": "NodeRestriction",
        # Webhooks are called at their pods: no kube-proxy runs in the control plane's namespace.
        "enable-aggregator-routing": "true",
        "etcd-servers": "http://127.0.0.1:2379",
        "kubelet-client-certificate": kubelets.certificate,
        "kubelet-client-key": kubelets.key,
        "kubelet-preferred-address-types": "InternalIP",
        "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
        "service-account-key-file": tokens.certificate,
        "service-account-signing-key-file": tokens.key,
        "service-cluster-ip-range": network.SERVICES,
        "tls-cert-file": serving.certificate,
        "tls-private-key-file": serving.key,
    }


def _controller_manager(authority: certificates.Authority, *, tokens: certificates.Pair) -> Mapping[str, object]:
    return _client(authority, "kube-controller-manager") | {
        "node-monitor-grace-period": _GRACE,
        "node-monitor-period": "2s",
        "root-ca-file": authority.pair.certificate,
        "service-account-private-key-file": tokens.key,
        "use-service-account-credentials": "true",
    }


def _scheduler(authority: certificates.Authority) -> Mapping[str, object]:
    return _client(authority, "kube-scheduler")


def _client(authority: certificates.Authority, name: str) -> dict[str, object]:
    kubeconfig = authority.kubeconfig(name, user=f"system:{name}")
    options = ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")
    return {**dict.fromkeys(options, kubeconfig), **_QUERIES}
