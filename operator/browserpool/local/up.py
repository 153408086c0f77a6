"""``browserpool up``: a whole installation under one directory, for as long as it runs.

It starts in the order in which things need one another (lock, Postgres, schema, token and pools, agents' hands, router, browsers) and
stops in the reverse: the router first, which finishes what runs, then agents, rows, Postgres. Nothing is left but the data directory.
"""

import asyncio
import contextlib
import dataclasses
import logging
import os
import pathlib
import sys
from collections.abc import AsyncIterator, Callable

from browserpool.agent import launch
from browserpool.controller import installation
from browserpool.lib import chance, logs, settings, tasks
from browserpool.local import agents, directory, manifest, postgres, problems, processes, progress, reconcile, routing
from browserpool.model import credentials, errors
from browserpool.model.claims import CloseReason
from browserpool.model.names import BrowserId, HolderId, TokenName
from browserpool.model.pool import BrowserPool
from browserpool.model.states import BrowserState
from browserpool.model.tokens import Token
from browserpool.router import loopback
from browserpool.router import settings as router_settings
from browserpool.store import browsers, connect, databases, everywhere, leases, migrate, sessions, tokens

log = logging.getLogger(__name__)

_LOOK_EVERY = 0.5
"""Seconds between two looks at the manifest's file."""
_EXPLAIN_EVERY = 0.5
_LEAVING = 10.0
"""Seconds at the end for what the databases are still to be told of, and for their connections; the next start tells them what was left."""
_HANDED_ON = (
    "cache",
    "cache_bytes",
    "cache_store_bytes",
    "cache_answer_bytes",
    "ai_url",
    "ai_model",
    "ai_key",
    "ai_providers",
    "ai_well_known",
    "ai_timeout",
    "ai_page_chars",
    "recordings",
    "recording_days",
    "recording_bytes",
    "crawl_pages",
    "crawl_lease",
    "crawl_user_agent",
    "place_header",
)
"""Settings of the router that `up` has no word in: they are taken from its own environment."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says. Port 0 picks a free one."""

    file: pathlib.Path
    port: int
    data: pathlib.Path
    chrome_port: int | None = None
    host: str = "127.0.0.1"
    nodes: int = 2
    chromium: str = ""
    secrets: pathlib.Path | None = None
    log_level: str = "INFO"


