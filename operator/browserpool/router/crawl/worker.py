"""The loops: every router works on whatever job there is, a few entries at a time, when nobody else needs the browsers.

An entry is held by a lease that is renewed while it is at work. A router that stops gives back what it holds; what one held that died
is found again when the lease has run out.
"""

import asyncio
import collections
import contextlib
import logging
import math
from typing import Any, Final

from browserpool import metrics
from browserpool.lib import chance, clock, tasks
from browserpool.model import crawls as model
from browserpool.model import errors, tokens
from browserpool.model.wire import extract
from browserpool.router import services
from browserpool.router.ai import asking as questions
from browserpool.router.crawl import asking, plan, policy, visits
from browserpool.store import browsers, crawls

log = logging.getLogger(__name__)

LOOK_FIRST: Final = 0.1
LOOK_MOST: Final = 1.0
"""Seconds between two looks for something to do."""
DELAY: Final = 0.5
"""Seconds that a host is left alone between two visits, where its robots.txt does not say."""
STOP_GRACE: Final = 3.0
"""Seconds that a visit gets to finish when the router stops; then its entry is given back."""
TIDY_EVERY: Final = 30.0
MAX_RUN: Final = 7 * 86_400.0
"""Seconds after which a job is cancelled."""
KEPT: Final = 14 * 86_400.0
"""Seconds for which a job's results are kept."""
_PLANS: Final = 64


