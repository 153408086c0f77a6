"""A crawl as the store has it: the job, its queue of things to fetch, and what became of each."""

import dataclasses
import datetime
import enum
from collections.abc import Mapping, Sequence
from typing import Any

from browserpool.model.names import HolderId, PoolName, RegionName, TokenName


class JobStatus(enum.StrEnum):
    """Where a job stands. All but RUNNING are final."""

    RUNNING = "running"
    COMPLETED = "completed"
    ERRORED = "errored"
    """It can go on no more: its token or its pool is gone."""
    CANCELLED_BY_USER = "cancelled_by_user"
    CANCELLED_DUE_TO_TIMEOUT = "cancelled_due_to_timeout"
    CANCELLED_DUE_TO_LIMITS = "cancelled_due_to_limits"


class PageStatus(enum.StrEnum):
    """What became of one address."""

    QUEUED = "queued"
    COMPLETED = "completed"
    DISALLOWED = "disallowed"
    """By its site's robots.txt."""
    SKIPPED = "skipped"
    """By the job's own rules, or not modified since the time that it names."""
    ERRORED = "errored"
    CANCELLED = "cancelled"


class Kind(enum.StrEnum):
    """What an entry of the queue is. Only pages are records for the client."""

    ROBOTS = "robots"
    SITEMAP = "sitemap"
    PAGE = "page"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job to be made. ``body`` is the client's, found good; it is forgotten when the job is over, since it may hold secrets."""

    crawl_id: str
    token: TokenName
    pool: PoolName
    region: RegionName
    page_limit: int
    body: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job and how far it has come. Skipped addresses count neither in ``total`` nor in ``finished``."""

    crawl_id: str
    token: TokenName
    pool: PoolName
    region: RegionName
    status: JobStatus
    total: int
    finished: int
    skipped: int
    browser_ms: int
    body: Mapping[str, Any] | None
    created_at: datetime.datetime
    now: datetime.datetime


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a job's browsers are claimed."""

    pool: PoolName
    region: RegionName


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """One worker's hold on one entry; ``fence`` rises with each, and whoever names an older one is not heard."""

    crawl_id: str
    number: int
    fence: int
    holder: HolderId


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """An entry of the queue, leased. ``attempts`` counts this one. ``robots`` is its site's robots.txt; ``trouble``: why there is none."""

    lease: Lease
    kind: Kind
    url: str
    depth: int
    attempts: int
    modified_at: datetime.datetime | None
    robots: str | None
    trouble: str | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An address that a job has come upon. ``status`` is QUEUED, or the verdict on it. ``rank``: lower ones go first."""

    kind: Kind
    url: str
    origin: str
    domain: str
    depth: int
    rank: int
    status: PageStatus = PageStatus.QUEUED
    message: str | None = None
    modified_at: datetime.datetime | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of an entry. ``size`` is how many bytes its record takes in an answer. ``cache_key``: by which it may serve again."""

    status: PageStatus
    message: str | None = None
    http_status: int | None = None
    final_url: str | None = None
    title: str | None = None
    html: str | None = None
    markdown: str | None = None
    extracted: Any = None
    links: Sequence[str] = ()
    size: int = 0
    cache_key: bytes | None = None
    browser_ms: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One address of a job, for its client."""

    number: int
    url: str
    status: PageStatus
    message: str | None
    http_status: int | None
    final_url: str | None
    title: str | None
    html: str | None
    markdown: str | None
    extracted: Any


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cached:
    """Where an earlier result stands, and where it led."""

    crawl_id: str
    number: int
    final_url: str | None
    links: Sequence[str]
