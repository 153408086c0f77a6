"""The addresses that are given out."""

import pytest

from browserpool.router import addresses

BASE = "ws://r:1"


@pytest.mark.parametrize(
    ("scheme", "path", "public_url", "expected"),
    [
        ("http", "/json/version", None, "ws://h:80"),
        ("https", "/json/version", None, "wss://h:80"),
        ("http", "/devtools/browser", None, "ws://h:80"),
        (
            "http",
            "/client/v4/accounts/a/browser-run/devtools/browser/x",
            None,
            "ws://h:80/client/v4/accounts/a/browser-run",
        ),
        ("http", "/devtools/browser", "https://pool.example.com/", "wss://pool.example.com"),
        ("http", "/devtools/browser", "http://pool.example.com/sub", "ws://pool.example.com/sub"),
    ],
)
def test_base(scheme: str, path: str, public_url: str | None, expected: str) -> None:
    assert addresses.base(scheme=scheme, host="h:80", path=path, public_url=public_url) == expected


CHROME = "127.0.0.1:9222"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (f"ws://{CHROME}/devtools/browser/0a-b", f"{BASE}/devtools/browser/S"),
        (f"ws://{CHROME}/devtools/page/ABC", f"{BASE}/devtools/browser/S/page/ABC"),
        (
            f"https://x.appspot.com/serve_rev/@1/inspector.html?ws={CHROME}/devtools/page/ABC",
            "https://x.appspot.com/serve_rev/@1/inspector.html?ws=r:1/devtools/browser/S/page/ABC",
        ),
        (
            f"/devtools/inspector.html?ws={CHROME}/devtools/page/ABC",
            "/devtools/inspector.html?ws=r:1/devtools/browser/S/page/ABC",
        ),
        ("https://example.com/devtools/", "https://example.com/devtools/"),
        ("about:blank", "about:blank"),
        (7, 7),
        (None, None),
        ([{"a": f"ws://{CHROME}/devtools/page/A"}], [{"a": f"{BASE}/devtools/browser/S/page/A"}]),
    ],
)
def test_chromes_addresses_become_the_routers(given: object, expected: object) -> None:
    assert addresses.rewritten(given, base_=BASE, session_id="S") == expected


def test_a_token_that_was_said_in_the_query_is_said_for_the_client() -> None:
    assert addresses.suffix(None) == ""
    assert addresses.browser(BASE, "S", suffix_=addresses.suffix("a b&c")) == f"{BASE}/devtools/browser/S?token=a+b%26c"
