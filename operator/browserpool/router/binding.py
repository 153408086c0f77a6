"""What a request asks its session to be bound to: guardrails in the body or, for a WebSocket, in a header; recording in the query. Pure."""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from browserpool.model import errors, terms
from browserpool.model.wire import objects

GUARDRAILS: Final = "cf-brapi-guardrails"
"""Header: base64url of the JSON that a body has under ``guardrails``. What opens a WebSocket has no body."""
_WHOLE: Final = re.compile(r"[0-9]{1,15}(\.0{1,15})?")
_SWITCH: Final = {"true": True, "1": True, "false": False, "0": False, "": False}


def wished(*, body: bytes, headers: Mapping[str, str], query: Mapping[str, str], recordings: bool) -> terms.Terms:
    """The terms of a new session; ``recordings``: whether this installation makes any.

    Raises:
        errors.InvalidRequest: a bound that cannot be kept to. None is ever dropped.
    """
    recording = is_yes(query, "recording")
    if recording and not recordings:
        raise errors.InvalidRequest(
            "recording=true, but this installation makes no recordings; leave it out, or set BROWSERPOOL_RECORDINGS=true for its routers."
        )
    said = json_object(body).get("guardrails")
    guardrails = _from_header(headers.get(GUARDRAILS)) if said is None else said
    return terms.Terms(allowed_hosts=terms.allowed_hosts(guardrails), recording=recording)


def is_yes(query: Mapping[str, str], name: str) -> bool:
    """Whether a switch in a query is on; an empty one is off.

    Raises:
        errors.InvalidRequest: it says neither yes nor no.
    """
    text = query.get(name, "").lower()
    if text not in _SWITCH:
        raise errors.InvalidRequest(f"{name} must be true or false (given: {text[:40]!r}).")
    return _SWITCH[text]


def whole(query: Mapping[str, str], name: str, *, least: int, most: int, absent: int) -> int:
    """A number in a query; clients whose numbers are all floats send ``10.0``.

    Raises:
        errors.InvalidRequest: it is none, or out of bounds.
    """
    text = query.get(name)
    if text is None:
        return absent
    number = int(text.partition(".")[0]) if _WHOLE.fullmatch(text) else None
    if number is None or not least <= number <= most:
        raise errors.InvalidRequest(f"{name} must be a whole number from {least} to {most} (given: {text[:40]!r})")
    return number


def json_object(body: bytes) -> dict[str, Any]:
    """A body that is a JSON object; none is an empty one.

    Raises:
        errors.InvalidRequest: it is something else.
    """
    return objects.read(body, like="{}") if body else {}


def _from_header(text: str | None) -> object:
    if text is None:
        return None
    try:
        return orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, binascii.Error) as error:
        raise errors.InvalidRequest(f"{GUARDRAILS} must be base64url of JSON: {error}.") from error
