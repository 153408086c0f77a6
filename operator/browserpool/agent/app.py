"""Wires the agent and runs it until it is told to stop, forgotten by the store, used up, or out of luck with Chromium."""

import asyncio
import enum
import logging

import uvloop

from browserpool.agent import (
    chromium,
    custody,
    front,
    heartbeats,
    homes,
    launch,
    meters,
    processes,
    settings,
    supervisor,
    tokens,
)
from browserpool.agent.egress import policy, proxy
from browserpool.lib import clock, listening, tasks
from browserpool.model.heartbeats import Hello, Reply
from browserpool.model.names import BrowserId, Fence

log = logging.getLogger(__name__)


class Exit(enum.IntEnum):
    """The process's exit codes; 1 and 2 are Python's own."""

    DONE = 0
    """Told to stop, or used up (``recycle: Delete``)."""
    FORGOTTEN = 3
    """The store does not know this browser, or a newer agent has its name."""
    NO_CHROMIUM = 4
    """Chromium failed too often in a row."""


class Agent:
    """One agent's parts, wired. ``address`` is where its server listens."""

    def __init__(
        self,
        *,
        wanted: settings.AgentSettings,
        ahead: launch.Ahead,
        guard: proxy.Guard,
        restarts: supervisor.Policy,
    ) -> None:
        self._settings = wanted
        self._guard = guard
        self._weight_then = 0
        self._weigh_at = 0.0
        self.clock = tokens.DatabaseClock()
        self.starter = chromium.Starter(recipe=ahead.recipe, guard=guard, first=ahead.first)
        browser_id = BrowserId(wanted.browser_id)
        self.router = heartbeats.Router(url=wanted.router_url, headers=wanted.headers)
        self.heart = heartbeats.Heart(
            router=self.router,
            browser_id=browser_id,
            vitals=self.vitals,
            urgent=self.urgent,
            heard=self._heard,
            interval=wanted.heartbeat_interval,
        )
        self.supervisor = supervisor.Supervisor(
            start=self.starter.start, policy=restarts, changed=self.heart.changed, restarting=_count_restart
        )
        self.custody = custody.Custody(
            keeper=self.supervisor,
            egress=guard,
            recycle=wanted.recycle,
            recycle_after=wanted.recycle_after,
            changed=self.heart.changed,
            ahead=self._make_ahead,
        )
        self.known = asyncio.Event()
        """Set once a router has taken a heartbeat."""
        self.checker = tokens.Checker(browser_id=browser_id, claim_key=wanted.claim_key, database_clock=self.clock)

    def _make_ahead(self, spare: bool) -> None:  # noqa: FBT001 - a callback's
        self.starter.ahead = spare

    def urgent(self) -> heartbeats.Urgent:
        """What is told at once when it changes."""
        healthy = self.supervisor.healthy and not self.custody.leaving.is_set()
        return heartbeats.Urgent(healthy=healthy, clean_fence=self.custody.clean_fence)

    def vitals(self) -> heartbeats.Vitals:
        """What the next heartbeat says."""
        child = self.supervisor.child
        return heartbeats.Vitals(
            load=self.custody.load,
            uses=0 if child is None else child.traces.sessions,
            restarts=self.supervisor.restarts,
            memory_bytes=0 if child is None else self._weight(child),
        )

    def _weight(self, child: chromium.Chromium) -> int:
        """Chromium's memory, measured as often as heartbeats come when nothing happens: news must not wait for it."""
        now = clock.monotonic()
        if now >= self._weigh_at:
            self._weight_then = processes.resident_bytes(child.group)
            self._weigh_at = now + self._settings.heartbeat_interval
        return self._weight_then

    def missing(self) -> str:
        """What keeps the agent from being ready; empty if it is."""
        if not self.clock.known:
            return "a router's welcome"
        if not self.supervisor.healthy:
            return f"Chromium (it is {self.supervisor.phase})"
        return "time: the agent is stopping" if self.custody.leaving.is_set() else ""

    def alive(self) -> bool:
        """Whether there is any hope."""
        return self.supervisor.phase is not supervisor.Phase.GIVEN_UP

    async def live(self, address: str) -> None:
        """Greet the router once Chromium is up, then send heartbeats; ``address`` is told to routers."""
        child = None
        while child is None:
            child = await self.supervisor.up(deadline=60.0)
        welcome = await self.heart.hello(
            Hello(browser_id=self._settings.browser_id, address=address, chromium=child.product)
        )
        self.clock.learn(welcome.now)
        self.custody.open(Fence(welcome.fence))
        log.info("ready", extra={"address": address, "chromium": child.product, "fence": welcome.fence})
        await self.heart.beat(welcome.incarnation)

    def _heard(self, reply: Reply) -> None:
        self.known.set()
        self.clock.learn(reply.now)
        if reply.recycle:
            self.custody.end_by_store(Fence(reply.fence))


