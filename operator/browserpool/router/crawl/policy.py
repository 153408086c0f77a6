"""When a crawl's worker may take a browser: it is the last in every line. Pure."""

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """What a worker sees of a pool in one region.

    ``ready`` need not be counted beyond 2. ``rested``: seconds since this router's workers last had a browser of it.
    """

    replicas: int
    ready: int
    waiting: int
    rested: float


def may_take(pool: Pool, *, pause: float) -> bool:
    """Whether a worker may take a browser now.

    Never while somebody waits for one at this router. Of a pool of several, never the last that is ready, so that whoever comes next
    finds one. Of a pool of one, only when it has been left alone for ``pause`` seconds: in that time those who wait at other
    routers have asked again.
    """
    if pool.waiting > 0:
        return False
    if pool.replicas > 1:
        return pool.ready > 1
    return pool.ready > 0 and pool.rested >= pause


def may_work_for(*, running: int, concurrency: int | None) -> bool:
    """Whether a token has room. Work in the background does not take a place of its share, but it waits until there is one."""
    return concurrency is None or running < concurrency
