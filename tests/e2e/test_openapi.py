"""The API against its own document: schemathesis asks a real installation whatever the document allows, and some of what it does not.

Whatever comes back must be in the document, no fault of ours, and in time; afterwards the pool is whole. Pages are only ever those of the
installation itself.
"""

import asyncio
import contextlib
import re
import urllib.parse
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import requests
import schemathesis
from schemathesis.specs.openapi import checks

from browserpool.router import routes
from browserpool.router.openapi import document, said
from support import stack

DEADLINE = 60.0
"""Seconds for one answer. Bodies ask for no more than ``PATIENCE``; the rest is the machine's."""
PATIENCE = 1500
"""Milliseconds that a page gets."""
EXAMPLES = 8
BY_DESIGN = frozenset({501, 503})
CHECKS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
]

DOCUMENT = document.made(routes.ROUTES, said=said.SAID)
CONFIG = schemathesis.Config.from_dict(
    {
        "seed": 1,
        "generation": {"mode": "all", "max-examples": EXAMPLES, "deterministic": True, "database": "none"},
        "phases": {"coverage": {"enabled": False}},
    }
)
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT, config=CONFIG)
SHUT = [
    (method, path)
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
    if operation["security"] not in ([], [{"agent": []}])
]


def is_asked(context: Any) -> bool:
    operation = context.operation.definition.raw
    return not operation.get("x-websocket") and operation["security"] != [{"agent": []}]


class Caller:
    """Somebody with a token; he has one session open, and ends what else is opened."""

    def __init__(self, up: stack.Stack) -> None:
        self.url = up.url
        self.page = f"{up.url}/healthz"
        self.headers = {"Authorization": f"Bearer {up.token}"}
        self._session = ""

    def session(self) -> str:
        """The id of an open session."""
        known = requests.get(
            f"{self.url}/devtools/session/{self._session or 'none'}", headers=self.headers, timeout=DEADLINE
        )
        if known.status_code != 200 or "endTime" in known.json():
            made = requests.post(f"{self.url}/devtools/browser?pool=main", headers=self.headers, timeout=DEADLINE)
            self._session = made.json()["sessionId"]
        return self._session

    def end_others(self) -> None:
        for one in requests.get(f"{self.url}/v1/sessions", headers=self.headers, timeout=DEADLINE).json()["sessions"]:
            if one["sessionId"] != self._session:
                self.end(one["sessionId"])

    def end(self, session: str) -> None:
        requests.delete(f"{self.url}/devtools/browser/{session}", headers=self.headers, timeout=DEADLINE)


@pytest.fixture(scope="module")
def caller(main_stack: stack.Stack) -> Iterator[Caller]:
    made = Caller(main_stack)
    yield made
    made.end(made.session())
    asyncio.run(main_stack.whole())


def tame(case: schemathesis.Case, caller: Caller) -> None:
    """Let a good request be about what is there, and about nothing elsewhere, and be patient for moments only."""
    for place in ("pool", "region", "zone", "node"):
        (case.query or {}).pop(place, None)
        with contextlib.suppress(KeyError):
            del case.headers[f"X-Browserpool-{place.capitalize()}"]
    case.headers["X-Browserpool-Pool"] = "main"
    if isinstance(case.body, dict):
        _tame_body(case.body, caller)


def _tame_body(body: dict[str, Any], caller: Caller) -> None:
    if isinstance(body.get("url"), str) and urllib.parse.urlsplit(body["url"]).scheme in ("http", "https"):
        body["url"] = caller.page
    if "url" in body or "html" in body:
        body.setdefault("actionTimeout", PATIENCE)
    if isinstance(body.get("actionTimeout"), int | float):
        body["actionTimeout"] = min(body["actionTimeout"], PATIENCE) or PATIENCE


@SCHEMA.include(is_asked).parametrize()
@hypothesis.settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
def test_what_comes_back_is_in_the_document(case: schemathesis.Case, caller: Caller) -> None:
    good = case.meta is None or case.meta.generation.mode.is_positive
    tame(case, caller)
    if good and "session" in (case.path_parameters or {}):
        case.path_parameters["session"] = caller.session()
    answer = case.call(base_url=caller.url, headers=caller.headers, timeout=DEADLINE)
    assert answer.status_code < 500 or answer.status_code in BY_DESIGN, answer.text
    case.validate_response(answer, checks=CHECKS, headers=caller.headers)
    caller.end_others()


@pytest.mark.parametrize(("method", "path"), SHUT)
def test_without_a_token_nothing_is_done(method: str, path: str, main_stack: stack.Stack) -> None:
    address = re.sub(r"{\w+}", "x", path.replace("{what}", "list"))
    answer = requests.request(method, main_stack.url + address, json={}, timeout=DEADLINE)
    assert answer.status_code == 401, answer.text


def test_the_page_works_under_its_own_policy(main_stack: stack.Stack) -> None:
    """Its script opens what the address names; in a Chromium that reaches nothing but this machine."""
    body = {
        "url": f"{main_stack.url}/docs#post_v1_pdf",
        "waitForSelector": {"selector": "#post_v1_pdf[open] table", "visible": True, "timeout": 20_000},
    }
    headers = {"Authorization": f"Bearer {main_stack.token}", "X-Browserpool-Pool": "main"}
    answer = requests.post(f"{main_stack.url}/v1/content", json=body, headers=headers, timeout=DEADLINE)
    assert answer.status_code == 200, answer.text
