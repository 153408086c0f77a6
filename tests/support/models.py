"""An endpoint that speaks OpenAI's chat completions, on loopback: the outside world that ``json`` asks. It says what a test tells it to."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from aiohttp import web

from browserpool.lib import web as lib_web

Reply = Callable[["Asked"], Awaitable[web.StreamResponse] | web.StreamResponse]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """One request as it came."""

    provider: str
    authorization: str | None
    body: dict[str, Any]
    request: web.Request = dataclasses.field(repr=False)

    @property
    def model(self) -> str:
        return str(self.body["model"])

    @property
    def words(self) -> str:
        """All that the model was told."""
        return "\n".join(message["content"] for message in self.body["messages"])

    @property
    def format(self) -> dict[str, Any] | None:
        return self.body.get("response_format")


def says(content: object, *, finish_reason: str = "stop", **message: object) -> Reply:
    """A completion of these words."""

    def reply(asked: Asked) -> web.Response:
        choice = {
            "index": 0,
            "finish_reason": finish_reason,
            "message": {"role": "assistant", "content": content, **message},
        }
        return lib_web.json_response(
            {"id": "c1", "object": "chat.completion", "model": asked.model, "choices": [choice], "usage": {}}
        )

    return reply


def refuses(status: int, message: str = "", **headers: str) -> Reply:
    """An error as OpenAI has it."""
    return lambda _: lib_web.json_response({"error": {"message": message}}, status=status, headers=headers)


def answers(body: bytes, *, status: int = 200, content_type: str = "application/json", **headers: str) -> Reply:
    return lambda _: web.Response(body=body, status=status, content_type=content_type, headers=headers)


async def hangs(_: Asked) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError("cancelled before")


async def breaks_off(asked: Asked) -> web.StreamResponse:
    """Half an answer, and the connection is gone."""
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(asked.request)
    await response.write(b'{"choices": [')
    assert asked.request.transport is not None
    asked.request.transport.abort()
    return response


@dataclasses.dataclass(kw_only=True)
class World:
    """The endpoints of many providers, one path each. ``replies``: what a provider does, by its name."""

    url: str = ""
    replies: dict[str, Reply] = dataclasses.field(default_factory=dict)
    asked: list[Asked] = dataclasses.field(default_factory=list)

    def base(self, provider: str) -> str:
        """The base address of a provider."""
        return f"{self.url}/{provider}/v1"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        asked = Asked(
            provider=request.match_info["provider"],
            authorization=request.headers.get("Authorization"),
            body=await request.json(),
            request=request,
        )
        self.asked.append(asked)
        made = self.replies[asked.provider](asked)
        return made if isinstance(made, web.StreamResponse) else await made


@contextlib.asynccontextmanager
async def world(**replies: Reply) -> AsyncIterator[World]:
    """The endpoints, served while the block runs."""
    made = World(replies=dict(replies))
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/{provider}/v1/chat/completions", made.answer)
    async with lib_web.serve(app, host="127.0.0.1", port=0, grace=0.1) as address:
        made.url = f"http://{address}"
        yield made
