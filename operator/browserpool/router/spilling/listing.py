"""Sessions that other clusters' routers have, for lists of sessions here: whose each is, this installation knows; how it is, they show."""

import asyncio
import collections
import dataclasses
import logging
from collections.abc import Collection, Mapping
from typing import Any, Final

import orjson

from browserpool.model import elsewhere, errors, names
from browserpool.model.names import PoolName, SessionId
from browserpool.router import remote, services
from browserpool.router.spilling import rules, serving
from browserpool.store import remote_sessions

log = logging.getLogger(__name__)

DEADLINE: Final = 3.0
"""Seconds for a router to show all that it has: whoever asks for a list is rather told of fewer than kept waiting."""
PAGE: Final = 1000
"""Sessions asked for at once, which is the most that a router shows."""
MOST_PAGES: Final = 20
_MOST: Final = 4 * 1024 * 1024
"""Bytes of a page."""
_PATH: Final = "/devtools/session"

Said = Mapping[str, Any]
"""A session as a router shows it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One of them. ``pool``: what it is called here; ``said``: its times, too, are by the other cluster's clock."""

    session_id: SessionId
    pool: PoolName
    said: Said


async def live(call: services.Call) -> list[Shown]:
    """The caller's live sessions elsewhere, an admin's: everybody's. Of a router that does not answer, none.

    Raises:
        errors.Unavailable: the store, which knows whose they are, is away.
    """
    if rules.has_come_through_a_router(call.request.headers):
        return []
    async with asyncio.TaskGroup() as group:
        tasks = [
            (regions, group.create_task(_shown(call, router))) for router, regions in (await _routers(call)).items()
        ]
    found: list[Shown] = []
    for regions, task in tasks:
        if said := task.result():
            found += await _own(call, regions, said)
    return found


async def _routers(call: services.Call) -> Mapping[elsewhere.BackupRouter, Collection[remote_sessions.Region]]:
    """Those to be asked, each once, with the regions that they have made sessions for."""
    book = call.services.catalog
    asked = collections.defaultdict(list)
    for region in await remote_sessions.regions(call.services.db, token=call.owner):
        if (to := await book.backup_after_all(region.pool, region.region)) is not None:
            asked[to.model_copy(update={"pool": None})].append(region)
    return asked


async def _shown(call: services.Call, to: elsewhere.BackupRouter) -> Mapping[SessionId, Said]:
    """What it has for this installation's token there, whoever it was made for here."""
    try:
        async with asyncio.timeout(DEADLINE):
            return await _all_pages(call, to)
    except (serving.Unserved, errors.UpstreamFailed, TimeoutError) as error:
        log.info("sessions elsewhere cannot be listed", extra={"url": to.url, "why": str(error) or "it is too slow"})
        return {}


async def _all_pages(call: services.Call, to: elsewhere.BackupRouter) -> Mapping[SessionId, Said]:
    headers = serving.headers(call, to)
    serving.enter(call, to)
    shown: dict[SessionId, Said] = {}
    for number in range(MOST_PAGES):
        url = rules.address(to, _PATH, query={"limit": str(PAGE), "offset": str(number * PAGE)})
        try:
            async with call.services.remote.ask("GET", url, headers=headers, deadline=DEADLINE) as answer:
                await serving.check(call, to, answer)
                page = _page(to, await remote.whole(answer, most=_MOST))
        except errors.UpstreamFailed as error:
            serving.was_not_reached(call, to, error)
            raise
        shown |= {SessionId(one["sessionId"]): one for one in page}
        if len(page) < PAGE:
            break
    return shown


def _page(to: elsewhere.BackupRouter, body: bytes) -> list[Said]:
    try:
        page = orjson.loads(body)
        good = isinstance(page, list) and all(_is_session(one) for one in page)
    except ValueError:
        good = False
    if not good:
        raise serving.Unserved("refused", f"{to.url} answered with what is no list of sessions")
    # A session's fields are plain values. What nests may do so more deeply than it can be written again.
    return [{name: value for name, value in one.items() if not isinstance(value, dict | list)} for one in page]


def _is_session(one: object) -> bool:
    return (
        isinstance(one, dict)
        and isinstance(one.get("startTime"), int)
        and isinstance(one.get("sessionId"), str)
        and names.is_session_id(one["sessionId"])
    )


async def _own(
    call: services.Call, regions: Collection[remote_sessions.Region], shown: Mapping[SessionId, Said]
) -> list[Shown]:
    """The caller's, of those that a router shows which has made some for ``regions``."""
    return [
        Shown(session_id=found.session_id, pool=found.pool, said=shown[found.session_id])
        for found in await remote_sessions.among(call.services.db, shown.keys())
        if call.owner in (None, found.token) and remote_sessions.Region(pool=found.pool, region=found.region) in regions
    ]
