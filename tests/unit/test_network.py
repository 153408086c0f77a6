"""A pool's NetworkPolicy: what enters its browsers' pods, and what these reach, held to what the agent's guard says of addresses."""

import ipaddress

import kubernetes_validate
import pytest

from browserpool.agent.egress import policy as guard
from browserpool.controller.desired import labels, network, pod
from browserpool.model import addresses
from browserpool.model.pool import BrowserPool
from cluster import policies

DNS = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}
DOORS = network.Doors(dns=(DNS,))
OWNER = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "controller", "uid": "7"}


def pool(**spec):
    return BrowserPool.model_validate({"metadata": {"name": "shop"}, "spec": spec})


def made(doors=DOORS, **spec):
    return network.wanted(pool(**spec), doors=doors, namespace="browsers", owners=[OWNER])


def reached(found):
    """The networks of the rule that names addresses, each with what is left out of it; empty: there is no such rule."""
    rules = [rule for rule in found["spec"]["egress"] if any("ipBlock" in peer for peer in rule["to"])]
    return {peer["ipBlock"]["cidr"]: peer["ipBlock"].get("except", []) for rule in rules for peer in rule["to"]}


def lets_out(found, address):
    """Whether a packet to ``address`` leaves, at a port that is no router's nor DNS'."""
    one = ipaddress.ip_address(address)
    return any(
        one in ipaddress.ip_network(cidr) and not any(one in ipaddress.ip_network(part) for part in without)
        for cidr, without in reached(found).items()
    )


def test_the_whole_policy():
    assert made(DOORS.model_copy(update={"monitoring": ({"namespaceSelector": {}},)})) == {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": "browserpool-browsers-shop",
            "namespace": "browsers",
            "labels": {**labels.OURS, "browserpool.dev/pool": "shop"},
            "ownerReferences": [OWNER],
        },
        "spec": {
            "podSelector": {"matchLabels": {**labels.OURS, "browserpool.dev/pool": "shop"}},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                {"ports": [{"protocol": "TCP", "port": 8082}], "from": [network.ROUTERS, network.SIDECARS]},
                {"ports": [{"protocol": "TCP", "port": 8083}], "from": [{"namespaceSelector": {}}]},
            ],
            "egress": [
                {"ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}], "to": [DNS]},
                {"ports": [{"protocol": "TCP", "port": 8080}], "to": [network.ROUTERS]},
                {"to": [{"ipBlock": block} for block in network.blocks(allow=(), deny=())]},
            ],
        },
    }


def test_it_selects_the_pods_of_its_pool_and_no_others():
    found = made()
    for name, chosen in (("shop", True), ("shop-b", False)):
        one = BrowserPool.model_validate({"metadata": {"name": name}})
        defaults = pod.Defaults(namespace="browsers", image="i", pull_policy="Always", router_url="u")
        there = pod.manifest(one, one.spec.regions[0], ordinal=0, template_hash="h", defaults=defaults)
        assert policies.applies(found, there, "Egress") is policies.applies(found, there, "Ingress") is chosen


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"egress": {"allow": ["10.1.0.0/16", "fd00::1"], "deny": ["10.1.2.0/24", "8.8.8.8", "2a00::/32"]}},
        {"egress": {"deny": ["0.0.0.0/0", "::/0"]}},
        {"egress": {"deny": ["0.0.0.0/1", "128.0.0.0/1", "2000::/2"], "allow": ["10.0.0.0/8"]}},
    ],
    ids=["usual", "both", "all denied", "all denied in halves"],
)
def test_it_fits_kubernetes_schema_and_its_rules(spec):
    found = made(**spec)
    kubernetes_validate.validate(found, "1.34", strict=True)
    for cidr, without in reached(found).items():
        for part in without:
            inner, outer = ipaddress.ip_network(part), ipaddress.ip_network(cidr)
            assert inner.subnet_of(outer), "an exception lies within"
            assert inner != outer, "and is not the whole"
    # A rule without peers would mean everybody.
    assert all(rule["to"] for rule in found["spec"]["egress"])
    assert all(rule["from"] for rule in found["spec"]["ingress"])


PROBES = [
    "8.8.8.8", "1.1.1.1", "10.1.2.3", "10.1.9.9", "10.2.0.1", "127.0.0.1", "169.254.169.254", "192.168.0.1", "172.16.5.5", "100.64.0.1",
    "168.63.129.16", "224.0.0.1", "255.255.255.255", "198.51.100.7", "2606:4700::1111", "2a00::7", "fd00::1", "fe80::1", "2001:db8::1",
    "2002:a00:1::1", "::1", "4000::1", "64:ff9b::8.8.8.8", "64:ff9b::10.0.0.1", "64:ff9b::1.1.1.1", "5f00::1", "100::1",
]  # fmt: skip
EGRESS = [
    {},
    {"allow": ["10.1.0.0/16"]},
    {"allow": ["10.1.0.0/16"], "deny": ["10.1.2.0/24"]},
    {"allow": ["10.1.2.3"], "deny": ["10.0.0.0/8"]},
    {"deny": ["8.8.8.8", "2a00::/16"]},
    {"deny": ["0.0.0.0/0"]},
    {"deny": ["::/0"]},
    {"allow": ["fd00::/8", "127.0.0.0/8"]},
]


@pytest.mark.parametrize("egress", EGRESS, ids=str)
@pytest.mark.parametrize("address", PROBES)
def test_it_says_of_an_address_what_the_agents_guard_says(egress, address):
    said = guard.judge(ipaddress.ip_address(address), policy=guard.read(**egress))
    assert lets_out(made(egress=egress), address) is said.allowed, said.reason


def test_every_range_that_is_not_public_is_shut():
    found = made()
    for refused, kind in addresses.REFUSED:
        for address in (refused[0], refused[-1]):
            assert not lets_out(found, str(address)), kind


def test_what_the_installation_denies_no_pool_allows():
    doors = DOORS.model_copy(update={"deny": ("10.0.0.1/32", "9.9.9.9/32"), "allow": ("10.7.0.0/16",)})
    found = made(doors, egress={"allow": ["10.0.0.0/24", "9.9.9.9"]})
    verdicts = {one: lets_out(found, one) for one in ("10.0.0.1", "10.0.0.2", "9.9.9.9", "10.7.1.1", "10.8.0.1")}
    assert verdicts == {"10.0.0.1": False, "10.0.0.2": True, "9.9.9.9": False, "10.7.1.1": True, "10.8.0.1": False}


def test_clients_that_are_named_enter_at_the_agents_port():
    robots = {"namespaceSelector": {"matchLabels": {"team": "robots"}}}
    rules = made(DOORS.model_copy(update={"clients": (robots,)}))["spec"]["ingress"]
    assert [(rule["ports"][0]["port"], robots in rule["from"]) for rule in rules] == [(8082, True)]


def test_there_is_none_where_it_is_not_wanted():
    assert made(networkPolicy="Unmanaged") is None
    assert network.wanted(pool(), doors=None, namespace="browsers", owners=[]) is None


def test_doors_need_to_say_where_names_are_resolved():
    with pytest.raises(ValueError, match="dns"):
        network.Doors(dns=())
