"""The doors of ``/crawl``: a job is made, read, ended. What is done for it, any router's worker does."""

import datetime
from typing import Final

from aiohttp import web

from browserpool.lib import chance
from browserpool.lib import web as lib_web
from browserpool.model import claims, crawls, errors, names
from browserpool.model.wire import crawl as wire
from browserpool.model.wire import envelope
from browserpool.router import actions, binding, services
from browserpool.router.crawl import plan, results
from browserpool.store import crawls as store

MOST_RUNNING: Final = 100
"""Jobs of one token that may run at one time."""


async def create(call: services.Call) -> web.StreamResponse:
    """POST …/crawl: fetch a site, page by page; answers the job's id."""
    parts, token = call.services, call.token
    parts.quotas.admit(token)
    wanted = await call.wanted(claims.SessionKind.ACTION)
    body = plan.raw(await actions.read(call.request, most=wire.MAX_BODY))
    read = plan.read(body)
    if read.body.json_options is not None:
        await parts.models.question(read.body.json_options)
    if (now := parts.database_clock.now()) is not None:
        plan.check_time(read, now=datetime.datetime.fromtimestamp(now, datetime.UTC))
    if await store.running(parts.db, token.name) >= MOST_RUNNING:
        raise errors.TooManyRequests(
            f"Token {token.name} has {MOST_RUNNING} crawls running; cancel one, or wait until one ends.", retry_after=60
        )
    job = crawls.NewJob(
        crawl_id=chance.unique_id(),
        token=token.name,
        pool=wanted.pool,
        region=wanted.request.region,
        page_limit=read.body.limit,
        body=body,
    )
    await store.create(parts.db, job, found=plan.beginning(read))
    parts.crawl_wake.set()
    return lib_web.json_response(envelope.success(job.crawl_id))


async def read(call: services.Call) -> web.StreamResponse:
    """GET …/crawl/{job}: how far it has come, and its records (``cursor``, ``limit``, ``status``)."""
    query = call.request.query
    after = binding.whole(query, "cursor", least=0, most=2**31 - 1, absent=0)
    limit = binding.whole(query, "limit", least=1, most=wire.MAX_PAGES, absent=results.MOST_RECORDS)
    status = results.status(query.get("status"))
    job = await _mine(call)
    records = await store.records(
        call.services.db,
        job.crawl_id,
        after=after,
        limit=min(limit, results.MOST_RECORDS),
        most=results.MOST_BYTES,
        status=status,
    )
    cursor = records[-1].number if records else None
    if cursor is not None and not await store.more(call.services.db, job.crawl_id, after=cursor, status=status):
        cursor = None
    return lib_web.json_response(envelope.success(results.answer(job, records, cursor=cursor)))


async def cancel(call: services.Call) -> web.StreamResponse:
    """DELETE …/crawl/{job}: fetch nothing more; what was fetched stays."""
    job = await _mine(call)
    status = await store.end(
        call.services.db,
        job.crawl_id,
        status=crawls.JobStatus.CANCELLED_BY_USER,
        message="The crawl was cancelled before its turn came.",
    )
    if status is None:
        raise _unknown(job.crawl_id)
    was_over = job.status is not crawls.JobStatus.RUNNING
    message = f"The crawl was over already: {status}." if was_over else "The crawl is cancelled."
    return lib_web.json_response(envelope.success({"job_id": job.crawl_id, "message": message}))


async def _mine(call: services.Call) -> crawls.Job:
    """The job named in the address.

    Raises:
        errors.NotFound: there is none, or it is not the caller's: which of the two is not told.
    """
    crawl_id = call.request.match_info["job"]
    job = await store.job(call.services.db, crawl_id) if names.is_session_id(crawl_id) else None
    if job is None or not (call.token.admin or job.token == call.token.name):
        raise _unknown(crawl_id)
    return job


def _unknown(crawl_id: str) -> errors.NotFound:
    return errors.NotFound(f"There is no crawl {crawl_id[:64]!r} of yours; results are kept for 14 days.")
