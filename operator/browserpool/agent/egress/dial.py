"""A connection to the first of some judged addresses that answers. It is given addresses, never names: nothing is resolved here."""

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from browserpool.agent.egress import policy

DEADLINE: Final = 15.0
"""Seconds for all addresses together."""
PATIENCE: Final = 2.0
"""Seconds for an address that is not the last: a route that swallows IPv6 must not hide the IPv4 behind it."""

P = TypeVar("P", bound=asyncio.BaseProtocol)


async def connect(addresses: Sequence[policy.Address], port: int, make: Callable[[], P]) -> P:
    """Connect to the first of ``addresses`` that answers; ``make`` makes each attempt's protocol; the connected one is returned.

    Raises:
        TimeoutError: none answered in time.
        OSError: how the last one failed.
    """
    async with asyncio.timeout(DEADLINE):
        for address in addresses[:-1]:
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    return await _attempt(address, port, make)
        return await _attempt(addresses[-1], port, make)


async def _attempt(address: policy.Address, port: int, make: Callable[[], P]) -> P:
    _, protocol = await asyncio.get_running_loop().create_connection(make, str(address), port)
    return protocol


def is_this_machine(address: policy.Address) -> bool:
    """Whether the kernel would deliver to this very machine: it then takes the address itself as the source. Sends nothing."""
    if address.is_loopback or address.is_unspecified:
        return True
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return is_this_machine(address.ipv4_mapped)
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((str(address), 9))
        return ipaddress.ip_address(probe.getsockname()[0]) == address
    return False
