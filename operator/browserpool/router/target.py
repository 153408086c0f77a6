"""From a request to what is claimed for it: pool, region, how near, for how long. Pure."""

import dataclasses
from collections.abc import Mapping

from browserpool.model import claims, errors
from browserpool.model import nodes as model
from browserpool.model import pool as manifest
from browserpool.model import terms as session_terms
from browserpool.model.names import HolderId, NodeName, PoolName, RegionName, SessionId, TokenName, ZoneName

MIN_KEEP_ALIVE_MS = 10_000
MAX_KEEP_ALIVE_MS = 600_000
PLACES = ("pool", "region", "zone", "node")
"""What a request may wish for by name, in its query or in a header (``header``)."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the request says of the browser it wants; ``keep_alive`` in seconds."""

    pool: PoolName | None = None
    region: RegionName | None = None
    zone: ZoneName | None = None
    node: NodeName | None = None
    keep_alive: float | None = None
    place: str | None = None
    """Where its client is, as a proxy in front of the router says."""


Nodes = Mapping[NodeName, model.Node]
"""The cluster's nodes by name; empty where there is no cluster."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """Where the router stands: what is wished for when a request wishes nothing."""

    region: RegionName
    zone: ZoneName | None = None
    node: NodeName | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Which pools a token may use; ``None``: all."""

    token: TokenName
    pools: frozenset[PoolName] | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A pool, and how to ask the store for one of its browsers."""

    pool: PoolName
    spec: manifest.PoolSpec
    request: claims.ClaimRequest

    def bound(self, terms: session_terms.Terms) -> "Target":
        """The same wish for a session that is bound to ``terms``."""
        if terms is self.request.terms:  # nearly always: none
            return self
        return dataclasses.replace(self, request=dataclasses.replace(self.request, terms=terms))


def header(place: str) -> str:
    """The header in which a request names a place, and an answer the browser's."""
    return f"X-Browserpool-{place.capitalize()}"


def wishes(*, query: Mapping[str, str], headers: Mapping[str, str], place_header: str = "") -> Wishes:
    """Read the wishes; the query wins over the headers. ``place_header`` is the proxy's.

    Raises:
        errors.InvalidRequest: ``keep_alive`` is not within its bounds.
    """

    def said(name: str) -> str | None:
        return query.get(name) or headers.get(header(name)) or None

    pool_name, region, zone, node = map(said, PLACES)
    return Wishes(
        pool=PoolName(pool_name) if pool_name else None,
        region=RegionName(region) if region else None,
        zone=ZoneName(zone) if zone else None,
        node=NodeName(node) if node else None,
        keep_alive=keep_alive(query.get("keep_alive")),
        place=headers.get(place_header),
    )


def keep_alive(text: str | None) -> float | None:
    """Seconds from the query's milliseconds."""
    if text is None:
        return None
    try:
        milliseconds = float(text)
    except ValueError:
        milliseconds = -1
    if not MIN_KEEP_ALIVE_MS <= milliseconds <= MAX_KEEP_ALIVE_MS:
        raise errors.InvalidRequest(
            f"keep_alive must be milliseconds from {MIN_KEEP_ALIVE_MS} to {MAX_KEEP_ALIVE_MS} (given: {text[:40]!r})"
        )
    return milliseconds / 1000


def choose_pool(
    wished: PoolName | None, *, pools: Mapping[PoolName, manifest.PoolSpec], grant: Grant
) -> tuple[PoolName, manifest.PoolSpec]:
    """The pool that was named, or else the only one that the token can mean.

    Raises:
        errors.NotFound: there is no pool of that name.
        errors.Forbidden: it is not one of the token's.
        errors.InvalidRequest: none was named, and several could be meant.
    """
    allowed = sorted(name for name in pools if grant.pools is None or name in grant.pools)
    if wished is None:
        if len(allowed) == 1:
            return allowed[0], pools[allowed[0]]
        if not allowed:
            raise errors.NotFound(f"There is no pool that token {grant.token} may use; create one, or widen the token.")
        raise errors.InvalidRequest(
            f"pool is required, because there are several: {', '.join(allowed)}; name one as ?pool= or X-Browserpool-Pool"
        )
    # A token is told of its own pools only: whether another pool exists is not its business, so 403 comes first.
    if grant.pools is not None and wished not in grant.pools:
        raise errors.Forbidden(
            f"Token {grant.token} may not use pool {wished}; it may use: {', '.join(allowed) or 'none'}."
        )
    if wished not in pools:
        raise errors.NotFound(f"There is no pool {wished}; there are: {', '.join(allowed) or 'none'}.")
    return wished, pools[wished]


def choose_region(
    wished: RegionName | None, *, name: PoolName, spec: manifest.PoolSpec, home: RegionName, place: str | None = None
) -> manifest.Region:
    """The region that was named, or the one that ``place`` is near to, or the router's own, or the pool's first.

    Raises:
        errors.InvalidRequest: the pool has no region of the name that was asked for.
    """
    if wished is None:
        return nearest(place, spec=spec) or spec.region(home) or spec.regions[0]
    region = spec.region(wished)
    if region is None:
        known = ", ".join(region.name for region in spec.regions)
        raise errors.InvalidRequest(f"region must be one of pool {name}'s: {known} (given: {wished[:63]!r})")
    return region


def nearest(place: str | None, *, spec: manifest.PoolSpec) -> manifest.Region | None:
    """The region whose list has the place that a request comes from."""
    if not place:
        return None
    return next((region for region in spec.regions if place in region.near), None)


def standing(node: NodeName | None, *, home: Home, nodes: Nodes) -> Home:
    """Where a request comes from: the node that it names, as if a router there had been asked; else the router's own place."""
    known = nodes.get(node) if node is not None else None
    if known is None:
        return home
    return Home(region=known.region or home.region, zone=known.zone or None, node=known.name)


def resolve(
    wanted: Wishes,
    *,
    pools: Mapping[PoolName, manifest.PoolSpec],
    grant: Grant,
    home: Home,
    kind: claims.SessionKind,
    session_id: SessionId,
    holder: HolderId,
    action_lease: float,
) -> Target:
    """What to claim for a request that comes from ``home`` (``standing``).

    An action's lease is the router's to choose; a CDP session's is the client's, or the pool's.
    """
    name, spec = choose_pool(wanted.pool, pools=pools, grant=grant)
    region = choose_region(wanted.region, name=name, spec=spec, home=home.region, place=wanted.place)
    at_home = region.name == home.region
    # Nobody can say where it stands. A node that is known to stand in another region has no browser of this one.
    stranger = wanted.node not in (None, home.node)
    lease = action_lease if kind is claims.SessionKind.ACTION else wanted.keep_alive or spec.sessions.keep_alive
    request = claims.ClaimRequest(
        session_id=session_id,
        pool=name,
        region=RegionName(region.name),
        kind=kind,
        keep_alive=lease,
        holder=holder,
        zone=wanted.zone or (home.zone if at_home else None),
        node=wanted.node if stranger else home.node if at_home else None,
        backup=RegionName(region.backup) if region.backup else None,
        spill_when_empty=spec.spillover.when_empty,
        spill_when_stale=spec.spillover.when_stale,
        max_lifetime=spec.sessions.max_lifetime if kind is claims.SessionKind.CDP else None,
        token=grant.token,
        databases=region.databases,
        backup_databases=spec.databases(RegionName(region.backup)) if region.backup else region.databases,
    )
    return Target(pool=name, spec=spec, request=request)
