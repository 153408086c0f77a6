"""How much it takes to run so many browsers: pure arithmetic on costs that were measured (``local.measuring``)."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Final

GIB: Final = 2**30
MAX_BATCH: Final = 100
"""Rows: BatchSettings.max_batch_size."""
BATCH_WAIT: Final = 1.0
"""Seconds: BatchSettings.max_batch_timeout."""
CONNECTIONS_OF_A_ROUTER: Final = 8
MANY_CONNECTIONS: Final = 500
"""Over it a transaction pooler belongs between: each costs Postgres a process and some 10 MB."""
DAY: Final = 86_400.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What one of each thing costs, measured on one machine. CPU in seconds of one core, sizes in bytes.

    A batch of n heartbeats costs the database ``batch_cpu + n * row_cpu``, and as much WAL by the same rule.
    """

    batch_cpu: float
    row_cpu: float
    batch_wal: float
    row_wal: float
    session_cpu: float
    """Of the database: a claim and its release, history included."""
    session_wal: float
    router_heartbeat_cpu: float
    """Of a router: one heartbeat over HTTP, checked, queued, written, answered."""
    router_session_cpu: float
    """Of a router: the statements of one session; the bytes that it carries come on top."""
    browser_row: float
    """On disk, indexes and the room for new versions included."""
    history_row: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be run. ``heartbeat_interval`` and ``session_seconds`` in seconds, memory in bytes."""

    browsers: int
    regions: int = 1
    heartbeat_interval: float = 5.0
    session_seconds: float = 10.0
    """How long a browser is held on the average."""
    busy: float = 0.5
    """Share of the browsers that are held, on the average."""
    browser_memory: float = 0.5 * GIB
    browser_cores: float = 0.1
    node_memory: float = 60 * GIB
    """What a node can give to pods."""
    node_cores: float = 15.0
    pods_per_node: int = 110
    routers: int | None = None
    """In each region; ``None``: as many as it takes, and two at the least."""
    load: float = 0.5
    """How busy processors may be on the average."""
    history_days: float = 1.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What one region takes."""

    browsers: int
    browsers_per_node: int
    bound_by: str
    """Which of memory, cores and pods fills a node first."""
    nodes: int
    heartbeats_per_second: float
    rows_per_batch: float
    batches_per_second: float
    sessions_per_second: float
    routers: int
    router_load: float
    """Of one core of each."""
    connections: int
    database_cores: float
    wal_per_second: float
    disk: float
    """Tables and indexes; WAL that is kept for replicas or archives comes on top."""

    @property
    def wants_pooler(self) -> bool:
        """So many connections should meet in a transaction pooler."""
        return self.connections > MANY_CONNECTIONS


def needs(wish: Wish, costs: Costs) -> Need:
    """What each of ``wish.regions`` equal regions takes."""
    browsers = math.ceil(wish.browsers / wish.regions)
    per_node, bound_by = _per_node(wish)
    heartbeats = browsers / wish.heartbeat_interval
    sessions = browsers * wish.busy / wish.session_seconds
    work = heartbeats * costs.router_heartbeat_cpu + sessions * costs.router_session_cpu
    routers = wish.routers or max(2, math.ceil(work / wish.load))
    rows = rows_per_batch(heartbeats / routers)
    batches = heartbeats / rows
    cpu = batches * costs.batch_cpu + heartbeats * costs.row_cpu + sessions * costs.session_cpu
    return Need(
        browsers=browsers,
        browsers_per_node=per_node,
        bound_by=bound_by,
        nodes=math.ceil(browsers / per_node),
        heartbeats_per_second=heartbeats,
        rows_per_batch=rows,
        batches_per_second=batches,
        sessions_per_second=sessions,
        routers=routers,
        router_load=work / routers,
        connections=routers * CONNECTIONS_OF_A_ROUTER,
        database_cores=cpu / wish.load,
        wal_per_second=batches * costs.batch_wal + heartbeats * costs.row_wal + sessions * costs.session_wal,
        disk=browsers * costs.browser_row + sessions * DAY * wish.history_days * costs.history_row,
    )


def rows_per_batch(heartbeats_per_second: float) -> float:
    """How full one router's batches are: it waits a second for a hundred, and sends what has come by then."""
    return min(float(MAX_BATCH), max(1.0, heartbeats_per_second * BATCH_WAIT))


def _per_node(wish: Wish) -> tuple[int, str]:
    room = {
        "memory": math.floor(wish.node_memory / wish.browser_memory),
        "cores": math.floor(wish.node_cores / wish.browser_cores),
        "pods": wish.pods_per_node,
    }
    bound_by = min(room, key=lambda name: room[name])
    return max(1, room[bound_by]), bound_by


def read(kept: Mapping[str, Any]) -> Costs:
    """Costs as ``dataclasses.asdict`` wrote them.

    Raises:
        ValueError: a field is missing, of another name, or no number over zero.
    """
    names = {field.name for field in dataclasses.fields(Costs)}
    if set(kept) != names:
        raise ValueError(f"the costs must be {', '.join(sorted(names))}")
    wrong = sorted(name for name, value in kept.items() if not isinstance(value, int | float) or not value > 0)
    if wrong:
        raise ValueError(f"no number over zero: {', '.join(wrong)}")
    return Costs(**kept)