class Crawler:
    """This router's workers."""

    def __init__(self, parts: services.Services, *, now: clock.Monotonic = clock.monotonic) -> None:
        self._parts = parts
        self._now = now
        self._plans: collections.OrderedDict[str, tuple[model.Job, plan.Plan]] = collections.OrderedDict()
        self._used: dict[model.Place, float] = {}
        self._wake = parts.crawl_wake
        self._stopping = False
        self._loops: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to work."""
        spawn = self._parts.background.spawn
        self._loops = [spawn(self._work(), name="crawl") for _ in range(self._parts.settings.crawl_pages)]

    async def stop(self) -> None:
        """Take nothing more; let what runs finish for ``STOP_GRACE`` seconds, then give it back."""
        self._stopping = True
        self._wake.set()
        if not self._loops:
            return
        await asyncio.wait(self._loops, timeout=STOP_GRACE)
        for loop in self._loops:
            loop.cancel()
        await asyncio.wait(self._loops, timeout=STOP_GRACE)

    async def tidy(self) -> None:
        """End jobs that have had their time or cannot go on, and forget what is old."""
        db = self._parts.db
        while ended := [
            *await crawls.end_overdue(db, older_than=MAX_RUN, message="The crawl ran for seven days."),
            *await crawls.end_orphaned(db, message="The crawl's token or pool is gone."),
        ]:
            for crawl_id in ended:
                log.info("a crawl was ended", extra={"crawl": crawl_id})
        await crawls.prune(db, older_than=KEPT)
        await crawls.tidy_domains(db)

    # ------------------------------------------------------------ what to do

    async def _work(self) -> None:
        delays = tasks.backoff(first=LOOK_FIRST, most=LOOK_MOST)
        while not self._stopping:
            if await self._safely():
                delays = tasks.backoff(first=LOOK_FIRST, most=LOOK_MOST)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(chance.jitter(next(delays), share=0.5)):
                    await self._wake.wait()
            if not self._stopping:
                self._wake.clear()

    async def _safely(self) -> bool:
        try:
            return await self._one()
        except errors.Unavailable as error:
            log.warning("the store is away", extra={"why": error.message})
        except (
            Exception
        ):  # a worker must outlive whatever one page does to it; the entry's lease runs out, and its tries are counted
            log.exception("a visit failed in a way that nobody foresaw")
        return False

    async def _one(self) -> bool:
        """Do one entry; false if there was none, or no use in looking for the next at once."""
        settings = self._parts.settings
        wanted = await crawls.wanted(self._parts.db)
        places = [place for place in {place for place, _ in wanted} if await self._may_take(place)]
        if not places or self._stopping:
            return False
        known = {token.name: token for token in self._parts.catalog.tokens}
        work = await crawls.claim(
            self._parts.db,
            places=places,
            without=[token for token in {token for _, token in wanted} if not self._may_work_for(known.get(token))],
            holder=self._parts.holder,
            lease=settings.crawl_lease,
            delay=DELAY,
        )
        return work is not None and await self._handled(work)

    async def _may_take(self, place: model.Place) -> bool:
        spec = self._parts.catalog.pools.get(place.pool)
        region = spec.region(place.region) if spec is not None else None
        if spec is None or region is None:
            return False
        seen = policy.Pool(
            replicas=spec.wanted(region),
            ready=await browsers.ready(
                self._parts.db,
                pool=place.pool,
                region=place.region,
                most=2,
                freshness=self._parts.settings.freshness,
            ),
            waiting=self._parts.claiming.waiting.depth(place.pool),
            rested=self._now() - self._used.get(place, -math.inf),
        )
        return policy.may_take(seen, pause=2 * self._parts.settings.poll_most)

    # ------------------------------------------------------------ one entry

    async def _handled(self, work: model.Work) -> bool:
        """Visit, write what became of it; whatever happens the lease is settled or given back, or runs out."""
        tried = False
        try:
            # Before all that may fail, or what does would be tried for ever.
            if (over := visits.given_up(work)) is not None:
                await self._written(work, over)
                return True
            known = await self._known(work.lease.crawl_id)
            if known is None or not await self._has_room(known[0]):
                return False
            visited = await self._leased(work, *known)
            if visited is not None:
                await self._written(work, visited)
        except asking.Nobody:
            return False
        except errors.BrowserLost as error:
            tried = True
            log.info("a crawl's browser was lost", extra={"url": work.url[:200], "why": error.message})
        except Exception:
            tried = True
            raise
        finally:
            # Nothing happens if it was settled. It must not be left because the router stops.
            give_back = crawls.give_back(self._parts.db, work.lease, tried=tried)
            with contextlib.suppress(errors.Unavailable, TimeoutError):
                await tasks.finish(give_back, deadline=STOP_GRACE)
        return True

    async def _known(self, crawl_id: str) -> tuple[model.Job, plan.Plan] | None:
        """The job as it was when it was first met here, and its plan."""
        if crawl_id not in self._plans:
            job = await crawls.job(self._parts.db, crawl_id)
            if job is None or job.body is None:
                return None
            self._plans[crawl_id] = (job, await asyncio.to_thread(plan.read, job.body))
            if len(self._plans) > _PLANS:
                self._plans.popitem(last=False)
        self._plans.move_to_end(crawl_id)
        return self._plans[crawl_id]

    async def _has_room(self, job: model.Job) -> bool:
        """Whether its token may have one more browser; if it has used up its day, the job ends."""
        token = next((one for one in self._parts.catalog.tokens if one.name == job.token), None)
        if token is None:
            return False
        if self._parts.quotas.day_wait(token) > 0:
            await crawls.end(
                self._parts.db,
                job.crawl_id,
                status=model.JobStatus.CANCELLED_DUE_TO_LIMITS,
                message="The token's browser time of the day is used up.",
            )
            return False
        return self._may_work_for(token)

    def _may_work_for(self, token: tokens.Token | None) -> bool:
        return token is not None and policy.may_work_for(
            running=self._parts.quotas.running(token.name), concurrency=token.concurrency
        )

    async def _leased(self, work: model.Work, job: model.Job, read: plan.Plan) -> visits.Visited | None:
        """The visit, as long as the lease lasts; ``None``: it was lost, to somebody else or with its job."""
        place = model.Place(pool=job.pool, region=job.region)
        visitor = visits.Visitor(
            plan=read,
            token=job.token,
            place=place,
            ask=asking.asker(self._parts, place, token=job.token),
            cached=lambda key, age: crawls.cached(self._parts.db, cache_key=key, max_age=age),
            extract=self._extracted,
            user_agent=self._parts.settings.crawl_user_agent,
        )
        started, outcome = self._now(), "failed"
        scope = asyncio.timeout(None)
        renewing = self._parts.background.spawn(self._renew(work.lease, scope), name="renew a crawl's lease")
        try:
            async with scope:
                visited = await visitor.visit(work)
            outcome = str(visited.outcome.status)
        except TimeoutError:
            if not scope.expired():
                raise
            outcome = "lost"
            return None
        except asking.Nobody:
            outcome = "no_browser"
            raise
        else:
            return visited
        finally:
            renewing.cancel()
            self._used[place] = self._now()
            metrics.CRAWL_SECONDS.labels(job.pool, work.kind, outcome).observe(self._now() - started)

    async def _extracted(self, wanted: extract.Extraction, markdown: str, title: str) -> Any:
        """JSON as ``POST /json`` makes it of a page; the browser was given back before."""
        models = self._parts.models
        page = questions.bounded(markdown, most=self._parts.settings.ai_page_chars, title=title)
        return await models.answer(await models.question(wanted), page)

    async def _renew(self, lease: model.Lease, scope: asyncio.Timeout) -> None:
        seconds = self._parts.settings.crawl_lease
        while True:
            await asyncio.sleep(seconds / 3)
            try:
                kept = await crawls.renew(self._parts.db, lease, seconds=seconds)
            except errors.Unavailable:
                continue
            if not kept:
                scope.reschedule(asyncio.get_running_loop().time())
                return

    async def _written(self, work: model.Work, visited: visits.Visited) -> None:
        if (site := visited.site) is not None:
            await crawls.know_origin(
                self._parts.db,
                crawl_id=work.lease.crawl_id,
                origin=site.origin,
                delay=site.delay,
                robots=site.robots,
                trouble=site.trouble,
            )
        status = await crawls.settle(
            self._parts.db, work.lease, visited.outcome, found=visited.found, copied=visited.copied
        )
        if status is not None and status is not model.JobStatus.RUNNING:
            log.info("a crawl is over", extra={"crawl": work.lease.crawl_id, "status": status})
