"""From what was done and what changed to Events, gathered over some seconds so that ten browsers made are one sentence."""

from collections.abc import Iterable, Mapping

from browserpool.controller import events, podstate
from browserpool.controller.desired import notices, plan, seen, status
from browserpool.controller.wanted import Wanted
from browserpool.lib import clock
from browserpool.model.names import PoolName, RegionName

_GATHER = 3.0
"""Seconds over which what was done is gathered into one sentence."""


class Chronicle:
    """Remembers each pool's last status and what was done since its last sentence."""

    def __init__(self, recorder: events.Recorder, *, now: clock.Monotonic = clock.monotonic) -> None:
        self._recorder = recorder
        self._now = now
        self._before: dict[PoolName, status.PoolStatus] = {}
        self._done: dict[PoolName, list[tuple[RegionName, plan.Action]]] = {}
        self._since: dict[PoolName, float] = {}

    def did(self, one: Wanted, world: seen.World, actions: Iterable[plan.Action]) -> None:
        """These actions were carried out."""
        regions: Mapping[str, RegionName] = {browser.browser_id: browser.region for browser in world.browsers}
        for action in actions:
            region = getattr(action, "region", None) or regions.get(action.browser_id, RegionName(""))
            self._done.setdefault(one.name, []).append((region, action))
            self._since.setdefault(one.name, self._now())

    def saw(self, one: Wanted, now: status.PoolStatus, pods: Iterable[podstate.Pod]) -> None:
        """The pool's status is this now."""
        complaining = [pod for pod in pods if pod.complaint]
        complaints = notices.Complaints(
            unplaced={pod.region: pod.complaint for pod in complaining if not pod.schedulable},
            failing={pod.region: pod.complaint for pod in complaining if pod.failing},
        )
        before = self._before.get(one.name)
        for notice in notices.of_change(before, now, complaints=complaints):
            self._recorder.note(about(one), notice)
        self._before[one.name] = notices.remembered(before, now)

    def say(self, one: Wanted, notice: notices.Notice) -> None:
        """This is to be told."""
        self._recorder.note(about(one), notice)

    async def tell(self, pools: Mapping[PoolName, Wanted]) -> None:
        """Write what is due."""
        for name, since in list(self._since.items()):
            if self._now() - since < _GATHER:
                continue
            done = self._done.pop(name)
            del self._since[name]
            if name in pools:
                for notice in notices.of_actions(done):
                    self._recorder.note(about(pools[name]), notice)
        self._before = {name: before for name, before in self._before.items() if name in pools}
        await self._recorder.flush()


def about(one: Wanted) -> events.About:
    """The pool, as what an Event is about."""
    return events.About(kind="BrowserPool", name=one.name, uid=one.uid)