def _count_restart(why: supervisor.Why) -> None:
    meters.note(lambda metrics: metrics.CHROMIUM_RESTARTS.labels(str(why)).inc())


def main(wanted: settings.AgentSettings, *, ahead: launch.Ahead) -> int:
    """Run one agent in an event loop of its own until SIGTERM or an end of its own; returns the exit code."""

    async def until_signalled() -> Exit:
        return await run(wanted, ahead=ahead, stop=tasks.stop_on_signals())

    return int(uvloop.run(until_signalled()))


async def run(
    wanted: settings.AgentSettings,
    *,
    ahead: launch.Ahead,
    stop: asyncio.Event,
    restarts: supervisor.Policy = supervisor.Policy(),  # noqa: B008 - frozen
) -> Exit:
    """Run one agent until ``stop`` is set or it comes to an end of its own; nothing of it is left then but the exit code."""
    rules = policy.read(allow=wanted.egress_allow, deny=wanted.egress_deny)
    async with proxy.guard(rules, listener=ahead.listener) as guard, tasks.Background(grace=0) as background:
        agent = Agent(wanted=wanted, ahead=ahead, guard=guard, restarts=restarts)
        keeping = background.spawn(_until_given_up(agent), name="supervisor")
        try:
            with front.opened(wanted, guard=guard) as sockets:
                address = wanted.advertise or str(listening.address(sockets.main))
                greeting = background.spawn(_until_forgotten(agent, address), name="heartbeats")
                parts = front.Parts(
                    settings=wanted,
                    checker=agent.checker,
                    keeper=agent.custody,
                    alive=agent.alive,
                    missing=agent.missing,
                )
                async with front.serving(parts, sockets=sockets, grace=wanted.grace, known=agent.known):
                    # Now that nothing waits for it: what agents that were killed have left on this machine.
                    background.spawn(asyncio.to_thread(homes.sweep, wanted.data_dir), name="sweep homes")
                    ends = {
                        keeping,
                        greeting,
                        background.spawn(_until_set(stop), name="stop"),
                        background.spawn(_until_set(agent.custody.leaving), name="leaving"),
                    }
                    ended, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                    outcome = ended.pop().result()
                    log.info("stopping", extra={"why": outcome.name.lower(), "running": agent.custody.load})
                    await agent.custody.close(grace=wanted.grace if outcome is Exit.DONE else 0.0)
        finally:
            keeping.cancel()
            await asyncio.wait({keeping})
            await agent.starter.discard()
            agent.router.close()
    return outcome


async def _until_given_up(agent: Agent) -> Exit:
    try:
        await agent.supervisor.run()
    except supervisor.GivenUp as error:
        log.error("Chromium does not stay up; the agent gives up. %s", error)  # noqa: TRY400 - the trace says nothing more
    return Exit.NO_CHROMIUM


async def _until_forgotten(agent: Agent, address: str) -> Exit:
    try:
        await agent.live(address)
    except heartbeats.Forgotten as error:
        log.warning("stopping: %s", error)
    return Exit.FORGOTTEN


async def _until_set(event: asyncio.Event) -> Exit:
    await event.wait()
    return Exit.DONE
