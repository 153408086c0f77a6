"""Kubernetes Events about pools, for people: ``kubectl describe bp``. The same sentence again raises a count, and not too often.

They are told, never kept: one that the API server does not take is dropped.
"""

import dataclasses
import logging

from browserpool.controller import kube
from browserpool.controller.desired import notices, status
from browserpool.lib import chance, clock
from browserpool.model import errors

log = logging.getLogger(__name__)

COMPONENT = "browserpool-controller"
_SAME_FOR = 600.0
"""Seconds for which a sentence that comes again is the same Event with a higher count."""
_WRITE_EVERY = 10.0
"""Seconds between two writes of one Event's count."""
_AT_MOST = 20
"""New Events in one flush: what is wrong with a thousand browsers is said in fewer."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """The object that an Event is about."""

    kind: str
    name: str
    uid: str


@dataclasses.dataclass(slots=True, kw_only=True)
class _Told:
    name: str
    count: int
    first: float
    written: float
    pending: int = 0


class Recorder:
    """``note`` remembers, ``flush`` writes."""

    def __init__(self, client: kube.Client, *, identity: str, now: clock.Monotonic = clock.monotonic) -> None:
        self._client = client
        self._identity = identity
        self._now = now
        self._told: dict[tuple[About, notices.Notice], _Told] = {}
        self._new: dict[tuple[About, notices.Notice], int] = {}

    def note(self, about: About, notice: notices.Notice) -> None:
        """This is so, or has happened."""
        told = self._told.get((about, notice))
        if told is not None and self._now() - told.first < _SAME_FOR:
            told.pending += 1
        else:
            self._new[about, notice] = self._new.get((about, notice), 0) + 1

    async def flush(self) -> None:
        """Write what was noted since the last time."""
        now = self._now()
        new, self._new = self._new, {}
        self._told = {key: told for key, told in self._told.items() if now - told.first < _SAME_FOR}
        if len(new) > _AT_MOST:
            log.warning("too many events at once; some are left out", extra={"left_out": len(new) - _AT_MOST})
        try:
            for (about, notice), count in list(new.items())[:_AT_MOST]:
                await self._create(about, notice, count)
            for told in self._told.values():
                if told.pending and now - told.written >= _WRITE_EVERY:
                    await self._raise_count(told)
        except errors.BrowserpoolError as error:
            log.info("an event could not be written", extra={"why": error.message})

    async def _create(self, about: About, notice: notices.Notice, count: int) -> None:
        name = f"{about.name}.{chance.unique_id().replace('-', '')[:16]}"
        moment = status.timestamp(clock.wall())
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": self._client.namespace},
            "involvedObject": {
                "apiVersion": "browserpool.dev/v1alpha1",
                "kind": about.kind,
                "name": about.name,
                "namespace": self._client.namespace,
                "uid": about.uid,
            },
            "type": "Warning" if notice.warning else "Normal",
            "reason": notice.reason,
            "message": notice.message,
            "source": {"component": COMPONENT},
            "reportingComponent": COMPONENT,
            "reportingInstance": self._identity,
            "firstTimestamp": moment,
            "lastTimestamp": moment,
            "count": count,
        }
        await self._client.create(kube.EVENTS, body)
        self._told[about, notice] = _Told(name=name, count=count, first=self._now(), written=self._now())

    async def _raise_count(self, told: _Told) -> None:
        told.count, told.pending, told.written = told.count + told.pending, 0, self._now()
        body = {"count": told.count, "lastTimestamp": status.timestamp(clock.wall())}
        try:
            await self._client.patch(kube.EVENTS, told.name, body)
        except errors.NotFound:
            told.first = float("-inf")
