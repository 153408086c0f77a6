"""All browsers that there are, in all databases, and the regions of which nobody can say what there is."""

from collections.abc import Iterable, Mapping
from typing import Final

from browserpool.controller import installation, observe, records
from browserpool.controller.desired import blind
from browserpool.model.browsers import Browser
from browserpool.model.names import BrowserId, DatabaseName, PoolName, RegionName
from browserpool.model.pool import BrowserPool
from browserpool.store import databases, everywhere

FIRST_TRY: Final = 5.0
"""Seconds that a region's database gets to be opened, when it is heard of: until it is, the region is blind."""


class Lookout:
    """Looks again and again; has those databases opened that may have browsers, and tells routers of them."""

    def __init__(self, stores: databases.Databases, regional: installation.Regional, written: records.Records) -> None:
        self._stores = stores
        self._regional = regional
        self._records = written
        self._followed: frozenset[DatabaseName] = frozenset()

    async def look(
        self, pools: Mapping[PoolName, BrowserPool], pods: Iterable[DatabaseName]
    ) -> tuple[list[Browser], blind.Answers]:
        """All browsers that the store has, and which databases have said what they have; ``pods`` are those that pods are registered in.

        Raises:
            errors.Unavailable: the installation's own is away.
        """
        named = {name for pool in pools.values() for region in pool.spec.regions for name in region.databases}
        named |= set(pods)
        followed = frozenset(named | await self._records.databases())
        self._stores.follow(followed)
        if not followed <= self._followed:
            await self._stores.tried(within=FIRST_TRY)
        self._followed = followed
        refused = await self._regional.refused(self._stores)
        found = {
            name: rows for name, rows in (await everywhere.browsers_found(self._stores)).items() if name not in refused
        }
        await self._records.publish_databases(named, found)
        answers = blind.Answers(answered=frozenset(found), away={**self._stores.away(), **refused})
        return [row for rows in found.values() for row in rows], answers


def blind_regions(
    pools: Mapping[PoolName, BrowserPool],
    pods: Mapping[PoolName, Mapping[BrowserId, observe.Pod]],
    answers: blind.Answers,
) -> dict[PoolName, dict[RegionName, str]]:
    """The regions of each pool, of those too that only have pods, of which nothing is to be decided, and why."""
    found = {}
    for name in pods.keys() | pools.keys():
        places = {(one.region, one.database) for one in pods.get(name, {}).values() if one.phase.exists}
        found[name] = blind.regions(pools.get(name), places, answers)
    return found
