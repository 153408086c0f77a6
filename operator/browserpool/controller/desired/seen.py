"""What is observed of a browser and of its region: values only; each time is an age in seconds."""

import dataclasses
import enum

from browserpool.model.names import HOME, BrowserId, DatabaseName, NodeName, PoolName, RegionName, ZoneName
from browserpool.model.states import BrowserState


class Pod(enum.StrEnum):
    """Where the browser's pod (on one machine: its process) is in its life."""

    ABSENT = "absent"
    RUNNING = "running"
    """It runs, or its creation was asked for and not refused."""
    STOPPING = "stopping"
    """Its deletion was asked for."""
    DEAD = "dead"
    """Its process ended by itself; the object that bears its name is still there."""

    @property
    def exists(self) -> bool:
        return self is not Pod.ABSENT

    @property
    def serves(self) -> bool:
        """Whether somebody may be using it now."""
        return self in (Pod.RUNNING, Pod.STOPPING)


class Node(enum.StrEnum):
    """What becomes of the node that the browser stands on."""

    STAYS = "stays"
    LEAVING = "leaving"
    """It is cordoned: somebody means to empty it."""
    LOST = "lost"
    """The cluster cannot reach it, or it is gone."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a browser stands; both are empty while nobody knows."""

    zone: ZoneName
    node: NodeName


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Browser:
    """One browser's row and pod, joined by name.

    ``state`` is None when the store has no row; ``last_seen_age`` is None when no heartbeat ever came. ``state_age`` counts from the
    last change of state. ``deaths`` counts how often in a row a pod of this name died young, ``death_age`` since the last time.
    ``schedulable`` is False while its pod waits for a node with room for it; ``failing`` says, in the cluster's word, why its
    container does not run (``CrashLoopBackOff``); empty: it does, or it has only just begun. ``failing_for`` counts from the first such
    word, though another has followed. ``forced``: a moment ago its pod was asked to go without waiting for its node. ``moved`` is where
    its pod stands, if its row says otherwise. ``database`` has its row, or is the one that its pod's agent speaks to.
    """

    browser_id: BrowserId
    region: RegionName
    ordinal: int
    state: BrowserState | None
    pod: Pod
    template_hash: str = ""
    healthy: bool = True
    last_seen_age: float | None = 0.0
    state_age: float = 0.0
    drain_requested: bool = False
    deaths: int = 0
    death_age: float | None = None
    schedulable: bool = True
    failing: str = ""
    failing_for: float = 0.0
    node: Node = Node.STAYS
    forced: bool = False
    moved: Place | None = None
    database: DatabaseName = HOME


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """For how many seconds a region has been short of ready browsers, or has had more than it wants; 0: it is not.

    ``made_lately`` counts its browsers that count against ``refill.maxRate`` (``pace``).
    """

    short_for: float = 0.0
    surplus_for: float = 0.0
    made_lately: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scaled:
    """What ``spec.autoscaling`` makes of a region: browsers to keep ready, ``reason`` in one word and ``message`` for people.

    ``kept`` counts claimed ones too: none is drained for being one too many while no more than these exist.
    """

    wanted: int
    kept: int
    reason: str
    message: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One of a pool's two versions: its browsers, and how the requests that it served lately ended. ``p50`` and ``p95``: seconds.

    ``failing`` of its browsers do not become ready; ``failure`` is why, of one of them, in the cluster's word, if it has one.
    """

    replicas: int = 0
    ready: int = 0
    failing: int = 0
    failure: str = ""
    requests: int = 0
    failures: int = 0
    p50: float | None = None
    p95: float | None = None

    @property
    def error_rate(self) -> float:
        """Failures of all requests, from 0 to 1."""
        return self.failures / self.requests if self.requests else 0.0

    @property
    def failing_share(self) -> float:
        """Browsers that do not become ready, of all, from 0 to 1."""
        return self.failing / self.replicas if self.replicas else 0.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """A pool's canary beside its stable version. ``reason`` is why it is paused, in one word, ``message`` for people; empty: it goes on."""

    reason: str = ""
    message: str = ""
    stable: Figures = Figures()
    canary: Figures = Figures()

    @property
    def paused(self) -> bool:
        return bool(self.reason)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Blind:
    """A region of which nothing is decided, since a database that may have browsers of it does not answer: ``why``, in a sentence.

    ``browsers`` are those that are known all the same.
    """

    region: RegionName
    why: str
    browsers: tuple[Browser, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """All that exists of one pool. A region that ``settled`` does not name has just changed; ``scaled`` has those that scale.

    ``browsers`` has none of the regions that are ``blind``. ``canary``: None if the pool has none.
    """

    pool: PoolName
    browsers: tuple[Browser, ...] = ()
    settled: tuple[tuple[RegionName, Settled], ...] = ()
    scaled: tuple[tuple[RegionName, Scaled], ...] = ()
    canary: Canary | None = None
    blind: tuple[Blind, ...] = ()

    @property
    def canary_paused(self) -> bool:
        return self.canary is not None and self.canary.paused

    def of(self, region: RegionName) -> tuple[Browser, ...]:
        """The browsers of ``region``, by ordinal."""
        return tuple(sorted((b for b in self.browsers if b.region == region), key=lambda b: b.ordinal))

    def blind_in(self, region: RegionName) -> Blind | None:
        """Why nothing is decided of ``region``; None: something is."""
        return next((one for one in self.blind if one.region == region), None)

    def settled_in(self, region: RegionName) -> Settled:
        """How long the present shortage or surplus of ``region`` has lasted."""
        return dict(self.settled).get(region, Settled())

    def scaled_in(self, region: RegionName) -> Scaled | None:
        """What ``region`` keeps by ``spec.autoscaling``; None: the pool's spec says itself how many."""
        return dict(self.scaled).get(region)
