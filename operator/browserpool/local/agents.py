"""Processes as the controller's pods: one agent for each browser."""

import asyncio
import contextlib
import dataclasses
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping

from browserpool import metrics
from browserpool.agent import homes
from browserpool.agent import settings as agent_settings
from browserpool.controller import observe
from browserpool.controller.desired import plan, seen, template
from browserpool.lib import clock, plain, tasks
from browserpool.local import directory, nodes, processes
from browserpool.model import credentials
from browserpool.model.names import BrowserId, DatabaseName, PoolName, RegionName
from browserpool.model.pool import BrowserPool

log = logging.getLogger(__name__)

_GRACE = 10.0
"""Seconds for an agent to end: nothing is claimed on it any more, so it only closes Chromium."""
_YOUNG = 30.0
"""Seconds; an agent that ends by itself sooner may do so again at once, and its name waits before it gets another."""
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", "HOME", "LD_LIBRARY_PATH", "TMPDIR")


@dataclasses.dataclass(slots=True, kw_only=True)
class _Agent:
    process: processes.Process
    pool: PoolName
    region: RegionName
    template_hash: str
    database: DatabaseName
    deleting: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Death:
    pool: PoolName
    region: RegionName
    times: int
    at: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What all agents have in common."""

    home: directory.Directory
    router_url: str
    signing_key: str
    chromium: str
    nodes: int
    log_level: str = "INFO"


class Agents:
    """The agents that run; ``apply.Hands`` for one pool is ``of(pool)``. ``on_change`` is called when one has ended."""

    def __init__(self, start: Start, *, background: tasks.Background, on_change: Callable[[], None]) -> None:
        self._start = start
        self._background = background
        self._on_change = on_change
        self._agents: dict[BrowserId, _Agent] = {}
        self._deaths: dict[BrowserId, _Death] = {}

    @property
    def pids(self) -> set[int]:
        return {agent.process.pid for agent in self._agents.values()}

    @property
    def names(self) -> frozenset[BrowserId]:
        """The browsers whose agents run."""
        return frozenset(self._agents)

    @property
    def nodes(self) -> int:
        """Simulated nodes of each region."""
        return self._start.nodes

    def databases(self) -> set[DatabaseName]:
        """Those that agents are registered in."""
        return {agent.database for agent in self._agents.values()}

    def died_young(self) -> BrowserId | None:
        """A browser whose agent ended soon after its start, if there is one."""
        return next((name for name, death in self._deaths.items() if death.times), None)

    def by_pool(self) -> Mapping[PoolName, Mapping[BrowserId, observe.Pod]]:
        """The agents of each pool as pods, and the names whose agents died young."""
        now = clock.monotonic()
        found: dict[PoolName, dict[BrowserId, observe.Pod]] = {}
        for name, d in self._deaths.items():
            found.setdefault(d.pool, {})[name] = observe.Pod(
                region=d.region, phase=seen.Pod.ABSENT, deaths=d.times, death_age=now - d.at
            )
        for name, agent in self._agents.items():
            found.setdefault(agent.pool, {})[name] = observe.Pod(
                region=agent.region,
                phase=seen.Pod.STOPPING if agent.deleting else seen.Pod.RUNNING,
                template_hash=agent.template_hash,
                database=agent.database,
            )
        return found

    def of(self, pool: BrowserPool | None) -> "Hands":
        """Hands that make browsers of ``pool``; for one that is deleted (None) they make none."""
        return Hands(self, pool)

    def run(self, pool: BrowserPool, action: plan.Create) -> None:
        """Start the agent of this name, unless one runs.

        Raises:
            OSError: the system starts no more processes.
        """
        name = action.browser_id
        if name in self._agents:
            return
        command = processes.Command(
            name=name,
            argv=[sys.executable, "-m", "browserpool.agent"],
            environment=self._environment(pool, name, action.database),
            log=self._start.home.log(name),
        )
        agent = _Agent(
            process=processes.start(command),
            pool=pool.name,
            region=action.region,
            template_hash=action.template_hash,
            database=action.database,
        )
        self._agents[name] = agent
        self._background.spawn(self._watch(name, agent), name=f"watch {name}")

    def _environment(self, pool: BrowserPool, name: BrowserId, database: DatabaseName) -> dict[str, str]:
        start, spec = self._start, pool.spec
        own = agent_settings.AgentSettings(
            browser_id=name,
            claim_key=credentials.claim_key(signing_key=start.signing_key, browser_id=name),
            agent_token=credentials.agent_token(signing_key=start.signing_key, browser_id=name),
            router_url=start.router_url,
            database=database,
            chromium=start.chromium,
            chromium_args=spec.chromium.args,
            chromium_features=tuple(feature.value for feature in spec.chromium.features),
            recycle=spec.sessions.recycle.value,
            recycle_after=spec.sessions.recycle_after,
            egress_allow=spec.egress.allow,
            egress_deny=spec.egress.deny,
            log_level=start.log_level,
        )
        inherited = {key: os.environ[key] for key in _PASSED_ON if key in os.environ}
        return inherited | plain.to_environment(own)

    async def _watch(self, name: BrowserId, agent: _Agent) -> None:
        code = await agent.process.wait()
        del self._agents[name]
        lived = clock.monotonic() - agent.process.started
        if agent.deleting:
            self._deaths.pop(name, None)
        else:
            log.warning("an agent ended by itself", extra={"browser": name, "code": code, "after": round(lived, 1)})
            metrics.AGENT_RESTARTS.labels(agent.pool, agent.region).inc()
            before = self._deaths.get(name)
            times = (before.times if before else 0) + 1 if lived < _YOUNG else 0
            self._deaths[name] = _Death(pool=agent.pool, region=agent.region, times=times, at=clock.monotonic())
        self._on_change()

    async def end(self, name: BrowserId) -> None:
        """Begin to end the agent of this name; ``pods`` shows when it has."""
        agent = self._agents.get(name)
        if agent is not None and not agent.deleting:
            agent.deleting = True
            self._background.spawn(agent.process.stop(grace=_GRACE), name=f"stop {name}")

    async def close(self) -> None:
        """End all of them, and wait."""
        agents = list(self._agents.values())
        for agent in agents:
            agent.deleting = True
        async with asyncio.TaskGroup() as group:
            for agent in agents:
                group.create_task(agent.process.stop(grace=_GRACE))


class Hands:
    """``apply.Hands`` by processes, for one pool."""

    def __init__(self, agents: Agents, pool: BrowserPool | None) -> None:
        self._agents = agents
        self._pool = pool

    def place(self, action: plan.Create | plan.Adopt) -> seen.Place:
        return nodes.place(region=action.region, ordinal=action.ordinal, nodes=self._agents.nodes)

    async def create(self, action: plan.Create, place: seen.Place) -> None:  # noqa: ARG002 - a process stands where it stands
        region = None if self._pool is None else self._pool.spec.region(action.region)
        if self._pool is not None and region is not None:
            self._agents.run(template.chosen(self._pool, region, action.template_hash), action)

    async def delete(self, browser_id: BrowserId) -> None:
        await self._agents.end(browser_id)


@contextlib.asynccontextmanager
async def running(
    start: Start, *, background: tasks.Background, on_change: Callable[[], None]
) -> AsyncIterator[Agents]:
    """No agents at first; on leaving, all of them end, and nothing of theirs is left."""
    agents = Agents(start, background=background, on_change=on_change)
    try:
        yield agents
    finally:
        await tasks.finish(agents.close(), deadline=_GRACE * 2)
        # An agent that had to be killed leaves its Chromium's home behind.
        await asyncio.to_thread(homes.sweep, "")
