"""The Chrome door: who is let in without a token, and that it is shut unless it is asked for."""

import pydantic
import pytest

from browserpool.router import chromedoor, loopback, settings

OWN = {"dsn": "x", "signing_key": "k" * 16}


@pytest.mark.parametrize("host", ["127.0.0.1:9222", "localhost:9222", "localhost", "[::1]:9222", "10.1.2.3"])
def test_tools_are_let_in(host):
    assert loopback.refusal({"Host": host}) is None


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "127.0.0.1:9222", "Origin": "https://example.com"},
        {"Host": "127.0.0.1:9222", "Origin": "null"},
        {"Host": "rebound.example.com:9222"},
        {"Host": "localhost.example.com"},
        {"Host": ""},
        {},
    ],
)
def test_web_pages_are_not(headers):
    assert loopback.refusal(headers)


def test_it_is_shut_by_default_and_never_without_an_owner():
    assert settings.RouterSettings(**OWN).chrome_port is None
    with pytest.raises(pydantic.ValidationError, match="chrome_token"):
        settings.RouterSettings(**OWN, chrome_port=9222)


def test_it_serves_chromes_own_addresses_and_nothing_else():
    paths = {route.path for route in chromedoor.ROUTES}
    assert {"/json/version", "/json/list", "/devtools/browser", "/devtools/browser/{session}"} <= paths
    assert not {path for path in paths if path.startswith(("/internal", "/v1", "/metrics", "/{action}"))}
