"""One entry of a job's queue: fetched, and what follows from it. What it needs of the world it is given: ``asking.Ask``, ``Cached``."""

import asyncio
import base64
import dataclasses
import datetime
import email.utils
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from browserpool.model import crawls, errors
from browserpool.model.wire import crawl as wire
from browserpool.model.wire import extract as extract_wire
from browserpool.model.wire import shared
from browserpool.router.crawl import asking, frontier, plan, results, robots, sitemaps

MAX_TRIES: Final = 3
"""Times that a browser, or the router that drove it, may go away under an entry."""
FETCH_SECONDS: Final = 30.0
SLACK: Final = 15.0
"""Seconds for what an agent does around an action's own deadline."""
_SERVER_TROUBLE: Final = 500

Cached = Callable[[bytes, float], Awaitable[crawls.Cached | None]]
"""An earlier result by its key, not older than so many seconds."""
Extract = Callable[[extract_wire.Extraction, str, str], Awaitable[Any]]
"""JSON from a page's Markdown and title; raises what of ``errors`` keeps it from being made."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What a robots.txt says, to be kept; ``trouble``: why nothing of its site may be fetched."""

    origin: str
    delay: float | None = None
    robots: str | None = None
    trouble: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Visited:
    """What became of an entry, and what it adds. ``copied``: the job and number of the page whose contents serve again."""

    outcome: crawls.Outcome
    found: Sequence[crawls.Found] = ()
    copied: tuple[str, int] | None = None
    site: Site | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Visits for one job."""

    plan: plan.Plan
    token: str
    place: crawls.Place
    ask: asking.Ask
    cached: Cached
    extract: Extract
    user_agent: str

    async def visit(self, work: crawls.Work) -> Visited:
        """Fetch the entry.

        Raises:
            asking.Nobody: no browser is free; nothing was done.
            errors.BrowserLost: it may be tried again.
        """
        match work.kind:
            case crawls.Kind.ROBOTS:
                return await self._robots(work)
            case crawls.Kind.SITEMAP:
                return await self._sitemap(work)
            case crawls.Kind.PAGE:
                made = await self._page(work)
                # A copy has its original's.
                return made if made.copied else dataclasses.replace(made, outcome=_sized(made.outcome, work))

    # ------------------------------------------------------------ robots.txt

    async def _robots(self, work: crawls.Work) -> Visited:
        origin = frontier.origin(work.url)
        try:
            got = await self._fetched(work.url, max_bytes=robots.MAX_BYTES)
        except errors.PageFailed as error:
            trouble = f"Its site's robots.txt cannot be had, so that nothing else is asked of it: {error.message}"
            return Visited(outcome=_done(), site=Site(origin=origin, trouble=trouble))
        text = _robots_text(got)
        rules = await asyncio.to_thread(robots.Rules, text)
        found = self._first_maps(rules, origin) if got["status"] < _SERVER_TROUBLE else []
        return Visited(outcome=_done(), found=found, site=Site(origin=origin, delay=rules.delay, robots=text))

    def _first_maps(self, rules: robots.Rules, origin: str) -> list[crawls.Found]:
        if self.plan.body.source == "links" or origin != frontier.origin(self.plan.start):
            return []
        return frontier.further_maps(rules.sitemaps or [f"{origin}/sitemap.xml"], depth=1)

    # ------------------------------------------------------------ sitemaps

    async def _sitemap(self, work: crawls.Work) -> Visited:
        try:
            got = await self._fetched(work.url, max_bytes=sitemaps.MAX_BYTES)
            if got["status"] != 200:
                return _failed(f"The server answered {got['status']}.", work)
            return await asyncio.to_thread(self._mapped, base64.b64decode(got["body"]), work)
        except (errors.PageFailed, sitemaps.Unreadable) as error:
            return _failed(str(error), work)

    def _mapped(self, content: bytes, work: crawls.Work) -> Visited:
        listed = sitemaps.read(content)
        found = frontier.mapped(listed.pages, body=self.plan.body, start=self.plan.start)
        if work.depth < sitemaps.MAX_DEPTH:
            found += frontier.further_maps(listed.maps, depth=work.depth + 1)
        return Visited(outcome=_done(), found=found)

    # ------------------------------------------------------------ pages

    async def _page(self, work: crawls.Work) -> Visited:
        if work.trouble is not None:
            return _failed(work.trouble, work)
        rules = await asyncio.to_thread(self._rules, work.robots or "")
        if (why := rules.forbids(work.url)) is not None:
            return Visited(outcome=crawls.Outcome(status=crawls.PageStatus.DISALLOWED, message=why))
        return await self._again(work, rules) or await self._asked(work, rules)

    async def _asked(self, work: crawls.Work, rules: robots.Rules) -> Visited:
        try:
            if (unmodified := await self._unmodified(work, rules)) is not None:
                return unmodified
            answer = await self._shown(work.url)
        except errors.PageFailed as error:
            return _failed(error.message, work)
        if (since := self._stale(work, answer.result)) is not None:
            return await self._skipped(since, answer.result, work, rules)
        return await self._judged(answer, work, rules)

    def _rules(self, text: str) -> robots.Rules:
        return robots.Rules(text, purposes=self.plan.body.crawl_purposes, use=self.plan.body.content_use)

    async def _again(self, work: crawls.Work, rules: robots.Rules) -> Visited | None:
        """An earlier result, where it may serve."""
        key = self.plan.cache_key(work.url, token=self.token, place=self.place)
        if key is None or self.plan.body.max_age <= 0:
            return None
        hit = await self.cached(key, self.plan.body.max_age)
        if hit is None or self._led_astray(hit.final_url or work.url, work, rules) is not None:
            return None
        found = await self._found(hit.links, work, rules)
        return Visited(outcome=_done(), found=found, copied=(hit.crawl_id, hit.number))

    async def _unmodified(self, work: crawls.Work, rules: robots.Rules) -> Visited | None:
        """Ask the server first, where only what was modified is to be shown and no sitemap has said when that was."""
        if self.plan.body.modified_since is None or work.modified_at is not None or not self.plan.body.render:
            return None
        try:
            got = (await self._fetched_page(work.url)).result
        except errors.PageFailed:
            return None  # it is the browser's to say what is wrong with the page
        since = self._stale(work, got)
        return None if since is None else await self._skipped(since, got, work, rules)

    def _stale(self, work: crawls.Work, got: Mapping[str, Any]) -> datetime.datetime | None:
        """When the page was last modified, if that is before what the job wants."""
        modified = work.modified_at or _http_date(got.get("lastModified"))
        since = self.plan.body.modified_since
        return modified if since is not None and modified is not None and modified.timestamp() < since else None

    async def _skipped(
        self, modified: datetime.datetime, got: Mapping[str, Any], work: crawls.Work, rules: robots.Rules
    ) -> Visited:
        message = f"It was last modified at {modified.isoformat()} (modifiedSince)."
        # What it links to may well have been.
        found = await self._found(got["links"], work, rules)
        return Visited(outcome=crawls.Outcome(status=crawls.PageStatus.SKIPPED, message=message), found=found)

    async def _shown(self, url: str) -> asking.Answer:
        if not self.plan.body.render:
            return dataclasses.replace(await self._fetched_page(url), browser_ms=0)
        body = {**self.plan.visiting, "url": url, "userAgent": self.user_agent, "markdown": self.plan.wants_markdown}
        seconds = (self.plan.body.action_timeout or shared.MAX_ACTION_MS) / 1000 + SLACK
        return await self.ask(wire.VISIT, body, seconds)

    async def _fetched_page(self, url: str) -> asking.Answer:
        body = {**self._fetch(url, results.MAX_RECORD), "page": True, "markdown": self.plan.wants_markdown}
        return await self.ask(wire.FETCH, body, FETCH_SECONDS + SLACK)

    async def _fetched(self, url: str, *, max_bytes: int) -> Mapping[str, Any]:
        return (await self.ask(wire.FETCH, self._fetch(url, max_bytes), FETCH_SECONDS + SLACK)).result

    def _fetch(self, url: str, max_bytes: int) -> dict[str, Any]:
        return {"url": url, "userAgent": self.user_agent, "maxBytes": max_bytes, "timeout": FETCH_SECONDS}

    async def _judged(self, answer: asking.Answer, work: crawls.Work, rules: robots.Rules) -> Visited:
        """The page that came: whether it may be kept, what is kept of it, and where it leads."""
        got = answer.result
        final = frontier.normalised(got["url"]) or work.url
        outcome = crawls.Outcome(
            status=crawls.PageStatus.COMPLETED,
            http_status=got["status"],
            final_url=final,
            title=got["title"],
            browser_ms=answer.browser_ms,
        )
        if (why := self._led_astray(final, work, rules)) is not None:
            return Visited(outcome=dataclasses.replace(outcome, status=why[0], message=why[1], title=None))
        if got["status"] >= 400:
            message = f"The server answered {got['status']}."
            failed = dataclasses.replace(outcome, status=crawls.PageStatus.ERRORED, message=message, html=got["html"])
            return Visited(outcome=failed)
        found = await self._found(got["links"], work, rules)
        return Visited(outcome=await self._kept(outcome, got, work), found=found)

    def _led_astray(self, final: str, work: crawls.Work, rules: robots.Rules) -> tuple[crawls.PageStatus, str] | None:
        """Why what a redirect led to is not the job's to keep."""
        if final == work.url:
            return None
        if (why := frontier.off_site(final, start=self.plan.start, options=self.plan.body.options)) is not None:
            return crawls.PageStatus.SKIPPED, f"It leads to {final}. {why}"
        if frontier.origin(final) == frontier.origin(work.url) and (why := rules.forbids(final)) is not None:
            return crawls.PageStatus.DISALLOWED, f"It leads to {final}. {why}"
        return None

    async def _kept(self, outcome: crawls.Outcome, got: Mapping[str, Any], work: crawls.Work) -> crawls.Outcome:
        formats = self.plan.body.formats
        kept = dataclasses.replace(
            outcome,
            html=got["html"] if "html" in formats else None,
            markdown=got["markdown"] if "markdown" in formats else None,
            links=tuple(got["links"]),
            cache_key=self.plan.cache_key(work.url, token=self.token, place=self.place),
        )
        options = self.plan.body.json_options
        if "json" not in formats or options is None:
            return kept
        try:
            return dataclasses.replace(kept, extracted=await self.extract(options, got["markdown"], got["title"]))
        except errors.ModelUnavailable as error:
            if work.attempts < MAX_TRIES:
                raise errors.BrowserLost(error.message) from error
            return _without_json(kept, error)
        except errors.BrowserpoolError as error:
            return _without_json(kept, error)

    async def _found(self, links: Sequence[str], work: crawls.Work, rules: robots.Rules) -> list[crawls.Found]:
        if self.plan.body.source == "sitemaps":
            return []

        def linked() -> list[crawls.Found]:
            return frontier.linked(
                links,
                depth=work.depth,
                body=self.plan.body,
                start=self.plan.start,
                site=frontier.origin(work.url),
                rules=rules,
            )

        # A page of ten thousand links, held to two hundred patterns and a long robots.txt, takes its time.
        return await asyncio.to_thread(linked)


