"""Chromium's end of a connection: first SOCKS's handshake, then one half of a relay."""

import asyncio
from typing import Final, Protocol

from browserpool.agent import meters
from browserpool.agent.egress import relay, socks
from browserpool.lib import clock

_MOST_EARLY: Final = 16_384
"""Bytes that may come before the relay stands. No client of ours speaks before it is answered."""


class Host(Protocol):
    """What a client needs of the guard."""

    def admit(self, client: "Client") -> bool:
        """Count the client in, unless there are too many."""

    def leave(self, client: "Client") -> None:
        """Count the client out."""

    def serve(self, client: "Client", request: socks.Request) -> None:
        """Answer the request, with ``Client.refuse`` or ``Client.start``."""


class Client(relay.Side):
    """One connection from Chromium."""

    def __init__(self, host: Host, *, monotonic: clock.Monotonic) -> None:
        super().__init__(monotonic=monotonic)
        self._host = host
        self._greeted = False
        self._asked = False

    @property
    def relaying(self) -> bool:
        """Whether the handshake is over."""
        return self.other is not None

    @property
    def idle_since(self) -> float:
        """When a byte last moved, either way."""
        return self.last_active if self.other is None else max(self.last_active, self.other.last_active)

    def refuse(self, how: socks.Reply) -> None:
        """Say how it ended, and close."""
        if self.open:
            self.send(socks.reply(how))
            self.close()

    def start(self, upstream: relay.Side) -> None:
        """Say that it succeeded, and relay."""
        if not self.open:
            upstream.abort()
            return
        self.send(socks.reply(socks.Reply.SUCCEEDED))
        self.join(upstream)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if not self._host.admit(self):
            count("too many")
            self.abort()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.relaying:
            return
        try:
            self._shake_hands()
        except socks.Malformed as error:
            count("malformed")
            self.send(error.answer)
            self.close()
        if len(self._early) > _MOST_EARLY:
            self.abort()

    def eof_received(self) -> bool:
        return super().eof_received() if self._asked else False

    def connection_lost(self, exc: Exception | None) -> None:
        self._host.leave(self)
        super().connection_lost(exc)

    def _shake_hands(self) -> None:
        if not self._greeted and (size := socks.greeting_size(self._early)) is not None:
            self._greeted = True
            del self._early[:size]
            self.send(socks.GREETING_ACCEPTED)
        if self._greeted and not self._asked and (request := socks.request(self._early)) is not None:
            self._asked = True
            del self._early[: request.size]
            self._host.serve(self, request)


def count(verdict: str) -> None:
    """Count a connection that was asked for."""
    meters.note(lambda metrics: metrics.EGRESS.labels(verdict).inc())
