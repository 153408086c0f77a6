"""What the other tests here take for granted of their cluster."""

import socket
from typing import Any

import pytest

from cluster import access, images, shell

_SERVER = (
    "use IO::Socket::INET; $| = 1;"
    "my $server = IO::Socket::INET->new(LocalPort => 8080, Listen => 64, ReuseAddr => 1) or die $!;"
    'print "listening\n"; while (my $client = $server->accept) { print $client "$ENV{NODE}\n"; close $client }'
)
"""Says to whoever connects on which node it runs."""
_WAITING = ["sh", "-c", "trap exit TERM; sleep infinity & wait"]


@pytest.fixture(scope="session")
def debian(kubernetes: access.Cluster) -> str:
    """An image that every node has."""
    kubernetes.host.load([images.debian()])
    return images.DEBIAN


@pytest.fixture
def servers(kubernetes: access.Cluster, namespace: str, debian: str) -> list[access.Node]:
    """A server on each node, behind Service ``web``; answers the nodes. Pod ``server-NODE`` each, and ``client-NODE`` beside it."""
    nodes = kubernetes.nodes()
    pods = [
        _pod(f"{role}-{node.name}", role=role, node=node.name, image=debian)
        for node in nodes
        for role in ("server", "client")
    ]
    kubernetes.apply(_service(), *pods, namespace=namespace)
    for pod in pods:
        kubernetes.wait(f"pod/{pod['metadata']['name']}", "condition=Ready", namespace=namespace)
    return list(nodes)


def _pod(name: str, *, role: str, node: str, image: str) -> dict[str, Any]:
    command = ["perl", "-e", _SERVER] if role == "server" else _WAITING
    probe = {"readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1}} if role == "server" else {}
    container = {
        "name": role,
        "image": image,
        "imagePullPolicy": "Never",
        "command": command,
        "env": [{"name": "NODE", "value": node}],
        **probe,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"role": role}},
        "spec": {"nodeName": node, "terminationGracePeriodSeconds": 0, "containers": [container]},
    }


def _service() -> dict[str, Any]:
    spec = {
        "selector": {"role": "server"},
        "ports": [{"port": 80, "targetPort": 8080}],
        "trafficDistribution": "PreferSameNode",
    }
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec}


def _connect(cluster: access.Cluster, *, namespace: str, client: str, address: str, port: int) -> str:
    script = f"exec 3<>/dev/tcp/{address}/{port} && cat <&3"
    return cluster.exec(f"client-{client}", "timeout", "5", "bash", "-c", script, namespace=namespace).strip()


def test_three_nodes_are_ready_in_two_regions(kubernetes: access.Cluster) -> None:
    assert {(node.region, node.zone) for node in kubernetes.nodes()} == {("eu", "eu-a"), ("eu", "eu-b"), ("us", "us-a")}


def test_helm_speaks_to_it(kubernetes: access.Cluster) -> None:
    known = kubernetes.helm("list", "--all-namespaces", "--short").split()
    assert set(known) <= {"browserpool"}, "nobody but the fixture installs anything for the whole run"


def test_names_logs_and_the_nearest_endpoint(
    kubernetes: access.Cluster, namespace: str, servers: list[access.Node]
) -> None:
    client = servers[0].name
    found = kubernetes.exec(f"client-{client}", "getent", "hosts", "web", namespace=namespace)
    assert found.split()[1] == f"web.{namespace}.svc.cluster.local"
    assert kubernetes.logs(f"server-{client}", namespace=namespace) == "listening\n"
    for node in servers:
        reached = {
            _connect(kubernetes, namespace=namespace, client=node.name, address="web", port=80) for _ in range(8)
        }
        assert reached == {node.name}


def test_ports_are_forwarded(kubernetes: access.Cluster, namespace: str, servers: list[access.Node]) -> None:
    for target in ("service/web", f"pod/server-{servers[0].name}"):
        port = 80 if target == "service/web" else 8080
        with kubernetes.forward(target, port, namespace=namespace) as address:
            host, _, number = address.partition(":")
            with socket.create_connection((host, int(number)), timeout=10) as connection:
                assert connection.recv(100).decode().strip() in {node.name for node in servers}


def test_pods_reach_each_other_across_nodes(
    kubernetes: access.Cluster, namespace: str, servers: list[access.Node]
) -> None:
    for node in servers:
        address = kubernetes.get("pod", f"server-{node.name}", namespace=namespace)["status"]["podIP"]
        for client in servers:
            assert (
                _connect(kubernetes, namespace=namespace, client=client.name, address=address, port=8080) == node.name
            )


def test_network_policies_are_enforced(kubernetes: access.Cluster, namespace: str, servers: list[access.Node]) -> None:
    near, far = servers[0].name, servers[-1].name
    address = kubernetes.get("pod", f"server-{near}", namespace=namespace)["status"]["podIP"]
    kubernetes.apply(_policy(role="server", allowed=[]), namespace=namespace)
    for client in (near, far):
        shell.until(lambda client=client: _refused(kubernetes, namespace, client, address), what="refusal", deadline=10)
    kubernetes.apply(
        _policy(role="server", allowed=[{"podSelector": {"matchLabels": {"role": "client"}}}]), namespace=namespace
    )
    for client in (near, far):
        shell.until(
            lambda client=client: (
                _connect(kubernetes, namespace=namespace, client=client, address=address, port=8080) == near
            ),
            what="connection",
            deadline=10,
        )


def _policy(*, role: str, allowed: list[dict[str, Any]]) -> dict[str, Any]:
    rules = [{"from": allowed, "ports": [{"port": 8080}]}] if allowed else []
    spec = {"podSelector": {"matchLabels": {"role": role}}, "policyTypes": ["Ingress"], "ingress": rules}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "servers"},
        "spec": spec,
    }


def _refused(cluster: access.Cluster, namespace: str, client: str, address: str) -> bool:
    try:
        _connect(cluster, namespace=namespace, client=client, address=address, port=8080)
    except shell.Failed:
        return True
    return False


@pytest.mark.faults
def test_a_node_without_a_kubelet_is_noticed_and_comes_back(kubernetes: access.Cluster) -> None:
    node = kubernetes.nodes()[-1].name
    kubernetes.host.stop_kubelet(node)
    try:
        kubernetes.wait(f"node/{node}", "condition=Ready=Unknown", timeout=90)
    finally:
        kubernetes.host.start_kubelet(node)
    kubernetes.wait(f"node/{node}", "condition=Ready", timeout=90)


@pytest.mark.faults
def test_services_go_on_without_the_api_server(
    kubernetes: access.Cluster, namespace: str, servers: list[access.Node], debian: str
) -> None:
    before = kubernetes.get("pod", f"server-{servers[0].name}", namespace=namespace)["status"]
    kubernetes.host.stop_apiserver()
    try:
        with pytest.raises(shell.Failed):
            kubernetes.nodes()
    finally:
        kubernetes.host.start_apiserver()
    new = _pod("client-new", role="client", node=servers[0].name, image=debian)
    kubernetes.apply(new, namespace=namespace)
    kubernetes.wait("pod/client-new", "condition=Ready", namespace=namespace)
    after = kubernetes.get("pod", f"server-{servers[0].name}", namespace=namespace)["status"]
    assert after["containerStatuses"][0]["restartCount"] == before["containerStatuses"][0]["restartCount"]
    assert _connect(kubernetes, namespace=namespace, client=servers[0].name, address="web", port=80) == servers[0].name
