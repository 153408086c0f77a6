"""The SDK's server, if it is wanted and installed. It is imported here alone, and only then."""

import contextlib
import importlib
import logging
from collections.abc import AsyncIterator

from aiohttp import web

from browserpool.lib import listening
from browserpool.model import errors
from browserpool.router.mcpserver import asgi, asking

log = logging.getLogger(__name__)


class Host:
    """``why_not``: what to say instead, where there is no server."""

    def __init__(self, itself: asking.Itself, *, app: asgi.App | None, why_not: str = "") -> None:
        self._itself = itself
        self._app = app
        self._why_not = why_not

    def at(self, address: listening.Address) -> None:
        """Where this router answers, for the tools to ask it."""
        self._itself.at(address)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One request of the protocol.

        Raises:
            errors.NotConfigured: there is no server here.
        """
        if self._app is None:
            raise errors.NotConfigured(self._why_not)
        return await asgi.answered(self._app, request)


@contextlib.asynccontextmanager
async def running(*, wanted: bool, max_body: int) -> AsyncIterator[Host]:
    """The host, while the block runs."""
    async with asking.Itself() as itself:
        if not wanted:
            yield Host(itself, app=None, why_not="This router has no MCP server; set BROWSERPOOL_MCP=true.")
            return
        try:
            sdk = importlib.import_module("browserpool.router.mcpserver.sdk")
        except ModuleNotFoundError as error:
            log.warning("no MCP server: its SDK is not installed", extra={"missing": error.name})
            yield Host(itself, app=None, why_not="This router has no MCP server: install browserpool[mcp] for it.")
            return
        yield Host(itself, app=sdk.application(itself, max_body=max_body))
