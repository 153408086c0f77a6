"""Crawls: jobs, the queue of what they fetch, politeness to the hosts, results.

Whoever works off the queue holds one entry at a time by a lease with a fence. What dies with its lease is found again by the next who asks.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

import orjson

from browserpool.model import crawls as model
from browserpool.model.names import HolderId, PoolName, RegionName, TokenName
from browserpool.store import connect, queries

_SQL = queries.topic("crawls")
_NUL: Final = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
"""In JSON, behind however many backslashes that are escaped."""
CHUNK: Final = 1000
"""Addresses that are added by one statement."""


async def create(db: connect.Database, job: model.NewJob, *, found: Sequence[model.Found]) -> None:
    """Make the job, with what it begins with."""
    parameters = {
        "crawl_id": job.crawl_id,
        "token": job.token,
        "pool": job.pool,
        "region": job.region,
        "page_limit": job.page_limit,
        "body": _json(job.body),
        "found": _entries(found),
    }
    await connect.execute(db, _SQL["create"], parameters)


async def job(db: connect.Database, crawl_id: str) -> model.Job | None:
    """The job of this id."""
    return await connect.fetch_one(db, _SQL["job"], {"crawl_id": crawl_id}, into=_job)


async def running(db: connect.Database, token: TokenName) -> int:
    """How many jobs of the token run."""
    found = await connect.fetch_one(db, _SQL["running"], {"token": token}, into=_number)
    return found or 0


async def wanted(db: connect.Database) -> list[tuple[model.Place, TokenName]]:
    """Where running jobs want their browsers, and for which tokens."""
    return await connect.fetch(db, _SQL["wanted"], {}, into=_wanted)


async def claim(
    db: connect.Database,
    *,
    places: Sequence[model.Place],
    without: Sequence[TokenName],
    holder: HolderId,
    lease: float,
    delay: float,
) -> model.Work | None:
    """Lease the next entry, for ``lease`` seconds, to ``holder``, who can have a browser at any of ``places``.

    Entries of tokens in ``without`` are passed over. The entry's host is then left alone for what its robots.txt asks, or else for
    ``delay`` seconds.
    """
    parameters = {
        "pools": [one.pool for one in places],
        "regions": [one.region for one in places],
        "without": list(without),
        "holder": holder,
        "lease": lease,
        "delay": delay,
    }

    def work(*, crawl_id: str, number: int, fence: int, kind: str, **columns: Any) -> model.Work:
        held = model.Lease(crawl_id=crawl_id, number=number, fence=fence, holder=holder)
        return model.Work(lease=held, kind=model.Kind(kind), **columns)

    return await connect.fetch_one(db, _SQL["claim"], parameters, into=work)


async def renew(db: connect.Database, lease: model.Lease, *, seconds: float) -> bool:
    """Hold it for ``seconds`` from now; false if it is lost: to somebody else, or with its job."""
    return await connect.execute(db, _SQL["renew"], {**_named(lease), "lease": seconds}) == 1


async def give_back(db: connect.Database, lease: model.Lease, *, tried: bool) -> None:
    """Let somebody else have it, at once; unless ``tried``, the attempt does not count."""
    await connect.execute(db, _SQL["give_back"], {**_named(lease), "unspent": 0 if tried else 1})


async def know_origin(
    db: connect.Database,
    *,
    crawl_id: str,
    origin: str,
    delay: float | None = None,
    robots: str | None = None,
    trouble: str | None = None,
) -> None:
    """What the site says of itself; its pages may be claimed from now on."""
    parameters = {"crawl_id": crawl_id, "origin": origin, "delay": delay, "robots": _text(robots), "trouble": trouble}
    await connect.execute(db, _SQL["know_origin"], parameters)


async def settle(
    db: connect.Database,
    lease: model.Lease,
    outcome: model.Outcome,
    *,
    found: Sequence[model.Found] = (),
    copied: tuple[str, int] | None = None,
) -> model.JobStatus | None:
    """Write what became of the entry, and what was found there; answers where the job stands then.

    ``copied``: the job and the number of the page whose contents are taken over. ``None``: the lease is lost, or the job over, and
    nothing of it is kept.
    """
    for first in range(0, len(found) - CHUNK, CHUNK):
        chunk = _entries(found[first : first + CHUNK])
        await connect.execute(db, _SQL["extend_held"], {**_named(lease), "found": chunk})
    rest = found[(max(len(found) - 1, 0) // CHUNK) * CHUNK :]
    parameters = {
        **_named(lease),
        "status": outcome.status,
        "message": _text(outcome.message),
        "http_status": outcome.http_status,
        "final_url": _text(outcome.final_url),
        "title": _text(outcome.title),
        "html": _text(outcome.html),
        "markdown": _text(outcome.markdown),
        "extracted": None if outcome.extracted is None else _json(outcome.extracted),
        "links": [_text(link) for link in outcome.links] if copied is None else None,
        "size": outcome.size,
        "cache_key": outcome.cache_key,
        "browser_ms": outcome.browser_ms,
        "found": _entries(rest),
        "from_crawl": copied[0] if copied else None,
        "from_number": copied[1] if copied else None,
    }
    return await connect.fetch_one(db, _SQL["settle"], parameters, into=_status)


async def end(db: connect.Database, crawl_id: str, *, status: model.JobStatus, message: str) -> model.JobStatus | None:
    """End the job, unless it is over; ``message`` stands on what it had not fetched. Answers what it is then; ``None``: there is none."""
    parameters = {"crawl_id": crawl_id, "status": status, "message": message}
    return await connect.fetch_one(db, _SQL["end"], parameters, into=_status)


async def cached(db: connect.Database, *, cache_key: bytes, max_age: float) -> model.Cached | None:
    """The newest result of the same request that is at most ``max_age`` seconds old."""
    parameters = {"cache_key": cache_key, "max_age": max_age}
    return await connect.fetch_one(db, _SQL["cached"], parameters, into=model.Cached)


async def records(
    db: connect.Database, crawl_id: str, *, after: int, limit: int, most: int, status: model.PageStatus | None = None
) -> list[model.Record]:
    """The job's addresses behind number ``after``, in order: at most ``limit`` and ``most`` bytes of them, but one at least."""
    parameters = {"crawl_id": crawl_id, "after": after, "limit": limit, "most": most, "status": status}
    return await connect.fetch(db, _SQL["records"], parameters, into=_record)


