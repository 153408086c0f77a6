"""A body as the JSON object that it must be, and the words for one that is none. Pure."""

from typing import Any, Final

import orjson

from browserpool.model import errors

PAGE: Final = '{"url": "https://example.com"}'
"""What the body of most addresses is like."""


def read(body: bytes, *, like: str = PAGE) -> dict[str, Any]:
    """The object; ``like``: one that would do.

    Raises:
        errors.InvalidRequest: there is no body, or it is no JSON, or no object.
    """
    if not body:
        raise errors.InvalidRequest(f"the body is empty; send a JSON object like {like}")
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise errors.InvalidRequest(f"the body is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise errors.InvalidRequest(f"the body must be a JSON object, like {like}")
    return value
