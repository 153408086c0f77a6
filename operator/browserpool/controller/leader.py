"""One leader among the replicas: a Lease, renewed by who holds it, taken when nobody has renewed it for its whole duration.

No two clocks are compared. A replica that waits measures, on its own steady clock, for how long it has seen the Lease unchanged; the
leader measures from before its last good renewal, and stops ``renew_deadline`` after it, while others still wait for
``lease_duration``. The difference is the time that its work has to end in.
"""

import asyncio
import dataclasses
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from browserpool import metrics
from browserpool.controller import kube
from browserpool.lib import chance, clock, tasks
from browserpool.model import errors

log = logging.getLogger(__name__)


Work = Callable[[], Coroutine[Any, Any, None]]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Durations in seconds; ``retry`` < ``renew`` < ``lasts``."""

    name: str
    identity: str
    lasts: float = 15.0
    renew: float = 10.0
    retry: float = 2.0


@dataclasses.dataclass(frozen=True, slots=True)
class _Seen:
    """The Lease as last read, and when it was first read so."""

    lease: kube.Object
    since: float

    @property
    def holder(self) -> str:
        return self.lease["spec"].get("holderIdentity") or ""

    @property
    def lasts(self) -> float:
        return float(self.lease["spec"].get("leaseDurationSeconds") or 0)

    def record(self) -> tuple[Any, ...]:
        spec = self.lease["spec"]
        return self.holder, spec.get("renewTime"), spec.get("leaseTransitions"), spec.get("leaseDurationSeconds")


class Election:
    """``lead(work)`` runs ``work`` whenever, and only while, this replica holds the Lease."""

    def __init__(self, client: kube.Client, rules: Rules, *, now: clock.Monotonic = clock.monotonic) -> None:
        self._client = client
        self._rules = rules
        self._now = now
        self._seen: _Seen | None = None
        self.leading = False
        self.reached = False
        """Whether the Lease could ever be read."""

    @property
    def holder(self) -> str:
        """Who was last seen to hold it; empty: nobody."""
        return self._seen.holder if self._seen is not None else ""

    async def lead(self, work: Work) -> None:
        """Take the Lease when it is free, run ``work``, start over when it is lost; until cancelled, which gives it back."""
        while True:
            renewed = await self._acquired()
            log.info("this replica leads", extra={"lease": self._rules.name, "identity": self._rules.identity})
            self.leading = True
            metrics.LEADING.set(1)
            try:
                await self._work_while_held(work, renewed)
            finally:
                metrics.LEADING.set(0)
                log.info("this replica leads no more", extra={"lease": self._rules.name})
                # In the finally: whatever ended the work, it has ended, and the next may begin at once.
                await tasks.finish(self._release(), deadline=2 * self._rules.renew)

    async def _acquired(self) -> float:
        """Wait for the Lease; answers the moment from which it counts."""
        while True:
            started = self._now()
            if await self._try(within=self._rules.renew / 2):
                return started
            await asyncio.sleep(chance.jitter(self._rules.retry, share=0.2))

    async def _work_while_held(self, work: Work, renewed: float) -> None:
        async with asyncio.TaskGroup() as group:
            working = group.create_task(work(), name="leader's work")
            try:
                await self._renewing(renewed, until=working)
            finally:
                self.leading = False
                working.cancel()

    async def _renewing(self, renewed: float, *, until: "asyncio.Task[None]") -> None:
        """Renew until ``until`` is done, or until it is too late."""
        while not until.done():
            await asyncio.wait({until}, timeout=self._rules.retry)
            if until.done():
                return
            started = self._now()
            left = renewed + self._rules.renew - started
            if await self._try(within=left):
                renewed = started
            elif self.holder not in ("", self._rules.identity):
                log.warning("another replica has taken the Lease", extra={"holder": self.holder})
                return
            if self._now() - renewed >= self._rules.renew:
                log.warning("the Lease could not be renewed in time", extra={"seconds": self._rules.renew})
                return

    # ------------------------------------------------------------ the Lease
    async def _try(self, *, within: float) -> bool:
        """Take or renew the Lease; False: another holds it, or nobody can be asked within that many seconds."""
        try:
            async with asyncio.timeout(max(0.0, within)):
                await self._read()
                if self._seen is not None and not self._may_take(self._seen):
                    return False
                await self._write(self._rules.identity)
        except errors.Conflict:
            return False
        except (errors.BrowserpoolError, TimeoutError) as error:
            log.warning("the Lease cannot be read or written", extra={"why": str(error) or "it takes too long"})
            return False
        return True

    async def _read(self) -> None:
        try:
            lease = await self._client.get(kube.LEASES, self._rules.name)
        except errors.NotFound:
            self._seen = None
        else:
            self._remember(lease)
        self.reached = True

    def _remember(self, lease: kube.Object) -> None:
        found = _Seen(lease, self._now())
        if self._seen is not None and self._seen.record() == found.record():
            found = _Seen(lease, self._seen.since)
        self._seen = found

    def _may_take(self, seen: _Seen) -> bool:
        if seen.holder in ("", self._rules.identity):
            return True
        return self._now() - seen.since >= seen.lasts

    async def _write(self, holder: str) -> None:
        """Raises errors.Conflict if the Lease has changed since it was read."""
        spec = self._spec(holder)
        if self._seen is None:
            body = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": self._rules.name, "namespace": self._client.namespace},
                "spec": spec,
            }
            self._remember(await self._client.create(kube.LEASES, body))
        else:
            body = {**self._seen.lease, "spec": spec}
            self._remember(await self._client.replace(kube.LEASES, self._rules.name, body))

    def _spec(self, holder: str) -> dict[str, Any]:
        before = self._seen.lease["spec"] if self._seen is not None else {}
        moved = before.get("holderIdentity") != holder
        now = clock.wall().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return {
            "holderIdentity": holder,
            "leaseDurationSeconds": round(self._rules.lasts) if holder else 1,
            # For people: nobody decides anything by these two.
            "acquireTime": now if moved else before.get("acquireTime") or now,
            "renewTime": now,
            "leaseTransitions": int(before.get("leaseTransitions") or 0) + (1 if moved and holder and before else 0),
        }

    async def _release(self) -> None:
        """Give the Lease back, if it is still ours, so that another need not wait for it to run out."""
        if self.holder != self._rules.identity:
            return
        try:
            async with asyncio.timeout(self._rules.renew):
                await self._write("")
        except (errors.BrowserpoolError, TimeoutError) as error:
            log.info("the Lease was not given back; it runs out by itself", extra={"why": str(error) or "no answer"})
