"""The official ``cloudflare`` SDKs, Python's and TypeScript's, called alike: a method by its path in TypeScript, and what it is given.

Both are called as their users call them; each attempt that they make over HTTP is counted.
"""

import asyncio
import base64
import dataclasses
import operator
import re
from collections.abc import Mapping
from typing import Any, Protocol

import cloudflare

from support import javascript


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a call came to: ``value`` (plain, or bytes), or an error.

    Of an error: its class's name in the SDK (``kind``), its HTTP ``status``, the ``code`` and the ``message`` of the envelope's only
    error, and the whole ``body``.
    """

    attempts: int
    value: Any = None
    kind: str | None = None
    status: int | None = None
    code: int | None = None
    message: str = ""
    body: Any = None


class Sdk(Protocol):
    """One of the two."""

    async def call(
        self, method: str, *given: Any, token: str | None = None, raw: bool = False, **headers: str
    ) -> Answer:
        """``method`` as in ``browserRendering.content.create``; ``headers``: X_Browserpool_Pool="main".

        ``raw``: the response's bytes, as users ask for what the SDK would take for text.
        """


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Python:
    base: str
    token: str

    async def call(
        self, method: str, *given: Any, token: str | None = None, raw: bool = False, **headers: str
    ) -> Answer:
        return await asyncio.to_thread(self._call, method, given, token or self.token, raw, _headers(headers))

    def _call(self, method: str, given: tuple[Any, ...], token: str, raw: bool, headers: dict[str, str]) -> Answer:
        attempts: list[Any] = []
        with (
            cloudflare.DefaultHttpxClient(event_hooks={"request": [attempts.append]}) as http,
            cloudflare.Cloudflare(
                api_token=token, base_url=self.base, default_headers=headers, http_client=http
            ) as client,
        ):
            *positional, parameters = given
            path = re.sub(r"(?=\.\w+$)", ".with_raw_response", snake(method)) if raw else snake(method)
            try:
                value = operator.attrgetter(path)(client)(*positional, **_snaked(parameters))
            except cloudflare.APIStatusError as error:
                said = [{"code": one.code, "message": one.message} for one in error.errors]
                told = {"name": type(error).__name__, "status": error.status_code, "errors": said, "body": error.body}
                return _failed({"attempts": len(attempts), **told})
            return Answer(attempts=len(attempts), value=_plain(value))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TypeScript:
    token: str
    process: javascript.Process

    async def call(
        self, method: str, *given: Any, token: str | None = None, raw: bool = False, **headers: str
    ) -> Answer:
        who = {"token": token or self.token, "headers": _headers(headers), "raw": raw}
        try:
            done = await asyncio.to_thread(self.process.call, "call", who, method, *given)
        except javascript.Failed as failed:
            if failed.fields.get("status") is None:
                raise
            return _failed(failed.fields)
        value = base64.b64decode(done["bytes"]) if "bytes" in done else done.get("value")
        return Answer(attempts=done["attempts"], value=value)


def _failed(told: Mapping[str, Any]) -> Answer:
    (error,) = told["errors"]
    return Answer(
        attempts=told["attempts"], kind=told["name"], status=told["status"], code=error["code"],
        message=error["message"], body=told["body"],
    )  # fmt: skip


def _headers(given: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in given.items()}


def snake(name: str) -> str:
    """A method's path by its names in Python."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def _snaked(value: Any) -> Any:
    """Parameters by their names in Python."""
    if isinstance(value, dict):
        return {snake(name): _snaked(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_snaked(part) for part in value]
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, cloudflare.BaseModel):
        return value.to_dict(mode="json", warnings=False)
    if isinstance(value, cloudflare.APIResponse):
        return value.read()
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value
