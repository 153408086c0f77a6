"""Sockets that listen, before there is anybody to serve what comes: connections wait in the kernel's queue meanwhile."""

import contextlib
import dataclasses
import socket
from collections.abc import Iterator, Sequence

BACKLOG = 1024


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@contextlib.contextmanager
def opened(host: str, port: int) -> Iterator[Sequence[socket.socket]]:
    """Listen on every address of ``host`` (empty: of this machine); port 0 picks a free one, the same for all.

    Raises:
        OSError: the port is taken, or ``host`` is none of this machine's.
    """
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    made: list[socket.socket] = []
    try:
        for family, where in dict.fromkeys((family, where) for family, *_, where in found):
            one = _socket(family)
            if one is not None:
                made.append(one)
                one.bind((where[0], made[0].getsockname()[1] or port, *where[2:]))
                one.listen(BACKLOG)
        yield made
    finally:
        for one in made:
            one.close()


def _socket(family: int) -> socket.socket | None:
    """A socket to be bound; ``None`` if the kernel knows no such family, though its resolver does."""
    try:
        made = socket.socket(family, socket.SOCK_STREAM)
    except OSError:
        return None
    made.settimeout(0)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return made


def address(made: Sequence[socket.socket]) -> Address:
    """The first of them."""
    host, port, *_ = made[0].getsockname()
    return Address(host=host, port=port)
