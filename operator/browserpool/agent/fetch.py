"""One GET without a browser, by the rules that hold for pages: for robots.txt files, sitemaps, and pages that need no script.

It goes the way that Chromium's connections go: the guard resolves the host once and judges every address of the answer, and the connection
is made to one of those and to nothing else. Each redirect is a request of its own, judged anew.
"""

import asyncio
import base64
import dataclasses
import ipaddress
import socket
from collections.abc import Sequence
from typing import Any, Final

import aiohttp
import orjson
import pydantic
import yarl
from aiohttp import abc

from browserpool.agent import documents
from browserpool.agent.actions import answer
from browserpool.agent.egress import client, policy, proxy, refusals
from browserpool.lib import web
from browserpool.model import errors
from browserpool.model.wire import complaints, crawl, envelope

MAX_REDIRECTS: Final = 10
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_ACCEPT: Final = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

Code = errors.Code


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Got:
    """The last answer of a chain of redirects. ``truncated``: there was more."""

    status: int
    url: str
    content_type: str
    charset: str | None
    last_modified: str | None
    body: bytes
    truncated: bool


class _Pinned(abc.AbstractResolver):
    """Knows the addresses that were judged, and asks nobody."""

    def __init__(self, addresses: Sequence[policy.Address]) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[abc.ResolveResult]:
        return [
            abc.ResolveResult(
                hostname=host,
                host=str(address),
                port=port,
                family=socket.AF_INET if address.version == 4 else socket.AF_INET6,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._addresses
            if family in (socket.AF_UNSPEC, socket.AF_INET if address.version == 4 else socket.AF_INET6)
        ]

    async def close(self) -> None:
        pass

    def open(self, info: tuple[Any, Any, int, str, tuple[Any, ...]]) -> socket.socket:
        """A socket for one of these addresses; the last look before it is connected."""
        family, kind, proto, _, sockaddr = info
        if ipaddress.ip_address(sockaddr[0]) not in self._addresses:
            raise OSError(f"{sockaddr[0]} is not what was judged")
        return socket.socket(family, kind, proto)


async def perform(content: bytes, *, guard: proxy.Guard) -> answer.Answer:
    """Do the fetch that ``content`` (``wire.crawl.Fetch``) asks for.

    Raises:
        errors.InvalidRequest: it cannot be used.
        errors.PageFailed: there was no answer, or none that may be had.
    """
    try:
        wanted = crawl.Fetch.model_validate_json(content)
    except pydantic.ValidationError as error:
        raise errors.InvalidRequest(complaints.describe(error, body=crawl.Fetch)) from error
    try:
        async with asyncio.timeout(wanted.timeout):
            got = await get(wanted, guard=guard)
            result = await _told(got, wanted)
    except TimeoutError as error:
        raise errors.PageFailed(
            f"{wanted.url} was not read to its end within {wanted.timeout:g} s.", code=Code.TIMEOUT
        ) from error
    return answer.Answer(content_type=web.JSON, body=orjson.dumps(envelope.success(result)))


async def _told(got: Got, wanted: crawl.Fetch) -> dict[str, Any]:
    said: dict[str, Any] = {
        "status": got.status,
        "url": got.url,
        "contentType": got.content_type,
        "lastModified": got.last_modified,
    }
    if not wanted.page:
        return {**said, "body": base64.b64encode(got.body).decode(), "truncated": got.truncated}
    if got.truncated:
        raise errors.PageFailed(f"{got.url} has more than {wanted.max_bytes} bytes.", code=Code.NETWORK)
    text = documents.text(got.body, content_type=got.content_type, charset=got.charset)
    if text is None:
        raise errors.PageFailed(f"{got.url} is no page, but {got.content_type}.", code=Code.ABORTED)
    page = await documents.read(text, url=got.url, content_type=got.content_type)
    said |= {"title": page.title, "html": text, "links": page.links}
    return {**said, "markdown": page.markdown} if wanted.markdown else said


async def get(wanted: crawl.Fetch, *, guard: proxy.Guard) -> Got:
    """The answer at the end of the redirects.

    Raises:
        errors.PageFailed: there is none; the message says why.
    """
    url = yarl.URL(wanted.url)
    for _ in range(MAX_REDIRECTS + 1):
        answered = await _once(url, wanted, guard=guard)
        if isinstance(answered, Got):
            return answered
        url = answered
    raise errors.PageFailed(f"{wanted.url} redirects more than {MAX_REDIRECTS} times.", code=Code.REDIRECTS)


async def _once(url: yarl.URL, wanted: crawl.Fetch, *, guard: proxy.Guard) -> Got | yarl.URL:
    host, port = url.raw_host, url.port
    if url.scheme not in ("http", "https") or not host or not port:
        raise errors.PageFailed(f"{wanted.url} leads to {url}, which cannot be fetched.", code=Code.INVALID_ADDRESS)
    try:
        pinned = _Pinned(await guard.route(host, port))
    except refusals.Refused as refused:
        client.count(refused.verdict)
        raise errors.PageFailed(refused.message, code=refused.code) from refused
    client.count("allowed")
    connector = aiohttp.TCPConnector(
        resolver=pinned, use_dns_cache=False, force_close=True, socket_factory=pinned.open, limit=1
    )
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        try:
            return await _asked(session, url, wanted)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise failure(url, error) from error


async def _asked(session: aiohttp.ClientSession, url: yarl.URL, wanted: crawl.Fetch) -> Got | yarl.URL:
    headers = {"User-Agent": wanted.user_agent, "Accept": _ACCEPT}
    timeout = aiohttp.ClientTimeout(total=wanted.timeout)
    async with session.get(url, headers=headers, allow_redirects=False, timeout=timeout) as response:
        if response.status in _REDIRECTS and (location := response.headers.get("Location")):
            return url.join(yarl.URL(location))
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > wanted.max_bytes:
                break
        return Got(
            status=response.status,
            url=str(url.with_fragment(None)),
            content_type=response.content_type,
            charset=response.charset,
            last_modified=response.headers.get("Last-Modified"),
            body=bytes(body[: wanted.max_bytes]),
            truncated=len(body) > wanted.max_bytes,
        )


def failure(url: yarl.URL, error: Exception) -> errors.PageFailed:
    """Why there was no answer, by the code that a page would have."""
    code, why = Code.NETWORK, str(error) or type(error).__name__
    match error:
        case aiohttp.ClientSSLError():
            code, why = Code.CERTIFICATE, f"its certificate or its TLS is not good ({error})"
        case aiohttp.ClientConnectorError(os_error=ConnectionRefusedError()):
            code, why = Code.REFUSED, "nothing listens there"
        case aiohttp.ClientConnectorError():
            code, why = Code.UNREACHABLE, f"it cannot be reached ({error.os_error})"
        case (
            aiohttp.ServerDisconnectedError()
            | aiohttp.ClientPayloadError()
            | ConnectionError()
            | aiohttp.ClientOSError()
        ):
            code, why = Code.CONNECTION_CLOSED, "the connection was closed before the answer's end"
    return errors.PageFailed(f"{url} could not be fetched: {why}.", code=code)
