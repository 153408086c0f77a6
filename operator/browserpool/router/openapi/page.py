"""The document as a page: groups, a search, each address with its fields, its answers and a line for curl. Pure.

All of it is there without a script; the page's own script only searches, and copies what is to be copied.
"""

import dataclasses
import html
import importlib.resources
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import orjson

from browserpool.router import selfcontained

Json = Mapping[str, Any]

_ORIGIN: Final = "https://browserpool.invalid"
"""Stands where the address belongs by which the reader came."""
_METHODS: Final = ("get", "post", "put", "delete", "patch")
_REQUEST_HEADERS: Final = "Authorization: Bearer $TOKEN"
_TO_FILE: Final = {"image/png": "page.png", "application/pdf": "page.pdf"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """HTML, and the policy that lets nothing run or load in it but what it holds."""

    text: str
    policy: str

    def seen_at(self, origin: str) -> str:
        """The page for somebody who calls this installation by that address."""
        return self.text.replace(_ORIGIN, escaped(origin))


def made(document: Json) -> Page:
    """The page of a document."""
    template = importlib.resources.files("browserpool.router.openapi").joinpath("page.html").read_text(encoding="utf-8")
    groups = [(tag["name"], list(_operations(document, tag["name"]))) for tag in document["tags"]]
    parts = {
        "title": escaped(f"{document['info']['title']} {document['info']['version']}"),
        "about": _prose(document["info"]["description"]),
        "index": "".join(_index(name, operations) for name, operations in groups),
        "groups": "".join(_group(name, operations, document) for name, operations in groups),
        "schemas": "".join(_schema(name, schema) for name, schema in document["components"]["schemas"].items()),
    }
    text = re.sub(r"%(\w+)%", lambda found: parts[found[1]], template)
    return Page(text=text, policy=selfcontained.policy(template, frame_ancestors="'none'"))


def escaped(text: object) -> str:
    """Text in HTML."""
    return html.escape(str(text))


# ---------------------------------------------------------------- groups


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Operation:
    method: str
    path: str
    said: Json

    @property
    def shown(self) -> str:
        return "WS" if self.said.get("x-websocket") else self.method.upper()

    @property
    def anchor(self) -> str:
        return str(self.said["operationId"])


def _operations(document: Json, tag: str) -> Iterator[_Operation]:
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item and tag in item[method]["tags"]:
                yield _Operation(method=method, path=path, said=item[method])


def _index(name: str, operations: Iterable[_Operation]) -> str:
    lines = "".join(
        f'<li><a href="#{one.anchor}"><b class="{one.shown}">{one.shown}</b>{_path(one.path)}</a></li>'
        for one in operations
    )
    return f"<h2>{escaped(name)}</h2><ul>{lines}</ul>"


def _group(name: str, operations: Iterable[_Operation], document: Json) -> str:
    return f"<section><h2>{escaped(name)}</h2>{''.join(_operation(one, document) for one in operations)}</section>"


def _path(path: str) -> str:
    """A path that may be broken after its slashes."""
    return escaped(path).replace("/", "/<wbr>")


# ---------------------------------------------------------------- one operation


def _operation(one: _Operation, document: Json) -> str:
    said = one.said
    parts = [
        _prose(said.get("description", "")),
        _who(said["security"]),
        _also(said.get("x-also-at", ())),
        _command(one),
        _parameters([_resolved(part, document) for part in said.get("parameters", ())]),
        _body(said.get("requestBody"), document),
        _answers(said["responses"], document),
    ]
    return (
        f'<details id="{one.anchor}" class="operation"><summary><b class="{one.shown}">{one.shown}</b><code>{_path(one.path)}</code>'
        f"<span>{_inline(said['summary'])}</span></summary>{''.join(parts)}</details>"
    )


def _who(security: Iterable[Json]) -> str:
    names = {name for one in security for name in one}
    who = "For agents, with their own token." if "agent" in names else "With a token." if names else "Without a token."
    return f'<p class="note">{who}</p>'


def _also(paths: Iterable[str]) -> str:
    listed = ", ".join(f"<code>{_path(path)}</code>" for path in paths)
    return f'<p class="note">Also at {listed}</p>' if listed else ""


def _command(one: _Operation) -> str:
    url = _ORIGIN + one.path
    if one.said.get("x-websocket"):
        return _copied(f"{re.sub('^http', 'ws', url)}?token=$TOKEN")
    words = ["curl"]
    words += [] if one.method == "get" else ["-X", one.method.upper()]
    words += ["-H", f'"{_REQUEST_HEADERS}"'] if one.said["security"] else []
    content = one.said.get("requestBody", {}).get("content", {}).get("application/json")
    if content is not None:
        example = orjson.dumps(content.get("example", {})).decode()
        words += ["-H", "'Content-Type: application/json'", "-d", shlex.quote(example)]
    words.append(f"'{url}'")
    answers = one.said["responses"].get("200", {}).get("content", {})
    file = next((_TO_FILE[media] for media in answers if media in _TO_FILE), None)
    words += ["-o", file] if file else []
    return _copied(" ".join(words))


def _copied(text: str) -> str:
    return f'<div class="try"><pre>{escaped(text)}</pre><button type="button">copy</button></div>'


def _parameters(parameters: Iterable[Json]) -> str:
    rows = [
        (
            _name(one["name"], required=one.get("required", False)),
            escaped(one["in"]),
            _kind(one["schema"]),
            _inline(one.get("description", "")),
        )
        for one in parameters
    ]
    return _table("Parameters", ("name", "in", "type", ""), rows)


def _body(body: Json | None, document: Json) -> str:
    if body is None:
        return ""
    schema = _resolved(body["content"]["application/json"]["schema"], document)
    optional = "" if body.get("required") else " (may be left out)"
    about = re.sub(r"^The body( of `[^`]*`: the shared one)?\. ?", "", schema.get("description", ""))
    return _prose(about) + _fields(f"Body{optional}", schema)


def _answers(responses: Json, document: Json) -> str:
    rows = []
    for status, reference in responses.items():
        answer = _resolved(reference, document)
        content = " or ".join(_content(media, one) for media, one in answer.get("content", {}).items())
        headers = ", ".join(f"<code>{escaped(name)}</code>" for name in answer.get("headers", {}))
        rows.append((f"<code>{escaped(status)}</code>", _inline(answer["description"]), content, headers))
    return _table("Answers", ("status", "", "type", "headers"), rows)


def _content(media: str, content: Json) -> str:
    schema = content.get("schema", {})
    return _kind(schema) if media == "application/json" and schema else escaped(media)


# ---------------------------------------------------------------- schemas


def _schema(name: str, schema: Json) -> str:
    return (
        f'<details id="schema-{escaped(name)}" class="schema"><summary><code>{escaped(name)}</code></summary>'
        f"{_prose(schema.get('description', ''))}{_fields('', schema) or f'<p>{_kind(schema)}</p>'}</details>"
    )


def _fields(title: str, schema: Json) -> str:
    required = schema.get("required", ())
    rows = [
        (_name(name, required=name in required), _kind(one), _default(one), _inline(one.get("description", "")))
        for name, one in schema.get("properties", {}).items()
    ]
    return _table(title, ("field", "type", "default", ""), rows)


def _name(name: str, *, required: bool) -> str:
    return f"<code>{escaped(name)}</code>{'<sup>required</sup>' if required else ''}"


def _default(schema: Json) -> str:
    value = schema.get("default")
    if value is None or value in ([], {}, ""):
        return ""
    if isinstance(value, dict) and not {"width", "height"} <= value.keys():
        return ""  # its fields' own defaults say as much
    return f"<code>{escaped(_plain(value))}</code>"


def _kind(schema: Json) -> str:
    """A type in few words; other schemas are linked to. That ``null`` may stand for nothing is said once, for all."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#schema-{escaped(name)}">{escaped(name)}</a>'
    choices = schema.get("anyOf") or [one for one in schema.get("oneOf", ()) if "type" in one or "$ref" in one]
    if choices:
        return " or ".join(_kind(one) for one in choices if one.get("type") != "null")
    words = [schema["const"]] if "const" in schema else schema.get("enum", ())
    if words:
        return ", ".join(f"<code>{escaped(_plain(word))}</code>" for word in words if word is not None)
    return _simple(schema)


def _simple(schema: Json) -> str:
    kinds = schema.get("type", "anything")
    kind = " or ".join(one for one in kinds if one != "null") if isinstance(kinds, list) else kinds
    if kind == "array" and "items" in schema:
        return f"array of {_kind(schema['items'])}"
    if kind == "object" and "result" in schema.get("properties", {}):
        return f"result: {_kind(schema['properties']['result'])}"
    return escaped(kind) + _bounds(schema)


def _plain(value: object) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _bounds(schema: Json) -> str:
    words = [f"{schema['minimum']:g} to" if "minimum" in schema else "up to"] if "maximum" in schema else []
    words += [f"{schema['maximum']:g}"] if "maximum" in schema else []
    words += [f"{schema['minimum']:g} or more"] if "minimum" in schema and "maximum" not in schema else []
    words += [f"at most {schema['maxLength']} characters"] if "maxLength" in schema else []
    return f" <small>{' '.join(words)}</small>" if words else ""


def _resolved(part: Json, document: Json) -> Json:
    """What a reference means."""
    found: Any = part
    while "$ref" in found:
        reference, found = found["$ref"], document
        for word in reference.removeprefix("#/").split("/"):
            found = found[word]
    return found if isinstance(found, Mapping) else {}


# ---------------------------------------------------------------- words


def _table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{word}</th>" for word in heads)
    lines = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"{f'<h3>{title}</h3>' if title else ''}<table><tr>{head}</tr>{lines}</table>"


def _prose(text: str) -> str:
    """Paragraphs and lists, in the little Markdown that the document uses."""
    if not text:
        return ""
    items = re.split(r"\n- ", "\n" + text.strip())
    first = f"<p>{_inline(items[0].strip())}</p>" if items[0].strip() else ""
    rest = "".join(f"<li>{_inline(item)}</li>" for item in items[1:])
    return first + (f"<ul>{rest}</ul>" if rest else "")


def _inline(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped(text))
