"""What a router refuses: before a browser is spent on it, and saying why."""

import io

import aiohttp
import pytest

from browserpool.model import credentials, tokens
from browserpool.model.names import PoolName, TokenName
from browserpool.store import browsers
from browserpool.store import tokens as rows
from support import site, stack

PREFIXES = (
    "/client/v4/accounts/anybody/browser-rendering",
    "/client/v4/accounts/anybody/browser-run",
    "/v1",
)


async def refusal(answer: aiohttp.ClientResponse) -> tuple[int, int, str]:
    """Status, code and message of an error's envelope."""
    body = await answer.json()
    assert (body["success"], body["result"], body["messages"]) == (False, None, [])
    (error,) = body["errors"]
    return answer.status, error["code"], error["message"]


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_every_prefix_serves_quick_actions(up: stack.Stack, http: aiohttp.ClientSession, prefix: str) -> None:
    async with http.post(f"{prefix}/content", json={"html": "<p>here"}) as answer:
        assert answer.status == 200
        assert "here" in (await answer.json())["result"]


@pytest.mark.parametrize(
    ("action", "body", "named"),
    [
        ("screenshot", {}, "url or html"),
        ("screenshot", {"url": "http://a/", "html": "b"}, "url and html"),
        ("screenshot", {"url": "file:///etc/passwd"}, "url"),
        ("screenshot", {"html": "<p>", "viewport": {"width": 0, "height": 1}}, "viewport.width"),
        ("screenshot", {"html": "<p>", "gotoOptions": {"waitUntil": ["load", "never"]}}, "gotoOptions.waitUntil[1]"),
        ("screenshot", {"html": "<p>", "screenshotOptions": {"type": "gif"}}, "screenshotOptions.type"),
        ("pdf", {"html": "<p>", "pdfOptions": {"scale": 9}}, "pdfOptions.scale"),
        ("content", {"html": "<p>", "wiewport": {}}, "wiewport"),
        ("content", {"html": "<p>", "rejectRequestPattern": ["("]}, "rejectRequestPattern[0]"),
        ("content", [], "object"),
    ],
)
async def test_an_invalid_body_is_told_which_field(
    up: stack.Stack, http: aiohttp.ClientSession, action: str, body: object, named: str
) -> None:
    async with http.post(f"/v1/{action}", json=body) as answer:
        status, _, message = await refusal(answer)
    assert status == 400
    assert named in message


async def test_what_is_no_json_is_refused(up: stack.Stack, http: aiohttp.ClientSession) -> None:
    async with http.post("/v1/content", data=b'{"html": ') as answer:
        assert (await refusal(answer))[0] == 400


async def test_refusals_claim_nothing(up: stack.Stack, http: aiohttp.ClientSession) -> None:
    before = len(await up.past())
    async with http.post("/v1/content", json={}) as answer:
        assert answer.status == 400
    assert len(await up.past()) == before


async def test_an_unknown_pool_is_not_found(up: stack.Stack, http: aiohttp.ClientSession) -> None:
    async with http.post("/v1/content?pool=nowhere", json={"html": "<p>"}) as answer:
        status, _, message = await refusal(answer)
    assert status == 404
    assert "nowhere" in message
    assert "main" in message


async def test_one_of_several_pools_must_be_named(up: stack.Stack) -> None:
    async with up.client() as client, client.post("/v1/content", json={"html": "<p>"}) as answer:
        status, _, message = await refusal(answer)
    assert status == 400
    assert "main, pair" in message


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_limit_is_too_large(up: stack.Stack, http: aiohttp.ClientSession, chunked: bool) -> None:
    body = b" " * (50 * 1024 * 1024 + 1)

    async def parts():
        yield body

    async with http.post("/v1/pdf", data=parts() if chunked else io.BytesIO(body)) as answer:
        assert (await refusal(answer))[0] == 413


@pytest.mark.parametrize("path", ["/v1/content", "/client/v4/accounts/a/browser-rendering/pdf", "/devtools/browser"])
async def test_no_token_no_browser(up: stack.Stack, path: str) -> None:
    async with aiohttp.ClientSession(up.url) as stranger, stranger.post(path, json={"html": "<p>"}) as answer:
        status, code, message = await refusal(answer)
    assert (status, code) == (401, 10000)
    assert "Bearer" in message


