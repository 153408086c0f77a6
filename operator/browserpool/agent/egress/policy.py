"""An address and the pool's CIDRs to a verdict. Pure; what is public says ``model.addresses``.

``deny`` beats ``allow``, and ``allow`` beats the table of ranges that are refused. An IPv6 address that stands for an IPv4 address is
judged as that one.
"""

import dataclasses
import ipaddress
from collections.abc import Iterable, Iterator

from browserpool.model import addresses

Address = addresses.Address
Network = addresses.Network


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
    return Policy(allow=addresses.networks(allow), deny=addresses.networks(deny))


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


def _faces(address: Address) -> Iterator[Address]:
    """The addresses that ``address`` means: an IPv4-mapped one is IPv4 to the kernel; NAT64 is itself, and IPv4 behind the translator."""
    if isinstance(address, ipaddress.IPv4Address):
        yield address
    elif address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    else:
        yield address
        if address in addresses.NAT64:
            yield ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)


def _within(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks if network.version == address.version)


def _refused_as(address: Address) -> str | None:
    for network, kind in addresses.REFUSED:
        if network.version == address.version and address in network:
            return kind
    if (
        isinstance(address, ipaddress.IPv6Address)
        and address not in addresses.NAT64
        and address not in addresses.GLOBAL_UNICAST
    ):
        return "outside of global unicast"
    return None
