"""The frames of ``@cloudflare/puppeteer`` before 1.1: CDP messages cut in chunks, since a Worker once took none over a mebibyte.

A message is its length in bytes (4, little endian) and its UTF-8 text, cut into binary frames of at most ``MOST`` bytes; only its first
frame has the length. A text frame ``ping`` comes once a second; it is nobody's message, and keeps no session alive.
"""

import struct
from collections.abc import Iterator
from typing import Any, Final

import aiohttp
from aiohttp import web

from browserpool.router import bridge

MOST: Final = 1_048_575
"""Bytes of one frame."""
LONGEST: Final = 100 * 1024 * 1024
"""Bytes of one message: Chromium closes the connection over a longer one."""
PING: Final = b"ping"
_LENGTH: Final = struct.Struct("<I")


class Malformed(Exception):
    """These frames are no message; what comes after them cannot be told from them."""


def chunks(message: bytes) -> Iterator[bytes]:
    """The frames of one message."""
    first = MOST - _LENGTH.size
    yield _LENGTH.pack(len(message)) + message[:first]
    for start in range(first, len(message), MOST):
        yield message[start : start + MOST]


class Assembly:
    """Frames of one client, put together."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._missing = 0

    def add(self, frame: bytes) -> bytes | None:
        """The message that ends with ``frame``; ``None`` if it goes on.

        Raises:
            Malformed: the frame is longer than what is missing, or begins a message longer than ``LONGEST``.
        """
        part = frame
        if not self._parts:
            self._missing, part = _begun(frame)
        if len(part) > self._missing:
            raise Malformed(f"a frame of {len(part)} bytes where {self._missing} are missing from the message")
        self._parts.append(part)
        self._missing -= len(part)
        if self._missing:
            return None
        message = b"".join(self._parts)
        self._parts.clear()
        return message


def _begun(frame: bytes) -> tuple[int, bytes]:
    if len(frame) < _LENGTH.size:
        raise Malformed(f"a message that begins with {len(frame)} bytes, which hold no length")
    (length,) = _LENGTH.unpack_from(frame)
    if length > LONGEST:
        raise Malformed(f"a message of {length} bytes, where {LONGEST} is the most")
    return length, frame[_LENGTH.size :]


class Socket(web.WebSocketResponse[Any]):
    """A client's side that gives whole messages, and takes them."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._assembly = Assembly()

    async def receive(self, timeout: float | None = None) -> Any:  # noqa: ASYNC109 - aiohttp's own
        """The next message, as if it had come in one text frame. A malformed one closes the connection, and says why."""
        while True:
            frame = await super().receive(timeout)
            if frame.type is not aiohttp.WSMsgType.BINARY:
                if frame.type is aiohttp.WSMsgType.TEXT and frame.data == PING:
                    continue
                return frame
            try:
                message = self._assembly.add(frame.data)
            except Malformed as error:
                await self.close(code=aiohttp.WSCloseCode.PROTOCOL_ERROR, message=str(error).encode()[:123])
                return aiohttp.WSMessage(aiohttp.WSMsgType.CLOSED, None, None)
            if message is not None:
                return aiohttp.WSMessage(aiohttp.WSMsgType.TEXT, message, None)

    async def send_frame(self, message: bytes, opcode: aiohttp.WSMsgType, compress: int | None = None) -> None:
        """Send one message, cut; ``opcode`` is that of a message, and each of its frames is binary."""
        assert opcode in bridge.TEXT_OR_BINARY, opcode
        for chunk in chunks(message):
            await super().send_frame(chunk, aiohttp.WSMsgType.BINARY, compress)