def given_up(work: crawls.Work) -> Visited | None:
    """What becomes of an entry that was tried too often; ``None``: it may be tried."""
    if work.attempts <= MAX_TRIES:
        return None
    message = f"It was tried {MAX_TRIES} times, and each time its browser or its router went away."
    if work.kind is not crawls.Kind.ROBOTS:
        return _failed(work.trouble or message, work)
    # Its site's pages wait for it.
    trouble = f"Its site's robots.txt cannot be had, so that nothing else is asked of it: {message}"
    return Visited(outcome=_done(), site=Site(origin=frontier.origin(work.url), trouble=trouble))


def _robots_text(got: Mapping[str, Any]) -> str:
    if got["status"] >= _SERVER_TROUBLE or got["status"] == 429:
        return robots.CLOSED
    return base64.b64decode(got["body"]).decode(errors="replace") if got["status"] == 200 else ""


def _without_json(kept: crawls.Outcome, error: errors.BrowserpoolError) -> crawls.Outcome:
    message = f"No JSON could be made of it: {error.message}"
    return dataclasses.replace(kept, status=crawls.PageStatus.ERRORED, message=message, cache_key=None)


def _done() -> crawls.Outcome:
    return crawls.Outcome(status=crawls.PageStatus.COMPLETED)


def _failed(message: str, work: crawls.Work) -> Visited:
    outcome = crawls.Outcome(status=crawls.PageStatus.ERRORED, message=message)
    return Visited(outcome=_sized(outcome, work))


def _sized(outcome: crawls.Outcome, work: crawls.Work) -> crawls.Outcome:
    """With its size; what is too large to be told in one answer is not kept."""
    size = results.size(work.url, outcome)
    if size <= results.MAX_RECORD:
        return dataclasses.replace(outcome, size=size)
    bare = dataclasses.replace(
        outcome,
        status=crawls.PageStatus.ERRORED,
        message=f"Its results have {size} bytes; the most is {results.MAX_RECORD}: ask for fewer formats.",
        html=None,
        markdown=None,
        extracted=None,
        cache_key=None,
    )
    return dataclasses.replace(bare, size=results.size(work.url, bare))


def _http_date(text: str | None) -> datetime.datetime | None:
    if not text:
        return None
    try:
        found = email.utils.parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return sitemaps.utc(found)