async def more(db: connect.Database, crawl_id: str, *, after: int, status: model.PageStatus | None = None) -> bool:
    """Whether there are addresses behind number ``after``."""
    parameters = {"crawl_id": crawl_id, "after": after, "status": status}
    return bool(await connect.fetch_one(db, _SQL["more"], parameters, into=_more))


async def end_overdue(db: connect.Database, *, older_than: float, message: str) -> list[str]:
    """End jobs that were made more than ``older_than`` seconds ago; answers the ids of some, and is to be asked again until of none."""
    parameters = {"older_than": older_than, "message": message}
    return await connect.fetch(db, _SQL["overdue"], parameters, into=_ended)


async def end_orphaned(db: connect.Database, *, message: str) -> list[str]:
    """End jobs whose token or pool is gone; likewise."""
    return await connect.fetch(db, _SQL["orphaned"], {"message": message}, into=_ended)


async def prune(db: connect.Database, *, older_than: float) -> int:
    """Forget jobs that were over more than ``older_than`` seconds ago, with all they found; answers how many rows went."""
    gone, parameters = 0, {"older_than": older_than, "limit": CHUNK}
    while went := await connect.execute(db, _SQL["prune_pages"], parameters):
        gone += went
    return gone + await connect.execute(db, _SQL["prune_jobs"], {"older_than": older_than})


async def tidy_domains(db: connect.Database) -> None:
    """Forget hosts that no job has use for."""
    await connect.execute(db, _SQL["prune_domains"], {})
    await connect.execute(db, _SQL["mend_domains"], {})


def _named(lease: model.Lease) -> dict[str, object]:
    return {"crawl_id": lease.crawl_id, "number": lease.number, "fence": lease.fence}


def _entries(found: Sequence[model.Found]) -> str:
    return orjson.dumps([_entry(one) for one in found]).decode()


def _entry(one: model.Found) -> dict[str, object]:
    return {
        "kind": one.kind,
        "url": one.url,
        "origin": one.origin,
        "domain": one.domain,
        "depth": one.depth,
        "rank": one.rank,
        "status": one.status,
        "message": one.message,
        "modified_at": one.modified_at,
    }


def _json(value: Any) -> str:
    """Without NUL, which Postgres cannot hold; a backslash that stands for itself before ``u0000`` is none."""
    return _NUL.sub(r"\1", orjson.dumps(value).decode())


def _text(value: str | None) -> str | None:
    """As Postgres can hold it."""
    return None if value is None else value.replace("\0", "").encode(errors="replace").decode()


def _job(*, status: str, pool: str, region: str, **columns: Any) -> model.Job:
    return model.Job(status=model.JobStatus(status), pool=PoolName(pool), region=RegionName(region), **columns)


def _wanted(*, pool: str, region: str, token: str) -> tuple[model.Place, TokenName]:
    return model.Place(pool=PoolName(pool), region=RegionName(region)), TokenName(token)


def _record(*, status: str, **columns: Any) -> model.Record:
    return model.Record(status=model.PageStatus(status), **columns)


def _number(*, number: int) -> int:
    return number


def _more(*, more: bool) -> bool:
    return more


def _status(*, status: str) -> model.JobStatus:
    return model.JobStatus(status)


def _ended(*, crawl_id: str, status: str) -> str:  # noqa: ARG001 - the row's columns
    return crawl_id
