"""The process: its parts wired together, its loops, and how it stops."""

import asyncio
import contextlib
import dataclasses
import functools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

from aiohttp import web

from browserpool.lib import chance, clock, listening, tasks
from browserpool.lib import web as lib_web
from browserpool.model import claims, errors, tokens
from browserpool.model.names import DatabaseName, HolderId
from browserpool.router import (
    agents,
    answers,
    catalog,
    chromedoor,
    claiming,
    dbclock,
    door,
    loopback,
    outcomes,
    place,
    quotas,
    recording,
    remote,
    routes,
    secretfiles,
    services,
    settings,
    status,
)
from browserpool.router.ai import client as models
from browserpool.router.cache import keeping
from browserpool.router.crawl import worker
from browserpool.router.mcpserver import hosting
from browserpool.router.openapi import documentation, said
from browserpool.router.spilling import breaker, following, turns
from browserpool.store import connect, databases, everywhere, heartbeats, leases, writers

log = logging.getLogger(__name__)

LAST_WRITES = 5.0
"""Seconds for what is still to be written at the end, after agents had theirs to clean up. It is what one statement may take: of a database
that has said nothing for so long nothing is to be had."""
FIRST_TRY = 3.0
"""Seconds that a router that starts gives regions' databases: it serves the other regions without them."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A router that serves."""

    services: services.Services
    address: listening.Address
    ops_address: listening.Address | None


@contextlib.asynccontextmanager
async def running(config: settings.RouterSettings) -> AsyncIterator[Running]:
    """The router, while the block runs. Leaving it refuses what is new, finishes what runs, releases, and closes.

    From when nothing runs any more that takes ``leaving`` seconds at most, whichever of its parts hang.

    Raises:
        errors.Unavailable: the store cannot be reached.
    """
    budget = tasks.Budget()
    with contextlib.ExitStack() as last:
        async with contextlib.AsyncExitStack() as stack:
            with budget.begun_after(leaving(config)):
                parts = await _parts(config, stack, budget)
                last.callback(_tell_unwritten, parts)
                crawler = worker.Crawler(parts)
                served = await _served(parts, crawler, stack)
                crawler.start()
                try:
                    yield served
                finally:
                    await asyncio.gather(crawler.stop(), drain(parts))


def leaving(config: settings.RouterSettings) -> float:
    """Seconds that a router takes to leave when nothing of its clients' runs any more, at most."""
    return config.end_timeout + LAST_WRITES


async def _served(parts: services.Services, crawler: worker.Crawler, stack: contextlib.AsyncExitStack) -> Running:
    """Its loops and its doors, open as long as ``stack`` is."""
    config = parts.settings
    stack.push_async_callback(parts.outcomes.stop)
    await parts.catalog.reload()
    parts.databases.follow(parts.catalog.databases)
    await parts.databases.tried(within=FIRST_TRY)
    await parts.place.settle()
    loops = _start_loops(parts, crawler)
    stack.push_async_callback(functools.partial(_stop_all, loops, budget=parts.db.budget))
    ops_address = None
    if config.ops_port is not None:
        ops = application(parts, routes.OPS_ROUTES)
        ops_address = await stack.enter_async_context(
            lib_web.serve(ops, host=config.ops_host, port=config.ops_port, grace=1.0)
        )
    if config.chrome_port is not None:
        chrome = application(parts, chromedoor.ROUTES, enter=_as_chrome(parts))
        await stack.enter_async_context(lib_web.serve(chrome, host=loopback.HOST, port=config.chrome_port, grace=1.0))
    main = application(parts, routes.ROUTES)
    address = await stack.enter_async_context(lib_web.serve(main, host=config.host, port=config.port, grace=1.0))
    parts.mcp.at(address)
    log.info("router serves", extra={"address": str(address), "holder": parts.holder})
    return Running(services=parts, address=address, ops_address=ops_address)