async def run(options: Options) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        problems.Problem: it cannot start; nothing is left running then.
        errors.BrowserpoolError: the store refuses; likewise.
    """
    screen = progress.Screen()
    stop = tasks.stop_on_signals()
    processes.adopt_orphans()
    pools = manifest.read(options.file)
    options = dataclasses.replace(options, chromium=_chromium(options.chromium))
    with directory.held(options.data) as home, contextlib.ExitStack() as stack:
        options = dataclasses.replace(options, port=routing.free_port(options.host, options.port))
        if options.chrome_port is not None:
            chrome_port = routing.free_port(loopback.HOST, options.chrome_port, other_than=options.port)
            options = dataclasses.replace(options, chrome_port=chrome_port)
        _log_to(home, level=options.log_level, stack=stack)
        stack.callback(processes.kill_orphans)
        stack.callback(screen.finish)
        screen.start()
        async with tasks.Background(grace=5.0) as background:
            await _serve(options, home, pools, screen=screen, stop=stop, background=background)
    screen.say("stopped")


async def _serve(
    options: Options,
    home: directory.Directory,
    pools: tuple[BrowserPool, ...],
    *,
    screen: progress.Screen,
    stop: asyncio.Event,
    background: tasks.Background,
) -> None:
    signing_key, token = directory.secret(home, "signing-key"), directory.secret(home, "token")
    budget = tasks.Budget()
    url, wake = f"http://{_reachable(options.host)}:{options.port}", asyncio.Event()
    start = agents.Start(
        home=home,
        router_url=url,
        signing_key=signing_key,
        chromium=options.chromium,
        nodes=options.nodes,
        log_level=options.log_level,
    )
    async with contextlib.AsyncExitStack() as stack:
        screen.step("starting Postgres")
        dsn = await stack.enter_async_context(
            postgres.running(home.postgres, log_file=home.log("postgres"), background=background)
        )
        await migrate.apply(dsn)
        db = await stack.enter_async_context(connect.opened(dsn, process="up", max_size=2, budget=budget))
        await tokens.put(db, Token(name=TokenName("local"), hash=credentials.hashed(token), admin=True))
        regional = installation.Regional(f"up-{credentials.hashed(signing_key).hex()[:12]}")
        hands: agents.Agents | None = None
        stores = await stack.enter_async_context(
            _databases(options, db, regional, living=lambda: frozenset() if hands is None else hands.names)
        )
        # Before the start those of a killed run.
        await _forget_all(db)
        stack.push_async_callback(_forget_everywhere, stores)
        stack.callback(budget.begin, _LEAVING)
        hands = await stack.enter_async_context(agents.running(start, background=background, on_change=wake.set))
        reconciler = reconcile.Reconciler(stores, regional, hands, wake)
        reconciler.want(pools)
        await reconciler.publish()
        screen.step("starting the router")
        command = _router_command(options, home, pools, dsn=dsn, signing_key=signing_key, token=token)
        await stack.enter_async_context(routing.running(command, url=url, background=background, stop=stop))
        directory.publish(home.url, url)
        async with asyncio.TaskGroup() as group:
            group.create_task(reconciler.run(until=stop))
            group.create_task(_watch(options.file, reconciler, screen, stop))
            group.create_task(_explain(hands, home, screen, stop))
            if await _warm(reconciler, screen, stop):
                screen.ready(url=url, token=home.token)
                if options.chrome_port is not None:
                    screen.say(f"as a local Chrome, without a token: http://{loopback.HOST}:{options.chrome_port}")
            await stop.wait()
            screen.finish()
            screen.say("stopping: what runs may finish")
            wake.set()


# ---------------------------------------------------------------- before anything starts
def _chromium(wanted: str) -> str:
    try:
        return launch.find(wanted or os.environ.get("BROWSERPOOL_CHROMIUM", ""))
    except launch.NotFound as error:
        raise problems.Problem(str(error)) from None


def _reachable(host: str) -> str:
    """How processes of this machine reach a server that listens on ``host``."""
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104


def _log_to(home: directory.Directory, *, level: str, stack: contextlib.ExitStack) -> None:
    path = home.log("up")
    path.parent.mkdir(exist_ok=True)
    logs.setup(process="up", level=level, stream=stack.enter_context(path.open("a", encoding="utf-8")))


# ---------------------------------------------------------------- the router
def _router_command(
    options: Options,
    home: directory.Directory,
    pools: tuple[BrowserPool, ...],
    *,
    dsn: str,
    signing_key: str,
    token: str,
) -> processes.Command:
    regions = list(dict.fromkeys(region.name for pool in pools for region in pool.spec.regions))
    own = router_settings.RouterSettings(
        dsn=dsn,
        signing_key=signing_key,
        region=regions[0],
        host=options.host,
        port=options.port,
        chrome_port=options.chrome_port,
        chrome_token=token,
        # The same through the router's restarts, and never that of an earlier run, whose router may still be stopping.
        holder=HolderId(f"local-{chance.unique_id()}"),
        # Few agents: a batch that waits a second for more would only be late.
        max_batch_timeout=0.1,
        release_on_exit=True,
        secrets_dir=_secrets(options),
        log_level=options.log_level,
    )
    return processes.Command(
        name="router",
        argv=[sys.executable, "-m", "browserpool.router"],
        environment={
            **os.environ,
            **settings.to_environment(own),
            settings.variable("regions"): ",".join(regions),
            **{name: os.environ[name] for name in map(settings.variable, _HANDED_ON) if name in os.environ},
        },
        log=home.log("router"),
    )


# ---------------------------------------------------------------- while it runs
async def _warm(reconciler: reconcile.Reconciler, screen: progress.Screen, stop: asyncio.Event) -> bool:
    """Wait until every pool is whole; False when it is to stop before."""
    while not stop.is_set():
        statuses = list(reconciler.statuses.values())
        if statuses:
            screen.warm(statuses)
            if all(one.whole for one in statuses):
                return True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 0.05)
    return False


async def _explain(
    hands: agents.Agents, home: directory.Directory, screen: progress.Screen, stop: asyncio.Event
) -> None:
    """When an agent dies soon after its start, show its last words: the others will have none that are better. Once."""
    while not stop.is_set():
        if (name := hands.died_young()) is not None:
            file = home.log(name)
            screen.say(
                f"{name} ended soon after its start. Its last words, from {file}:\n{processes.last_words(file, lines=3)}"
            )
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _EXPLAIN_EVERY)


async def _watch(
    file: pathlib.Path, reconciler: reconcile.Reconciler, screen: progress.Screen, stop: asyncio.Event
) -> None:
    """Follow edits of the manifest. One that cannot be used is shown, and the one before stays in force."""
    before = _stamp(file)
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _LOOK_EVERY)
        if (now := _stamp(file)) == before:
            continue
        before = now
        try:
            pools = manifest.read(file)
        except manifest.InvalidManifest as error:
            screen.say(f"{error.message}\nThis edit is not followed; what was there before stays in force.")
        else:
            reconciler.want(pools)
            screen.say(f"{file} has changed: " + ", ".join(_described(pool) for pool in pools))


def _stamp(file: pathlib.Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _described(pool: BrowserPool) -> str:
    regions = ", ".join(f"{region.name} {pool.spec.wanted(region)}" for region in pool.spec.regions)
    return f"pool {pool.name} keeps {regions}"


@contextlib.asynccontextmanager
async def _databases(
    options: Options,
    db: connect.Database,
    regional: installation.Regional,
    *,
    living: Callable[[], frozenset[BrowserId]],
) -> AsyncIterator[databases.Databases]:
    """All that pools name. ``living`` are the browsers that run: what else one of a region's has was left by a run that was killed."""

    async def prepare(dsn: str, one: connect.Database) -> None:
        await regional.prepare(dsn, one)
        await _forget_all(one, but=living())

    opening = databases.Opening(directory=_secrets(options), process="up", max_size=2)
    stores = databases.Databases(db, opening, prepare=prepare)
    try:
        yield stores
    finally:
        await stores.close()


def _secrets(options: Options) -> str:
    return "" if options.secrets is None else str(options.secrets.absolute())


async def _forget_everywhere(stores: databases.Databases) -> None:
    """At the end our own."""
    try:
        await everywhere.each(stores, lambda _, db: _forget_all(db))
    except errors.Unavailable as error:
        # Postgres was killed under us. The next start does this again.
        log.warning("browsers' rows could not be ended", extra={"error": error.message})


async def _forget_all(db: connect.Database, *, but: frozenset[BrowserId] = frozenset()) -> None:
    """End every session and forget every browser, ``but`` those that run."""
    if not but:
        for holder in {session.holder for session in await sessions.listing(db, limit=100_000)}:
            await leases.release_all(db, holder=holder, reason=CloseReason.SHUTDOWN)
    rows = await browsers.listing(db)
    left = [row.browser_id for row in rows if row.state is not BrowserState.GONE and row.browser_id not in but]
    await browsers.forget(db, left)
