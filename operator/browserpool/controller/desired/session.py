"""BrowserSession objects: which of them claim, which are shown what, and what is released or deleted. Pure.

An object's session id is made of its uid, so claiming twice changes nothing, and an object that is made anew is another session. What an
object's session is like is read from the store each time; its status is only what was said last, but for one thing: a session that is
known to have begun, or to be over, is never begun again.
"""

import dataclasses
import datetime
from collections.abc import Iterable, Mapping
from typing import Any, Final

import pydantic

from browserpool.controller.desired import session_status
from browserpool.model import claims, nodes, session_object, sessions, tokens
from browserpool.model import pool as manifest
from browserpool.model.names import HOME, DatabaseName, HolderId, NodeName, PoolName, RegionName, SessionId, TokenName

PREFIX: Final = "bs-"
"""Of the ids of objects' sessions. Routers choose UUIDs."""
HOLDER: Final = HolderId("browsersessions")
"""Holds the lease until a client connects, and the client's router with it; the same for every replica, for people to read."""
SHORTEST_KEEP_ALIVE: Final = 10.0
"""Seconds; what the HTTP API takes at least, too."""
STRANGE_FOR: Final = 30.0
"""Seconds after which a session whose object was never seen here has none. One that has just been claimed may have an object that this
replica is about to hear of."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One BrowserSession object. ``spec`` is None if it cannot be understood: then ``problem`` says why."""

    name: str
    uid: str
    version: str
    generation: int
    created: str
    deleting: bool
    spec: session_object.SessionSpec | None
    problem: str = ""
    status: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def session_id(self) -> SessionId:
        return SessionId(PREFIX + self.uid)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The store at ``now``, its own time. ``live`` has all sessions of objects, ``past`` those that were asked for.

    But not those in databases that are ``away``: of what began, and is nowhere else, nobody knows whether it goes on.
    """

    now: datetime.datetime
    live: Mapping[SessionId, sessions.Session]
    past: Mapping[SessionId, sessions.Past]
    pools: Mapping[PoolName, manifest.PoolSpec]
    nodes: Mapping[NodeName, nodes.Node]
    tokens: Mapping[TokenName, tokens.Token]
    away: frozenset[DatabaseName] = frozenset()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Ask the store for a browser; objects come in the order in which they may have one."""

    asked: Asked
    request: claims.ClaimRequest


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Show:
    """Make this the object's status."""

    asked: Asked
    status: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """End the session: its object is gone."""

    session: sessions.Session


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Delete the object: it was to be kept no longer after its session's end."""

    asked: Asked


Action = Claim | Show | Release | Delete


def read(found: Mapping[str, Any]) -> Asked:
    """A BrowserSession from its object."""
    metadata = found["metadata"]
    spec, problem = _parsed(found.get("spec"))
    return Asked(
        name=str(metadata["name"]),
        uid=str(metadata["uid"]),
        version=str(metadata.get("resourceVersion", "")),
        generation=int(metadata.get("generation", 1)),
        created=str(metadata.get("creationTimestamp", "")),
        deleting="deletionTimestamp" in metadata,
        spec=spec,
        problem=problem,
        status=found.get("status") or {},
    )


def _parsed(spec: object) -> tuple[session_object.SessionSpec | None, str]:
    try:
        return session_object.SessionSpec.model_validate(spec), ""
    except pydantic.ValidationError as error:
        return None, "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())


def unheard_of(objects: Iterable[Asked], live: Mapping[SessionId, sessions.Session]) -> list[SessionId]:
    """The sessions that have begun and do not live any more: what became of them has to be looked up."""
    return [
        one.session_id
        for one in objects
        if session_status.has_begun(one.status)
        and not session_status.is_finished(one.status)
        and one.session_id not in live
    ]


def plan(objects: Iterable[Asked], world: World, *, known: frozenset[SessionId], url: str) -> list[Action]:
    """What is to be done now. ``known`` are the sessions whose objects were ever seen here; ``url`` is the routers' address."""
    there = sorted(objects, key=lambda one: (one.created, one.uid))
    actions = [action for one in there if (action := _of(one, world, url=url)) is not None]
    owned = {one.session_id for one in there if not (one.deleting or session_status.is_finished(one.status))}
    return [*(Release(session=session) for session in _orphans(world, owned, known)), *actions]


def _orphans(world: World, owned: set[SessionId], known: frozenset[SessionId]) -> list[sessions.Session]:
    long_ago = world.now - datetime.timedelta(seconds=STRANGE_FOR)
    return [
        session
        for session_id, session in world.live.items()
        if session_id not in owned and (session_id in known or session.started_at < long_ago)
    ]


def _of(one: Asked, world: World, *, url: str) -> Action | None:
    if one.deleting:
        return None
    if session_status.is_finished(one.status):
        return Delete(asked=one) if _is_due(one, world.now) else None
    live, past = world.live.get(one.session_id), world.past.get(one.session_id)
    if live is not None:
        return ready(one, live, world, url=url)
    if past is not None or session_status.has_begun(one.status):
        return None if past is None and world.away else over(one, past, now=world.now)
    request, problem = claim_request(one, world)
    if request is not None:
        return Claim(asked=one, request=request)
    return waits(one, problem, now=world.now)


