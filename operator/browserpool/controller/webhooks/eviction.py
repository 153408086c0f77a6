"""The guard over evictions: a node can be emptied, and no session is cut by it.

The browser is drained in the store first, in the one statement that also says whether it is held: from then on nobody claims it. One that
is free may go at once. A held one may go when its session ends; until then the answer is 429, upon which ``kubectl drain`` and the
cluster's autoscalers ask again every few seconds.

Its row is in the installation's own database, or in the one that its pod says it is registered in.

While the store cannot say, a browser's pod stays (429): a session that is cut is lost, and an eviction that waits is not. This keeps
nobody from emptying the node of anything else, the database's own pod included: for that the pod's labels are looked at. And it lasts
only while somebody serves this webhook: it is ``failurePolicy: Ignore``, so that a controller that is down holds up no eviction.

Who deletes a pod outright asks nobody: ``kubectl delete``, preemption, a kubelet short of memory, the clearing of a node that is lost.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from browserpool.controller import podstate
from browserpool.controller.desired import labels
from browserpool.controller.webhooks import review
from browserpool.model import errors
from browserpool.model.names import HOME, BrowserId, DatabaseName
from browserpool.model.states import BrowserState
from browserpool.store import browsers, databases

log = logging.getLogger(__name__)

STORE_WITHIN: Final = 2.0
PODS_WITHIN: Final = 1.5
"""Seconds for either's answer."""
ALL_WITHIN: Final = 4.0
"""Seconds for all answers: less than the webhook's deadline, after which the API server lets the eviction pass."""
TOO_MANY: Final = 429
"""What the API server itself answers where a PodDisruptionBudget stands against an eviction: clients know to come again."""


class Pods(Protocol):
    """Where a pod's labels and annotations are read."""

    async def metadata(self, name: str) -> Mapping[str, Any]:
        """That of the pod in the controller's namespace.

        Raises:
            errors.NotFound: there is no such pod.
            errors.BrowserpoolError: nobody can say.
        """


class Guard:
    """Decides on evictions in one namespace. ``stores`` answers None while the store was not reached yet."""

    def __init__(self, *, stores: Callable[[], databases.Databases | None], pods: Pods, namespace: str) -> None:
        self._stores = stores
        self._pods = pods
        self._namespace = namespace

    async def decide(self, request: review.Request) -> review.Answer:
        """Whether the pod may be evicted now. On a dry run nothing is drained."""
        if request.namespace != self._namespace:
            return review.Answer(outcome="not_ours")
        # An Eviction is named as its pod, also where the request's own name is left out.
        name = request.name or str((request.object.get("metadata") or {}).get("name") or "")
        try:
            async with asyncio.timeout(ALL_WITHIN):
                state = await self._state(BrowserId(name), dry_run=_is_dry_run(request))
        except (errors.Unavailable, TimeoutError):
            log.warning("an eviction waits for the store", extra={"browser": name})
            return _later(
                "store_unavailable",
                f"browserpool's database cannot say whether browser {name} is held by a session, so it stays until it can.",
            )
        if state is None:
            return review.Answer(outcome="not_ours")
        if state is BrowserState.CLAIMED:
            log.info("an eviction waits for a session's end", extra={"browser": name})
            return _later(
                "claimed",
                f"Browser {name} is held by a session; it takes no other, and may be evicted when this one ends.",
            )
        return review.Answer(outcome="drained")

    async def _state(self, browser_id: BrowserId, *, dry_run: bool) -> BrowserState | None:
        """The browser's state after it was drained; None: it is no browser of ours, or gone.

        Raises:
            errors.Unavailable: nobody can say.
        """
        trouble = None
        try:
            state = await self._asked(HOME, browser_id, dry_run=dry_run)
        except errors.Unavailable as error:
            state, trouble = None, error
        if state is not None:
            return state
        database = await self._database_of(browser_id)
        if database == HOME and trouble is not None:
            raise trouble
        if database in (None, HOME):
            return None
        return await self._asked(database, browser_id, dry_run=dry_run)

    async def _asked(self, database: DatabaseName, browser_id: BrowserId, *, dry_run: bool) -> BrowserState | None:
        stores = self._stores()
        if stores is None:
            raise errors.Unavailable("The database was not reached yet.")
        try:
            async with asyncio.timeout(STORE_WITHIN):
                return await (browsers.state if dry_run else browsers.withdraw)(stores.of(database), browser_id)
        except TimeoutError as error:
            raise errors.Unavailable("The database gave no answer in time.") from error

    async def _database_of(self, browser_id: BrowserId) -> DatabaseName | None:
        """The database that the pod says it is registered in; None: it is no browser's, or gone.

        Raises:
            errors.Unavailable: nobody can say.
        """
        try:
            async with asyncio.timeout(PODS_WITHIN):
                found = await self._pods.metadata(browser_id)
        except errors.NotFound:
            return None
        except (errors.BrowserpoolError, TimeoutError) as error:
            raise errors.Unavailable("The API server does not say what pod it is.") from error
        marked = found.get("labels") or {}
        return podstate.database(found) if labels.OURS.items() <= marked.items() else None


def _is_dry_run(request: review.Request) -> bool:
    """An Eviction says it itself (``kubectl drain --dry-run=server`` does), and the API server does not repeat it in the review."""
    return request.dry_run or bool((request.object.get("deleteOptions") or {}).get("dryRun"))


def _later(outcome: str, message: str) -> review.Answer:
    return review.Answer(outcome=outcome, allowed=False, code=TOO_MANY, reason="TooManyRequests", message=message)
