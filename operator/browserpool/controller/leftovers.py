"""What is left of deleted pools when their last browser is gone: the Secrets that browsers took their credentials from."""

from collections.abc import Collection, Iterable, Mapping

from browserpool.controller import observe
from browserpool.controller.desired import shards
from browserpool.model.browsers import Browser
from browserpool.model.names import BrowserId, PoolName, RegionName
from browserpool.model.states import BrowserState


class Leftovers:
    """Remembers the Secrets of deleted pools by the browsers that were seen of them, since Secrets cannot be listed."""

    def __init__(self) -> None:
        self._secrets: dict[PoolName, set[str]] = {}
        self._removed: set[PoolName] = set()

    def seen(
        self,
        rows: Mapping[PoolName, Iterable[Browser]],
        pods: Mapping[PoolName, Mapping[BrowserId, observe.Pod]],
        *,
        wanted: Collection[PoolName],
    ) -> list[tuple[PoolName, list[str]]]:
        """The Secrets to delete now, by pool: neither a pod nor a browser's row that counts is left of it."""
        self._removed.difference_update(wanted)
        for name in (rows.keys() | pods.keys()) - set(wanted) - self._removed:
            self._secrets.setdefault(name, set()).update(_secrets(name, rows.get(name, ()), pods.get(name, {})))
        self._secrets = {name: secrets for name, secrets in self._secrets.items() if name not in wanted}
        return [
            (name, sorted(secrets))
            for name, secrets in self._secrets.items()
            if not any(one.phase.exists for one in pods.get(name, {}).values())
            and all(row.state is BrowserState.GONE for row in rows.get(name, ()))
        ]

    def removed(self, pool: PoolName) -> None:
        """Its Secrets are deleted."""
        self._secrets.pop(pool, None)
        self._removed.add(pool)


def _secrets(pool: PoolName, rows: Iterable[Browser], pods: Mapping[BrowserId, observe.Pod]) -> set[str]:
    found: list[tuple[BrowserId, RegionName]] = [(row.browser_id, row.region) for row in rows]
    found += [(browser_id, one.region) for browser_id, one in pods.items()]
    ordinals = ((region, observe.ordinal(browser_id, pool=pool)) for browser_id, region in found)
    return {
        shards.name(pool=pool, region=region, number=shards.shard(ordinal))
        for region, ordinal in ordinals
        if ordinal is not None
    }
