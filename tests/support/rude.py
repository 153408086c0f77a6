"""Servers on loopback that break off below HTTP, where a polite one (``site``) cannot.

``async with rude.serving(rude.another_protocol) as port: ...``.
"""

import asyncio
import contextlib
import pathlib
import re
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from browserpool.lib import tasks

Manner = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

_CERTIFICATE = pathlib.Path(__file__).with_name("self_signed.pem")
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_SETTINGS: Final = 4
_CONNECTION: Final = 0
_NO_TYPE_OF_SETTINGS: Final = b"\x00\x00\x00"
"""Three bytes, where settings come by six."""


async def another_protocol(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An SSH server, which speaks first."""
    writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
    await writer.drain()
    await reader.read(4096)


async def hanging_up(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """It listens to the client's first words, and closes."""
    await reader.read(4096)


def saying(*pieces: bytes) -> Manner:
    """It answers any request with these bytes, a segment for each, and closes, whatever its answer has promised."""

    async def manner(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(_length(await reader.readuntil(b"\r\n\r\n")))
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.05)

    return manner


def _length(head: bytes) -> int:
    found = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
    return int(found[1]) if found else 0


async def broken_http2(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """HTTP/2 is agreed upon, and its first frame is none."""
    await reader.readexactly(len(_PREFACE))
    head = struct.pack(">I", len(_NO_TYPE_OF_SETTINGS))[1:] + struct.pack(">BBI", _SETTINGS, 0, _CONNECTION)
    writer.write(head + _NO_TYPE_OF_SETTINGS)
    await writer.drain()
    await reader.read()


def http2() -> ssl.SSLContext:
    """TLS that agrees upon HTTP/2, with a certificate that nobody trusts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_CERTIFICATE)
    context.set_alpn_protocols(["h2"])
    return context


@contextlib.asynccontextmanager
async def serving(manner: Manner, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serve until the block ends; the port."""
    async with tasks.Background(grace=0.1) as background:

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await manner(reader, writer)
            except (OSError, asyncio.IncompleteReadError):
                pass  # the client was no politer
            finally:
                writer.close()

        def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            background.spawn(serve(reader, writer), name="rude connection")

        async with await asyncio.start_server(accepted, "127.0.0.1", 0, ssl=tls) as server:
            yield server.sockets[0].getsockname()[1]
