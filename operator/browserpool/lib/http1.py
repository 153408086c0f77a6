"""An HTTP/1.1 client that is imported in no time: one request at a time to one server, over one connection that is kept.

For a process that must speak before a real client is loaded. It follows no redirects, stores no cookies, and knows no proxies.
"""

import asyncio
import contextlib
import urllib.parse
from collections.abc import Mapping
from typing import Final

_MOST: Final = 1024 * 1024
"""Bytes of an answer."""
_BODILESS: Final = frozenset({204, 304})


class Malformed(OSError):
    """What answers is no web server, or says more than is good."""


class Client:
    """POSTs to the server of ``url``, below the path that ``url`` has. Not for two calls at once."""

    def __init__(self, url: str, *, headers: Mapping[str, str]) -> None:
        parts = urllib.parse.urlsplit(url)
        self._host = parts.hostname or ""
        self._tls = parts.scheme == "https"
        self._port = parts.port or (443 if self._tls else 80)
        self._prefix = parts.path.rstrip("/")
        named = {"Host": parts.netloc.rpartition("@")[2], "Content-Type": "application/json", **headers}
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in named.items())
        self._kept: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, body: bytes, *, deadline: float) -> tuple[int, bytes]:
        """Status and body of the answer; ``deadline`` is in seconds.

        A request that a kept connection breaks under is sent again: the server has closed it meanwhile, as a rule, but may have read it.

        Raises:
            OSError: it cannot be reached, went away, or speaks no HTTP.
            TimeoutError: it did not answer in time.
        """
        head = f"POST {self._prefix}{path} HTTP/1.1\r\n{self._headers}Content-Length: {len(body)}\r\n\r\n"
        request = head.encode("latin-1") + body
        async with asyncio.timeout(deadline):
            if self._kept is not None:
                with contextlib.suppress(ConnectionError):
                    return await self._exchange(request)
            self._kept = await asyncio.open_connection(self._host, self._port, ssl=self._tls or None)
            return await self._exchange(request)

    def close(self) -> None:
        """Let go of the connection."""
        kept, self._kept = self._kept, None
        if kept is not None:
            kept[1].close()

    async def _exchange(self, request: bytes) -> tuple[int, bytes]:
        assert self._kept is not None, "connected"
        reader, writer = self._kept
        whole = False
        try:
            if writer.is_closing():
                # To write would be a ConnectionResetError on asyncio's own loop, and a RuntimeError on uvloop.
                raise ConnectionResetError("the server closed the connection")
            writer.write(request)
            await writer.drain()
            status, headers = await _head(reader)
            body = b"" if status in _BODILESS else await _body(reader, headers)
            whole = headers.get("connection", "").lower() != "close"
        except asyncio.IncompleteReadError as error:
            raise ConnectionResetError("the server closed the connection") from error
        except (ValueError, asyncio.LimitOverrunError) as error:
            raise Malformed(f"the server speaks no HTTP/1.1: {error}") from error
        finally:
            if not whole:
                self.close()
        return status, body


async def _head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    version, status, *_ = lines[0].split(" ", 2)
    if not version.startswith("HTTP/1."):
        raise ValueError(f"begins with {lines[0][:40]!r}")
    pairs = (line.partition(":") for line in lines[1:] if line)
    return int(status), {name.strip().lower(): value.strip() for name, _, value in pairs}


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return await _chunks(reader)
    if "content-length" not in headers:
        raise ValueError("neither Content-Length nor chunks")
    return await reader.readexactly(_within(int(headers["content-length"])))


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    whole = bytearray()
    while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
        whole += await reader.readexactly(_within(len(whole) + size) - len(whole))
        await reader.readexactly(2)
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass  # trailers
    return bytes(whole)


def _within(size: int) -> int:
    if not 0 <= size <= _MOST:
        raise ValueError(f"an answer of {size} bytes")
    return size
