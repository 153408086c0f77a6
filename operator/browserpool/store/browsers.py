"""The browsers' life but for claims: registered, located, started, drained, forgotten."""

from collections.abc import Collection
from typing import Any

from browserpool.model.browsers import Browser, Count, Location, Registration
from browserpool.model.claims import CloseReason
from browserpool.model.heartbeats import Hello, Welcome
from browserpool.model.names import BrowserId, Fence, PoolName, RegionName
from browserpool.model.states import BrowserState
from browserpool.store import connect, queries

_SQL = queries.topic("browsers")


async def register(db: connect.Database, registration: Registration) -> Fence:
    """Make the browser known, ``starting``, before its pod is made. Repeatable: a name that lives keeps its row.

    A name that is gone starts again, with a higher fence than it ever had. Answers the row's fence.
    """
    parameters = {
        "browser_id": registration.browser_id,
        "pool": registration.pool,
        "region": registration.region,
        "zone": registration.zone,
        "node": registration.node,
        "template_hash": registration.template_hash,
    }
    # Two that register one new name at once: the loser's statement began before the winner's row was there, and sees nothing.
    while (fence := await connect.fetch_one(db, _SQL["register"], parameters, into=_fence)) is None:
        pass
    return fence


async def registrations(db: connect.Database) -> int:
    """The number of its last registration, which is the upper half of the fence that followed from it."""
    found = await connect.fetch_one(db, _SQL["registrations"], {}, into=_number)
    assert found is not None, "a sequence has one row"
    return found


async def raise_registrations(db: connect.Database, *, above: int) -> None:
    """Registrations from now on have numbers above this one, and so fences above all that followed from such numbers elsewhere."""
    await connect.fetch(db, _SQL["raise_registrations"], {"above": above}, into=_number)


async def hello(db: connect.Database, word: Hello) -> Welcome | None:
    """An agent has started: a new incarnation; a session that the browser still held ends as BROWSER_LOST.

    ``None``: the browser is not registered, or gone.
    """
    parameters = {
        "browser_id": word.browser_id,
        "address": word.address,
        "chromium": word.chromium,
        "reason": CloseReason.BROWSER_LOST,
    }
    return await connect.fetch_one(db, _SQL["hello"], parameters, into=Welcome)


async def locate(db: connect.Database, locations: Collection[Location]) -> int:
    """The browsers stand there; claims that wish for that node or zone find them from now on. Answers how many stood elsewhere."""
    parameters = {
        "browser_ids": [location.browser_id for location in locations],
        "zones": [location.zone for location in locations],
        "nodes": [location.node for location in locations],
    }
    return await connect.execute(db, _SQL["locate"], parameters)


async def drain(db: connect.Database, browser_ids: Collection[BrowserId]) -> int:
    """No new claims for these: they are ``draining``, the claimed ones when their session ends. Answers how many are newly so."""
    return await connect.execute(db, _SQL["drain"], {"browser_ids": list(browser_ids)})


async def withdraw(db: connect.Database, browser_id: BrowserId) -> BrowserState | None:
    """``drain`` for one; answers its state after that, ``claimed`` or ``draining``; ``None``: it is not registered, or gone."""
    return await connect.fetch_one(db, _SQL["withdraw"], {"browser_id": browser_id}, into=_state)


async def state(db: connect.Database, browser_id: BrowserId) -> BrowserState | None:
    """The browser's state; ``None``: it is not registered, or gone."""
    return await connect.fetch_one(db, _SQL["state"], {"browser_id": browser_id}, into=_state)


async def forget(db: connect.Database, browser_ids: Collection[BrowserId]) -> int:
    """Their pods are deleted: they are ``gone``, and what sessions they held end as BROWSER_LOST. Answers how many were not before."""
    return await connect.execute(
        db, _SQL["forget"], {"browser_ids": list(browser_ids), "reason": CloseReason.BROWSER_LOST}
    )


async def claimable(db: connect.Database, browser_ids: Collection[BrowserId]) -> frozenset[BrowserId]:
    """Which of these are, or may again be, somebody's: their pods must not be deleted."""
    found = await connect.fetch(db, _SQL["claimable"], {"browser_ids": list(browser_ids)}, into=_browser_id)
    return frozenset(found)


async def listing(db: connect.Database, *, pool: PoolName | None = None) -> list[Browser]:
    """All browsers (of ``pool``), those gone included, by name."""
    return await connect.fetch(db, _SQL["listing"], {"pool": pool}, into=_browser)


async def counts(db: connect.Database) -> list[Count]:
    """How many browsers each pool and region has in each state but ``gone``; what it has none of is left out."""
    return await connect.fetch(db, _SQL["counts"], {}, into=_count)


async def product(db: connect.Database) -> str | None:
    """What some browser's Chromium calls itself."""
    return await connect.fetch_one(db, _SQL["product"], {}, into=_product)


async def sweep(db: connect.Database, *, unseen: float = 60.0) -> int:
    """Ready browsers that are unwell, or silent for ``unseen`` seconds, go ``recycling``. Answers how many did."""
    return await connect.execute(db, _SQL["sweep"], {"unseen": unseen})


async def ready(db: connect.Database, *, pool: PoolName, region: RegionName, most: int, freshness: float = 15.0) -> int:
    """How many browsers there a claim could have now; not counted beyond ``most``."""
    parameters = {"pool": pool, "region": region, "most": most, "freshness": freshness}
    found = await connect.fetch_one(db, _SQL["ready"], parameters, into=_number)
    return found or 0


def _number(*, number: int) -> int:
    return number


async def prune(db: connect.Database, *, older_than: float) -> int:
    """Delete the rows of browsers gone for ``older_than`` seconds. Answers how many there were."""
    return await connect.execute(db, _SQL["prune"], {"older_than": older_than})


def _browser_id(*, browser_id: str) -> BrowserId:
    return BrowserId(browser_id)


def _product(*, chromium: str) -> str:
    return chromium


def _fence(*, fence: int) -> Fence:
    return Fence(fence)


def _state(*, state: str) -> BrowserState:
    return BrowserState(state)


def _browser(*, state: str, **columns: Any) -> Browser:
    return Browser(state=BrowserState(state), **columns)


def _count(*, state: str, **columns: Any) -> Count:
    return Count(state=BrowserState(state), **columns)
