"""What a session may be bound to, and which hosts its patterns mean."""

import pytest

from browserpool.model import credentials, errors, terms
from browserpool.model.names import BrowserId, Fence, SessionId


@pytest.mark.parametrize(
    ("pattern", "hosts", "others"),
    [
        ("example.com", ["example.com", "EXAMPLE.com", "example.com."], ["www.example.com", "evil-example.com"]),
        (
            "*.example.com",
            ["www.example.com", "api.v1.example.com"],
            ["example.com", "evilexample.com", "example.com.evil.net"],
        ),
        ("*example.com", ["example.com", "www.example.com", "evilexample.com"], ["example.net", "xample.com"]),
        (
            "api.*.example.com",
            ["api.v1.example.com", "api.staging.example.com"],
            ["api.example.com", "v1.api.example.com"],
        ),
        ("www.*", ["www.example.com"], ["example.com"]),
        ("*", ["example.com", "127.0.0.1"], []),
        ("127.0.0.1", ["127.0.0.1"], ["127.0.0.11", "1127.0.0.1", "localhost"]),
        ("bücher.example", ["xn--bcher-kva.example"], ["bucher.example"]),
        ("Example.COM.", ["example.com"], []),
    ],
)
def test_patterns(pattern, hosts, others):
    patterns = terms.allowed_hosts({"allowedDomains": [pattern]})
    assert [host for host in hosts if not terms.is_allowed(host, patterns)] == []
    assert [host for host in others if terms.is_allowed(host, patterns)] == []


@pytest.mark.parametrize(
    ("guardrails", "patterns"),
    [
        (None, None),
        ({}, None),
        ({"allowedDomains": None}, None),
        ({"allowedDomains": []}, ()),
        ({"allowedDomainSets": []}, ()),
        ({"allowedDomains": ["b.com", "a.com", "b.com"]}, ("b.com", "a.com")),
        ({"allowedDomains": ["unpkg.com"], "allowedDomainSets": ["common-cdns"]}, terms.SETS["common-cdns"]),
    ],
)
def test_guardrails(guardrails, patterns):
    found = terms.allowed_hosts(guardrails)
    assert (found if found is None else set(found)) == (patterns if patterns is None else set(patterns))


@pytest.mark.parametrize(
    "guardrails",
    [
        "example.com",
        ["example.com"],
        {"allowedDomains": "example.com"},
        {"allowedDomains": [1]},
        {"allowedDomains": ["https://example.com"]},
        {"allowedDomains": ["example.com:443"]},
        {"allowedDomains": ["example.com/path"]},
        {"allowedDomains": ["*.*.example.com"]},
        {"allowedDomains": [""]},
        {"allowedDomains": [".example.com"]},
        {"allowedDomains": ["a..b"]},
        {"allowedDomains": ["a b"]},
        {"allowedDomains": ["example.com\n"]},
        {"allowedDomains": ["a" * 254]},
        {"allowedDomains": ["example.com"] * 51},
        {"allowedDomains": [f"{'a' * 200}{number}.com" for number in range(50)]},
        {"allowedDomainSets": ["uncommon"]},
        {"allowedDomainSets": ["common-cdns"] * 5},
        {"alloweddomains": []},
        {"mode": "readonly"},
    ],
)
def test_what_cannot_be_kept_to_is_refused(guardrails):
    with pytest.raises(errors.InvalidRequest, match="guardrails"):
        terms.allowed_hosts(guardrails)


@pytest.mark.parametrize(
    "said", [terms.NONE, terms.Terms(allowed_hosts=()), terms.Terms(allowed_hosts=("a.com", "*.b"), recording=True)]
)
def test_terms_come_out_of_json_and_out_of_a_token_as_they_went_in(said):
    assert terms.from_plain(terms.plain(said)) == said
    assert bool(said) is (said != terms.NONE)
    browser = BrowserId("b")
    token = credentials.ClaimToken(
        browser_id=browser, session_id=SessionId("s"), fence=Fence(1), kind="cdp", expires=2.0, terms=said
    )
    assert credentials.verify(credentials.sign(token, key="k"), key="k", browser_id=browser, now=1.0) == token


def test_the_largest_terms_fit_into_a_header():
    hosts = tuple(f"{'a' * 70}{number:02}.example.com"[-80:] for number in range(50))
    token = credentials.ClaimToken(
        browser_id=BrowserId("b" * 200),
        session_id=SessionId("s" * 63),
        fence=Fence(2**62),
        kind="cdp",
        expires=2.0**31,
        terms=terms.Terms(allowed_hosts=hosts, recording=True),
    )
    assert sum(map(len, hosts)) == terms.MOST_CHARACTERS
    assert len(credentials.sign(token, key="k")) < 8000
