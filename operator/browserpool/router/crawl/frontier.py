"""Addresses: their one form, which of them a job fetches, and in which order. Pure."""

import datetime
import re
from collections.abc import Iterable
from typing import Final

import yarl

from browserpool.model import crawls
from browserpool.model.wire import crawl as wire
from browserpool.router.crawl import robots

SITEMAP_DEPTH: Final = 1
"""What a sitemap lists is as far from the start as what the start links to."""
_RANKS: Final = {crawls.Kind.ROBOTS: 0, crawls.Kind.PAGE: 1, crawls.Kind.SITEMAP: 2}
_AFTER_SITEMAPS: Final = 2
_UNFIT: Final = re.compile(r"[^!-~]")
"""What yarl lets pass in a host, and neither Postgres nor a line of HTTP can hold."""
_UNFIT_HOST: Final = re.compile(r"^[^:]*%")
"""Escapes have no meaning there; behind a colon it is the zone of an IPv6 address."""


def normalised(text: str) -> str | None:
    """The one form of an address, so that it is fetched once; ``None``: it cannot be fetched. Visible ASCII only.

    No fragment, no user, no default port, the host in small letters and ASCII, escapes only where they must be.
    """
    try:
        url = yarl.URL(text.strip())
        if url.scheme not in ("http", "https") or not url.raw_host:
            return None
        made = str(url.with_path(url.raw_path or "/", encoded=True, keep_query=True).with_user(None))
    except (ValueError, TypeError):  # what yarl says of what is no address
        return None
    if _UNFIT.search(made) or _UNFIT_HOST.search(url.raw_host):
        return None
    return made if len(made) <= wire.MAX_URL else None


def origin(url: str) -> str:
    """``scheme://host:port`` of a normalised address; it is this that a robots.txt holds for."""
    return str(yarl.URL(url).origin())


def host(url: str) -> str:
    """The host of a normalised address: what politeness is kept to."""
    return yarl.URL(url).raw_host or ""


def entry(
    url: str,
    *,
    kind: crawls.Kind = crawls.Kind.PAGE,
    depth: int,
    status: crawls.PageStatus = crawls.PageStatus.QUEUED,
    message: str | None = None,
    modified_at: datetime.datetime | None = None,
) -> crawls.Found:
    """An entry of the queue: robots.txt goes first, then the first page, the sitemaps, and the others by their distance."""
    rank = _RANKS[kind] if depth == 0 or kind is not crawls.Kind.PAGE else depth + _AFTER_SITEMAPS
    return crawls.Found(
        kind=kind,
        url=url,
        origin=origin(url),
        domain=host(url),
        depth=depth,
        rank=rank,
        status=status,
        message=message,
        modified_at=modified_at,
    )


def aside(url: str, *, start: str, options: wire.Options) -> str | None:
    """Why a job that began at ``start`` does not fetch ``url``; ``None`` if it does. What is excluded beats what is included."""
    if (why := off_site(url, start=start, options=options)) is not None:
        return why
    if any(pattern.matches(url) for pattern in options.exclude_patterns):
        return "It is excluded (excludePatterns)."
    if options.include_patterns and not any(pattern.matches(url) for pattern in options.include_patterns):
        return "It is not among what is included (includePatterns)."
    return None


def off_site(url: str, *, start: str, options: wire.Options) -> str | None:
    """Why ``url`` does not belong to the site of ``start``, or to what else the job may go to."""
    here, there = yarl.URL(start), yarl.URL(url)
    if options.include_external_links:
        return None
    if _authority(here) == _authority(there):
        return None
    if str(there.raw_host).endswith(f".{here.raw_host}"):
        return None if options.include_subdomains else "It is on a subdomain (options.includeSubdomains)."
    return "It is on another site (options.includeExternalLinks)."


def _authority(url: yarl.URL) -> tuple[str | None, int | None]:
    """Http and https of one host are one site; two other ports of it are not."""
    return url.raw_host, None if url.is_default_port() else url.port


def linked(
    links: Iterable[str], *, depth: int, body: wire.Crawl, start: str, site: str, rules: robots.Rules
) -> list[crawls.Found]:
    """What the links of a page at ``depth`` add to the queue. ``rules`` are those of ``site``, an origin: another's are not known yet."""
    if depth >= body.depth:
        return []
    found = []
    for url in dict.fromkeys(filter(None, map(normalised, links))):
        if (why := aside(url, start=start, options=body.options)) is not None:
            found.append(entry(url, depth=depth + 1, status=crawls.PageStatus.SKIPPED, message=why))
        elif origin(url) == site and (why := rules.forbids(url)) is not None:
            found.append(entry(url, depth=depth + 1, status=crawls.PageStatus.DISALLOWED, message=why))
        else:
            found.append(entry(url, depth=depth + 1))
    return found


def mapped(
    listed: Iterable[tuple[str, datetime.datetime | None]], *, body: wire.Crawl, start: str
) -> list[crawls.Found]:
    """What a sitemap adds. What a job's rules leave out is passed over in silence, as sitemaps list whole sites."""
    if body.depth < SITEMAP_DEPTH:
        return []
    return [
        entry(url, depth=SITEMAP_DEPTH, modified_at=modified_at)
        for text, modified_at in listed
        if (url := normalised(text)) is not None and aside(url, start=start, options=body.options) is None
    ]


def further_maps(texts: Iterable[str], *, depth: int) -> list[crawls.Found]:
    """Sitemaps to fetch; ``depth``: how many indexes lead there."""
    urls = dict.fromkeys(filter(None, map(normalised, texts)))
    return [entry(url, kind=crawls.Kind.SITEMAP, depth=depth) for url in urls]
