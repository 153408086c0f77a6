"""Pools as the routers are to see them; written by whoever reads the manifests."""

import logging
from typing import Any

import pydantic
from psycopg.types import json

from browserpool.model.names import PoolName
from browserpool.model.pool import BrowserPool, Metadata, PoolSpec
from browserpool.store import connect, queries

log = logging.getLogger(__name__)

_SQL = queries.topic("pools")


async def put(db: connect.Database, pool: BrowserPool) -> None:
    """Make ``pool`` what routers see under its name."""
    spec = json.Jsonb(pool.spec.model_dump(mode="json", by_alias=True))
    await connect.execute(db, _SQL["put"], {"pool": pool.name, "generation": pool.metadata.generation, "spec": spec})


async def listing(db: connect.Database) -> list[BrowserPool]:
    """All pools, by name. One whose spec this version cannot read (a newer one wrote it) is logged and left out."""
    found = await connect.fetch(db, _SQL["listing"], {}, into=_pool)
    return [pool for pool in found if pool is not None]


async def remove(db: connect.Database, name: PoolName) -> bool:
    """Let routers no longer see the pool; its browsers' rows stay. Answers whether there was one."""
    return await connect.execute(db, _SQL["remove"], {"pool": name}) > 0


def _pool(*, pool: str, generation: int, spec: Any) -> BrowserPool | None:
    try:
        return BrowserPool(metadata=Metadata(name=pool, generation=generation), spec=PoolSpec.model_validate(spec))
    except pydantic.ValidationError as error:
        log.error("pool cannot be read and is left out", extra={"pool": pool, "problem": str(error)})  # noqa: TRY400 - the error is data
        return None