def _is_due(one: Asked, now: datetime.datetime) -> bool:
    after = one.spec.ttl_seconds_after_finished if one.spec is not None else None
    ended = session_status.finished_at(one.status)
    return after is not None and ended is not None and now >= ended + datetime.timedelta(seconds=after)


# ---------------------------------------------------------------- what an object's status is to be
def ready(one: Asked, live: sessions.Session, world: World, *, url: str) -> Show | None:
    """It has a browser; None: it says so already."""
    pool = world.pools.get(live.pool)
    wanted = _region(one.spec, pool, world.nodes) if one.spec is not None and pool is not None else None
    spilled = wanted is not None and live.region != wanted.name
    return _show(
        one,
        session_status.ready(one.status, live, url=url, spilled=spilled, generation=one.generation, now=world.now),
    )


def empty(one: Asked, request: claims.ClaimRequest, outcome: claims.Outcome, *, now: datetime.datetime) -> Show | None:
    """It waits for a browser; None: it says so already."""
    return waits(one, session_status.no_browser(request, outcome), now=now)


def waits(one: Asked, problem: session_status.Problem, *, now: datetime.datetime) -> Show | None:
    """It waits, for this reason; None: it says so already."""
    return _show(one, session_status.waiting(one.status, problem, generation=one.generation, now=now))


def over(one: Asked, past: sessions.Past | None, *, now: datetime.datetime) -> Show | None:
    """Its session is over; ``past`` None: so long ago that the store has forgotten it."""
    return _show(one, session_status.finished(one.status, past, generation=one.generation, now=now))


def _show(one: Asked, status: Mapping[str, Any]) -> Show | None:
    return None if status == one.status else Show(asked=one, status=status)


# ---------------------------------------------------------------- what is claimed for an object
_NO_PROBLEM: Final = session_status.Problem(reason="", message="")


def claim_request(one: Asked, world: World) -> tuple[claims.ClaimRequest | None, session_status.Problem]:
    """What to ask the store for, or why it cannot be asked: both may change, so both are tried again."""
    spec = one.spec
    if spec is None:
        return None, session_status.Problem(reason="InvalidSpec", message=one.problem)
    name = PoolName(spec.pool_ref.name)
    pool = world.pools.get(name)
    if pool is None:
        return None, session_status.Problem(reason="PoolNotFound", message=f"There is no pool {name}.")
    region = _region(spec, pool, world.nodes)
    if region is None:
        known = ", ".join(one.name for one in pool.regions)
        message = f"Pool {name} has no region {spec.region}; it has: {known}."
        return None, session_status.Problem(reason="RegionNotFound", message=message)
    problem = _token_problem(spec, name, world.tokens)
    if problem is not None:
        return None, problem
    return _request(one.session_id, spec, pool=pool, region=region, nodes_=world.nodes), _NO_PROBLEM


def _token_problem(
    spec: session_object.SessionSpec, pool: PoolName, known: Mapping[TokenName, tokens.Token]
) -> session_status.Problem | None:
    """Why nobody could connect to the session."""
    if spec.token_name is None:
        return None
    token = known.get(TokenName(spec.token_name))
    if token is None:
        return session_status.Problem(reason="TokenNotFound", message=f"There is no client token {spec.token_name}.")
    if not (token.admin or token.pools is None or pool in token.pools):
        message = f"Client token {spec.token_name} may not use pool {pool}."
        return session_status.Problem(reason="TokenNotAllowed", message=message)
    return None


def _region(
    spec: session_object.SessionSpec, pool: manifest.PoolSpec, nodes_: Mapping[NodeName, nodes.Node]
) -> manifest.Region | None:
    """The region that is named, or the named node's, or the pool's first; None: it has none of that name."""
    if spec.region is not None:
        return pool.region(RegionName(spec.region))
    node = nodes_.get(NodeName(spec.node_name)) if spec.node_name is not None else None
    return (pool.region(node.region) if node is not None else None) or pool.regions[0]


def _request(
    session_id: SessionId,
    spec: session_object.SessionSpec,
    *,
    pool: manifest.PoolSpec,
    region: manifest.Region,
    nodes_: Mapping[NodeName, nodes.Node],
) -> claims.ClaimRequest:
    wished = NodeName(spec.node_name) if spec.node_name is not None else None
    node = nodes_.get(wished) if wished is not None else None
    # A node that is known to be in another region has no browser of this one; where an unknown one stands nobody can say.
    near = node is None or node.region == region.name
    lifetimes = [bound for bound in (spec.ttl, pool.sessions.max_lifetime) if bound is not None]
    return claims.ClaimRequest(
        session_id=session_id,
        pool=PoolName(spec.pool_ref.name),
        region=RegionName(region.name),
        kind=claims.SessionKind.CDP,
        keep_alive=max(SHORTEST_KEEP_ALIVE, spec.keep_alive or pool.sessions.keep_alive),
        holder=HOLDER,
        zone=node.zone or None if node is not None and near else None,
        node=wished if near else None,
        backup=RegionName(region.backup) if region.backup else None,
        spill_when_empty=pool.spillover.when_empty,
        spill_when_stale=pool.spillover.when_stale,
        max_lifetime=min(lifetimes, default=None),
        token=TokenName(spec.token_name) if spec.token_name is not None else None,
        databases=region.databases,
        backup_databases=pool.databases(RegionName(region.backup)) if region.backup else (HOME,),
    )
