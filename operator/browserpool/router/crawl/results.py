"""What a job's client is told. Pure."""

from typing import Any, Final

import orjson

from browserpool.model import crawls, errors

MOST_BYTES: Final = 10 * 1000 * 1000 - 4096
"""Of one answer's records; the rest of 10 MB is for what stands around them."""
MOST_RECORDS: Final = 10_000
MAX_RECORD: Final = 8 * 1024 * 1024
"""Of one page's results, so that any two formats of it still fit."""


def record(one: crawls.Record) -> dict[str, Any]:
    """One address, as the wire has it; ``error`` is ours."""
    said: dict[str, Any] = {"url": one.url, "status": one.status}
    contents = {"html": one.html, "markdown": one.markdown, "json": one.extracted, "error": one.message}
    said |= {name: value for name, value in contents.items() if value is not None}
    if one.http_status is not None:
        metadata = {"status": one.http_status, "title": one.title, "url": one.final_url or one.url}
        said["metadata"] = {name: value for name, value in metadata.items() if value is not None}
    return said


def size(url: str, outcome: crawls.Outcome) -> int:
    """How many bytes the record of ``url`` takes in an answer."""
    made = crawls.Record(
        number=0,
        url=url,
        status=outcome.status,
        message=outcome.message,
        http_status=outcome.http_status,
        final_url=outcome.final_url,
        title=outcome.title,
        html=outcome.html,
        markdown=outcome.markdown,
        extracted=outcome.extracted,
    )
    return len(orjson.dumps(record(made))) + 1


def answer(job: crawls.Job, records: list[crawls.Record], *, cursor: int | None) -> dict[str, Any]:
    """The job and some of its records; ``cursor``: where the next ones begin."""
    said: dict[str, Any] = {
        "id": job.crawl_id,
        "status": job.status,
        "browserSecondsUsed": round(job.browser_ms / 1000, 3),
        "total": job.total,
        "finished": job.finished,
        "skipped": job.skipped,
        "records": [record(one) for one in records],
    }
    return said if cursor is None else {**said, "cursor": str(cursor)}


def status(text: str | None) -> crawls.PageStatus | None:
    """The query's ``status``.

    Raises:
        errors.InvalidRequest: there is no such status.
    """
    if text is None:
        return None
    try:
        return crawls.PageStatus(text)
    except ValueError:
        known = ", ".join(crawls.PageStatus)
        raise errors.InvalidRequest(f"status must be one of {known} (given: {text[:40]!r})") from None
