"""The server: resolve, judge, connect, relay."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from browserpool.agent.egress import client, dial, names, notes, policy, refusals, relay, socks
from browserpool.lib import clock, listening, tasks
from browserpool.model import terms

HOST: Final = "127.0.0.1"
HANDSHAKE: Final = 30.0
"""Seconds from the connection to the relay: the client's word, the resolver's and the server's, whose own deadlines are shorter."""
IDLE: Final = 600.0
"""Seconds without a byte either way after which a connection is closed. Chromium drops its own idle ones after five minutes."""
MOST: Final = 2048
"""Connections at one time; Chromium alone opens at most some hundreds."""
_SWEEP: Final = 10.0
_GRACE: Final = 0.1
"""Seconds for what runs when the agent stops; there is nothing to save."""


class Guard:
    """A running proxy. ``address`` is where it listens; ``notes`` explains what it refused."""

    def __init__(self, *, rules: policy.Policy, resolve: names.Resolve, monotonic: clock.Monotonic) -> None:
        self._rules = rules
        self._resolve = resolve
        self._monotonic = monotonic
        self._own_ports: set[int] = set()
        self._hosts: tuple[str, ...] | None = None
        self._clients: set[client.Client] = set()
        self._work = tasks.Background(grace=_GRACE)
        self.notes = notes.Notes(monotonic=monotonic)
        self.address = listening.Address(host=HOST, port=0)

    @property
    def connections(self) -> int:
        """Connections open now, handshakes included."""
        return len(self._clients)

    def protect(self, port: int) -> None:
        """Refuse ``port`` on this machine, whatever the policy allows: the agent's server, Chromium's CDP."""
        self._own_ports.add(port)

    def unprotect(self, port: int) -> None:
        """``port`` is no longer the agent's nor Chromium's."""
        self._own_ports.discard(port)

    def restrict(self, hosts: tuple[str, ...] | None) -> None:
        """From now on only hosts of these patterns are reached (``terms.is_allowed``), by new connections only; ``None``: any again."""
        self._hosts = hosts
        for each in tuple(self._clients):
            each.abort()

    async def route(self, host: str, port: int) -> Sequence[policy.Address]:
        """The addresses to try for ``host``, every one judged.

        Raises:
            refusals.Refused: the host has none, or one of them is forbidden; or it is not one that the session may reach.
        """
        if self._hosts is not None and not terms.is_allowed(host, self._hosts):
            # Not even asked for: a name that is resolved tells whoever answers for it.
            raise refusals.guarded(host, port)
        try:
            addresses = await self._resolve(host)
        except names.NotFound as error:
            raise refusals.unknown(host, error) from error
        if not addresses:
            raise refusals.unknown(host, "it has no address")
        for address in addresses:
            verdict = policy.judge(address, policy=self._rules)
            if not verdict.allowed:
                raise refusals.forbidden(host, port, address, f"the address is {verdict.reason}")
            if port in self._own_ports and dial.is_this_machine(address):
                raise refusals.forbidden(host, port, address, "the port is the browser's own control port")
        return addresses

    def admit(self, newcomer: client.Client) -> bool:
        """Count it in, unless there are too many."""
        if len(self._clients) >= MOST:
            return False
        self._clients.add(newcomer)
        return True

    def leave(self, leaver: client.Client) -> None:
        """Count it out."""
        self._clients.discard(leaver)

    def serve(self, asker: client.Client, request: socks.Request) -> None:
        """Answer ``request`` in a task of its own."""
        self._work.spawn(self._serve(asker, request), name="egress connect")

    async def _serve(self, asker: client.Client, request: socks.Request) -> None:
        host, port = request.host, request.port
        try:
            upstream = await self._connect(host, port)
        except refusals.Refused as refused:
            client.count(refused.verdict)
            self.notes.refused(host, port, message=refused.message, code=refused.code)
            asker.refuse(refused.reply)
        else:
            client.count("allowed")
            self.notes.reached(host, port)
            asker.start(upstream)

    async def _connect(self, host: str, port: int) -> relay.Side:
        addresses = await self.route(host, port)
        try:
            return await dial.connect(addresses, port, lambda: relay.Side(monotonic=self._monotonic))
        except TimeoutError as error:
            raise refusals.timed_out(host, port, dial.DEADLINE) from error
        except OSError as error:
            raise refusals.failed(host, port, error) from error

    async def sweep(self) -> None:
        """Close connections that idle, and handshakes that do not end."""
        now = self._monotonic()
        for each in tuple(self._clients):
            if now - each.idle_since > (IDLE if each.relaying else HANDSHAKE):
                each.abort()

    async def close(self) -> None:
        """Close every connection."""
        for each in tuple(self._clients):
            each.abort()
        await self._work.close()


@contextlib.asynccontextmanager
async def guard(
    rules: policy.Policy,
    *,
    listener: socket.socket | None = None,
    resolve: names.Resolve = names.resolve,
    monotonic: clock.Monotonic = clock.monotonic,
) -> AsyncIterator[Guard]:
    """Run the proxy while the block runs, on ``listener`` or on a free port of loopback, which it protects."""
    made = Guard(rules=rules, resolve=resolve, monotonic=monotonic)
    loop = asyncio.get_running_loop()
    where: dict[str, Any] = {"host": HOST, "port": 0} if listener is None else {"sock": listener}
    server = await loop.create_server(lambda: client.Client(made, monotonic=monotonic), backlog=512, **where)
    made.address = listening.Address(host=HOST, port=server.sockets[0].getsockname()[1])
    made.protect(made.address.port)
    async with tasks.Background(grace=_GRACE) as background:
        background.spawn(tasks.periodically(made.sweep, every=_SWEEP, name="egress sweep"), name="egress sweep")
        try:
            yield made
        finally:
            server.close()
            await made.close()
