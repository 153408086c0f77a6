"""The tools as a server of the protocol's official SDK, which nothing else here imports: it would bring 27 MB to who has no use for it."""

import logging
from typing import Any

import mcp_types as types
from mcp.server import lowlevel, streamable_http_manager
from mcp.server.context import ServerRequestContext
from mcp.shared import exceptions

from browserpool import __version__
from browserpool.model import errors
from browserpool.router.mcpserver import asgi, asking, blocks, catalogue, tools

_ABOUT = (
    "Browsers of a pool, ready at once. The get_url_… tools each load a page in a fresh browser context and give back one view of it; "
    "get_url_markdown is the cheapest to read. create_browser_session gives a whole browser, to be driven over CDP."
)


def application(itself: asking.Itself, *, max_body: int) -> asgi.App:
    """The protocol over HTTP, each request by itself. ``max_body`` in bytes."""
    # Two lines of log for each request, which say that it began and ended.
    logging.getLogger(streamable_http_manager.__name__).setLevel(logging.WARNING)
    server = _server(itself)

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        manager = streamable_http_manager.StreamableHTTPSessionManager(
            server, json_response=True, stateless=True, max_request_body_size=max_body
        )
        # Of this request alone: whatever it began is cancelled when it is over, or its client gone.
        async with manager.run():
            await manager.handle_request(scope, receive, send)

    return answer


def _server(itself: asking.Itself) -> lowlevel.Server[Any]:
    listed = types.ListToolsResult(tools=[_tool(tool) for tool in catalogue.TOOLS])

    async def list_tools(
        _: ServerRequestContext[Any], __: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return listed

    async def call_tool(ctx: ServerRequestContext[Any], params: types.CallToolRequestParams) -> types.CallToolResult:
        tool = catalogue.BY_NAME.get(params.name)
        if tool is None:
            known = ", ".join(catalogue.BY_NAME)
            raise exceptions.MCPError(
                types.INVALID_PARAMS, f"There is no tool {params.name[:64]!r}; there are: {known}."
            )
        return await _called(itself, tool, params.arguments or {}, request=ctx.request)

    return lowlevel.Server(
        "browserpool",
        version=__version__,
        title="Browserpool",
        instructions=_ABOUT,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


async def _called(
    itself: asking.Itself, tool: tools.Tool, arguments: dict[str, Any], *, request: Any
) -> types.CallToolResult:
    """The tool's result; what fails is told as one too, so that a model can do better."""
    try:
        answer = await itself.ask(
            catalogue.request(tool, arguments), headers=request.headers, query=request.query_params
        )
        if answer.status >= 400:
            return _failed(blocks.complaint(answer))
        shown = blocks.shown(tool, answer, arguments=arguments)
    except errors.BrowserpoolError as error:
        return _failed(error.message)
    return types.CallToolResult(content=[_block(block) for block in shown])


def _failed(message: str) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(type="text", text=message)], is_error=True)


def _block(block: blocks.Block) -> types.ContentBlock:
    match block:
        case blocks.Text():
            return types.TextContent(type="text", text=block.text)
        case blocks.Image():
            return types.ImageContent(type="image", data=block.data, mime_type=block.media_type)
        case blocks.File():
            uri = f"file:///{block.name}"
            blob = types.BlobResourceContents(uri=uri, mime_type=block.media_type, blob=block.data)
            return types.EmbeddedResource(type="resource", resource=blob)


def _tool(tool: tools.Tool) -> types.Tool:
    hints = types.ToolAnnotations(
        read_only_hint=tool.reads, destructive_hint=tool.method == "DELETE", open_world_hint=True
    )
    return types.Tool(name=tool.name, description=tool.description, input_schema=tool.schema, annotations=hints)
