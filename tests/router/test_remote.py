"""Calls to other systems: what cannot be had is told in our words, in time."""

import asyncio
import contextlib
import pathlib
import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from browserpool.lib import web as lib_web
from browserpool.model import elsewhere, errors
from browserpool.router import remote, secretfiles
from support import waiting


@pytest.fixture
async def client() -> AsyncIterator[remote.Remote]:
    async with remote.Remote(connect_timeout=1.0) as made:
        yield made


class Server:
    """Somebody else's."""

    def __init__(self) -> None:
        self.running = 0
        self.bodies: list[int] = []
        self.cookies: list[str | None] = []
        self.more = asyncio.Event()

    async def echo(self, request: web.Request) -> web.Response:
        self.bodies.append(len(await request.read()))
        return web.Response(status=302, headers={"Location": "/elsewhere"})

    async def remember(self, request: web.Request) -> web.Response:
        self.cookies.append(request.headers.get("Cookie"))
        return web.Response(headers={"Set-Cookie": "tenant=a; Path=/"})

    async def lead(self, request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "/there"})

    async def there(self, request: web.Request) -> web.StreamResponse:
        self.running += 1
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        return socket

    async def in_pieces(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"sess')
        await self.more.wait()
        await response.write(b'ionId":1}')
        return response

    async def hang(self, request: web.Request) -> web.StreamResponse:
        self.running += 1
        try:
            await asyncio.Event().wait()
            raise AssertionError("cancelled before")
        finally:
            self.running -= 1


@pytest.fixture
async def server() -> AsyncIterator[tuple[Server, str]]:
    made, app = Server(), web.Application(client_max_size=10**8)
    app.router.add_post("/echo", made.echo)
    app.router.add_get("/hang", made.hang)
    app.router.add_get("/pieces", made.in_pieces)
    app.router.add_get("/remember", made.remember)
    app.router.add_get("/lead", made.lead)
    app.router.add_get("/there", made.there)
    async with lib_web.serve(app, host="127.0.0.1", port=0, grace=0.1) as address:
        yield made, f"http://{address}"


async def test_a_large_body_goes_whole_and_no_redirect_is_followed(client, server) -> None:
    made, url = server
    async with client.ask("POST", url + "/echo", headers={}, body=bytes(5_000_000), deadline=10) as answer:
        assert answer.status == 302
    assert made.bodies == [5_000_000]


async def test_what_one_request_is_told_to_remember_no_other_one_sends(client, server) -> None:
    made, url = server
    # By its name: an address of numbers gets no cookies anyway.
    url = url.replace("127.0.0.1", "localhost")
    for _ in range(2):
        async with client.ask("GET", url + "/remember", headers={}, deadline=10) as answer:
            assert answer.status == 200
    assert made.cookies == [None, None]


async def test_an_answer_is_whole_however_many_pieces_it_comes_in(client, server) -> None:
    made, url = server
    async with client.ask("GET", url + "/pieces", headers={}, deadline=10) as answer, asyncio.TaskGroup() as group:
        reading = group.create_task(remote.whole(answer, most=15))
        await waiting.until(lambda: answer.content.total_bytes > 0)
        made.more.set()
        assert await reading == b'{"sessionId":1}'
    with pytest.raises(errors.UpstreamFailed, match="more than 14 bytes"):
        async with client.ask("GET", url + "/pieces", headers={}, deadline=10) as answer:
            await remote.whole(answer, most=14)


async def test_a_complaint_is_read_as_far_as_it_comes(client, server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's second piece is never sent."""
    _, url = server
    monkeypatch.setattr("browserpool.router.remote.WORDS", 0.2)
    async with client.ask("GET", url + "/pieces", headers={}, deadline=10) as answer:
        assert await remote.complaint(answer) == b'{"sess'


async def test_a_websocket_is_not_led_elsewhere(client, server) -> None:
    made, url = server
    with pytest.raises(errors.UpstreamFailed, match="leads elsewhere"):
        await client.websocket(url + "/lead", headers={})
    assert made.running == 0


async def test_who_does_not_answer_is_given_up_and_left_alone(client, server) -> None:
    made, url = server
    with pytest.raises(errors.UpstreamFailed):
        async with client.ask("GET", url + "/hang", headers={}, deadline=0.2):
            raise AssertionError("there is no answer")
    await waiting.until(lambda: made.running == 0)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/x?token=secret", "http://no-such-host.invalid/x?token=secret"])
async def test_who_cannot_be_reached_is_named_without_the_secret(client, url: str) -> None:
    for connect in (client.ask("GET", url, headers={}, deadline=5).__aenter__(), client.websocket(url, headers={})):
        with pytest.raises(errors.UpstreamFailed) as raised:
            await connect
        assert url.split("/")[2] in raised.value.message
        assert "secret" not in raised.value.message


async def test_a_websocket_to_nobody_is_known_to_have_been_sent_to_nobody(client) -> None:
    """A host that answers no connection, as one that is switched off: a listener whose backlog is full."""
    with socket.socket() as silent, contextlib.ExitStack() as fillers:
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        for _ in range(3):
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(silent.getsockname())
        with pytest.raises(errors.UpstreamFailed) as raised:
            await client.websocket(f"http://127.0.0.1:{silent.getsockname()[1]}/", headers={})
    assert isinstance(raised.value.__cause__, aiohttp.ConnectionTimeoutError)


async def test_a_websocket_that_is_refused_says_with_what(client, server) -> None:
    _, url = server
    with pytest.raises(aiohttp.WSServerHandshakeError) as raised:
        await client.websocket(url + "/nothing", headers={})
    assert raised.value.status == 404


def test_a_token_is_read_when_it_is_needed(tmp_path: pathlib.Path) -> None:
    files, ref = secretfiles.SecretFiles(str(tmp_path)), elsewhere.SecretKey(name="old", key="token")
    with pytest.raises(errors.UpstreamFailed, match="key token of Secret old"):
        files.read(ref)
    (tmp_path / "old").mkdir()
    for token in ("first", "second"):
        (tmp_path / "old" / "token").write_text(f"{token}\n")
        assert files.read(ref) == token


@pytest.mark.parametrize("held", [b"", b" \n", b"two\nlines", b"caf\xe9", "\u00e9".encode(), b"nul\0"])
def test_what_is_no_token_is_told_before_it_is_sent(tmp_path: pathlib.Path, held: bytes) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "token").write_bytes(held)
    with pytest.raises(errors.UpstreamFailed, match="Secret old is no token"):
        secretfiles.SecretFiles(str(tmp_path)).read(elsewhere.SecretKey(name="old", key="token"))


@pytest.mark.parametrize(("name", "key"), [("../etc", "token"), ("old", "a/b"), ("", "token"), ("Old", "token")])
def test_a_name_is_no_path(name: str, key: str) -> None:
    with pytest.raises(ValueError):
        elsewhere.SecretKey(name=name, key=key)
