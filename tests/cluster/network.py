"""Network namespaces: one for the control plane with a bridge in it, one for each node, and one wire to the caller's.

Addresses of pods and Services exist only inside the namespaces. The caller's own namespace gets one interface, in a network that it has
no route to yet. There is no way out: the control plane's namespace has no default route.
"""

import dataclasses
import ipaddress
import json

from cluster import record, shell

PODS = ipaddress.IPv4Network("10.244.0.0/16")
SERVICES = ipaddress.IPv4Network("10.96.0.0/16")
DNS = SERVICES[10]
_CANDIDATES = [ipaddress.IPv4Network(f"10.{second}.0.0/24") for second in range(213, 230)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a machine is in the network; ``pods`` is None for the control plane."""

    namespace: str
    address: ipaddress.IPv4Address
    pods: ipaddress.IPv4Network | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All places of a run."""

    run: str
    network: ipaddress.IPv4Network
    control: Place
    nodes: dict[str, Place]

    @property
    def caller(self) -> ipaddress.IPv4Address:
        return self.network[2]


def plan(*, run: str, nodes: list[str]) -> Plan:
    """Addresses for these nodes, in a network that nothing here uses."""
    network = _free()
    slices = list(PODS.subnets(new_prefix=24))
    return Plan(
        run=run,
        network=network,
        control=Place(namespace=f"browserpool-{run}-control", address=network[1], pods=None),
        nodes={
            name: Place(namespace=f"browserpool-{run}-{name}", address=network[11 + index], pods=slices[index])
            for index, name in enumerate(nodes)
        },
    )


def make(plan: Plan, *, kept: record.Record) -> None:
    """Make namespaces, bridge, wires and routes."""
    for place in (plan.control, *plan.nodes.values()):
        kept.network(place.namespace)
        shell.run("ip", "netns", "add", place.namespace)
        _ip(place, "link set lo up")
    _ip(plan.control, "link add nodes type bridge")
    _ip(plan.control, f"addr add {plan.control.address}/{plan.network.prefixlen} dev nodes")
    _ip(plan.control, "link set nodes up")
    for name, place in plan.nodes.items():
        _wire_node(plan, name=name, place=place)
    _wire_caller(plan, kept=kept)
    for place in (plan.control, *plan.nodes.values()):
        _routes(plan, place=place)


def _wire_node(plan: Plan, *, name: str, place: Place) -> None:
    _ip(plan.control, f"link add {name} type veth peer name eth0 netns {place.namespace}")
    _ip(plan.control, f"link set {name} master nodes up")
    _ip(place, f"addr add {place.address}/{plan.network.prefixlen} dev eth0")
    _ip(place, "link set eth0 up")
    _ip(place, f"route add default via {plan.control.address}")


def _wire_caller(plan: Plan, *, kept: record.Record) -> None:
    link = f"bp-{plan.run}"
    kept.link(link)
    shell.run("ip", "link", "add", link, "type", "veth", "peer", "name", "caller", "netns", plan.control.namespace)
    shell.run("ip", "addr", "add", f"{plan.caller}/{plan.network.prefixlen}", "dev", link)
    shell.run("ip", "link", "set", link, "up")
    _ip(plan.control, "link set caller master nodes up")


def _routes(plan: Plan, *, place: Place) -> None:
    """The way to other nodes' pods. The control plane needs it too: the API server calls webhooks at their pods."""
    for other in plan.nodes.values():
        if other != place:
            _ip(place, f"route add {other.pods} via {other.address}")


def _ip(place: Place, command: str) -> None:
    shell.run("ip", "-n", place.namespace, *command.split())


def _free() -> ipaddress.IPv4Network:
    routes = [entry["dst"] for entry in json.loads(shell.run("ip", "-json", "-4", "route", "show", "table", "all"))]
    used = [ipaddress.IPv4Network(route, strict=False) for route in routes if route[0].isdigit()]
    for candidate in _CANDIDATES:
        if not any(candidate.overlaps(one) for one in used if one.prefixlen):
            return candidate
    raise shell.Failed(
        f"no network is free among {_CANDIDATES[0]} to {_CANDIDATES[-1]}: something here routes all of them"
    )
