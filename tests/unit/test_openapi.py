"""The API's document: all of the URL table is in it, it is valid, and its schemas hold what the models hold."""

import base64
import hashlib
import html.parser
import re

import jsonschema
import openapi_spec_validator
import orjson
import pytest

from browserpool.model import errors
from browserpool.model.wire import actions
from browserpool.router import routes
from browserpool.router.openapi import document, documentation, failures, said

MADE = documentation.Documentation(routes.ROUTES, said=said.SAID)
DOCUMENT = orjson.loads(MADE.json)
OPERATIONS = [
    (method, path, operation) for path, item in DOCUMENT["paths"].items() for method, operation in item.items()
]
PARAMETER = re.compile(r"{(\w+)(?::(?:[^{}]|{[^{}]*})+)?}")


def described():
    """Each method and path template that the document says is served."""
    for method, path, operation in OPERATIONS:
        for one in (path, *operation.get("x-also-at", ())):
            yield method.upper(), PARAMETER.sub(r"{\1}", one)


def served():
    """Each method and path template of the table; quick actions by their names."""
    for route in routes.ROUTES:
        for path in route.paths:
            plain = PARAMETER.sub(r"{\1}", path)
            names = sorted(actions.ACTIONS) if "{action}" in plain else [""]
            for name in names:
                yield route.method, plain.replace("{action}", name)


# ---------------------------------------------------------------- the document
def test_it_is_valid_openapi():
    assert DOCUMENT["openapi"].startswith("3.1.")
    openapi_spec_validator.validate(DOCUMENT)


def test_every_address_of_the_table_is_in_it_and_no_other():
    assert sorted(described()) == sorted(served())


def test_something_is_said_of_every_route_and_of_no_other():
    assert {document.key(route) for route in routes.ROUTES} == said.SAID.keys()


def test_operations_have_names_of_their_own():
    names = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(names) == len(set(names))


def test_who_may_come_in_is_said_as_the_table_has_it():
    public = {path for _, path, operation in OPERATIONS if operation["security"] == []}
    doors = {
        path for route in routes.ROUTES if route.door in (routes.Door.PUBLIC, routes.Door.LINK) for path in route.paths
    }
    assert public == {PARAMETER.sub(r"{\1}", path) for path in doors}


def test_websockets_are_told_apart():
    marked = {path for _, path, operation in OPERATIONS if operation.get("x-websocket")}
    sockets = {min(route.paths, key=len) for route in routes.ROUTES if route.websocket}
    assert marked == sockets
    assert all("101" in operation["responses"] for _, _, operation in OPERATIONS if operation.get("x-websocket"))


def _tree(error):
    yield error
    for child in error.__subclasses__():
        yield from _tree(child)


NOBODYS = (errors.ClusterUnavailable, errors.SchemaTooNew, errors.WatchExpired)
"""No client meets them."""


@pytest.mark.parametrize("error", [one for one in _tree(errors.BrowserpoolError) if one not in NOBODYS])
def test_every_error_is_described_with_its_code(error):
    status = failures.STATUSES[error.status]
    assert error.default_code in status.codes
    text = DOCUMENT["components"]["responses"][status.name]["description"]
    assert f"{int(error.default_code)} " in text


