"""What the test cluster makes of NetworkPolicies."""

from typing import Any

import pytest

from cluster import policies


def pod(name: str, address: str | None, *, namespace: str = "shop", node: str = "n1", **more: Any) -> policies.Object:
    ports = [{"name": "web", "containerPort": 8080}]
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {"nodeName": node, "containers": [{"ports": ports}], **more},
        "status": {"podIP": address, "phase": "Running"},
    }


def policy(**spec: Any) -> policies.Object:
    return {"metadata": {"name": "p", "namespace": "shop"}, "spec": {"podSelector": {}, **spec}}


NAMESPACES = [{"metadata": {"name": name, "labels": {"name": name}}} for name in ("shop", "lab")]
PODS = [pod("a", "10.0.0.1"), pod("b", "10.0.1.2", node="n2"), pod("c", "10.0.0.3", namespace="lab")]


def table(*given: policies.Object, node: str = "n1", pods: list[policies.Object] = PODS) -> str:
    return policies.ruleset(policies.World(pods=pods, namespaces=NAMESPACES, policies=given), node=node)


def chain(text: str, name: str) -> list[str]:
    """What a chain allows."""
    rest = text.partition(f"  chain {name} {{\n")[2].splitlines()
    lines = [line.strip() for line in rest[: rest.index("  }")]]
    assert lines[-1].startswith("reject")
    return lines[:-1]


def test_without_policies_everything_is_let_through() -> None:
    assert "jump" not in table()
    assert "reject" not in table()


def test_only_selected_pods_of_this_node_and_namespace_are_isolated() -> None:
    text = table(policy())
    assert "ip daddr 10.0.0.1 jump ingress-10-0-0-1" in text
    assert "10.0.1.2 jump" not in text
    assert "10.0.0.3 jump" not in text
    assert chain(text, "ingress-10-0-0-1") == []


WEB = {"protocol": "TCP", "port": "web"}


@pytest.mark.parametrize(
    ("rule", "allowed"),
    [
        ({}, [""]),
        ({"ports": [{"port": 53, "protocol": "UDP"}]}, ["udp dport 53"]),
        ({"ports": [{"port": 100, "endPort": 200}]}, ["tcp dport 100-200"]),
        ({"ports": [WEB]}, ["ip daddr 10.0.0.1 tcp dport 8080"]),
        ({"from": [{"podSelector": {"matchLabels": {"app": "b"}}}]}, ["ip saddr { 10.0.1.2 }"]),
        ({"from": [{"podSelector": {}}]}, ["ip saddr { 10.0.0.1, 10.0.1.2 }"]),
        ({"from": [{"namespaceSelector": {"matchLabels": {"name": "lab"}}}]}, ["ip saddr { 10.0.0.3 }"]),
        (
            {"from": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "c"}}}]},
            ["ip saddr { 10.0.0.3 }"],
        ),
        ({"from": [{"podSelector": {"matchLabels": {"app": "nobody"}}}]}, []),
        ({"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}, ["ip saddr 10.0.0.0/8"]),
        (
            {"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}], "ports": [{"port": 1}]},
            ["ip saddr 10.0.0.0/8 ip saddr != { 10.1.0.0/16 } tcp dport 1"],
        ),
        ({"from": [{"ipBlock": {"cidr": "fd00::/8"}}]}, []),
    ],
)
def test_ingress(rule: dict[str, Any], allowed: list[str]) -> None:
    found = chain(table(policy(ingress=[rule])), "ingress-10-0-0-1")
    assert found == [f"{match} return".strip() for match in allowed]


def test_egress_is_isolated_only_where_a_policy_says_so() -> None:
    assert "saddr 10.0.0.1 jump" not in table(policy())
    text = table(policy(policyTypes=["Egress"], egress=[{"to": [{"podSelector": {}}], "ports": [WEB]}]))
    assert "daddr 10.0.0.1 jump" not in text
    assert chain(text, "egress-10-0-0-1") == [
        "ip daddr { 10.0.0.1, 10.0.1.2 } ip daddr 10.0.0.1 tcp dport 8080 return",
        "ip daddr { 10.0.0.1, 10.0.1.2 } ip daddr 10.0.1.2 tcp dport 8080 return",
    ]


def test_policies_add_up() -> None:
    one, two = (
        policy(ingress=[{"ports": [{"port": 1}]}]),
        policy(ingress=[{"ports": [{"port": 2}]}, {"ports": [{"port": 1}]}]),
    )
    assert chain(table(one, two), "ingress-10-0-0-1") == ["tcp dport 1 return", "tcp dport 2 return"]


@pytest.mark.parametrize(
    ("expression", "selected"),
    [
        ({"key": "app", "operator": "In", "values": ["a", "z"]}, True),
        ({"key": "app", "operator": "NotIn", "values": ["a"]}, False),
        ({"key": "other", "operator": "NotIn", "values": ["a"]}, True),
        ({"key": "app", "operator": "Exists"}, True),
        ({"key": "app", "operator": "DoesNotExist"}, False),
    ],
)
def test_expressions(expression: dict[str, Any], selected: bool) -> None:
    assert policies.selects({"matchExpressions": [expression]}, PODS[0]) is selected


def test_pods_without_an_address_of_their_own_are_nobody() -> None:
    pods = [pod("a", "10.0.0.1", hostNetwork=True), pod("b", None)]
    assert "jump" not in table(policy(), pods=pods)