async def _parts(
    config: settings.RouterSettings, stack: contextlib.AsyncExitStack, budget: tasks.Budget
) -> services.Services:
    holder = HolderId(config.holder or f"router-{chance.unique_id()}")
    db = await stack.enter_async_context(
        connect.opened(config.dsn, process="router", max_size=config.db_connections, budget=budget)
    )
    batch = heartbeats.BatchSettings(
        max_batch_size=config.max_batch_size, max_batch_timeout=config.max_batch_timeout, max_retries=config.max_retries
    )
    home = heartbeats.BatchWriter(db, batch, writer=holder)
    await stack.enter_async_context(home)
    batches = writers.Writers(batch, home, writer=holder)
    opening = databases.Opening(directory=config.secrets_dir, process="router", max_size=config.db_connections)
    stores = databases.Databases(db, opening, attach=batches.serving)
    stack.push_async_callback(stores.close)
    database_clock = dbclock.DatabaseClock()
    client = agents.Agents(
        signing_key=config.signing_key,
        database_clock=database_clock,
        connect_timeout=config.connect_timeout,
        end_timeout=config.end_timeout,
    )
    await stack.enter_async_context(client)
    background = await stack.enter_async_context(tasks.Background(grace=config.end_timeout, budget=budget))
    used = quotas.Quotas()
    book = catalog.Catalog(db)
    return services.Services(
        settings=config,
        holder=holder,
        place=place.Place(config, catalog_=book, db=db, writers_=batches),
        db=db,
        databases=stores,
        database_clock=database_clock,
        catalog=book,
        quotas=used,
        cache=_cache(config, db=db, background=background),
        mcp=await stack.enter_async_context(hosting.running(wanted=config.mcp, max_body=config.max_body)),
        models=await stack.enter_async_context(models.Models(config.providers, timeout=config.ai_timeout)),
        agents=client,
        claiming=claiming.Claiming(
            stores=stores,
            holder=holder,
            rules=claiming.Rules(
                freshness=config.freshness,
                retries=config.claim_retries,
                poll_first=config.poll_first,
                poll_most=config.poll_most,
                expiry_pause=2 * config.renew_interval,
            ),
            agents_=client,
            quotas_=used,
            database_clock=database_clock,
            background=background,
        ),
        heartbeats=batches,
        outcomes=outcomes.Outcomes(db=db),
        remote=await stack.enter_async_context(remote.Remote(connect_timeout=config.connect_timeout)),
        secrets=secretfiles.SecretFiles(config.secrets_dir),
        breakers=breaker.Breakers(),
        turns=turns.Turns(),
        background=background,
        documentation=documentation.Documentation(routes.ROUTES, said=said.SAID),
    )


def _cache(config: settings.RouterSettings, *, db: connect.Database, background: tasks.Background) -> keeping.Cache:
    rules = keeping.Rules(
        where=config.cache,
        most=config.cache_store_bytes if config.cache == "postgres" else config.cache_bytes,
        most_each=config.cache_answer_bytes,
        secret=config.signing_key,
    )
    return keeping.Cache(rules, db=db, background=background)


# ---------------------------------------------------------------- requests


Enter = Callable[[web.Request], Awaitable[tokens.Token]]
"""Who makes the request; raises what keeps him out."""


def _with_token(parts: services.Services) -> Enter:
    return lambda request: door.enter(parts.catalog, headers=request.headers, query=request.query)


def _as_chrome(parts: services.Services) -> Enter:
    secret = parts.settings.chrome_token
    return lambda request: chromedoor.enter(parts.catalog, headers=request.headers, secret=secret)


def application(
    parts: services.Services, table: Iterable[routes.Route], *, enter: Enter | None = None
) -> web.Application:
    """The URL table, served; ``enter``: how clients come in, by their bearer token unless it says otherwise."""
    # One more byte than may come: aiohttp's own refusal starts at the limit, ours after it.
    app = web.Application(middlewares=[answers.middleware], client_max_size=parts.settings.max_body + 1)
    for route in table:
        for path in route.paths:
            app.router.add_route(route.method, path, _entered(parts, route, enter or _with_token(parts)))
    return app


async def _handled(route: routes.Route, call: services.Call) -> web.StreamResponse:
    try:
        return await route.handler(call)
    except (errors.NotFound, everywhere.Unseen) as missing:
        return await following.followed(call, missing)


def _entered(parts: services.Services, route: routes.Route, enter: Enter) -> answers.Handler:
    async def public(request: web.Request) -> web.StreamResponse:
        return await route.handler(services.Call(services=parts, request=request))

    async def client(request: web.Request) -> web.StreamResponse:
        if parts.stopping.is_set():
            raise errors.Unavailable("This router is stopping; ask again.", retry_after=1)
        call = services.Call(services=parts, request=request, caller=await enter(request))
        if route.websocket:
            return await _handled(route, call)
        parts.running += 1
        try:
            return await _handled(route, call)
        finally:
            parts.running -= 1

    async def plain(request: web.Request) -> web.StreamResponse:
        try:
            return await client(request)
        except errors.BrowserpoolError as error:
            return answers.as_text(error)

    if route.door is not routes.Door.TOKEN:
        return public
    return plain if route.plain_errors else client


# ---------------------------------------------------------------- loops