async def test_a_token_opens_its_own_pools_only(up: stack.Stack) -> None:
    secret = "a-token-for-pool-pair-alone"
    narrow = tokens.Token(
        name=TokenName("narrow"), hash=credentials.hashed(secret), pools=frozenset({PoolName("pair")})
    )
    async with up.store() as db:
        await rows.put(db, narrow)
        try:
            async with up.client(token=secret) as client:
                async with client.post("/v1/content?pool=main", json={"html": "<p>"}) as answer:
                    status, code, message = await refusal(answer)
                assert (status, code) == (403, 1006)
                assert "pair" in message
                async with client.post("/v1/content", json={"html": "<p>"}) as answer:
                    assert (answer.status, answer.headers["X-Browserpool-Pool"]) == (200, "pair")
        finally:
            await rows.remove(db, TokenName("narrow"))


async def test_a_session_is_its_owners_only(up: stack.Stack, http: aiohttp.ClientSession) -> None:
    secret = "another-client-of-the-same-pool"
    other = tokens.Token(name=TokenName("other"), hash=credentials.hashed(secret))
    async with up.store() as db:
        await rows.put(db, other)
        async with http.post("/devtools/browser") as answer:
            session = (await answer.json())["sessionId"]
        try:
            async with up.client(token=secret) as client:
                for path in (f"/devtools/browser/{session}/json/list", f"/devtools/session/{session}"):
                    async with client.get(path) as answer:
                        assert (await refusal(answer))[0] == 404
                async with client.delete(f"/devtools/browser/{session}") as answer:
                    assert (await refusal(answer))[0] == 404
            async with http.get(f"/devtools/session/{session}") as answer:
                assert answer.status == 200
        finally:
            async with http.delete(f"/devtools/browser/{session}") as answer:
                assert answer.status == 200
            await rows.remove(db, TokenName("other"))


async def test_what_is_no_target_of_chromiums_is_not_found(up: stack.Stack, http: aiohttp.ClientSession) -> None:
    async with http.post("/devtools/browser") as answer:
        session = (await answer.json())["sessionId"]
    # Python takes the superscript for a digit; Chromium answers 400 to it.
    for path in ("close/%C2%B9", "activate/%C2%B9"):
        for prefix in (f"/devtools/browser/{session}", ""):
            async with http.get(f"{prefix}/json/{path}") as answer:
                assert (await refusal(answer))[0] == 404
    async with http.delete(f"/devtools/browser/{session}") as answer:
        assert answer.status == 200


@pytest.mark.parametrize(
    ("path", "goto", "code"),
    [
        ("/never", {"timeout": 400}, 6002),
        ("/loop", {}, 5003),
        ("/reset", {}, 5011),
    ],
)
async def test_a_page_that_does_not_load_is_the_pages_fault(
    up: stack.Stack, http: aiohttp.ClientSession, web: site.Site, path: str, goto: dict[str, int], code: int
) -> None:
    async with http.post("/v1/screenshot", json={"url": web.url(path), "gotoOptions": goto}) as answer:
        status, found, message = await refusal(answer)
        assert answer.headers["x-should-retry"] == "false"
    assert (status, found) == (422, code), message


async def test_a_private_address_is_refused(up: stack.Stack, http: aiohttp.ClientSession) -> None:
    async with http.post("/v1/content", json={"url": "http://169.254.169.254/latest/meta-data"}) as answer:
        assert (await refusal(answer))[:2] == (422, 5010)


async def test_the_agents_own_ports_are_refused(up: stack.Stack, http: aiohttp.ClientSession) -> None:
    """Loopback is open in this pool, and yet no page reaches an agent or a Chromium's CDP port."""
    async with up.store() as db:
        (address,) = {row.address for row in await browsers.listing(db) if row.browser_id == "pair-us-0"}
    async with http.post("/v1/content?pool=pair&region=us", json={"url": f"http://{address}/healthz"}) as answer:
        assert (await refusal(answer))[:2] == (422, 5010)
