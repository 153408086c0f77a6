"""Which addresses are not public: what the agent refuses to pages, and what a pool's NetworkPolicy keeps its browsers from."""

import ipaddress
from collections.abc import Iterable
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

RANGES: Final = {
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
"""Each kind of address that is not public, and its networks."""
REFUSED: Final = tuple((ipaddress.ip_network(cidr), kind) for kind, cidrs in RANGES.items() for cidr in cidrs)
"""The same as pairs of network and kind."""
GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
"""What of IPv6 is given out at all; the rest is refused by being left out."""
NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
"""IPv4 as hosts that have only IPv6 write it: each address stands for the one in its last 32 bits."""


def networks(cidrs: Iterable[str]) -> tuple[Network, ...]:
    """``cidrs`` read. A single address is a CIDR; host bits are ignored.

    Raises:
        ValueError: one of them is no CIDR.
    """
    return tuple(ipaddress.ip_network(cidr, strict=False) for cidr in cidrs)
