"""Whatever happens to databases while a region moves between them, no session is cut, no older claim is let in, and nothing is left."""

import dataclasses

import hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from browserpool.controller import observe
from browserpool.controller.desired import blind, plan, seen
from browserpool.model.browsers import Browser
from browserpool.model.names import HOME, BrowserId, DatabaseName, Fence, NodeName, PoolName, RegionName, ZoneName
from browserpool.model.pool import BrowserPool
from browserpool.model.states import BrowserState

EAST, SHOP = RegionName("east"), PoolName("shop")
DATABASES = (HOME, DatabaseName("own/dsn"), DatabaseName("other/dsn"))
ENDED = (None, BrowserState.GONE)


@dataclasses.dataclass
class Row:
    state: BrowserState
    template_hash: str
    fence: int
    since: float
    drain_requested: bool = False


class Simulated(RuleBasedStateMachine):
    """One region, three databases. What is down can neither be read nor written; agents and sessions go on all the same."""

    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.rows: dict[tuple[DatabaseName, str], Row] = {}
        self.pods: dict[str, DatabaseName] = {}
        self.sequences = dict.fromkeys(DATABASES, 0)
        self.fences: dict[str, int] = {}
        self.down: set[DatabaseName] = set()
        self.observer = observe.Observer(now=lambda: self.now)
        self.pool: BrowserPool | None = None
        self.present = HOME
        self.wanted = 0

    # ------------------------------------------------------------ the world
    def _actions(self):
        up = frozenset(DATABASES) - self.down
        answers = blind.Answers(answered=up)
        rows = [self._row(name, database, row) for (database, name), row in sorted(self.rows.items()) if database in up]
        pods = {
            BrowserId(name): observe.Pod(region=EAST, phase=seen.Pod.RUNNING, template_hash="?", database=database)
            for name, database in self.pods.items()
        }
        dark = blind.regions(self.pool, [(EAST, database) for database in self.pods.values()], answers)
        return plan.plan(self.pool, self.observer.world(SHOP, self.pool, rows, pods, blind=dark))

    def _row(self, name, database, row):
        return Browser(
            browser_id=BrowserId(name), pool=SHOP, region=EAST, zone=ZoneName("z"), node=NodeName("n"),
            template_hash=row.template_hash, state=row.state, fence=Fence(row.fence), incarnation=None, address=None,
            chromium=None, healthy=True, drain_requested=row.drain_requested, load=0.0, uses=0, restarts=0,
            memory_bytes=0, session_id=None, last_seen_age=0.0, state_age=self.now - row.since,
            age=0.0, database=database,
        )  # fmt: skip

    def _of_pod(self, name):
        """The row of the browser that runs under this name."""
        return self.rows.get((self.pods[name], name))

    def _names(self, *states, up=True):
        return sorted(
            name
            for name, database in self.pods.items()
            if (row := self._of_pod(name)) is not None and row.state in states and not (up and database in self.down)
        )

    def _become(self, row, state):
        row.state, row.since = state, self.now

    # ------------------------------------------------------------ carrying out
    def _do(self, action, *, fails=False):
        name, database = action.browser_id, action.database
        assert database not in self.down, "something was decided of what nobody could see"
        row = self.rows.get((database, name))
        match action:
            case plan.Create():
                self._register(name, database, action.template_hash)
                if not fails:
                    assert name not in self.pods
                    self.pods[name] = database
            case plan.Adopt():
                assert self.pods[name] == database
                self._register(name, database, action.template_hash)
            case plan.Drain():
                row.drain_requested = True
                if row.state is not BrowserState.CLAIMED:
                    self._become(row, BrowserState.DRAINING)
            case plan.Delete() if not fails and name in self.pods:
                served = self._of_pod(name)
                assert served is None or served.state is not BrowserState.CLAIMED, "a session was cut"
                del self.pods[name]
            case plan.Forget():
                assert self.pods.get(name) != database
                self._become(row, BrowserState.GONE)

    def _number(self, actions):
        """What ``apply`` does before it registers anything in a region's database."""
        for database in DATABASES[1:]:
            if number := sum(isinstance(a, plan.Create | plan.Adopt) and a.database == database for a in actions):
                last = self.sequences[database] = max(self.sequences[HOME], self.sequences[database])
                self.sequences[HOME] = last + number

    def _register(self, name, database, template_hash):
        row = self.rows.get((database, name))
        if row is not None and row.state is not BrowserState.GONE:
            return
        self.sequences[database] += 1
        fence = self.sequences[database] << 32
        assert fence > self.fences.get(name, 0), "older claims of this name would be let in"
        self.fences[name] = fence
        self.rows[database, name] = Row(BrowserState.STARTING, template_hash, fence, self.now)

    # ------------------------------------------------------------ what happens
    @initialize(replicas=st.integers(0, 4))
    def begin(self, replicas):
        self._edit(replicas, HOME, None, {})

    def _edit(self, replicas, present, former, strategy):
        region = {"name": "east"}
        if present != HOME:
            region["databaseSecretRef"] = {"name": present.partition("/")[0]}
        if former is not None and former != present:
            ref = {} if former == HOME else {"databaseSecretRef": {"name": former.partition("/")[0]}}
            region["movingFrom"] = ref
        spec = {"replicas": replicas, "maxReplicas": replicas + 3, "regions": [region], "updateStrategy": strategy}
        self.pool = BrowserPool.model_validate({"metadata": {"name": "shop"}, "spec": spec})
        self.present, self.wanted = present, replicas

    @rule(
        replicas=st.integers(0, 4),
        present=st.sampled_from(DATABASES),
        says_so=st.booleans(),
        strategy=st.sampled_from([{}, {"maxUnavailable": 0, "maxSurge": 1}, {"type": "Recreate"}]),
    )
    def move(self, replicas, present, says_so, strategy):
        self._edit(replicas, present, self.present if says_so else None, strategy)

    @precondition(lambda self: self.pool is not None)
    @rule()
    def delete_pool(self):
        self.pool, self.wanted = None, 0

    @rule(database=st.sampled_from(DATABASES[1:]))
    def go_down(self, database):
        self.down.add(database)

    @rule()
    def come_back(self):
        self.down.clear()

    @rule(seconds=st.sampled_from([1, 10]))
    def wait(self, seconds):
        self.now += seconds

    @rule(data=st.data())
    def reconcile(self, data):
        self._number(actions := self._actions())
        for action in actions:
            match data.draw(st.sampled_from(["done", "done", "half", "not"])):
                case "done":
                    self._do(action)
                case "half":
                    self._do(action, fails=True)

    @rule(data=st.data())
    def heartbeat(self, data):
        if names := self._names(BrowserState.STARTING, BrowserState.RECYCLING):
            self._become(self._of_pod(data.draw(st.sampled_from(names))), BrowserState.READY)

    @rule(data=st.data())
    def claim(self, data):
        if names := self._names(BrowserState.READY):
            row = self._of_pod(data.draw(st.sampled_from(names)))
            row.fence += 1
            self._become(row, BrowserState.CLAIMED)

    @rule(data=st.data())
    def release(self, data):
        if names := self._names(BrowserState.CLAIMED):
            self._end_session(data.draw(st.sampled_from(names)))

    def _end_session(self, name):
        row = self._of_pod(name)
        self._become(row, BrowserState.DRAINING if row.drain_requested else BrowserState.RECYCLING)

    @rule(data=st.data())
    def die(self, data):
        if self.pods:
            del self.pods[data.draw(st.sampled_from(sorted(self.pods)))]

    # ------------------------------------------------------------ what must hold
    def teardown(self):
        """Once all databases are back, the region's browsers are in the one that it is to be in, and none is left elsewhere."""
        self.down.clear()
        quiet = 0
        for _ in range(200):
            self.now += 20
            self._number(actions := self._actions())
            for action in actions:
                self._do(action)
            for name in self._names(BrowserState.CLAIMED):
                self._end_session(name)
            for name in (moving := self._names(BrowserState.STARTING, BrowserState.RECYCLING)):
                self._become(self._of_pod(name), BrowserState.READY)
            quiet = 0 if actions or moving else quiet + 1
            if quiet == 2:
                break
        else:
            raise AssertionError(f"still acting after 200 rounds: {actions}")
        living = {name: database for (database, name), row in self.rows.items() if row.state not in ENDED}
        assert living == self.pods == dict.fromkeys(living, self.present)
        assert len(living) == self.wanted
        assert sum(row.state not in ENDED for row in self.rows.values()) == self.wanted


Simulated.TestCase.settings = hypothesis.settings(
    max_examples=100, stateful_step_count=30, deadline=None, suppress_health_check=list(hypothesis.HealthCheck)
)
TestMoves = Simulated.TestCase
