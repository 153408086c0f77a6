"""Any order of claims, renewals, releases, expiries, late and doubled heartbeats, drains and crashes, against a real Postgres.

Held after every step: no two live sessions on one browser, no fence ever goes back, no claim but of a clean and ready browser,
each change of state is one that model/states.py allows (or a chain of such), and an ended session has its line in the history.
Held at the end: once everything has settled, every browser that is not draining is ready again.
"""

import asyncio
import itertools

import hypothesis
import pytest
from hypothesis import stateful
from hypothesis import strategies as st

from browserpool.model import states
from browserpool.model.claims import Outcome
from browserpool.model.names import HolderId, SessionId
from browserpool.model.sessions import Held
from browserpool.model.states import BrowserState as S
from browserpool.store import browsers, connect, heartbeats, leases, sessions
from support import fleet as fleets
from support import postgres

FRESHNESS = 3600.0
"""Seconds: a machine that stalls must not change what is claimed."""
ORDINALS = st.integers(0, 2)
NEAR = st.sampled_from([{}, {"zone": "a"}, {"zone": "a", "node": "n1"}, {"node": "n2"}])


def chained(now, then):
    """Whether ``then`` can be reached in the steps that one statement may take together (a clean release takes two)."""
    return (
        now is then
        or states.may_become(now, then)
        or any(states.may_become(via, then) for via in states.TRANSITIONS[now])
    )


