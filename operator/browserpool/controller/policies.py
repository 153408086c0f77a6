"""The NetworkPolicies of pools: kept as ``desired.network`` says, and put back when somebody changes, unlabels or deletes one.

Watched, so that a round in which nothing is to be done asks for nothing.
"""

import dataclasses
import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from browserpool.controller import kube, mirror
from browserpool.controller.desired import labels, network, pod
from browserpool.lib import clock
from browserpool.model import errors
from browserpool.model.names import PoolName
from browserpool.model.pool import BrowserPool

log = logging.getLogger(__name__)

_AGAIN: Final = 30.0
"""Seconds after which what the API server refused is asked for again."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What is kept of a NetworkPolicy."""

    uid: str
    pool: PoolName
    spec: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Written:
    """``wanted`` was written, and this is what the API server made of it: it may fill in defaults."""

    wanted: Mapping[str, Any]
    spec: Mapping[str, Any]


class Policies:
    """All policies of the namespace that are the controller's. ``on_change`` is called when one is another than before."""

    def __init__(
        self,
        client: kube.Client,
        doors: network.Doors | None,
        *,
        on_change: Callable[..., None],
        now: clock.Monotonic = clock.monotonic,
    ) -> None:
        self._client = client
        self._doors = doors
        self._now = now
        self._written: dict[str, _Written] = {}
        self._refused: dict[str, tuple[float, errors.BrowserpoolError]] = {}
        self.mirror = mirror.Mirror(
            client, kube.NETWORK_POLICIES, selector=labels.SELECTOR, seen=_seen, on_change=on_change
        )

    async def keep(self, pool: BrowserPool, defaults: pod.Defaults) -> None:
        """Let the pool's policy be what it wants: made, changed, or taken away.

        Raises:
            errors.ClusterUnavailable: the API server cannot be reached.
            errors.BrowserpoolError: it refuses; for half a minute it is not asked again.
        """
        name = network.name(pool.name)
        when, refusal = self._refused.get(name, (float("-inf"), None))
        if refusal is not None and self._now() - when < _AGAIN:
            raise refusal
        body = network.wanted(pool, doors=self._doors, namespace=defaults.namespace, owners=defaults.owners)
        try:
            await (self._remove(name) if body is None else self._write(name, body))
        except errors.ClusterUnavailable:
            raise
        except errors.BrowserpoolError as error:
            self._refused[name] = (self._now(), error)
            raise
        self._refused.pop(name, None)

    async def remove_but(self, pools: Collection[PoolName]) -> None:
        """Take away the policies of all other pools.

        Raises:
            errors.BrowserpoolError: the API server cannot be reached, or refuses.
        """
        for name, one in list(self.mirror.objects.items()):
            if one.pool not in pools and name == network.name(one.pool):
                await self._remove(name)

    async def _write(self, name: str, body: dict[str, Any]) -> None:
        there, written = self.mirror.objects.get(name), self._written.get(name)
        spec = body["spec"]
        if there is not None and there.spec == spec:
            return
        if there is not None and written is not None and written.wanted == spec and written.spec == there.spec:
            return
        try:
            answer = await (
                self._created(body) if there is None else self._client.replace(kube.NETWORK_POLICIES, name, body)
            )
        except errors.NotFound:
            self.mirror.drop(name)
            answer = await self._client.create(kube.NETWORK_POLICIES, body)
        log.info("network policy written", extra={"policy": name})
        self._written[name] = _Written(wanted=spec, spec=_seen(answer).spec)
        self.mirror.put(answer)

    async def _created(self, body: dict[str, Any]) -> kube.Object:
        try:
            return await self._client.create(kube.NETWORK_POLICIES, body)
        except errors.Conflict:
            # Somebody took its labels away, by which the mirror knows it: it is put in its place, labels and all.
            return await self._client.replace(kube.NETWORK_POLICIES, body["metadata"]["name"], body)

    async def _remove(self, name: str) -> None:
        there = self.mirror.objects.get(name)
        if there is None:
            return
        await self._client.delete(kube.NETWORK_POLICIES, name, uid=there.uid)
        log.info("network policy removed", extra={"policy": name})
        self.mirror.drop(name)
        self._written.pop(name, None)


def _seen(found: kube.Object) -> Policy:
    metadata = found["metadata"]
    return Policy(
        uid=str(metadata.get("uid", "")),
        pool=PoolName((metadata.get("labels") or {}).get(labels.POOL, "")),
        spec=found.get("spec") or {},
    )
