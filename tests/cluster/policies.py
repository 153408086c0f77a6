"""NetworkPolicies as one node's nftables rules: a pure function from objects to text.

A pod that no policy selects for a direction is left alone in it. One that some select may only do what one of their rules allows. Packets
are judged where they are forwarded: behind Services' translation, before any masquerade, so that both addresses are pods' own. What
the node itself sends to its pods (the kubelet's probes) is not forwarded and never refused. IPv4 only, as the network is.
"""

import dataclasses
import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Object = Mapping[str, Any]
TABLE = "browserpool_policies"
INGRESS, EGRESS = "Ingress", "Egress"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """All pods, namespaces and policies, as the API server gives them."""

    pods: Sequence[Object]
    namespaces: Sequence[Object]
    policies: Sequence[Object]

    def pods_of(self, peer: Object, *, home: str) -> list[Object]:
        """The pods that a peer means, in a policy of namespace ``home``."""
        homes = {home}
        if "namespaceSelector" in peer:
            homes = {one["metadata"]["name"] for one in self.namespaces if selects(peer["namespaceSelector"], one)}
        return [
            pod
            for pod in self.pods
            if pod["metadata"]["namespace"] in homes and selects(peer.get("podSelector") or {}, pod)
        ]


def ruleset(world: World, *, node: str) -> str:
    """The whole table for one node, as ``nft -f`` takes it: it replaces what was there in one step."""
    here = sorted(
        (pod for pod in world.pods if pod["spec"].get("nodeName") == node and _address(pod)),
        key=lambda pod: str(_address(pod)),
    )
    chains, jumps = [], []
    for direction, word in ((EGRESS, "saddr"), (INGRESS, "daddr")):
        for pod in here:
            policies = [policy for policy in world.policies if applies(policy, pod, direction)]
            if policies:
                name = f"{direction.lower()}-{_address(pod)}".replace(".", "-")
                chains.append(_chain(name, _allowed(world, policies, pod, direction)))
                jumps.append(f"ip {word} {_address(pod)} jump {name}")
    hooks = [_hook("forward", jumps), _hook("input", [jump for jump in jumps if "saddr" in jump])]
    body = "\n".join([*chains, *hooks])
    return f"add table ip {TABLE}\ndelete table ip {TABLE}\ntable ip {TABLE} {{\n{body}\n}}\n"


def applies(policy: Object, pod: Object, direction: str) -> bool:
    """Whether ``policy`` isolates ``pod`` in this direction."""
    spec = policy["spec"]
    types = spec.get("policyTypes") or [INGRESS, *([EGRESS] if "egress" in spec else [])]
    same = policy["metadata"]["namespace"] == pod["metadata"]["namespace"]
    return same and direction in types and selects(spec.get("podSelector") or {}, pod)


def selects(selector: Object, chosen: Object) -> bool:
    """A label selector's verdict. An empty one selects everything."""
    labels = chosen["metadata"].get("labels") or {}
    exact = all(labels.get(name) == value for name, value in (selector.get("matchLabels") or {}).items())
    return exact and all(_meets(labels, wish) for wish in selector.get("matchExpressions") or [])


def _meets(labels: Mapping[str, str], wish: Object) -> bool:
    name, values = wish["key"], wish.get("values") or []
    return {
        "In": name in labels and labels[name] in values,
        "NotIn": labels.get(name) not in values,
        "Exists": name in labels,
        "DoesNotExist": name not in labels,
    }[wish["operator"]]


def _allowed(world: World, policies: Iterable[Object], pod: Object, direction: str) -> list[str]:
    """Matches of what these policies together allow, without repetition."""
    side, peers_of = ("saddr", "from") if direction == INGRESS else ("daddr", "to")
    found: dict[str, None] = {}
    for policy in policies:
        home = policy["metadata"]["namespace"]
        for rule in policy["spec"].get(direction.lower()) or []:
            for peers, target in _peers(world, rule.get(peers_of) or [], home=home, side=side):
                ports = _ports(rule.get("ports") or [], pods=[pod] if direction == INGRESS else target)
                found |= dict.fromkeys(" ".join(part for part in (peers, port) if part) for port in ports)
    return list(found)


def _peers(world: World, peers: Sequence[Object], *, home: str, side: str) -> list[tuple[str, list[Object]]]:
    """Matches of a rule's other side, each with the pods that it may be (for ports that have names)."""
    if not peers:
        return [("", list(world.pods))]
    matches = []
    for peer in peers:
        if "ipBlock" in peer:
            matches.append((_block(peer["ipBlock"], side=side), []))
        elif pods := [pod for pod in world.pods_of(peer, home=home) if _address(pod)]:
            addresses = sorted({str(_address(pod)) for pod in pods})
            matches.append((f"ip {side} {{ {', '.join(addresses)} }}", pods))
    return [match for match in matches if match[0]]


def _block(block: Object, *, side: str) -> str:
    if ipaddress.ip_network(block["cidr"], strict=False).version != 4:
        return ""
    without = ", ".join(block.get("except") or [])
    return f"ip {side} {block['cidr']}" + (f" ip {side} != {{ {without} }}" if without else "")


def _ports(ports: Sequence[Object], *, pods: Sequence[Object]) -> list[str]:
    if not ports:
        return [""]
    return [match for port in ports for match in _port(port, pods=pods)]


def _port(port: Object, *, pods: Sequence[Object]) -> list[str]:
    protocol, number = (port.get("protocol") or "TCP").lower(), port.get("port")
    if number is None:
        return [f"meta l4proto {protocol}"]
    if isinstance(number, int):
        end = f"-{port['endPort']}" if "endPort" in port else ""
        return [f"{protocol} dport {number}{end}"]
    named = {
        (str(_address(pod)), one["containerPort"])
        for pod in pods
        for container in [*pod["spec"]["containers"], *pod["spec"].get("initContainers", [])]
        for one in container.get("ports") or []
        if one.get("name") == number and (one.get("protocol") or "TCP").lower() == protocol and _address(pod)
    }
    return [f"ip daddr {address} {protocol} dport {found}" for address, found in sorted(named)]


def _address(pod: Object) -> str | None:
    """The pod's own; None while it has none, or shares the node's."""
    status = pod.get("status") or {}
    if pod["spec"].get("hostNetwork") or status.get("phase") in {"Succeeded", "Failed"}:
        return None
    return status.get("podIP")


def _chain(name: str, allowed: Sequence[str]) -> str:
    # Refused, not dropped: who is refused learns it at once, and no test waits for a timeout.
    lines = [*(f"{match} return".strip() for match in allowed), "reject with icmp type admin-prohibited"]
    return f"  chain {name} {{\n" + "".join(f"    {line}\n" for line in lines) + "  }"


def _hook(name: str, jumps: Sequence[str]) -> str:
    lines = [f"type filter hook {name} priority 0; policy accept;", "ct state established,related accept", *jumps]
    return f"  chain {name} {{\n" + "".join(f"    {line}\n" for line in lines) + "  }"
