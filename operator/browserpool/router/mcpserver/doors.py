"""The address ``/mcp``."""

from aiohttp import web

from browserpool.router import services


async def serve(call: services.Call) -> web.StreamResponse:
    """POST /mcp: the Model Context Protocol (Streamable HTTP, stateless, JSON): the actions, crawls and sessions as tools."""
    return await call.services.mcp.answer(call.request)
