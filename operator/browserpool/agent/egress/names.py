"""A host to its addresses, asked once, under a deadline.

Forms that hide an address (``2130706433``, ``0x7f.1``, ``127.1``, a trailing dot, capitals) need no rule of their own: the system's
resolver reads them as it would for a connection, and what it answers is judged.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from browserpool.agent.egress import policy

DEADLINE: Final = 8.0
"""Seconds. The system's resolver asks twice, five seconds apart."""

Resolve = Callable[[str], Awaitable[Sequence[policy.Address]]]
"""A host's addresses, best first; raises ``NotFound``."""


class NotFound(Exception):
    """The host has no address, or the resolver gave none in time."""


async def resolve(host: str) -> Sequence[policy.Address]:
    """The addresses of ``host`` as the system knows them.

    Raises:
        NotFound: no such host, a host that cannot be one, or no answer within ``DEADLINE``.
    """
    literal = _literal(host)
    if literal is not None:
        return (literal,)
    if not host or "\0" in host:
        # An empty host means "this machine" to the resolver, and a name ends for it at the first NUL.
        raise NotFound("the host is empty or holds a NUL")
    try:
        async with asyncio.timeout(DEADLINE):
            answer = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except TimeoutError as error:
        raise NotFound(f"no answer within {DEADLINE:g} s") from error
    except (OSError, UnicodeError) as error:
        raise NotFound(str(error)) from error
    return tuple(dict.fromkeys(ipaddress.ip_address(sockaddr[0]) for *_, sockaddr in answer))


def _literal(host: str) -> policy.Address | None:
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