def _start_loops(parts: services.Services, crawler: worker.Crawler) -> list["asyncio.Task[None]"]:
    config, holding, gauges = parts.settings, parts.claiming.holding, status.Gauges()

    async def count() -> None:
        gauges.update(await everywhere.counts(parts.databases), parts.catalog.pools)

    async def sweep() -> None:
        await everywhere.sweep(parts.databases)

    async def read() -> None:
        await parts.catalog.reload()
        parts.databases.follow(parts.catalog.databases)
        await parts.place.settle()

    # Not in one with the pools: regions' databases answer when they do, and one that hangs would hold up what the installation's own says.
    async def learn() -> None:
        # Whose agents were greeted by another router, perhaps one that this one follows.
        parts.chromium = parts.chromium or await everywhere.product(parts.databases) or ""
        if any(one.daily_seconds is not None for one in parts.catalog.tokens):
            parts.quotas.learn(await parts.days.today(parts.databases))

    async def count_usage() -> None:
        await everywhere.count_usage(parts.databases, every=config.usage_interval / 2)

    loops = (
        (read, config.catalog_reload, "read pools, tokens and nodes"),
        (learn, config.catalog_reload, "learn what tokens have used"),
        (holding.renew, config.renew_interval, "renew leases"),
        (holding.expire, config.expire_interval, "expire leases"),
        (sweep, config.freshness / 3, "sweep unwell browsers"),
        (count, config.status_reload, "count browsers"),
        (crawler.tidy, worker.TIDY_EVERY, "end and forget crawls"),
        (parts.cache.sweep, keeping.SWEEP_EVERY, "sweep the cache"),
        (count_usage, config.usage_interval, "count tokens' browser time"),
        (parts.outcomes.write, outcomes.WRITE_EVERY, "write how requests ended"),
        (functools.partial(recording.prune, parts), recording.PRUNE_EVERY, "forget recordings"),
    )
    return [
        parts.background.spawn(tasks.periodically(quietly(action), every=every, name=name), name=name)
        for action, every, name in loops
    ]


def quietly(action: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[object]]:
    """The action, with one line instead of a traceback while the store is away."""

    async def run() -> None:
        try:
            await action()
        except errors.Unavailable as error:
            log.warning("the store is away", extra={"why": error.message})

    return run


async def _stop_all(loops: list["asyncio.Task[None]"], *, budget: tasks.Budget) -> None:
    for loop in loops:
        loop.cancel()
    await asyncio.wait(loops, timeout=budget.left(5))


# ---------------------------------------------------------------- stop


async def drain(parts: services.Services) -> None:
    """Refuse what is new and what waits, let actions finish, then close what CDP connections are left, and write what has ended.

    Their sessions stay for ``keep_alive``, to be reconnected through another router, unless ``release_on_exit``.
    """
    config, holding = parts.settings, parts.claiming.holding
    log.info("router stops", extra={"running": parts.running, "sessions": len(holding)})
    parts.stopping.set()
    parts.claiming.waiting.close()
    started = clock.monotonic()
    while clock.monotonic() - started < config.drain_timeout:
        connected = any(held.connections for held in holding.all())
        if not connected or clock.monotonic() - started >= config.cdp_drain_timeout:
            parts.cdp_stopping.set()
        if not parts.running and not connected:
            break
        await asyncio.sleep(0.02)
    parts.cdp_stopping.set()
    # Not before: while something runs its lease is renewed, and a database that is back by then is one that it can be released in.
    parts.db.budget.begin(leaving(config))
    await _ended(parts)
    if config.release_on_exit:
        for held in holding.all():
            if not held.ending:
                parts.claiming.end(held, reason=claims.CloseReason.SHUTDOWN)
        try:
            await everywhere.each(parts.databases, functools.partial(_release_all, parts))
        except errors.Unavailable as error:
            log.warning("sessions could not be ended; their leases run out", extra={"why": error.message})


async def _ended(parts: services.Services) -> None:
    """Browsers that were given back just now are awaited too: nobody else could write that their sessions ended well."""
    started = clock.monotonic()
    while clock.monotonic() - started < parts.settings.end_timeout:
        # Where their database is away, neither can this router.
        away = parts.databases.away()
        if not any(held.ending and held.database not in away for held in parts.claiming.holding.all()):
            return
        await asyncio.sleep(0.02)


def _tell_unwritten(parts: services.Services) -> None:
    releases = {name or "home": number for name, number in parts.claiming.unwritten.items()}
    if releases or parts.outcomes.unwritten:
        log.warning(
            "stopped without having written all: a database did not answer, or an agent; the leases of what was to be released run out",
            extra={"releases": releases, "requests": parts.outcomes.unwritten},
        )


async def _release_all(parts: services.Services, _: DatabaseName, db: connect.Database) -> None:
    for ended in await leases.release_all(db, holder=parts.holder):
        parts.claiming.holding.tell(ended)
