"""The Model Context Protocol: the tools by the official SDK's own client, over a socket, in both of the protocol's ways."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import jsonschema
import mcp
import orjson
import pytest
from mcp.client import client as mcp_client
from mcp.client import streamable_http

from browserpool.model import errors
from browserpool.model.wire import actions as wire
from browserpool.router.mcpserver import blocks, catalogue
from support import routers, waiting

MODES = ["auto", "legacy"]
"""Without a handshake, as of 2026, and with one, as before."""


@asynccontextmanager
async def connected(
    rig: routers.Rig, *, mode: Any = "auto", secret: str | None = None, path: str = "/mcp", **headers: str
) -> AsyncIterator[mcp_client.Client]:
    async with (
        httpx2.AsyncClient(headers={**rig.bearer(secret), **headers}, timeout=30) as http,
        mcp_client.Client(
            streamable_http.streamable_http_client(rig.url + path, http_client=http), mode=mode
        ) as client,
    ):
        yield client


def text(result: Any) -> str:
    assert [block.type for block in result.content] == ["text"], result
    return str(result.content[0].text)


def enveloped(result: Any) -> routers.Does:
    said = {"success": True, "result": result, "errors": [], "messages": [], "meta": {"status": 200, "title": "t"}}
    return routers.answers(orjson.dumps(said), content_type="application/json")


# ---------------------------------------------------------------- the catalogue
def test_every_tool_has_a_schema_of_its_own_words() -> None:
    for tool in catalogue.TOOLS:
        jsonschema.Draft202012Validator.check_schema(tool.schema)
        assert b"$ref" not in orjson.dumps(tool.schema)
        assert tool.schema["type"] == "object"
    assert len(orjson.dumps([tool.schema for tool in catalogue.TOOLS])) < 40_000, "models read all of them, each time"


@pytest.mark.parametrize(
    ("part", "good"),
    [
        ({"viewport": {"width": 16384, "height": 1}}, True),
        ({"viewport": {"width": 16385, "height": 1}}, False),
        ({"viewport": {"width": 800, "height": 0}}, False),
        ({"pdfOptions": {"width": 19200, "margin": {"top": 19200, "left": "10cm"}}}, True),
        ({"pdfOptions": {"margin": {"top": 19201}}}, False),
    ],
)
def test_a_tool_takes_what_its_address_takes(part: dict[str, Any], good: bool) -> None:
    body = {"html": "<p>", **part}
    assert jsonschema.Draft202012Validator(catalogue.BY_NAME["get_url_pdf"].schema).is_valid(body) == good
    with contextlib.nullcontext() if good else pytest.raises(errors.InvalidRequest):
        wire.parse("pdf", orjson.dumps(body))


def test_there_is_a_tool_for_every_action() -> None:
    paths = {tool.path.removeprefix("/v1/") for tool in catalogue.TOOLS}
    assert set(wire.ACTIONS) <= paths


@pytest.mark.parametrize(
    ("tool", "arguments", "method", "path", "query", "body"),
    [
        ("get_url_markdown", {"url": "u", "html": None}, "POST", "/v1/markdown", {}, {"url": "u"}),
        ("start_crawl", {"url": "u", "limit": 5}, "POST", "/v1/crawl", {}, {"url": "u", "limit": 5}),
        ("get_crawl_result", {"job_id": "a/../b", "cursor": 3}, "GET", "/v1/crawl/a%2F..%2Fb", {"cursor": "3"}, None),
        ("cancel_crawl", {"job_id": "j"}, "DELETE", "/v1/crawl/j", {}, None),
        ("list_browser_sessions", {}, "GET", "/devtools/session", {}, None),
        ("create_browser_session", {"keep_alive": 10_000}, "POST", "/devtools/browser", {"keep_alive": "10000"}, None),
        ("kill_browser_session", {"session_id": "s"}, "DELETE", "/devtools/browser/s", {}, None),
    ],
)
def test_a_call_is_a_request(
    tool: str, arguments: dict[str, Any], method: str, path: str, query: dict[str, str], body: Any
) -> None:
    made = catalogue.request(catalogue.BY_NAME[tool], arguments)
    assert (made.method, made.path, made.query) == (method, path, query)
    assert (None if made.body is None else orjson.loads(made.body)) == body


@pytest.mark.parametrize(
    ("tool", "arguments", "named"),
    [("kill_browser_session", {}, "session_id"), ("list_browser_sessions", {"x": 1}, "x is not an argument")],
)
def test_a_call_that_is_none(tool: str, arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(errors.InvalidRequest, match=named):
        catalogue.request(catalogue.BY_NAME[tool], arguments)


def test_a_snapshots_picture_is_of_the_type_that_was_asked_for() -> None:
    body = orjson.dumps({"success": True, "result": {"content": "<p>", "screenshot": "QUJD", "markdown": None}})
    answer = blocks.Answer(status=200, content_type="application/json", body=body)
    found = blocks.shown(
        catalogue.BY_NAME["get_url_snapshot"], answer, arguments={"screenshotOptions": {"type": "jpeg"}}
    )
    assert found == [blocks.Text(text="<p>"), blocks.Image(data="QUJD", media_type="image/jpeg")]


# ---------------------------------------------------------------- by its client
@pytest.mark.parametrize("mode", MODES)
async def test_tools_are_listed_and_called(rig: routers.Rig, mode: str) -> None:
    [agent] = await rig.make_pool()
    async with connected(rig, mode=mode) as client:
        listed = await client.list_tools()
        assert [tool.name for tool in listed.tools] == [tool.name for tool in catalogue.TOOLS]
        picture = await client.call_tool("get_url_screenshot", {"html": "x", "screenshotOptions": {"fullPage": True}})
        assert not picture.is_error
        [block] = picture.content
        assert (block.type, block.mime_type, base64.b64decode(block.data)) == ("image", "image/png", routers.PNG)
        assert orjson.loads(agent.served[-1][1]) == {"html": "x", "screenshotOptions": {"fullPage": True}}
        agent.does = enveloped("# Title")
        assert text(await client.call_tool("get_url_markdown", {"html": "x"})) == "# Title"
        agent.does = enveloped(["https://a/"])
        assert orjson.loads(text(await client.call_tool("get_url_links", {"html": "y"}))) == ["https://a/"]
        agent.does = routers.answers(b"%PDF-1", content_type="application/pdf")
        [file] = (await client.call_tool("get_url_pdf", {"html": "x"})).content
        assert (file.type, base64.b64decode(file.resource.blob)) == ("resource", b"%PDF-1")
    await rig.until_ready()


@pytest.mark.parametrize("mode", MODES)
async def test_what_fails_is_a_tools_error_with_our_words(rig: routers.Rig, mode: str) -> None:
    [agent] = await rig.make_pool()
    slow = await rig.make_token("slow", rate_per_second=0.01)
    async with connected(rig, mode=mode) as client:
        agent.does = routers.refuses(errors.PageFailed("net::ERR_NAME_NOT_RESOLVED", code=errors.Code.DNS))
        failed = await client.call_tool("get_url_html_content", {"url": "https://nowhere.invalid"})
        assert (failed.is_error, text(failed)) == (True, "net::ERR_NAME_NOT_RESOLVED")
        wrong = await client.call_tool("get_url_html_content", {"html": "x", "viewprt": {}})
        assert (wrong.is_error, "did you mean viewport?" in text(wrong)) == (True, True)
        with pytest.raises(mcp.MCPError, match="There is no tool 'fly'"):
            await client.call_tool("fly", {})
    agent.does = enveloped("x")
    async with connected(rig, mode=mode, secret=slow) as client:
        assert not (await client.call_tool("get_url_html_content", {"html": "x"})).is_error
        refused = await client.call_tool("get_url_html_content", {"html": "y"})
        assert refused.is_error
        assert "over its rate" in text(refused)
        assert "Try again in 60 s" in text(refused)
    await rig.until_ready()


async def test_a_session_is_made_listed_and_ended(rig: routers.Rig) -> None:
    await rig.make_pool()
    async with connected(rig) as client:
        made = orjson.loads(text(await client.call_tool("create_browser_session", {"keep_alive": 60_000})))
        assert made["webSocketDebuggerUrl"] == f"{rig.ws}/devtools/browser/{made['sessionId']}"
        listed = orjson.loads(text(await client.call_tool("list_browser_sessions", {})))
        assert [one["sessionId"] for one in listed] == [made["sessionId"]]
        ended = await client.call_tool("kill_browser_session", {"session_id": made["sessionId"]})
        assert orjson.loads(text(ended)) == {"status": "closed"}
        again = await client.call_tool("kill_browser_session", {"session_id": "not-there"})
        assert again.is_error
    await rig.until_ready()


async def test_a_crawl_is_made_read_and_cancelled(rig: routers.Rig) -> None:
    await rig.make_pool()
    async with connected(rig) as client:
        job = text(await client.call_tool("start_crawl", {"url": "https://example.com/", "render": False}))
        found = orjson.loads(text(await client.call_tool("get_crawl_result", {"job_id": job})))
        assert found["id"] == job
        assert not (await client.call_tool("cancel_crawl", {"job_id": job})).is_error


async def test_which_browser_is_wished_for_as_at_any_address(rig: routers.Rig) -> None:
    await rig.make_pool("one")
    [agent] = await rig.make_pool("two")
    agent.does = enveloped("two")
    for how in ({"path": "/mcp?pool=two"}, {"X-Browserpool-Pool": "two"}):
        async with connected(rig, **how) as client:
            assert text(await client.call_tool("get_url_html_content", {"html": str(how)})) == "two"
    async with connected(rig) as client:
        vague = await client.call_tool("get_url_html_content", {"html": "x"})
        assert (vague.is_error, "pool is required" in text(vague)) == (True, True)


async def test_a_token_may_stand_in_the_address(rig: routers.Rig) -> None:
    [agent] = await rig.make_pool()
    agent.does = enveloped("x")
    async with mcp_client.Client(f"{rig.url}/mcp?token={rig.secret}") as client:
        assert text(await client.call_tool("get_url_html_content", {"html": "x"})) == "x"


# ---------------------------------------------------------------- by hand
HANDSHAKE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}
ACCEPT = {"Accept": "application/json, text/event-stream"}


async def test_nobody_comes_in_without_a_token(rig: routers.Rig) -> None:
    assert (await rig.post("/mcp", HANDSHAKE, secret="nobody's", headers=ACCEPT)).status == 401
    known = await rig.post("/mcp", HANDSHAKE, headers=ACCEPT)
    assert known.status == 200
    assert known.headers["Content-Type"].startswith("application/json")
    assert known.json["result"]["serverInfo"]["name"] == "browserpool"
    assert known.json["result"]["protocolVersion"] == "2025-06-18"


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_there_is_no_stream_and_no_session_to_end(rig: routers.Rig, method: str) -> None:
    assert (await rig.request(method, "/mcp", headers=ACCEPT)).status == 405


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"jsonrpc":"2.0","id":1,"method":"nonsense"}', b"\xff" * 100])
async def test_nonsense_is_answered_as_such(rig: routers.Rig, body: bytes) -> None:
    headers = {**ACCEPT, "Content-Type": "application/json"}
    answer = await rig.request("POST", "/mcp", data=body, headers=headers)
    assert answer.status in (200, 400)
    assert "error" in answer.json


async def test_a_client_that_goes_away_frees_what_its_call_holds(rig: routers.Rig) -> None:
    [agent] = await rig.make_pool()
    agent.gate.clear()
    call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call"}
    call["params"] = {"name": "get_url_screenshot", "arguments": {"html": "x"}}
    going = asyncio.create_task(rig.post("/mcp", call, headers=ACCEPT))  # noqa: TID251 - it is cancelled below
    await waiting.until(lambda: agent.running == 1)
    going.cancel()
    await waiting.until(lambda: agent.running == 0)
    agent.gate.set()
    await rig.until_ready()
    await waiting.until(lambda: rig.running.services.running == 0)


async def test_many_calls_at_once(rig: routers.Rig) -> None:
    for agent in await rig.make_pool(browsers_=3):
        agent.does = enveloped("x")
    async with connected(rig) as client, asyncio.TaskGroup() as group:
        calls = [
            group.create_task(client.call_tool("get_url_html_content", {"html": str(number)})) for number in range(40)
        ]
    assert {text(call.result()) for call in calls} == {"x"}
    await rig.until_ready(number=3)


async def test_a_router_without_it_says_how_to_have_it(dsn: str, database: Any) -> None:
    async with routers.rig(dsn, database, mcp=False) as rig:
        answer = await rig.post("/mcp", HANDSHAKE, headers=ACCEPT)
        assert (answer.status, "BROWSERPOOL_MCP" in answer.message) == (501, True)