class Store(stateful.RuleBasedStateMachine):
    """The model: who holds what, by what the store has answered; the agents; the heartbeats still under way."""

    server: postgres.Server

    def __init__(self):
        super().__init__()
        self._clone = postgres.clone(self.server)
        dsn = self._clone.__enter__()
        self.runner = asyncio.Runner()
        # One connection, whose random() is seeded: claims begin at a random slot, and a failure must be seen again when it is shrunk.
        self._opened = connect.opened(dsn, process="machine", max_size=1)
        self.fleet = fleets.Fleet(self.run(self._opened.__aenter__()))
        self.run(self.fleet.sql("select setseed(0.5)"))
        self.db = self.fleet.db
        self.numbers = itertools.count()
        self.live = {}  # session → (browser, fence)
        self.over = set()
        self.late = []  # heartbeats said and not written yet
        self.fences = {}
        self.before = {}
        self.drained = set()

    def run(self, work):
        return self.runner.run(work)

    def teardown(self):
        self.run(self._opened.__aexit__(None, None, None))
        self.runner.close()
        self._clone.__exit__(None, None, None)

    # ------------------------------------------------------------ browsers
    @stateful.initialize()
    def some_browsers(self):
        for ordinal in range(3):
            self.run(self.fleet.ready(ordinal, node=f"n{ordinal}", zone="ab"[ordinal % 2]))

    @stateful.rule(ordinal=ORDINALS)
    def register(self, ordinal):
        self.run(self.fleet.register(ordinal, node=f"n{ordinal}", zone="ab"[ordinal % 2]))

    @stateful.rule(agent=st.sampled_from(range(3)))
    def agent_restarts(self, agent):
        browser_id = f"default-eu-{agent}"
        if self.before.get(browser_id, S.GONE) is not S.GONE:
            self.run(self.fleet.greet(browser_id))
            self.lose(browser_id)

    @stateful.rule(agent=st.sampled_from(range(3)))
    def drain(self, agent):
        browser_id = f"default-eu-{agent}"
        self.run(browsers.drain(self.db, [browser_id]))
        self.drained.add(browser_id)

    @stateful.rule(agent=st.sampled_from(range(3)))
    def pod_is_gone(self, agent):
        browser_id = f"default-eu-{agent}"
        self.run(browsers.forget(self.db, [browser_id]))
        self.drained.discard(browser_id)
        self.lose(browser_id)

    def lose(self, browser_id):
        for session in [session for session, (held, _) in self.live.items() if held == browser_id]:
            del self.live[session]
            self.over.add(session)

    # ------------------------------------------------------------ heartbeats
    @stateful.precondition(lambda self: self.fleet.agents)
    @stateful.rule(data=st.data(), healthy=st.booleans(), at_once=st.booleans())
    def agent_speaks(self, data, healthy, at_once):
        agent = self.fleet.agents[data.draw(st.sampled_from(sorted(self.fleet.agents)))]
        self.late.append(agent.word(healthy=healthy))
        if at_once:
            self.run(heartbeats.write(self.db, [self.late.pop()]))

    @stateful.precondition(lambda self: self.fleet.agents)
    @stateful.rule(data=st.data())
    def agent_cleans(self, data):
        """It hears that it is to recycle, and from now on says that it has."""
        agent = self.fleet.agents[data.draw(st.sampled_from(sorted(self.fleet.agents)))]
        reply = self.run(agent.beat())
        if reply.known and reply.recycle:
            agent.clean_fence = reply.fence

    @stateful.precondition(lambda self: self.late)
    @stateful.rule(data=st.data(), again=st.booleans())
    def a_late_batch_arrives(self, data, again):
        """In any order, some of it twice."""
        some = data.draw(st.lists(st.sampled_from(self.late), min_size=1, max_size=4))
        batch = {(word.browser_id, word.incarnation): word for word in some}
        self.run(heartbeats.write(self.db, list(batch.values())))
        if not again:
            self.late = [word for word in self.late if word not in batch.values()]

    # ------------------------------------------------------------ sessions
    @stateful.rule(near=NEAR)
    def claim(self, near):
        session = SessionId(f"s{next(self.numbers)}")
        answer = self.run(leases.claim(self.db, fleets.request(session, **near), freshness=FRESHNESS))
        assert (answer.outcome is Outcome.CLAIMED) == (answer.claim is not None)
        if answer.claim is None:
            return
        claim = answer.claim
        assert self.before[claim.browser_id] is S.READY, "only a ready browser is handed out"
        assert claim.browser_id not in self.drained
        assert claim.browser_id not in {held for held, _ in self.live.values()}, "claimed twice"
        assert claim.fence > self.fences[claim.browser_id]
        self.live[session] = (claim.browser_id, claim.fence)

    @stateful.precondition(lambda self: self.live or self.over)
    @stateful.rule(data=st.data())
    def claim_repeated(self, data):
        session = data.draw(st.sampled_from(sorted(self.live) + sorted(self.over)))
        answer = self.run(leases.claim(self.db, fleets.request(session)))
        if session in self.live:
            assert answer.outcome is Outcome.REPEATED
            assert (answer.claim.browser_id, answer.claim.fence) == self.live[session]
        else:
            assert answer.outcome is Outcome.ENDED

    @stateful.precondition(lambda self: self.live)
    @stateful.rule(data=st.data(), clean=st.booleans(), give_up=st.booleans(), stale=st.booleans())
    def release(self, data, clean, give_up, stale):
        session = data.draw(st.sampled_from(sorted(self.live)))
        browser_id, fence = self.live[session]
        state = self.run(leases.release(self.db, session_id=session, fence=fence - stale, clean=clean, give_up=give_up))
        if stale:
            assert state is None
            return
        assert state is (S.DRAINING if give_up or browser_id in self.drained else S.READY if clean else S.RECYCLING)
        if clean and browser_id in self.fleet.agents:
            self.fleet.agents[browser_id].clean_fence = fence
        del self.live[session]
        self.over.add(session)

    @stateful.precondition(lambda self: self.over)
    @stateful.rule(data=st.data())
    def release_again(self, data):
        session = data.draw(st.sampled_from(sorted(self.over)))
        past = self.run(sessions.history(self.db, session))
        assert self.run(leases.release(self.db, session_id=session, fence=past.fence, clean=True)) is None

    @stateful.rule()
    def renew(self):
        held = [Held(session_id=session, fence=fence) for session, (_, fence) in self.live.items()]
        held += [Held(session_id=session, fence=1) for session in self.over]
        assert self.run(leases.renew(self.db, holder=HolderId("r"), leases=held)) == frozenset(self.live)

    @stateful.precondition(lambda self: self.live)
    @stateful.rule(data=st.data())
    def lease_runs_out(self, data):
        session = data.draw(st.sampled_from(sorted(self.live)))
        statement = "update browsers set lease_expires_at = now() - interval '1 second' where session_id = %s"
        self.run(self.fleet.sql(statement, session))
        assert [ended.session_id for ended in self.run(leases.expire(self.db))] == [session]
        del self.live[session]
        self.over.add(session)

    @stateful.rule()
    def sweep(self):
        self.run(browsers.sweep(self.db))

    # ------------------------------------------------------------ what holds
    @stateful.invariant()
    def the_store_agrees(self):
        rows = self.run(browsers.listing(self.db))
        held = {row.session_id: (row.browser_id, row.fence) for row in rows if row.session_id is not None}
        assert held == self.live
        for row in rows:
            assert (row.state is S.CLAIMED) == (row.session_id is not None)
            assert row.fence >= self.fences.get(row.browser_id, 0), "a fence went back"
            was = self.before.get(row.browser_id, S.STARTING)
            assert chained(was, row.state), f"{row.browser_id}: {was} → {row.state}"
            if row.state is S.READY and was is not S.READY:
                agent = self.fleet.agents[row.browser_id]
                assert agent.clean_fence == row.fence, "nobody has said that it is clean after this fence"
            self.fences[row.browser_id] = row.fence
            self.before[row.browser_id] = row.state

    @stateful.invariant()
    def every_end_is_remembered(self):
        ended = {past.session_id for past in self.run(sessions.past(self.db, limit=1000))}
        assert ended == self.over

    def settle(self):
        """What routers, agents and the controller do without being asked brings every browser back."""
        self.run(
            self.fleet.sql(
                "update browsers set lease_expires_at = now() - interval '1 second' where session_id is not null"
            )
        )
        self.run(leases.expire(self.db))
        for browser_id, state in {row.browser_id: row.state for row in self.run(browsers.listing(self.db))}.items():
            if state is S.DRAINING:
                continue
            if state is S.GONE:
                self.run(self.fleet.register(int(browser_id[-1])))
            agent = self.run(self.fleet.greet(browser_id))
            self.run(agent.beat())
            reply = self.run(agent.beat())
            assert not reply.recycle
        assert {row.state for row in self.run(browsers.listing(self.db))} <= {S.READY, S.DRAINING}


class Settling(Store):
    """The same, and at the end nothing is stuck."""

    def teardown(self):
        try:
            self.settle()
        finally:
            super().teardown()


@pytest.mark.timeout(300)
def test_any_order_of_events(postgres_server):
    Settling.server = postgres_server
    settings = hypothesis.settings(
        max_examples=30,
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        derandomize=True,  # the same events in each run of CI; `--hypothesis-seed` with this off explores
        print_blob=True,
    )
    stateful.run_state_machine_as_test(Settling, settings=settings)
