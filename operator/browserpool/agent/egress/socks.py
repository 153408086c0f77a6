"""SOCKS5's messages (RFC 1928) as the proxy needs them: no authentication, CONNECT only. Bytes to values and back, no I/O."""

import dataclasses
import enum
import ipaddress
from typing import Final

VERSION: Final = 5
_NO_AUTHENTICATION: Final = 0
_NONE_ACCEPTABLE: Final = 0xFF
_CONNECT: Final = 1
_IPV4: Final = 1
_DOMAIN: Final = 3
_IPV6: Final = 4
_ADDRESS_LENGTHS: Final = {_IPV4: 4, _IPV6: 16}

GREETING_ACCEPTED: Final = bytes((VERSION, _NO_AUTHENTICATION))
GREETING_REFUSED: Final = bytes((VERSION, _NONE_ACCEPTABLE))


class Reply(enum.IntEnum):
    """How a CONNECT ended."""

    SUCCEEDED = 0
    FAILURE = 1
    NOT_ALLOWED = 2
    NETWORK_UNREACHABLE = 3
    HOST_UNREACHABLE = 4
    REFUSED = 5
    TIMED_OUT = 6
    COMMAND_NOT_SUPPORTED = 7
    ADDRESS_NOT_SUPPORTED = 8


class Malformed(Exception):
    """The peer speaks no SOCKS5. ``answer`` is what to send before closing."""

    def __init__(self, message: str, *, answer: bytes = b"") -> None:
        super().__init__(message)
        self.answer = answer


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """CONNECT ``host`` (a name or an address, as text) ``port``; ``size`` bytes long on the wire."""

    host: str
    port: int
    size: int


def greeting_size(data: bytes | bytearray) -> int | None:
    """The size of the greeting at the start of ``data``; ``None`` if more bytes are needed.

    Raises:
        Malformed: it is none, or offers no way without a password.
    """
    if data and data[0] != VERSION:
        raise Malformed("not SOCKS5")
    if len(data) < 2 or len(data) < 2 + data[1]:
        return None
    size = 2 + data[1]
    if _NO_AUTHENTICATION not in data[2:size]:
        raise Malformed("asks for a password", answer=GREETING_REFUSED)
    return size


def request(data: bytes | bytearray) -> Request | None:
    """The request at the start of ``data``; ``None`` if more bytes are needed.

    Raises:
        Malformed: it is none, or not a CONNECT.
    """
    if len(data) < 5:
        return None
    version, command, _, kind = data[:4]
    if version != VERSION:
        raise Malformed("not SOCKS5")
    if command != _CONNECT:
        raise Malformed(f"command {command} is not CONNECT", answer=reply(Reply.COMMAND_NOT_SUPPORTED))
    start, length = (5, data[4]) if kind == _DOMAIN else (4, _ADDRESS_LENGTHS.get(kind, 0))
    if not length:
        raise Malformed(f"no address of kind {kind}", answer=reply(Reply.ADDRESS_NOT_SUPPORTED))
    end = start + length
    if len(data) < end + 2:
        return None
    host = _host(kind, bytes(data[start:end]))
    return Request(host=host, port=int.from_bytes(data[end : end + 2], "big"), size=end + 2)


def reply(how: Reply) -> bytes:
    """The answer to a request. The bound address is of no use to Chromium, and is left zero."""
    return bytes((VERSION, how, 0, _IPV4)) + bytes(6)


def _host(kind: int, raw: bytes) -> str:
    if kind == _IPV4:
        return str(ipaddress.IPv4Address(raw))
    if kind == _IPV6:
        return str(ipaddress.IPv6Address(raw))
    try:
        return raw.decode("ascii")
    except UnicodeDecodeError as error:
        raise Malformed("the name is not ASCII", answer=reply(Reply.ADDRESS_NOT_SUPPORTED)) from error