# ---------------------------------------------------------------- schemas
def _validator(action):
    schema = DOCUMENT["paths"][f"/v1/{action}"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    # What references mean is said from the document's root.
    return jsonschema.Draft202012Validator({**schema, "components": DOCUMENT["components"]})


def _is_taken(action, body):
    try:
        actions.parse(action, orjson.dumps(body))
    except errors.InvalidRequest:
        return False
    return True


@pytest.mark.parametrize(
    ("action", "body", "good"),
    [
        ("content", {"url": "https://example.com"}, True),
        ("content", {"html": "<p>"}, True),
        ("content", {"html": "<p>", "url": None}, True),
        ("content", {}, False),
        ("content", {"html": None}, False),
        ("content", {"url": "https://example.com", "html": "<p>"}, False),
        ("content", {"url": "file:///etc/passwd"}, False),
        ("content", {"html": "<p>", "wiewport": {}}, False),
        ("content", {"html": "<p>", "viewport": None}, True),
        ("content", {"html": "<p>", "viewport": {"width": 800}}, False),
        ("content", {"html": "<p>", "viewport": {"width": 800, "height": 600, "isMobile": None}}, True),
        ("content", {"html": "<p>", "viewport": {"width": 800, "height": None}}, False),
        ("content", {"html": "<p>", "goToOptions": {"waitUntil": "load"}}, True),
        ("content", {"html": "<p>", "gotoOptions": {"waitUntil": ["load", "never"]}}, False),
        ("content", {"html": "<p>", "gotoOptions": {"timeout": 60001}}, False),
        ("content", {"html": "<p>", "setExtraHTTPHeaders": {"X-One": "1"}}, True),
        ("content", {"html": "<p>", "setExtraHTTPHeaders": {"X One": "1"}}, False),
        ("content", {"html": "<p>", "setExtraHTTPHeaders": {"X\x01": "1"}}, False),
        ("content", {"html": "<p>", "setExtraHTTPHeaders": {"X-One": None}}, False),
        ("content", {"html": "<p>", "userAgent": "a\nb"}, False),
        ("content", {"html": "<p>", "addScriptTag": [{"content": "1"}]}, True),
        ("content", {"html": "<p>", "addScriptTag": [{"content": "1", "url": "https://a.example/"}]}, False),
        ("content", {"html": "<p>", "addScriptTag": [None]}, False),
        ("content", {"url": "https://a.example/", "cookies": [{"name": "a", "value": "b", "partitionKey": "https://a.example"}]}, True),
        ("content", {"url": "https://a.example/", "cookies": [{"name": "a", "value": "b", "partitionKey": {"sourceOrigin": "a"}}]}, True),
        ("content", {"url": "https://a.example/", "cookies": [{"name": "a", "value": "b", "partitionKey": {}}]}, False),
        ("content", {"html": "<p>", "cacheTTL": 86401}, False),
        ("content", {"html": "<p>", "viewport": {"width": 16384, "height": 1}}, True),
        ("content", {"html": "<p>", "viewport": {"width": 16385, "height": 1}}, False),
        ("content", {"html": "<p>", "viewport": {"width": 800, "height": 0}}, False),
        ("content", {"url": "https://a.example/", "cookies": [{"name": "a", "value": "b", "sourcePort": -1}]}, True),
        ("content", {"url": "https://a.example/", "cookies": [{"name": "a", "value": "b", "sourcePort": 65536}]}, False),
        ("pdf", {"html": "<p>", "pdfOptions": {"width": "10cm", "margin": {"top": 19200}}}, True),
        ("pdf", {"html": "<p>", "pdfOptions": {"width": "ten"}}, False),
        ("pdf", {"html": "<p>", "pdfOptions": {"margin": {"top": 19201}}}, False),
        ("scrape", {"html": "<p>"}, False),
        ("scrape", {"html": "<p>", "elements": [{"selector": "p"}]}, True),
        ("snapshot", {"html": "<p>", "formats": ["content"]}, False),
        ("json", {"html": "<p>", "prompt": "title"}, True),
    ],
)  # fmt: skip
def test_the_schema_takes_what_the_model_takes(action, body, good):
    assert _is_taken(action, body) == good
    assert _validator(action).is_valid(body) == good


@pytest.mark.parametrize("action", sorted(actions.ACTIONS))
def test_the_examples_are_taken(action):
    content = DOCUMENT["paths"][f"/v1/{action}"]["post"]["requestBody"]["content"]["application/json"]
    assert _is_taken(action, content["example"])
    assert _validator(action).is_valid(content["example"])


def test_every_field_of_every_body_is_in_it():
    for name, model in actions.ACTIONS.items():
        content = DOCUMENT["paths"][f"/v1/{name}"]["post"]["requestBody"]["content"]["application/json"]
        schema = DOCUMENT["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
        assert len(schema["properties"]) == len(model.model_fields) + 1, "one of them has two spellings"


# ---------------------------------------------------------------- the page
class _Reader(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.anchors, self.links, self.loaded, self.handlers = set(), set(), set(), set()

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            match name:
                case "id":
                    self.anchors.add(value)
                case "href":
                    self.links.add(value)
                case "src" | "srcset" | "style" | "data" | "action":
                    self.loaded.add((tag, name, value))
                case _ if name.startswith("on"):
                    self.handlers.add((tag, name))


def _read(text):
    reader = _Reader()
    reader.feed(text)
    return reader


def test_the_page_loads_nothing_and_leads_nowhere_else():
    reader = _read(MADE.html.seen_at("http://127.0.0.1:1"))
    assert (reader.loaded, reader.handlers) == (set(), set())
    assert {link for link in reader.links if not link.startswith("#")} == {"openapi.json"}
    assert {link[1:] for link in reader.links if link.startswith("#")} <= reader.anchors


def test_the_page_has_every_operation_and_every_schema():
    anchors = _read(MADE.html.text).anchors
    assert {operation["operationId"] for _, _, operation in OPERATIONS} <= anchors
    assert {f"schema-{name}" for name in DOCUMENT["components"]["schemas"]} <= anchors


def test_the_page_says_the_address_that_it_was_asked_by():
    text = MADE.html.seen_at('http://"><script>:1')
    assert "http://&quot;&gt;&lt;script&gt;:1/v1/screenshot" in text
    assert text.count("<script>") == 1


def test_the_page_lets_only_its_own_script_and_style_run():
    policy = dict(part.strip().split(" ", 1) for part in MADE.html.policy.split(";"))
    assert policy["default-src"] == "'none'"
    for tag in ("script", "style"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", MADE.html.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert policy[f"{tag}-src"] == f"'sha256-{digest}'"
