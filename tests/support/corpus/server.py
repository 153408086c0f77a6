"""Sends the steps of pages: HTTP as bytes, so that what is broken is broken in the way that the page says."""

import asyncio
import contextlib
import gzip
import pathlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Mapping, Sequence

from browserpool.lib import tasks
from support.corpus import model

_HERE = pathlib.Path(__file__).parent
_REQUEST_DEADLINE = 30.0
CERTIFICATES = ("self_signed", "expired", "wrong_host")


class Server:
    """``origin`` is where it is; each page lives below its own name, so that relative addresses of one do not meet another's."""

    def __init__(self, pages: Sequence[model.Page]) -> None:
        self._pages = {page.name: page for page in pages}
        assert len(self._pages) == len(pages), "two pages have one name"
        self.port = 0
        self.tls_ports: dict[str, int] = {}
        self.asked: dict[str, int] = {}
        """How often each address was asked for."""

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def url(self, page: model.Page) -> str:
        """Where the page is."""
        if page.url is not None:
            return self._filled(page.url.encode(), page.name).decode()
        return f"{self.origin}/{page.name}{page.path}"

    def filled(self, text: str, page: model.Page) -> str:
        """``text`` with this server's addresses."""
        return self._filled(text.encode(), page.name).decode()

    def _filled(self, data: bytes, name: str) -> bytes:
        places = {
            b"@origin@": f"{self.origin}/{name}",
            b"@other@": f"http://127.0.0.2:{self.port}/{name}",
            b"@port@": str(self.port),
            **{f"@{kind}@".encode(): f"https://127.0.0.1:{port}/{name}" for kind, port in self.tls_ports.items()},
        }
        for place, address in places.items():
            data = data.replace(place, address.encode())
        return data

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            async with asyncio.timeout(_REQUEST_DEADLINE):
                first = await reader.readexactly(1)
                # TLS that came to the wrong door.
                head = b"" if first == b"\x16" else first + await reader.readuntil(b"\r\n\r\n")
            if not head:
                writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                writer.close()
                return
            path = head.split(b" ", 2)[1].decode().partition("?")[0]
            self.asked[path] = self.asked.get(path, 0) + 1
            _, name, rest = (*path.split("/", 2), "")[:3]
            page = self._pages.get(name)
            steps: tuple[model.Step, ...] = page.routes.get(f"/{rest}", ()) if page else ()
            for step in steps or (model.Answer(body="<title>Missing</title>", status="404 Not Found"),):
                await self._do(step, head, name, reader, writer)
        writer.close()

    async def _do(
        self, step: model.Step, head: bytes, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        match step:
            case model.Answer():
                writer.write(self._rendered(step, name))
            case model.If():
                writer.write(self._rendered(step.then if step.has in head else step.otherwise, name))
            case model.Send():
                for _ in range(step.times):
                    writer.write(self._filled(step.data, name))
                    await writer.drain()
            case model.Pause():
                await asyncio.sleep(step.seconds)
            case model.Hold():
                await writer.drain()
                await reader.read()
            case model.Drip():
                while not reader.at_eof() and not writer.is_closing():
                    writer.write(step.data)
                    await writer.drain()
                    await asyncio.sleep(step.every)
            case model.Reset():
                await writer.drain()
                # What was sent must have arrived: a reset throws away what still waits.
                await asyncio.sleep(0.1)
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                writer.transport.abort()
        await writer.drain()

    def _rendered(self, answer: model.Answer, name: str) -> bytes:
        body = answer.body.encode() if isinstance(answer.body, str) else answer.body
        body = self._filled(body, name)
        if answer.gzipped:
            body = gzip.compress(body)
        lines = [f"{answer.version} {answer.status}", "Connection: close"]
        if answer.kind is not None:
            lines.append(f"Content-Type: {answer.kind}")
        if answer.gzipped:
            lines.append("Content-Encoding: gzip")
        if answer.promised != -1:
            lines.append(f"Content-Length: {len(body) if answer.promised is None else answer.promised}")
        lines += answer.headers
        return self._filled("\r\n".join([*lines, "", ""]).encode(), name) + body


def _contexts() -> Mapping[str, ssl.SSLContext]:
    made = {}
    for kind in CERTIFICATES:
        made[kind] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made[kind].load_cert_chain(_HERE / f"{kind}.pem")
    return made


@contextlib.asynccontextmanager
async def running(pages: Sequence[model.Page]) -> AsyncIterator[Server]:
    """Serve ``pages`` until the block ends, on two addresses of loopback."""
    made = Server(pages)
    async with tasks.Background(grace=0.1) as background:

        def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            background.spawn(made.serve(reader, writer), name="corpus connection")

        async with contextlib.AsyncExitStack() as stack:
            plain = await stack.enter_async_context(await asyncio.start_server(accepted, "127.0.0.1", 0))
            made.port = plain.sockets[0].getsockname()[1]
            # The same once more, as another site.
            await stack.enter_async_context(await asyncio.start_server(accepted, "127.0.0.2", made.port))
            for kind, context in _contexts().items():
                server = await asyncio.start_server(accepted, "127.0.0.1", 0, ssl=context)
                await stack.enter_async_context(server)
                made.tls_ports[kind] = server.sockets[0].getsockname()[1]
            yield made
