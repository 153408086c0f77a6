"""The tools: what each is called, what it takes, and which request to the router it is. Pure.

Names are those of Cloudflare's own server for its browsers, where it has such a tool.
"""

import urllib.parse
from collections.abc import Mapping
from typing import Any, Final

import orjson

from browserpool.model import errors
from browserpool.model.wire import crawl, extract, pdf, reading, screenshot, snapshot
from browserpool.router import target
from browserpool.router.mcpserver import schemas, tools


def _action(name: str, action: str, description: str, schema: schemas.Schema) -> tools.Tool:
    more = f"Any other field of POST /v1/{action} is taken too."
    return tools.Tool(
        name=name,
        description=f"{description} {more}",
        method="POST",
        path=f"/v1/{action}",
        schema=schema,
        has_body=True,
    )


_TEXT: Final = {"type": "string", "minLength": 1}
_WHOLE: Final = {"type": "integer", "minimum": 0}

TOOLS: Final = (
    _action(
        "get_url_html_content",
        "content",
        "The HTML of a page after its scripts have run, in a real browser.",
        schemas.of_model(reading.Content, schemas.SHARED),
    ),
    _action(
        "get_url_markdown",
        "markdown",
        "A page as Markdown, after its scripts have run: the shortest way to read it.",
        schemas.of_model(reading.Markdown, schemas.SHARED),
    ),
    _action(
        "get_url_screenshot",
        "screenshot",
        "A picture of a page, of all its length (screenshotOptions.fullPage), or of one element (selector).",
        schemas.of_model(screenshot.Screenshot, (*schemas.SHARED, "screenshotOptions", "selector", "scrollPage")),
    ),
    _action(
        "get_url_pdf",
        "pdf",
        "A page printed as PDF.",
        schemas.of_model(pdf.Pdf, (*schemas.SHARED, "pdfOptions")),
    ),
    _action(
        "get_url_snapshot",
        "snapshot",
        "Several views of one page, loaded once: HTML and a picture, or what formats names.",
        schemas.of_model(snapshot.Snapshot, (*schemas.SHARED, "formats", "screenshotOptions")),
    ),
    _action(
        "scrape_url_elements",
        "scrape",
        "Text, HTML, attributes and place of the elements that CSS selectors find.",
        schemas.of_model(reading.Scrape, (*schemas.SHARED, "elements"), required=("elements",)),
    ),
    _action(
        "get_url_links",
        "links",
        "Where a page's links lead.",
        schemas.of_model(reading.Links, (*schemas.SHARED, "visibleLinksOnly", "excludeExternalLinks")),
    ),
    _action(
        "get_url_json",
        "json",
        "Data read out of a page by a language model, by a prompt, a JSON schema (response_format), or both.",
        schemas.of_model(extract.Json, (*schemas.SHARED, "prompt", "response_format")),
    ),
    _action(
        "get_url_accessibility_tree",
        "accessibilityTree",
        "A page as a screen reader sees it: roles, names and values, a short account of what can be done there.",
        schemas.of_model(reading.AccessibilityTree, (*schemas.SHARED, "root", "interestingOnly")),
    ),
    tools.Tool(
        name="start_crawl",
        description="Fetch a site page by page, in the background; gives the job's id, for get_crawl_result.",
        method="POST",
        path="/v1/crawl",
        has_body=True,
        schema=schemas.of_model(
            crawl.Crawl, ("url", "limit", "depth", "source", "formats", "render", "options"), required=("url",)
        ),
        reads=False,
    ),
    tools.Tool(
        name="get_crawl_result",
        description="How far a crawl has come, and its pages; cursor of one answer gets the next ones.",
        method="GET",
        path="/v1/crawl/{job_id}",
        schema=schemas.of_fields(
            {"job_id": _TEXT, "cursor": _WHOLE, "limit": {**_WHOLE, "minimum": 1}, "status": _TEXT},
            required=("job_id",),
        ),
        query=("cursor", "limit", "status"),
    ),
    tools.Tool(
        name="cancel_crawl",
        description="End a crawl; what was fetched stays.",
        method="DELETE",
        path="/v1/crawl/{job_id}",
        schema=schemas.of_fields({"job_id": _TEXT}, required=("job_id",)),
        reads=False,
    ),
    tools.Tool(
        name="list_browser_sessions",
        description="Your live browser sessions.",
        method="GET",
        path="/devtools/session",
        schema=schemas.of_fields({"limit": _WHOLE, "offset": _WHOLE}),
        query=("limit", "offset"),
    ),
    tools.Tool(
        name="create_browser_session",
        description=(
            "A browser of your own, to be driven over CDP at webSocketDebuggerUrl (puppeteer, playwright) with your bearer token. "
            "It ends when nothing happens on it for keep_alive milliseconds; end it with kill_browser_session when you are done."
        ),
        method="POST",
        path="/devtools/browser",
        schema=schemas.of_fields(
            {
                "keep_alive": {
                    "type": "integer",
                    "minimum": target.MIN_KEEP_ALIVE_MS,
                    "maximum": target.MAX_KEEP_ALIVE_MS,
                }
            }
        ),
        query=("keep_alive",),
        reads=False,
    ),
    tools.Tool(
        name="kill_browser_session",
        description="End one of your browser sessions.",
        method="DELETE",
        path="/devtools/browser/{session_id}",
        schema=schemas.of_fields({"session_id": _TEXT}, required=("session_id",)),
        reads=False,
    ),
)
BY_NAME: Final[Mapping[str, tools.Tool]] = {tool.name: tool for tool in TOOLS}


def request(tool: tools.Tool, arguments: Mapping[str, Any]) -> tools.Request:
    """The request that the call is.

    Raises:
        errors.InvalidRequest: an argument that the path needs is missing, or one is there that nobody knows.
    """
    path, rest = tool.path, {name: value for name, value in arguments.items() if value is not None}
    for name in tool.schema.get("required", ()):
        if name not in rest:
            raise errors.InvalidRequest(f"{name} is required.")
        if f"{{{name}}}" in path:
            path = path.replace(f"{{{name}}}", urllib.parse.quote(str(rest.pop(name)), safe=""))
    query = {name: str(rest.pop(name)) for name in tool.query if name in rest}
    if tool.has_body:
        return tools.Request(method=tool.method, path=path, query=query, body=orjson.dumps(rest))
    if rest:
        raise errors.InvalidRequest(f"{next(iter(rest))} is not an argument of {tool.name}.")
    return tools.Request(method=tool.method, path=path, query=query, body=None)
