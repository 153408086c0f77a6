"""The request to the router itself: over loopback, as the caller."""

from collections.abc import Mapping
from typing import Final, Self

import aiohttp

from browserpool.lib import listening
from browserpool.model import agentapi, errors
from browserpool.router import bearer, target
from browserpool.router.mcpserver import blocks, tools

DEADLINE: Final = 330.0
"""Seconds; over the longest action's own."""
_PASSED_ON: Final = ("Host", agentapi.BASE)
"""With what the caller calls this router: the addresses that it gives out are to be the caller's."""
_ANY: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - what is bound, to where it is reached


class Itself:
    """The router's own address, once it is known; close by leaving the context."""

    def __init__(self) -> None:
        self._client: aiohttp.ClientSession | None = None
        self._base = ""

    async def __aenter__(self) -> Self:
        self._client = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),
            timeout=aiohttp.ClientTimeout(total=DEADLINE),
            skip_auto_headers=("User-Agent", "Accept-Encoding"),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._client is not None:
            await self._client.close()

    def at(self, address: listening.Address) -> None:
        """From now on it can be asked."""
        host = _ANY.get(address.host, address.host)
        self._base = f"http://{f'[{host}]' if ':' in host else host}:{address.port}"

    async def ask(
        self, request: tools.Request, *, headers: Mapping[str, str], query: Mapping[str, str]
    ) -> blocks.Answer:
        """The router's answer. ``headers`` and ``query`` are those that the caller came with: who he is, and which browser he wishes.

        Raises:
            errors.Unavailable: it does not answer.
        """
        assert self._client is not None, "used outside of its context"
        wishes = {name: query[name] for name in target.PLACES if name in query}
        try:
            async with self._client.request(
                request.method,
                self._base + request.path,
                params={**wishes, **request.query},
                data=request.body,
                headers=_headers(headers, query),
            ) as answer:
                return blocks.Answer(
                    status=answer.status,
                    content_type=answer.content_type,
                    body=await answer.read(),
                    retry_after=answer.headers.get("Retry-After"),
                )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise errors.Unavailable("This router did not answer itself; ask again.", retry_after=1) from error


def _headers(headers: Mapping[str, str], query: Mapping[str, str]) -> dict[str, str]:
    secret = bearer.said(headers=headers, query=query) or ""
    passed = {
        name: value
        for name, value in headers.items()
        if name.lower().startswith("x-browserpool-") or name.lower() in {one.lower() for one in _PASSED_ON}
    }
    return {**passed, "Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
