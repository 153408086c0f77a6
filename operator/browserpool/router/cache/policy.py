"""What is kept, for whom, and for how long. Pure.

The key is made of the caller, the pool, the region and the whole body as it was sent, but for ``cacheTTL`` itself and the order of its
fields. It is a keyed digest: bodies hold passwords and cookies, and whoever reads a key shall not be able to guess them.
"""

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Final

import orjson

from browserpool.model import agentapi, tokens
from browserpool.model.names import PoolName, RegionName

LONGEST_BODY: Final = 64 * 1024
"""Bytes. A request with a longer body is not looked up: this one's digest takes half a millisecond, that of 50 MB longer than an action."""
KEPT_HEADERS: Final = ("Content-Type", "Content-Disposition", "X-Browserpool-Pool", "X-Browserpool-Region")
"""Of an answer. The rest says which browser worked, and how long: when it is given again, none did."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """An answer may be looked up under ``key`` if it is younger than ``ttl`` seconds, and kept for as long."""

    key: bytes
    ttl: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """An answer of status 200."""

    headers: Mapping[str, str]
    body: bytes


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Whose answers these are, and of which browsers."""

    caller: tokens.Token
    pool: PoolName
    region: RegionName


def may_look(content_length: int | None) -> bool:
    """Whether a request with such a body may be answered from the cache. One of unknown length may not: it is read later."""
    return content_length is not None and content_length <= LONGEST_BODY


def key(scope: Scope, action: str, body: bytes, *, secret: str) -> bytes:
    """Of a body that is a JSON object. 32 bytes; the token's hash is in it, so that a name given out anew finds nothing."""
    said = orjson.loads(body)
    said.pop("cacheTTL", None)
    whose = (scope.caller.name, scope.caller.hash.hex(), scope.pool, scope.region, action)
    digest = hashlib.blake2b(key=hashlib.sha256(secret.encode()).digest(), digest_size=32, person=b"browserpool cach")
    digest.update(orjson.dumps([whose, said], option=orjson.OPT_SORT_KEYS))
    return digest.digest()


def kept(*, status: int, headers: Mapping[str, str], body: bytes | None, most: int) -> Kept | None:
    """What is kept of an answer; ``None``: nothing, because it is none of 200, or has more than ``most`` bytes, or is not whole."""
    if status != 200 or body is None or len(body) > most:
        return None
    return Kept(headers={name: headers[name] for name in KEPT_HEADERS if name in headers}, body=body)


def headers(answer: Kept, *, age: float) -> dict[str, str]:
    """With which it is given again. ``Age`` in whole seconds, as HTTP has it."""
    return {**answer.headers, **HIT, "Age": str(int(age))}


HIT: Final[Mapping[str, str]] = {"X-Browserpool-Cache": "hit", agentapi.BROWSER_MS_USED: "0"}
MISS: Final[Mapping[str, str]] = {"X-Browserpool-Cache": "miss"}
"""It was looked for and not there. An answer that was not looked for has no such header."""
