"""What the API server has of one kind, kept in memory: listed once, then watched, listed again only where a watch cannot go on.

What this process writes itself is put in at once (``put``), so that the next look does not miss it because its watch event is still on
the way; the version tells which of two states of an object is the newer.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from browserpool import metrics
from browserpool.controller import kube
from browserpool.lib import chance, tasks
from browserpool.model import errors

log = logging.getLogger(__name__)

T = TypeVar("T")

_LASTS = 300.0
"""Seconds of one watch: long enough to cost nothing, short enough to move on when API servers come and go."""
_FIRST, _MOST = 0.2, 15.0
"""Seconds before another try while the API server is away: doubling, jittered, so that it is not met by all at once."""


class Mirror(Generic[T]):
    """``seen`` makes of an object what is kept of it. ``on_change`` is called with the names that are new, changed or gone."""

    def __init__(
        self,
        client: kube.Client,
        resource: kube.Resource,
        *,
        seen: Callable[[kube.Object], T],
        on_change: Callable[[str, T | None, T | None], None],
        selector: str = "",
        lasts: float = _LASTS,
    ) -> None:
        self._client = client
        self._resource = resource
        self._selector = selector
        self._seen = seen
        self._on_change = on_change
        self._lasts = lasts
        self._versions: dict[str, int] = {}
        self._objects: dict[str, T] = {}
        self._version = ""
        self.synced = asyncio.Event()
        """Set once everything was listed."""
        self.connected = False
        """Whether the API server answers, as far as is known; otherwise what is here may be old."""

    @property
    def objects(self) -> Mapping[str, T]:
        """By name."""
        return self._objects

    def put(self, found: kube.Object) -> None:
        """This is the object now, or was a moment ago: a state older than what is known is left out.

        One that is not here though the watch has passed its version is gone meanwhile: the answer to a deletion may come after the
        news of its end, and nothing would ever take the object away again.
        """
        if found["metadata"]["name"] in self._objects or version_of(found) > _number(self._version):
            self._keep(found)

    def _keep(self, found: kube.Object) -> None:
        name, version = found["metadata"]["name"], version_of(found)
        if name in self._objects and version < self._versions[name]:
            return
        before, after = self._objects.get(name), self._seen(found)
        self._objects[name], self._versions[name] = after, version
        if before != after:
            self._on_change(name, before, after)

    def drop(self, name: str, *, version: int | None = None) -> None:
        """The object is gone, since ``version``; a later one of that name stays. None: since now."""
        if version is not None and version > _number(self._version):
            # Told by somebody else than this mirror's own watch: what is older must not come back either.
            self._version = str(version)
        if name not in self._objects or (version is not None and version < self._versions[name]):
            return
        before = self._objects.pop(name)
        del self._versions[name]
        self._on_change(name, before, None)

    async def run(self) -> None:
        """List and watch until cancelled."""
        delays = tasks.backoff(first=_FIRST, most=_MOST)
        while True:
            reason = await self._follow()
            metrics.WATCHES.labels(self._resource.plural, reason).inc()
            if self.connected:
                delays = tasks.backoff(first=_FIRST, most=_MOST)
            self.connected = reason != "failed"
            # One that ends in its time is taken up again at once; the pause is for a server that ends each as it begins.
            await asyncio.sleep(chance.jitter(next(delays) if reason != "ended" else _FIRST, share=0.5))

    async def _follow(self) -> str:
        """One list, if one is needed, and one watch; answers why it ended."""
        try:
            if not self._version:
                await self.refresh()
            await self._watch()
        except errors.WatchExpired:
            log.info("the watch cannot go on; listing again", extra={"resource": self._resource.plural})
            self._version = ""
            return "expired"
        except errors.BrowserpoolError as error:
            log.warning("the watch broke off", extra={"resource": self._resource.plural, "why": error.message})
            return "failed"
        return "ended"

    async def refresh(self) -> None:
        """List everything anew.

        Raises:
            errors.BrowserpoolError: the API server cannot be reached, or refuses.
        """
        listing = await self._client.list(self._resource, selector=self._selector)
        self.connected = True
        there = {found["metadata"]["name"] for found in listing.items}
        for found in listing.items:
            self._keep(found)
        for name in self._objects.keys() - there:
            # What was made after the list was taken is not in it.
            self.drop(name, version=_number(listing.version))
        self._version = listing.version
        self.synced.set()

    async def _watch(self) -> None:
        lasts = chance.jitter(self._lasts, share=0.3)
        async for change in self._client.watch(
            self._resource, selector=self._selector, since=self._version, lasts=lasts
        ):
            self.connected = True
            if change.kind == "DELETED":
                self.drop(change.object["metadata"]["name"], version=version_of(change.object))
            elif change.kind in ("ADDED", "MODIFIED"):
                self._keep(change.object)
            self._version = change.object["metadata"].get("resourceVersion") or self._version


def version_of(found: kube.Object) -> int:
    """The object's resourceVersion, which rises with every change; 0 if it has none."""
    return _number(str(found["metadata"].get("resourceVersion", "")))


def _number(version: str) -> int:
    return int(version) if version.isdecimal() else 0
