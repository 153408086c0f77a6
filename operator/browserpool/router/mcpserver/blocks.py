"""An HTTP answer as what a model is shown: text, pictures, files. Pure."""

import base64
import dataclasses
from collections.abc import Mapping
from typing import Any, Final

import orjson

from browserpool.model.wire import envelope
from browserpool.router.mcpserver import tools


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the router answered."""

    status: int
    content_type: str
    body: bytes
    retry_after: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    text: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """``data`` is base64."""

    data: str
    media_type: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """``data`` is base64."""

    name: str
    data: str
    media_type: str


Block = Text | Image | File

_PICTURE: Final = "screenshot"


def shown(tool: tools.Tool, answer: Answer, *, arguments: Mapping[str, Any]) -> list[Block]:
    """The blocks of a good answer."""
    if answer.content_type.startswith("image/"):
        return [Image(data=base64.b64encode(answer.body).decode(), media_type=answer.content_type)]
    if answer.content_type == "application/pdf":
        return [File(name="page.pdf", data=base64.b64encode(answer.body).decode(), media_type=answer.content_type)]
    if answer.content_type != "application/json":
        return [Text(text=answer.body.decode(errors="replace"))]
    said = orjson.loads(answer.body)
    result = said["result"] if isinstance(said, dict) and "success" in said else said
    if tool.name == "get_url_snapshot":
        return _views(result, picture=f"image/{_options(arguments).get('type', 'png')}")
    return [_text(result)]


def complaint(answer: Answer) -> str:
    """What an error says, and when it may be over."""
    message = envelope.message(answer.body) or f"The router answered {answer.status}."
    return message if answer.retry_after is None else f"{message} (Try again in {answer.retry_after} s.)"


def _views(result: Mapping[str, Any], *, picture: str) -> list[Block]:
    return [
        Image(data=value, media_type=picture) if name == _PICTURE else _text(value)
        for name, value in result.items()
        if value is not None
    ]


def _text(value: Any) -> Text:
    return Text(text=value if isinstance(value, str) else orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def _options(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    options = arguments.get("screenshotOptions")
    return options if isinstance(options, dict) else {}
