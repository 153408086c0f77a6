"""The OpenAPI document, from the URL table. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Protocol

from browserpool import __version__
from browserpool.router.openapi import about, failures, parameters, schemas, shapes

Json = dict[str, Any]

_NAME: Final = r"{\g<name>}"
_PARAMETER: Final = re.compile(r"{(?P<name>\w+)(:(?P<pattern>(?:[^{}]|{[^{}]*})+))?}")
_WEBSOCKET: Final = (
    "A WebSocket: OpenAPI has no word for one, so it is a GET that is answered 101. Connect to it with `ws://` or `wss://`; "
    "its messages are the Chrome DevTools Protocol's. What refuses it answers before it opens."
)

DESCRIPTION: Final = """\
Warm pools of headless Chromium behind one address, in the wire format of Cloudflare Browser Run.

- An address that is served under several prefixes is here once; `x-also-at` lists the others. Cloudflare's SDKs take
  `/client/v4` as their base address.
- A token goes into `Authorization: Bearer`; Cloudflare's older pair `X-Auth-Email` and `X-Auth-Key` and `?token=` do as well.
- Results of quick actions stand under `result` of `{"success": true, …}`; pictures and documents are bytes; under `/devtools` JSON is bare.
- What fails is `{"success": false, "errors": [{"code", "message"}]}`, wherever it is.
"""

SECURITY: Final = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A token of this installation."},
    "email": {"type": "apiKey", "in": "header", "name": "X-Auth-Email", "description": "Anything; with `X-Auth-Key`."},
    "key": {"type": "apiKey", "in": "header", "name": "X-Auth-Key", "description": "A token of this installation."},
    "query": {"type": "apiKey", "in": "query", "name": "token", "description": "The same, where no header can be set."},
    "agent": {"type": "http", "scheme": "bearer", "description": "An agent's own token."},
}
_DOORS: Final[Mapping[str, list[Json]]] = {
    "public": [],
    "token": [{"bearer": []}, {"email": [], "key": []}, {"query": []}],
    "agent": [{"agent": []}],
    "link": [],
}


class Line(Protocol):
    """A line of the URL table, as far as the document is concerned."""

    @property
    def method(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def paths(self) -> tuple[str, ...]: ...
    @property
    def door(self) -> str: ...
    @property
    def websocket(self) -> bool: ...
    @property
    def summary(self) -> str: ...
    @property
    def plain_errors(self) -> bool: ...


class _Operation:
    """One operation: a line of the table, or one of the addresses that a line stands for."""

    def __init__(self, line: Line, said: about.About, paths: tuple[str, ...], *, value: str = "") -> None:
        self.line = line
        self.said = said
        self.method = line.method.lower()
        self.path, *self.others = sorted(paths, key=len)
        self.parameters = list(_of_path(self.path))
        self.path = _PARAMETER.sub(_NAME, self.path)
        self.key = f"{self.method} {self.path}"
        self.summary = said.text or (f"`{value}`." if value else _sentence(line.summary))

    @property
    def group(self) -> about.Group:
        return self.said.group or _guessed(self.path)

    @property
    def statuses(self) -> frozenset[int]:
        own = frozenset({400}) if self.line.websocket else frozenset()
        return (self.said.fails or frozenset()) | failures.OF_DOORS.get(self.line.door, frozenset()) | own


def made(table: Iterable[Line], *, said: Mapping[str, about.About], version: str = __version__) -> Json:
    """The document of a table, of which more is ``said`` (by ``key``). Its order is the groups', then the table's."""
    order = list(about.Group)
    every = [one for line in table for one in _operations(line, said.get(key(line), about.NOTHING))]
    operations = sorted(every, key=lambda one: order.index(one.group))
    found, components = schemas.made(_types(operations))
    document: Json = {
        "openapi": "3.1.1",
        "info": {
            "title": "browserpool",
            "version": version,
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": str(group)} for group in order if any(one.group is group for one in operations)],
        "paths": {},
        "components": {
            "schemas": dict(sorted(components.items())),
            "parameters": _parameters(operations),
            "headers": parameters.ANSWERED,
            "responses": {one.name: _failure(one) for one in failures.STATUSES.values()},
            "securitySchemes": SECURITY,
        },
    }
    for operation in operations:
        document["paths"].setdefault(operation.path, {})[operation.method] = _described(operation, found)
    return document


def key(line: Line) -> str:
    """A line's method and shortest path, without patterns: ``GET /devtools/browser/{session}/json/{what}``."""
    return f"{line.method} {_PARAMETER.sub(_NAME, min(line.paths, key=len))}"


def _operations(line: Line, said: about.About) -> Iterator[_Operation]:
    if not said.each:
        yield _Operation(line, said, line.paths)
        return
    for value, one in said.each.items():
        # The parameter that is spread out is the path's own; those of prefixes stay.
        own = _PARAMETER.sub(value, line.path, count=1)
        yield _Operation(line, one, tuple(path.removesuffix(line.path) + own for path in line.paths), value=value)


def _types(operations: Iterable[_Operation]) -> dict[str, Any]:
    """What the document needs the schemas of, by the places where they are needed."""
    found: dict[str, Any] = {"failure": shapes.Failure, "meta": shapes.Meta}
    for one in operations:
        if one.said.body is not None:
            found[f"{one.key} body"] = one.said.body
        if one.said.answer is not None and one.said.answer.shape is not None:
            found[f"{one.key} answer"] = one.said.answer.shape
    return found


