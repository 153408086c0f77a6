"""Whatever happens to a simulated world, planning and applying never breaks the rules, and ends at what is wanted."""

import dataclasses

import hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from browserpool.controller.desired import plan, seen, settling, template, versions
from browserpool.model import states
from browserpool.model.names import BrowserId, PoolName, RegionName
from browserpool.model.pool import BrowserPool
from browserpool.model.states import BrowserState

REGIONS = ("east", "west")
LIVE = frozenset({BrowserState.STARTING, BrowserState.READY, BrowserState.CLAIMED, BrowserState.RECYCLING})


@dataclasses.dataclass
class Row:
    state: BrowserState
    template_hash: str
    since: float
    drain_requested: bool = False


@dataclasses.dataclass
class Death:
    times: int
    at: float


class Simulated(RuleBasedStateMachine):
    """Rows and pods that obey the table of transitions; time moves only by the rule that moves it."""

    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.rows: dict[str, Row] = {}
        self.pods: set[str] = set()
        self.deaths: dict[str, Death] = {}
        self.since: dict[RegionName, settling.Since] = {}
        self.limits: dict[str, int] = {}
        self.canary: seen.Canary | None = None

    # ------------------------------------------------------------ the world
    def _become(self, name, state):
        row = self.rows[name]
        assert states.may_become(row.state, state) or state is BrowserState.GONE
        row.state, row.since = state, self.now

    def _end_session(self, name):
        marked = self.rows[name].drain_requested
        self._become(name, BrowserState.DRAINING if marked else BrowserState.RECYCLING)

    def _names(self, *wanted):
        return sorted(name for name, row in self.rows.items() if row.state in wanted and name in self.pods)

    def _region_of(self, name):
        return RegionName(name.split("-")[1])

    def _world(self):
        browsers = tuple(self._seen(name) for name in sorted(self.rows.keys() | self.pods | self.deaths.keys()))
        for region in REGIONS:
            name = RegionName(region)
            unclaimed = [b for b in browsers if b.region == name and b.state in LIVE - {BrowserState.CLAIMED}]
            self.since[name] = settling.observed(
                self.since.get(name, settling.Since()),
                ready=sum(b.state is BrowserState.READY for b in unclaimed),
                unclaimed=len(unclaimed),
                wanted=self._wanted(name),
                now=self.now,
            )
        settled = settling.ages(self.since, now=self.now)
        return seen.World(pool=PoolName("shop"), browsers=browsers, settled=settled, canary=self.canary)

    def _seen(self, name):
        row, death = self.rows.get(name), self.deaths.get(name)
        return seen.Browser(
            browser_id=BrowserId(name),
            region=self._region_of(name),
            ordinal=int(name.rsplit("-", 1)[1]),
            state=row.state if row else None,
            pod=seen.Pod.RUNNING if name in self.pods else seen.Pod.ABSENT,
            template_hash=row.template_hash if row else "",
            state_age=self.now - row.since if row else 0.0,
            drain_requested=row.drain_requested if row else False,
            deaths=death.times if death else 0,
            death_age=self.now - death.at if death else None,
        )

    def _wanted(self, region):
        found = self.pool.spec.region(region) if self.pool else None
        return self.pool.spec.wanted(found) if found else 0

    # ------------------------------------------------------------ carrying out
    def _apply(self, actions):
        created = [action.browser_id for action in actions if isinstance(action, plan.Create)]
        assert len(set(created)) == len(created)
        for action in actions:
            self._do(action)

    def _do(self, action):
        name = action.browser_id
        row = self.rows.get(name)
        match action:
            case plan.Create(template_hash=wanted):
                assert name not in self.pods
                assert row is None or row.state is BrowserState.GONE
                self.rows[name] = Row(BrowserState.STARTING, wanted, self.now)
                self.pods.add(name)
            case plan.Adopt(template_hash=found):
                assert name in self.pods
                assert row is None
                self.rows[name] = Row(BrowserState.STARTING, found, self.now)
            case plan.Drain() if row.state is BrowserState.CLAIMED:
                row.drain_requested = True
            case plan.Drain():
                self._become(name, BrowserState.DRAINING)
            case plan.Delete():
                assert row is None or row.state is not BrowserState.CLAIMED, "a claimed browser that runs was deleted"
                self.pods.discard(name)
            case plan.Forget():
                assert name not in self.pods
                self._become(name, BrowserState.GONE)

    # ------------------------------------------------------------ what happens
    @initialize(replicas=st.integers(0, 5), extra=st.integers(0, 4))
    def begin(self, replicas, extra):
        self._edit(replicas, extra, REGIONS, "v1", {}, None)

    def _edit(self, replicas, extra, regions, version, strategy, percent):
        self.pool = BrowserPool.model_validate(
            {
                "metadata": {"name": "shop"},
                "spec": {
                    "replicas": replicas,
                    "maxReplicas": replicas + extra,
                    "regions": [{"name": name} for name in regions],
                    "refill": {"maxBatch": 3},
                    "chromium": {"version": version},
                    "updateStrategy": strategy,
                    "canary": None if percent is None else {"image": "new", "percent": percent},
                },
            }
        )
        self.canary = None if percent is None else seen.Canary()
        # A region may keep what it had until it is drained; no plan may add to that.
        self.limits = {name: replicas + extra if name in regions else 0 for name in REGIONS}

    @rule(
        replicas=st.integers(0, 5),
        extra=st.integers(0, 4),
        regions=st.sampled_from([REGIONS, REGIONS[:1], REGIONS[1:]]),
        version=st.sampled_from(["v1", "v2"]),
        strategy=st.sampled_from([{}, {"maxUnavailable": 0, "maxSurge": 1}, {"maxSurge": 2}, {"type": "Recreate"}]),
        percent=st.sampled_from([None, 0, 10, 50, 90, 100]),
    )
    def edit(self, replicas, extra, regions, version, strategy, percent):
        self._edit(replicas, extra, regions, version, strategy, percent)

    @precondition(lambda self: self.canary is not None)
    @rule()
    def pause(self):
        self.canary = seen.Canary(reason="ErrorRate", message="worse")

    @rule(seconds=st.sampled_from([0.5, 3, 10, 400]))
    def wait(self, seconds):
        self.now += seconds

    @rule()
    def reconcile(self):
        before = {region: self._pods_in(region) for region in REGIONS}
        self._apply(plan.plan(self.pool, self._world()))
        for region in REGIONS:
            assert self._pods_in(region) <= max(before[region], self.limits[region])

    @rule(data=st.data())
    def heartbeat(self, data):
        if names := self._names(BrowserState.STARTING, BrowserState.RECYCLING):
            self._become(data.draw(st.sampled_from(names)), BrowserState.READY)

    @rule(data=st.data())
    def claim(self, data):
        if names := self._names(BrowserState.READY):
            self._become(data.draw(st.sampled_from(names)), BrowserState.CLAIMED)

    @rule(data=st.data())
    def release(self, data):
        if names := self._names(BrowserState.CLAIMED):
            self._end_session(data.draw(st.sampled_from(names)))

    @rule(data=st.data())
    def die(self, data):
        if self.pods:
            name = data.draw(st.sampled_from(sorted(self.pods)))
            self.pods.discard(name)
            known = self.deaths.get(name)
            self.deaths[name] = Death((known.times if known else 0) + 1, self.now)

    @rule(data=st.data())
    def lose_row(self, data):
        if self.rows:
            self.rows.pop(data.draw(st.sampled_from(sorted(self.rows))))

    @precondition(lambda self: self.pool is not None)
    @rule()
    def delete_pool(self):
        self.pool = self.canary = None
        self.limits = dict.fromkeys(REGIONS, 0)

    # ------------------------------------------------------------ what must hold
    def _pods_in(self, region):
        return sum(self._region_of(name) == region for name in self.pods)

    def teardown(self):
        """Left in peace, with its sessions ended, the world becomes what the manifest says and stays so."""
        quiet = 0
        for _ in range(400):
            self.now += 20
            actions = plan.plan(self.pool, self._world())
            self._apply(actions)
            for name in self._names(BrowserState.CLAIMED):
                self._end_session(name)
            moving = self._names(BrowserState.STARTING, BrowserState.RECYCLING)
            for name in moving:
                self._become(name, BrowserState.READY)
            # Twice, because a surplus is seen in one round and old enough to be drained in the next.
            quiet = 0 if actions or moving else quiet + 1
            if quiet == 2:
                break
        else:
            raise AssertionError(f"still acting after 400 rounds: {actions}")
        for region in REGIONS:
            here = [name for name in self._names(BrowserState.READY) if self._region_of(name) == region]
            assert len(here) == self._wanted(RegionName(region)) == self._pods_in(region)
            found = self.pool.spec.region(RegionName(region)) if self.pool else None
            hashes = [self.rows[name].template_hash for name in here]
            if found is None:
                assert not hashes
                continue
            known = versions.of(self.pool.spec, found, paused=self.canary is not None and self.canary.paused)
            assert set(hashes) <= {template.hashed(self.pool.spec, found), known.canary}
            low, high = versions.bounds(known.percent, len(hashes))
            assert low <= hashes.count(known.canary) <= high


Simulated.TestCase.settings = hypothesis.settings(
    max_examples=100, stateful_step_count=30, deadline=None, suppress_health_check=list(hypothesis.HealthCheck)
)
TestConverges = Simulated.TestCase
