"""The NetworkPolicy of a pool's browsers: what may enter their pods, and what these may reach. Pure.

It says once more, where a page cannot argue with it, what the agent's egress guard says of addresses; names are the agent's alone. One
for each pool: policies add up, so that one for all browsers would open to a pool what its own must shut.
"""

import ipaddress
from collections.abc import Iterable, Iterator
from typing import Any, Final

import pydantic
from pydantic import Field

from browserpool.controller.desired import labels, pod
from browserpool.model import addresses
from browserpool.model.addresses import Network
from browserpool.model.egress import Cidr
from browserpool.model.names import PoolName
from browserpool.model.pool import BrowserPool, NetworkPolicy

ROUTER_PORT = 8080
_EVERYWHERE: Final = ipaddress.IPv4Network("0.0.0.0/0")

Peer = dict[str, Any]
"""One of a NetworkPolicy's ``from`` or ``to``."""

ROUTERS: Final[Peer] = {"podSelector": {"matchLabels": {labels.NAME: "browserpool", labels.COMPONENT: "router"}}}
SIDECARS: Final[Peer] = {
    # Both labels that injection asks for: the namespace's is not given by whoever may make a pod in it.
    "namespaceSelector": {"matchLabels": {"browserpool.dev/injection": "enabled"}},
    "podSelector": {"matchLabels": {labels.INJECT: "true"}},
}


class Doors(pydantic.BaseModel):
    """What all pools' policies of an installation have in common; the chart's values ``networkPolicy`` say it."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    dns: tuple[Peer, ...] = Field(min_length=1, description="where names are resolved")
    clients: tuple[Peer, ...] = Field(default=(), description="who may connect straight, besides routers and sidecars")
    monitoring: tuple[Peer, ...] = Field(default=(), description="who may read metrics")
    allow: tuple[Cidr, ...] = Field(default=(), description="what every pool's browsers may reach besides")
    deny: tuple[Cidr, ...] = Field(default=(), description="what none may, whatever its pool allows")


def name(pool: PoolName) -> str:
    """The policy's name."""
    return f"browserpool-browsers-{pool}"


def wanted(
    pool: BrowserPool, *, doors: Doors | None, namespace: str, owners: Iterable[dict[str, Any]]
) -> dict[str, Any] | None:
    """The pool's policy; None: it is to have none. ``doors`` None: the installation makes none."""
    if doors is None or pool.spec.network_policy is NetworkPolicy.UNMANAGED:
        return None
    mine = {**labels.OURS, labels.POOL: pool.name}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": name(pool.name),
            "namespace": namespace,
            "labels": mine,
            "ownerReferences": list(owners),
        },
        "spec": {
            "podSelector": {"matchLabels": mine},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": _ingress(doors),
            "egress": _egress(pool, doors),
        },
    }


def _ingress(doors: Doors) -> list[dict[str, Any]]:
    # Sidecars speak to the browser that they were given.
    rules = [{"ports": [_port(pod.API_PORT)], "from": [ROUTERS, SIDECARS, *doors.clients]}]
    # A rule without peers would let everybody in.
    return rules + ([{"ports": [_port(pod.OPS_PORT)], "from": list(doors.monitoring)}] if doors.monitoring else [])


def _egress(pool: BrowserPool, doors: Doors) -> list[dict[str, Any]]:
    rules = [
        {"ports": [_port(53, "UDP"), _port(53)], "to": list(doors.dns)},
        {"ports": [_port(ROUTER_PORT)], "to": [ROUTERS]},
    ]
    reached = [
        {"ipBlock": block}
        for block in blocks(
            allow=addresses.networks((*pool.spec.egress.allow, *doors.allow)),
            deny=addresses.networks((*pool.spec.egress.deny, *doors.deny)),
        )
    ]
    return rules + ([{"to": reached}] if reached else [])


def _port(number: int, protocol: str = "TCP") -> dict[str, Any]:
    return {"protocol": protocol, "port": number}


# ---------------------------------------------------------------- addresses
def blocks(*, allow: Iterable[Network], deny: Iterable[Network]) -> list[dict[str, Any]]:
    """Public addresses and ``allow``, both without ``deny``, as a NetworkPolicy's ``ipBlock`` has them."""
    denied = [face for network in deny for face in _faces(network)]
    refused = [face for network, _ in addresses.REFUSED for face in _faces(network)]
    public: tuple[Network, ...] = (_EVERYWHERE, addresses.GLOBAL_UNICAST, addresses.NAT64)
    found = [_block(network, [*refused, *denied]) for network in public]
    found += [_block(network, denied) for network in dict.fromkeys(allow)]
    return [block for block in found if block is not None]


def _faces(network: Network) -> Iterator[Network]:
    """The network, and, of IPv4, what a NAT64 translator makes of it: the agent judges an address by both."""
    yield network
    if isinstance(network, ipaddress.IPv4Network):
        prefix = int(addresses.NAT64.network_address)
        yield ipaddress.IPv6Network((prefix | int(network.network_address), 96 + network.prefixlen))


def _block(network: Network, without: Iterable[Network]) -> dict[str, Any] | None:
    """``network`` but for those parts; None: nothing is left. Each exception must be a true part of the whole."""
    parts = _joined(part for part in without if part.version == network.version and part.overlaps(network))
    if any(part.prefixlen <= network.prefixlen for part in parts):
        return None
    return {"cidr": str(network)} | ({"except": [str(part) for part in parts]} if parts else {})


def _joined(parts: Iterable[Network]) -> list[Network]:
    """As few networks as say the same, in order; all of one version."""
    return list(ipaddress.collapse_addresses(parts))  # type: ignore[type-var]
