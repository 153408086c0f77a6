"""An address and the pool's CIDRs to a verdict. Pure, and the only place that says what is public.

``deny`` beats ``allow``, and ``allow`` beats the table of ranges that are refused. An IPv6 address that stands for an IPv4 address is
judged as that one.
"""

import dataclasses
import ipaddress
from collections.abc import Iterable, Iterator
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_RANGES: Final = {
    "unspecified": ("0.0.0.0/8", "::/128"),
    "loopback": ("127.0.0.0/8", "::1/128"),
    # The clouds' metadata lives here (169.254.169.254, fd00:ec2::254, 100.100.100.200, 192.0.0.192), and in the ranges that follow.
    "link-local": ("169.254.0.0/16", "fe80::/10"),
    "private": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"),
    "site-local": ("fec0::/10",),
    "shared (carrier-grade NAT)": ("100.64.0.0/10",),
    "cloud metadata": ("168.63.129.16/32",),
    "multicast": ("224.0.0.0/4", "ff00::/8"),
    "broadcast": ("255.255.255.255/32",),
    "protocol assignment": ("192.0.0.0/24", "2001::/23"),
    "documentation": ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"),
    "benchmarking": ("198.18.0.0/15",),
    "reserved": ("240.0.0.0/4",),
    "discard-only": ("100::/64",),
    "segment routing": ("5f00::/16",),
    # Ways to wrap an IPv4 address that no kernel here unwraps, but a router on the way might.
    "IPv4-compatible": ("::/96",),
    "IPv4-translated": ("::ffff:0:0:0/96", "64:ff9b:1::/48"),
    "6to4": ("2002::/16", "192.88.99.0/24"),
}
_REFUSED: Final = tuple((ipaddress.ip_network(cidr), kind) for kind, cidrs in _RANGES.items() for cidr in cidrs)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The pool's ``egress``, read."""

    allow: tuple[Network, ...] = ()
    deny: tuple[Network, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """``reason`` completes "the address is …"."""

    allowed: bool
    reason: str


def read(*, allow: Iterable[str] = (), deny: Iterable[str] = ()) -> Policy:
    """The policy of these CIDRs. A single address is a CIDR; host bits are ignored.

    Raises:
        ValueError: one of them is no CIDR.
    """
    return Policy(allow=_networks(allow), deny=_networks(deny))


def judge(address: Address, *, policy: Policy) -> Verdict:
    """Whether a page may reach ``address``."""
    faces = tuple(_faces(address))
    if any(_within(face, policy.deny) for face in faces):
        return Verdict(allowed=False, reason="in the pool's egress.deny")
    if any(_within(face, policy.allow) for face in faces):
        return Verdict(allowed=True, reason="in the pool's egress.allow")
    for face in faces:
        if (kind := _refused_as(face)) is not None:
            return Verdict(allowed=False, reason=kind)
    return Verdict(allowed=True, reason="public")


def _networks(cidrs: Iterable[str]) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(cidr, strict=False) for cidr in cidrs)


def _faces(address: Address) -> Iterator[Address]:
    """The addresses that ``address`` means: an IPv4-mapped one is IPv4 to the kernel; NAT64 is itself, and IPv4 behind the translator."""
    if isinstance(address, ipaddress.IPv4Address):
        yield address
    elif address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    else:
        yield address
        if address in _NAT64:
            yield ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)


def _within(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks if network.version == address.version)


def _refused_as(address: Address) -> str | None:
    for network, kind in _REFUSED:
        if network.version == address.version and address in network:
            return kind
    if isinstance(address, ipaddress.IPv6Address) and address not in _NAT64 and address not in _GLOBAL_UNICAST:
        return "outside of global unicast"
    return None
