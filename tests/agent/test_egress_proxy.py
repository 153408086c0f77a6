"""The proxy over real sockets: what it connects, what it refuses, how it relays, and that it lets go."""

import asyncio
import contextlib
import ipaddress

import pytest

from browserpool import metrics
from browserpool.agent import meters
from browserpool.agent.egress import dial, names, policy, proxy, socks
from browserpool.model import errors
from support import site, waiting

LOOPBACK = policy.read(allow=["127.0.0.0/8"])
OK = socks.reply(socks.Reply.SUCCEEDED)


async def _nothing(reader, writer):
    """A server's handler that only keeps the connection while the other side does."""
    with contextlib.suppress(ConnectionResetError):
        await reader.read()
    writer.close()


async def ask(guard, host, port):
    """One CONNECT; returns the streams and the reply."""
    reader, writer = await asyncio.open_connection(guard.address.host, guard.address.port)
    writer.write(b"\x05\x01\x00")
    assert await reader.readexactly(2) == b"\x05\x00"
    name = host.encode()
    writer.write(b"\x05\x01\x00\x03" + bytes((len(name),)) + name + port.to_bytes(2, "big"))
    return reader, writer, await reader.readexactly(10)


async def refused(guard, host, port):
    """The reply code and the note of a CONNECT that must fail; the connection must be closed."""
    reader, writer, reply = await ask(guard, host, port)
    assert await reader.read() == b""
    writer.close()
    return reply[1], guard.notes.refusal(host, port)


async def closed(reader):
    """The other side has closed, gently or not."""
    with contextlib.suppress(ConnectionResetError):
        assert await asyncio.wait_for(reader.read(), 5) == b""


def resolver(*addresses):
    async def resolve(_host):
        return tuple(ipaddress.ip_address(address) for address in addresses)

    return resolve


