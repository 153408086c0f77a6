"""Bytes between two sockets: what one receives the other sends, with back-pressure, half-close, and nothing parsed."""

import asyncio
from typing import cast

from browserpool.lib import clock


class Side(asyncio.Protocol):
    """One of the two sockets. What it receives before ``join`` waits; from then on either closes with the other."""

    def __init__(self, *, monotonic: clock.Monotonic) -> None:
        self._monotonic = monotonic
        self._early = bytearray()
        self.other: Side | None = None
        self.transport: asyncio.Transport | None = None
        self.finished = False
        """Whether nothing more will come from this side."""
        self.last_active = monotonic()

    @property
    def open(self) -> bool:
        """Whether bytes can still be sent to this side."""
        return self.transport is not None and not self.transport.is_closing()

    def join(self, other: "Side") -> None:
        """From now on each sends what the other receives."""
        self.other, other.other = other, self
        for side, peer in ((self, other), (other, self)):
            peer.send(side.take_early())
            if not side.open:
                peer.close()
            elif side.finished:
                peer.finish()

    def take_early(self) -> bytes:
        """What came before ``join``."""
        early = bytes(self._early)
        self._early.clear()
        return early

    def send(self, data: bytes) -> None:
        """Send ``data`` to this side's peer."""
        if data and self.transport is not None:
            self.transport.write(data)

    def finish(self) -> None:
        """Say that nothing more will be sent."""
        if self.transport is not None and self.open and self.transport.can_write_eof():
            self.transport.write_eof()

    def close(self) -> None:
        """Close after what is buffered is sent."""
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        """Close at once."""
        if self.transport is not None:
            self.transport.abort()

    # ------------------------------------------------ called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.last_active = self._monotonic()
        if self.other is not None:
            self.other.send(data)
        else:
            self._early += data

    def eof_received(self) -> bool:
        self.finished = True
        if self.other is None:
            return True
        self.other.finish()
        # Open in the other direction: a server may answer after the client has said its last word.
        return self.other.open and not self.other.finished

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - why makes no difference to the other side
        self.finished = True
        if self.other is not None:
            self.other.close()

    def pause_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and self.other.transport is not None and self.other.open:
            self.other.transport.resume_reading()
