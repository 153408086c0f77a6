"""Where this router stands. A setting says it, or the cluster does: a node's region and zone are in the store.

The controller writes nodes there once it runs, which may be after this router. Until its node is there the router serves, from ``local`` or
each pool's first region, and is not ready; after ``PATIENCE`` it is, because a place that is not the best is better than none.
"""

import logging
from typing import Final

from browserpool.lib import clock
from browserpool.model.names import NodeName, RegionName, ZoneName
from browserpool.router import catalog, settings, target
from browserpool.store import connect, regions, writers

log = logging.getLogger(__name__)

PATIENCE: Final = 60.0
"""Seconds for which a router that does not know its region is not ready."""
NOWHERE: Final = RegionName("local")
"""The region of a router that nobody gave one, and of nodes without a label: a manifest's default too."""


def home(config: settings.RouterSettings, *, nodes: target.Nodes) -> target.Home | None:
    """What the settings say, and of the rest what the cluster says of the node; ``None``: it does not say yet. Pure."""
    node = NodeName(config.node) if config.node else None
    zone = ZoneName(config.zone) if config.zone else None
    known = nodes.get(node) if node is not None else None
    if known is None and node is not None and not config.region:
        return None
    region = RegionName(config.region) if config.region else (known.region if known is not None else None)
    return target.Home(region=region or NOWHERE, zone=zone or (known.zone if known else None) or None, node=node)


class Place:
    """``home`` is what requests start from; ``settle`` keeps it true, and the regions whose lag ``writers_`` record."""

    def __init__(
        self,
        config: settings.RouterSettings,
        *,
        catalog_: catalog.Catalog,
        db: connect.Database,
        writers_: writers.Writers,
        now: clock.Monotonic = clock.monotonic,
    ) -> None:
        self._config = config
        self._catalog = catalog_
        self._db = db
        self._writers = writers_
        self._now = now
        self._started = now()
        self._serves: list[RegionName] = []
        self.known = False
        self.home = target.Home(region=NOWHERE)

    @property
    def patient(self) -> bool:
        """Whether clients are better sent elsewhere, because the place may be known in a moment."""
        return not self.known and self._now() - self._started < PATIENCE

    async def settle(self) -> None:
        """Look again where this router stands.

        Raises:
            errors.Unavailable: the store is away; all stays as it was.
        """
        found = home(self._config, nodes=self._catalog.nodes)
        if found is None:
            await self._catalog.reload_nodes()
            found = home(self._config, nodes=self._catalog.nodes)
        if found is None:
            return
        await self._serve(found)
        if not self.known or found != self.home:
            log.info("router stands", extra={"region": found.region, "zone": found.zone, "node": found.node})
        self.home, self.known = found, True

    async def _serve(self, home_: target.Home) -> None:
        serves = [RegionName(name) for name in self._config.regions or (home_.region,)]
        if serves != self._serves:
            await regions.ensure(self._db, serves)
            self._serves = serves
        await self._writers.serve(serves, self._catalog.pools)