async def test_a_page_travels_through():
    async with site.running() as web, proxy.guard(LOOPBACK) as guard:
        reader, writer, reply = await ask(guard, "127.0.0.1", web.port)
        assert reply == OK
        writer.write(b"GET /small HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.endswith(b"</html>")
        writer.close()
        await waiting.until(lambda: guard.connections == 0)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f.1", "::ffff:127.0.0.1", "0.0.0.0", "LocalHost"]
)
async def test_loopback_is_refused_in_every_form_and_nothing_arrives(host):
    arrived = []

    async def canary(_reader, writer):
        arrived.append(1)
        writer.close()

    server = await asyncio.start_server(canary, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, proxy.guard(policy.read()) as guard:
        meters.load()
        before = metrics.EGRESS.labels("blocked")._value.get()
        code, note = await refused(guard, host, port)
        assert code == socks.Reply.NOT_ALLOWED
        assert note is not None
        assert (note.status, note.code) == (422, errors.Code.INVALID_ADDRESS)
        assert metrics.EGRESS.labels("blocked")._value.get() == before + 1
    assert arrived == []


async def test_one_forbidden_address_forbids_the_answer():
    async with proxy.guard(policy.read(), resolve=resolver("93.184.216.34", "10.0.0.1")) as guard:
        code, note = await refused(guard, "mixed.test", 80)
        assert code == socks.Reply.NOT_ALLOWED
        assert "10.0.0.1" in note.message
        assert "private" in note.message


async def test_a_name_is_resolved_once_and_the_judged_address_is_used():
    answers = iter([["127.0.0.1"], ["127.0.0.2"]])
    asked = []

    async def rebinding(host):
        asked.append(host)
        return tuple(ipaddress.ip_address(address) for address in next(answers))

    async with site.running() as web, proxy.guard(policy.read(allow=["127.0.0.1"]), resolve=rebinding) as guard:
        _, writer, reply = await ask(guard, "rebinding.test", web.port)
        assert reply == OK
        assert asked == ["rebinding.test"]
        writer.close()
        code, _ = await refused(guard, "rebinding.test", web.port)
        assert code == socks.Reply.NOT_ALLOWED


async def test_own_ports_are_refused_even_where_loopback_is_allowed():
    async with site.running() as web, proxy.guard(LOOPBACK) as guard:
        assert (await refused(guard, "127.0.0.1", guard.address.port))[0] == socks.Reply.NOT_ALLOWED
        guard.protect(web.port)
        for host in ("127.0.0.1", "127.0.0.77", "2130706433", "::ffff:127.0.0.1"):
            assert (await refused(guard, host, web.port))[0] == socks.Reply.NOT_ALLOWED, host
        assert web.seen == []
        guard.unprotect(web.port)
        _, writer, reply = await ask(guard, "127.0.0.1", web.port)
        assert reply == OK
        writer.close()


async def test_hosts_that_a_session_may_not_reach_are_refused_before_anybody_is_asked_for_them():
    asked = []

    async def resolve(host):
        asked.append(host)
        return (ipaddress.ip_address("127.0.0.1"),)

    async with site.running() as web, proxy.guard(LOOPBACK, resolve=resolve) as guard:
        reader, writer, reply = await ask(guard, "other.test", web.port)
        assert reply == OK
        guard.restrict(("*.good.test", "127.0.0.1"))
        await closed(reader)
        writer.close()
        asked.clear()
        for host in ("other.test", "good.test", "good.test.evil.test", "127.0.0.2"):
            code, note = await refused(guard, host, web.port)
            assert (code, note.code) == (socks.Reply.NOT_ALLOWED, errors.Code.INVALID_ADDRESS)
        assert asked == []
        for host in ("a.good.test", "127.0.0.1"):
            _, writer, reply = await ask(guard, host, web.port)
            assert reply == OK
            writer.close()
        guard.restrict(())
        assert (await refused(guard, "a.good.test", web.port))[0] == socks.Reply.NOT_ALLOWED
        guard.restrict(None)
        _, writer, reply = await ask(guard, "other.test", web.port)
        assert reply == OK
        writer.close()


def test_this_machine_is_known_by_all_of_its_addresses():
    assert all(
        dial.is_this_machine(ipaddress.ip_address(text))
        for text in ("127.0.0.1", "127.9.9.9", "::1", "0.0.0.0", "::ffff:127.0.0.1")
    )
    assert not dial.is_this_machine(ipaddress.ip_address("192.0.2.1"))


async def test_a_closed_port_and_an_unknown_name_have_their_own_codes():
    server = await asyncio.start_server(_nothing, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    async with proxy.guard(LOOPBACK) as guard:
        code, note = await refused(guard, "127.0.0.1", port)
        assert (code, note.code) == (socks.Reply.REFUSED, errors.Code.REFUSED)

    async def unknown(host):
        raise names.NotFound("no such host")

    async with proxy.guard(LOOPBACK, resolve=unknown) as guard:
        code, note = await refused(guard, "nowhere.test", 80)
        assert (code, note.code) == (socks.Reply.HOST_UNREACHABLE, errors.Code.DNS)


async def test_the_next_address_is_tried():
    resolve = resolver("127.0.0.3", "127.0.0.2")
    async with site.running(host="127.0.0.2") as web, proxy.guard(LOOPBACK, resolve=resolve) as guard:
        _, writer, reply = await ask(guard, "two.test", web.port)
        assert reply == OK
        writer.close()


async def test_success_forgets_an_older_refusal():
    answers = iter([["10.0.0.1"], ["127.0.0.1"]])

    async def resolve(_):
        return tuple(ipaddress.ip_address(address) for address in next(answers))

    async with site.running() as web, proxy.guard(LOOPBACK, resolve=resolve) as guard:
        assert (await refused(guard, "a.test", web.port))[1] is not None
        _, writer, reply = await ask(guard, "A.test", web.port)
        assert reply == OK
        assert guard.notes.refusal("a.test", web.port) is None
        writer.close()


async def test_memory_of_refusals_is_bounded_and_fades():
    now = [0.0]
    async with proxy.guard(policy.read(), resolve=resolver("10.0.0.1"), monotonic=lambda: now[0]) as guard:
        for number in range(1000):
            guard.notes.refused(f"host{number}.test", 80, message="no", code=errors.Code.DNS)
        assert len(guard.notes) == 256
        assert guard.notes.refusal("host0.test", 80) is None
        assert guard.notes.refusal("host999.test", 80) is not None
        now[0] = 61.0
        assert guard.notes.refusal("host999.test", 80) is None


async def test_idle_connections_and_unfinished_handshakes_are_closed():
    now = [0.0]
    server = await asyncio.start_server(_nothing, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, proxy.guard(LOOPBACK, monotonic=lambda: now[0]) as guard:
        silent_reader, silent_writer = await asyncio.open_connection(guard.address.host, guard.address.port)
        reader, writer, reply = await ask(guard, "127.0.0.1", port)
        assert reply == OK
        await waiting.until(lambda: guard.connections == 2)
        now[0] = proxy.HANDSHAKE + 1
        await guard.sweep()
        await closed(silent_reader)
        await waiting.until(lambda: guard.connections == 1)
        now[0] = proxy.IDLE + 1
        await guard.sweep()
        await closed(reader)
        await waiting.until(lambda: guard.connections == 0)
        for each in (silent_writer, writer):
            each.close()


async def test_a_server_that_speaks_first_and_one_that_answers_after_the_last_word():
    async def greeter(reader, writer):
        writer.write(b"hello ")
        said = await reader.read()
        writer.write(said.upper())
        writer.close()

    server = await asyncio.start_server(greeter, "127.0.0.1", 0)
    async with server, proxy.guard(LOOPBACK) as guard:
        reader, writer, reply = await ask(guard, "127.0.0.1", server.sockets[0].getsockname()[1])
        assert reply == OK
        writer.write(b"last word")
        writer.write_eof()
        assert await reader.read() == b"hello LAST WORD"
        writer.close()
        await waiting.until(lambda: guard.connections == 0)


async def test_a_slow_reader_holds_back_a_fast_server():
    """40 MB to a client that does not read: the proxy must not take them all in."""
    sent = 0
    total = 40 * 1024 * 1024

    async def pour(_reader, writer):
        nonlocal sent
        while sent < total:
            writer.write(bytes(65536))
            await writer.drain()
            sent += 65536
        writer.close()

    server = await asyncio.start_server(pour, "127.0.0.1", 0)
    async with server, proxy.guard(LOOPBACK) as guard:
        reader, writer, _ = await ask(guard, "127.0.0.1", server.sockets[0].getsockname()[1])
        writer.transport.pause_reading()
        last = -1

        def stalled():
            nonlocal last
            before, last = last, sent
            return before == sent and sent > 0

        for _ in range(3):
            await waiting.until(stalled)
        assert sent < total
        writer.transport.resume_reading()
        received = 0
        while chunk := await reader.read(1 << 20):
            received += len(chunk)
        assert received == total
        writer.close()


async def test_closing_lets_go_of_everything():
    server = await asyncio.start_server(_nothing, "127.0.0.1", 0)
    async with server:
        async with proxy.guard(LOOPBACK) as guard:
            reader, writer, _ = await ask(guard, "127.0.0.1", server.sockets[0].getsockname()[1])
        await closed(reader)
        writer.close()
        with pytest.raises(OSError):
            await asyncio.open_connection(guard.address.host, guard.address.port)


@pytest.mark.parametrize(
    "rubbish",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00",
        b"\x05\x01\x02",
        b"\x05\x01\x00" + b"\x05\x02\x00\x01" + bytes(6),
    ],
)
async def test_what_is_no_socks_is_shut_out(rubbish):
    async with proxy.guard(LOOPBACK) as guard:
        reader, writer = await asyncio.open_connection(guard.address.host, guard.address.port)
        writer.write(rubbish)
        with contextlib.suppress(ConnectionResetError):
            await reader.read()
        writer.close()
        await waiting.until(lambda: guard.connections == 0)
