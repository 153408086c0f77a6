"""Claim tokens and derived keys: what is accepted, what is refused, and why."""

import pytest

from browserpool.model import credentials, errors
from browserpool.model.names import BrowserId, Fence, SessionId

BROWSER = BrowserId("default-local-0")
KEY = credentials.claim_key(signing_key="signing", browser_id=BROWSER)
TOKEN = credentials.ClaimToken(
    browser_id=BROWSER, session_id=SessionId("s1"), fence=Fence((7 << 32) + 3), kind="cdp", expires=1000.5
)


def test_a_signed_token_reads_back_whole():
    assert credentials.verify(credentials.sign(TOKEN, key=KEY), key=KEY, browser_id=BROWSER, now=1000) == TOKEN


@pytest.mark.parametrize("now", [1000.5, 1001, 1e12])
def test_an_expired_token_is_refused(now):
    with pytest.raises(errors.Unauthorized, match="expired"):
        credentials.verify(credentials.sign(TOKEN, key=KEY), key=KEY, browser_id=BROWSER, now=now)


def test_another_browsers_key_does_not_open_this_one():
    other = credentials.claim_key(signing_key="signing", browser_id=BrowserId("default-local-1"))
    with pytest.raises(errors.Unauthorized, match="not one that this browser's router signed"):
        credentials.verify(credentials.sign(TOKEN, key=other), key=KEY, browser_id=BROWSER, now=0)


def test_a_token_of_another_browser_signed_with_this_key_is_refused():
    with pytest.raises(errors.Unauthorized, match="is for browser default-local-0"):
        credentials.verify(credentials.sign(TOKEN, key=KEY), key=KEY, browser_id=BrowserId("other"), now=0)


def tampered():
    signed = credentials.sign(TOKEN, key=KEY)
    payload, _, signature = signed.partition(".")
    yield from (
        "",
        ".",
        "x",
        payload,
        f"{payload}.",
        f".{signature}",
        f"{payload}x.{signature}",
        f"{payload}.{signature[:-2]}",
        "ä.ö",
    )
    yield signed.replace(payload[5], "A" if payload[5] != "A" else "B", 1)


@pytest.mark.parametrize("text", list(tampered()))
def test_anything_else_is_refused_without_an_error_of_another_kind(text):
    with pytest.raises(errors.Unauthorized):
        credentials.verify(text, key=KEY, browser_id=BROWSER, now=0)


def test_a_browsers_two_secrets_differ_and_belong_to_it_alone():
    token = credentials.agent_token(signing_key="signing", browser_id=BROWSER)
    assert token != KEY
    assert credentials.is_agent_token(token, signing_key="signing", browser_id=BROWSER)
    assert not credentials.is_agent_token(token, signing_key="signing", browser_id=BrowserId("default-local-1"))
    assert not credentials.is_agent_token("ü", signing_key="signing", browser_id=BROWSER)


def test_a_bearer_token_is_kept_as_a_hash_only():
    assert credentials.hashed("secret") != b"secret"
    assert len(credentials.hashed("secret")) == 32