# ---------------------------------------------------------------- one operation


def _described(one: _Operation, found: Mapping[str, schemas.Schema]) -> Json:
    described: Json = {
        "tags": [str(one.group)],
        "summary": one.summary,
        "operationId": _identity(one),
        "security": _DOORS.get(one.line.door, []),
    }
    if one.line.websocket:
        described["description"] = _WEBSOCKET
        described["x-websocket"] = True
    if one.others:
        described["x-also-at"] = one.others
    if one.parameters or one.said.query or one.said.headers:
        named = [{"$ref": f"#/components/parameters/{name}"} for name in (*one.said.query, *one.said.headers)]
        described["parameters"] = [*one.parameters, *named]
    if one.said.body is not None:
        described["requestBody"] = _body(one, found[f"{one.key} body"])
    described["responses"] = {**_success(one, found), **_failures(one)}
    return described


def _body(one: _Operation, schema: schemas.Schema) -> Json:
    example: Json = {} if one.said.example is None else {"example": one.said.example}
    return {"required": one.said.body_required, "content": {about.JSON: {"schema": schema, **example}}}


def _success(one: _Operation, found: Mapping[str, schemas.Schema]) -> Json:
    answer = one.said.answer
    if one.line.websocket:
        return {"101": {"description": "The WebSocket is open."}}
    if answer is None:
        return {"200": {"description": "As asked.", "content": {"*/*": {}}}}
    described: Json = {"description": answer.text}
    if answer.always or answer.headers:
        references = {name: {"$ref": f"#/components/headers/{name}"} for name in answer.headers}
        always = {name: {**parameters.ANSWERED[name], "required": True} for name in answer.always}
        described["headers"] = {**always, **references}
    if answer.shape is not None:
        schema = found[f"{one.key} answer"]
        described["content"] = {about.JSON: {"schema": _enveloped(schema, answer) if answer.enveloped else schema}}
    elif answer.media:
        described["content"] = {media: _bytes(media) for media in answer.media}
    return {str(answer.status): described}


def _bytes(media: str) -> Json:
    return {"schema": {"type": "string"}} if media.startswith("text/") else {}


def _enveloped(schema: schemas.Schema, answer: about.Answer) -> schemas.Schema:
    fields: Json = {
        "success": {"const": True},
        "result": schema,
        "errors": {"type": "array", "maxItems": 0},
        "messages": {"type": "array"},
    }
    fields |= {"meta": {"$ref": "#/components/schemas/Meta"}} if answer.meta else {}
    return {"type": "object", "required": ["success", "result", "errors", "messages"], "properties": fields}


def _failures(one: _Operation) -> Json:
    if one.line.plain_errors:
        return {str(status): _in_words(status) for status in sorted(one.statuses)} | (
            {"default": _in_words(None)} if one.said.fails is None else {}
        )
    answers: Json = {
        str(status): {"$ref": f"#/components/responses/{failures.STATUSES[status].name}"}
        for status in sorted(one.statuses)
    }
    if one.said.own_errors:
        answers["default"] = {"description": "What else fails, in words of its own.", "content": {"*/*": {}}}
    elif one.said.fails is None:
        answers["default"] = {"description": "What fails.", "content": _FAILURE}
    return answers


_FAILURE: Final = {about.JSON: {"schema": {"$ref": "#/components/schemas/Failure"}}}


def _in_words(status: int | None) -> Json:
    text = "What fails." if status is None else failures.STATUSES[status].text
    return {"description": text, "content": {"text/plain": {"schema": {"type": "string"}}}}


def _failure(status: failures.Status) -> Json:
    headers = {name: {"$ref": f"#/components/headers/{name}"} for name in status.headers}
    text = f"{status.text} Codes: {', '.join(failures.said(status.codes))}."
    return {"description": text, **({"headers": headers} if headers else {}), "content": _FAILURE}


# ---------------------------------------------------------------- parameters


def _parameters(operations: Iterable[_Operation]) -> Json:
    used = {name for one in operations for name in (*one.said.query, *one.said.headers)}
    return {name: one for name, one in parameters.ASKED.items() if name in used}


def _of_path(path: str) -> Iterator[Json]:
    for found in _PARAMETER.finditer(path):
        yield {"name": found["name"], "in": "path", "required": True, "schema": _schema(found["pattern"])}


def _schema(pattern: str | None) -> Json:
    if pattern is None:
        return {"type": "string", "minLength": 1}
    words = pattern.split("|")
    return {"type": "string", "enum": words} if all(word.isalnum() for word in words) else {"type": "string"}


def _identity(one: _Operation) -> str:
    words = [word for word in re.split(r"[^A-Za-z0-9]+", one.path) if word]
    slash = ["slash"] if one.path.endswith("/") else []
    return "_".join([one.method, *words, *slash])


def _sentence(text: str) -> str:
    return text.replace("``", "`")[:1].upper() + text.replace("``", "`")[1:]


def _guessed(path: str) -> about.Group:
    starts = {
        "/v1/sessions/": about.Group.SESSIONS,
        "/devtools": about.Group.SESSIONS,
        "/live": about.Group.LIVE,
        "/recording": about.Group.LIVE,
        "/v1/recording": about.Group.LIVE,
        "/crawl": about.Group.CRAWL,
        "/v1/crawl": about.Group.CRAWL,
        "/json": about.Group.CHROME,
        "/internal": about.Group.AGENTS,
    }
    return next((group for start, group in starts.items() if path.startswith(start)), about.Group.MORE)
