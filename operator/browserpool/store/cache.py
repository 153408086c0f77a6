"""Answers of quick actions that routers share, to be given again for a while. What is kept, and under which key, is for routers to say."""

import dataclasses
from collections.abc import Mapping
from typing import Final

import orjson

from browserpool.store import connect, queries

OVERHEAD: Final = 1024
"""Bytes that a row takes besides its body."""

_SQL = queries.topic("cache")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One answer; ``age`` in seconds since it was stored."""

    headers: Mapping[str, str]
    body: bytes
    age: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Size:
    bytes: int


async def get(db: connect.Database, key: bytes, *, ttl: float) -> Kept | None:
    """What is kept under ``key``, if it has not expired and is no older than ``ttl`` seconds."""
    return await connect.fetch_one(db, _SQL["get"], {"key": key, "ttl": ttl}, into=Kept)


async def put(db: connect.Database, key: bytes, *, headers: Mapping[str, str], body: bytes, ttl: float) -> None:
    """Keep an answer for ``ttl`` seconds, in place of what was kept under ``key``."""
    parameters = {
        "key": key,
        "ttl": ttl,
        "size": len(body) + OVERHEAD,
        "headers": orjson.dumps(headers).decode(),
        "body": body,
    }
    await connect.execute(db, _SQL["put"], parameters)


async def sweep(db: connect.Database, *, most: int) -> int:
    """Delete what has expired, and the oldest beyond ``most`` bytes. Answers how many bytes are left."""
    await connect.execute(db, _SQL["expire"], {})
    if await _size(db) > most:
        await connect.execute(db, _SQL["trim"], {"most": most})
    return await _size(db)


async def _size(db: connect.Database) -> int:
    found = await connect.fetch_one(db, _SQL["size"], {}, into=_Size)
    return found.bytes if found is not None else 0
