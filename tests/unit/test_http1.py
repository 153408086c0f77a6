"""The small HTTP client against servers that are right and wrong."""

import asyncio
import contextlib
import pathlib
import socket
import ssl
import struct

import pytest
import uvloop
from aiohttp import web

from browserpool.lib import http1
from browserpool.lib import web as lib_web

CERTIFICATE = pathlib.Path(__file__).parents[1] / "support" / "self_signed.pem"
FIVE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfives"


@contextlib.asynccontextmanager
async def saying(*answers):
    """A server that reads one request and says one of ``answers``, each on a connection of its own; yields address and requests."""
    rest, requests = list(answers), []

    async def serve(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
        requests.append(head + await reader.readexactly(length))
        writer.write(rest.pop(0))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", requests


@contextlib.contextmanager
def client(url, **headers):
    made = http1.Client(url, headers=headers)
    try:
        yield made
    finally:
        made.close()


async def test_a_request_as_it_goes_out():
    async with saying(FIVE) as (url, requests):
        with client(f"{url}/base/", Authorization="Bearer x") as http:
            assert await http.post("/path", b"{}", deadline=5) == (200, b"fives")
    host = url.removeprefix("http://")
    assert requests == [
        (
            f"POST /base/path HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nAuthorization: Bearer x\r\n"
            "Content-Length: 2\r\n\r\n{}"
        ).encode()
    ]


async def test_one_connection_serves_many_requests_whatever_their_answers_are_like():
    peers = set()

    async def answer(request):
        peers.add(request.transport.get_extra_info("peername"))
        body = await request.read()
        match request.query_string:
            case "chunked":
                response = web.StreamResponse(status=203)
                response.enable_chunked_encoding()
                await response.prepare(request)
                for half in (body[:3], body[3:]):
                    await response.write(half)
                await response.write_eof()
                return response
            case "nothing":
                return web.Response(status=204)
            case _:
                return web.Response(status=503, body=body)

    app = web.Application()
    app.router.add_post("/", answer)
    async with lib_web.serve(app, host="127.0.0.1", port=0, grace=0.1) as address:
        with client(f"http://{address}") as http:
            assert await http.post("/?plain", b"body", deadline=5) == (503, b"body")
            assert await http.post("/?chunked", b"a longer body", deadline=5) == (203, b"a longer body")
            assert await http.post("/?nothing", b"body", deadline=5) == (204, b"")
            assert await http.post("/?plain", b"", deadline=5) == (503, b"")
    assert len(peers) == 1


async def test_a_kept_connection_that_broke_is_replaced():
    async with saying(FIVE, FIVE) as (url, requests):
        with client(url) as http:
            assert await http.post("/", b"1", deadline=5) == (200, b"fives")
            assert await http.post("/", b"2", deadline=5) == (200, b"fives")
    assert len(requests) == 2


async def _after_a_reset():
    connections = 0

    async def serve(reader, writer):
        nonlocal connections
        connections += 1
        await reader.readuntil(b"{}")
        writer.write(FIVE)
        await writer.drain()
        if connections == 1:
            # Closed with a reset, as the kernel does for a process that was killed.
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.close()
            closed.set()
            return
        await reader.read()
        writer.close()
        await writer.wait_closed()
        ended.set()

    closed, ended = asyncio.Event(), asyncio.Event()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        with client(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as http:
            assert await http.post("/", b"{}", deadline=5) == (200, b"fives")
            await closed.wait()
            await asyncio.sleep(0.05)  # the reset arrives while nobody reads
            assert await http.post("/", b"{}", deadline=5) == (200, b"fives")
        await ended.wait()
    return connections


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_a_kept_connection_that_was_reset_is_replaced_on_either_loop(run):
    assert run(_after_a_reset()) == 2


async def test_a_server_that_closes_without_a_word_is_not_asked_for_ever():
    async with saying(b"", b"") as (url, requests):
        with client(url) as http, pytest.raises(ConnectionResetError):
            await http.post("/", b"", deadline=5)
    assert len(requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nwithout a length",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x" * 70_000 + b"\r\n\r\n",
    ],
)
async def test_what_is_no_answer(answer):
    async with saying(answer) as (url, _):
        with client(url) as http, pytest.raises(http1.Malformed):
            await http.post("/", b"", deadline=5)


async def test_an_answer_that_does_not_come_or_breaks_off():
    started = asyncio.Event()

    async def serve(reader, writer):
        started.set()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with client(url) as http, pytest.raises(TimeoutError):
            await http.post("/", b"", deadline=0.05)
        assert started.is_set()
    async with saying(FIVE[:-1]) as (url, _):
        with client(url) as http, pytest.raises(ConnectionResetError):
            await http.post("/", b"", deadline=5)


async def test_a_server_whose_certificate_nobody_vouches_for_is_not_spoken_to():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    requests = []

    async def serve(reader, writer):
        requests.append(await reader.read())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        with client(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}") as http, pytest.raises(ssl.SSLError):
            await http.post("/", b"secret", deadline=5)
    assert requests == []
