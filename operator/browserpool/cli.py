"""The commands. Each imports what it needs when it runs, so that `router` needs no Postgres wheel and `agent` no database.

What fails is a sentence on standard error and exit code 1; a wrong command line is exit code 2.
"""

import asyncio
import pathlib
import runpy
import sys
from collections.abc import Coroutine
from typing import Annotated, Any, NoReturn

import typer

from browserpool import __version__
from browserpool.model import errors

app = typer.Typer(
    help="Warm pools of headless Chromium, reached over one HTTP request or over CDP.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

token = typer.Typer(help="Clients' bearer tokens: put, list, remove.", no_args_is_help=True)
app.add_typer(token, name="token")

Dsn = Annotated[str, typer.Option("--dsn", help="The store's libpq connection string.", envvar="BROWSERPOOL_DSN")]
Data = Annotated[
    pathlib.Path,
    typer.Option("--data", "-d", help="Directory of the installation.", envvar="BROWSERPOOL_DATA", metavar="DIR"),
]
Output = Annotated[
    str, typer.Option("--output", "-o", help="Where the answer goes; - is standard output.", metavar="FILE")
]
Url = Annotated[str | None, typer.Argument(help="The page's address.", metavar="[URL]")]
Html = Annotated[
    str | None,
    typer.Option("--html", help="A file of HTML instead of an address; - is standard input.", metavar="FILE"),
]
Pool = Annotated[str | None, typer.Option("--pool", help="Which pool, where there are several.")]
Region = Annotated[str | None, typer.Option("--region", help="Which region of the pool.")]
WaitUntil = Annotated[
    str | None,
    typer.Option("--wait-until", help="load, domcontentloaded, networkidle0 or networkidle2."),
]
Timeout = Annotated[float | None, typer.Option("--timeout", help="Seconds until the page must be there.")]
HERE = pathlib.Path(".browserpool")


def main() -> NoReturn:
    """Run the command line; exits."""
    try:
        app(prog_name="browserpool")
    except errors.BrowserpoolError as error:
        typer.echo(f"browserpool: {error.message}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(1)
    sys.exit(0)


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        sys.exit(130)


# ---------------------------------------------------------------- processes
@app.command()
def up(
    file: Annotated[
        pathlib.Path,
        typer.Option("--file", "-f", help="The manifest: YAML or JSON, one pool or several.", metavar="FILE"),
    ],
    port: Annotated[
        int, typer.Option("--port", "-p", help="The router's port; 0: any free one.", min=0, max=65535)
    ] = 8080,
    data: Data = HERE,
    host: Annotated[str, typer.Option("--host", help="The address that the router listens on.")] = "127.0.0.1",
    chrome_port: Annotated[
        int | None,
        typer.Option(
            "--chrome-port",
            help="Also answer as a local Chrome does on this port of 127.0.0.1, without a token; 9222 is Chrome's.",
            min=0,
            max=65535,
        ),
    ] = None,
    nodes: Annotated[int, typer.Option("--nodes", help="Simulated nodes of each region.", min=1, max=1000)] = 2,
    chromium: Annotated[
        str,
        typer.Option(
            "--chromium", help="Chromium's binary; default: the first that is found.", envvar="BROWSERPOOL_CHROMIUM"
        ),
    ] = "",
    log_level: Annotated[str, typer.Option("--log-level", help="Of the files under DIR/logs.")] = "INFO",
) -> None:
    """Run pools on this machine: embedded Postgres, router, browsers. Edits of FILE are followed; Ctrl-C stops everything."""
    from browserpool.local import up as local

    options = local.Options(
        file=file,
        port=port,
        chrome_port=chrome_port,
        data=data,
        host=host,
        nodes=nodes,
        chromium=chromium,
        log_level=log_level.upper(),
    )
    _run(local.run(options))


@app.command()
def controller() -> None:
    """Run one replica of the controller on Kubernetes, configured by the environment (BROWSERPOOL_DSN, BROWSERPOOL_NAMESPACE, ...)."""
    runpy.run_module("browserpool.controller", run_name="__main__")


@app.command()
def router() -> None:
    """Run one router, configured by the environment (BROWSERPOOL_DSN, BROWSERPOOL_SIGNING_KEY, ...)."""
    runpy.run_module("browserpool.router", run_name="__main__")


@app.command()
def sidecar() -> None:
    """Run one sidecar, configured by the environment (BROWSERPOOL_ROUTER_URL, BROWSERPOOL_TOKEN_FILE, ...)."""
    runpy.run_module("browserpool.router.sidecar", run_name="__main__")


@app.command()
def agent() -> None:
    """Run one agent, configured by the environment (BROWSERPOOL_BROWSER_ID, ...)."""
    runpy.run_module("browserpool.agent", run_name="__main__")


@app.command()
def migrate(
    dsn: Dsn,
    wait: Annotated[
        float, typer.Option("--wait", help="Seconds to try for, while the database is away.", min=0, metavar="SECONDS")
    ] = 0,
    check: Annotated[
        bool,
        typer.Option("--check", help="Change nothing; fail unless the schema is there (with --wait: until it is)."),
    ] = False,
) -> None:
    """Bring the store's database to this version's schema."""
    from browserpool.store import migrate as store

    if check:
        _run(store.patiently(lambda: store.check(dsn), wait=wait))
        typer.echo("the schema is this version's")
        return
    applied = _run(store.patiently(lambda: store.apply(dsn), wait=wait))
    typer.echo(f"applied: {', '.join(applied)}" if applied else "nothing to apply")


# ---------------------------------------------------------------- tokens
@token.command("put")
def token_put(
    name: Annotated[str, typer.Argument(help="What it is called; one that is there is replaced.")],
    dsn: Dsn,
    secret: Annotated[
        str,
        typer.Option(
            "--secret", help="The token itself; default: a fresh one, which is printed.", envvar="BROWSERPOOL_TOKEN"
        ),
    ] = "",
    pools: Annotated[
        list[str] | None, typer.Option("--pool", help="A pool that it may use; may be repeated. Default: all.")
    ] = None,
    concurrency: Annotated[int | None, typer.Option(help="Sessions that it may hold at once.", min=1)] = None,
    rate: Annotated[float | None, typer.Option(help="Requests a second.", min=0.001)] = None,
    daily_seconds: Annotated[
        float | None, typer.Option(help="Browser time in a day (UTC), all its sessions taken together.", min=1)
    ] = None,
    admin: Annotated[bool, typer.Option("--admin", help="It sees everyone's sessions in /v1/status.")] = False,
) -> None:
    """Register a client's bearer token with its limits; routers know it within a second or two."""
    from browserpool.lib import chance
    from browserpool.model import credentials, tokens
    from browserpool.model.names import PoolName, TokenName
    from browserpool.store import connect
    from browserpool.store import tokens as store

    bearer = secret or chance.secret()
    kept = tokens.Token(
        name=TokenName(name),
        hash=credentials.hashed(bearer),
        pools=frozenset(PoolName(pool) for pool in pools) if pools else None,
        concurrency=concurrency,
        rate_per_second=rate,
        daily_seconds=daily_seconds,
        admin=admin,
    )
    _run(connect.once(dsn, lambda db: store.put(db, kept), process="token"))
    typer.echo(f"the token {name} is registered" if secret else bearer)


@token.command("list")
def token_list(dsn: Dsn) -> None:
    """Show the registered tokens and their limits; the secrets themselves are not kept."""
    from browserpool.store import connect
    from browserpool.store import tokens as store

    for one in _run(connect.once(dsn, store.listing, process="token")):
        pools = "all pools" if one.pools is None else ", ".join(sorted(one.pools))
        limits = [
            *([f"{one.concurrency} sessions at once"] if one.concurrency is not None else []),
            *([f"{one.rate_per_second:g} requests/s"] if one.rate_per_second is not None else []),
            *([f"{one.daily_seconds:g} s of browsers a day"] if one.daily_seconds is not None else []),
            *(["admin"] if one.admin else []),
        ]
        typer.echo("\t".join([one.name, pools, *limits]))


@token.command("remove")
def token_remove(name: Annotated[str, typer.Argument(help="What it is called.")], dsn: Dsn) -> None:
    """Forget a token: what comes with it is refused within a second or two."""
    from browserpool.model.names import TokenName
    from browserpool.store import connect
    from browserpool.store import tokens as store

    if not _run(connect.once(dsn, lambda db: store.remove(db, TokenName(name)), process="token")):
        raise errors.NotFound(f"There is no token {name}; `browserpool token list` names those there are.")
    typer.echo(f"the token {name} is removed")


# ---------------------------------------------------------------- clients
@app.command()
def screenshot(
    url: Url = None,
    html: Html = None,
    output: Output = "screenshot.png",
    full_page: Annotated[
        bool, typer.Option("--full-page", help="The whole page, not only what the window shows.")
    ] = False,
    width: Annotated[int, typer.Option("--width", help="Of the window, in pixels.", min=1)] = 1920,
    height: Annotated[int, typer.Option("--height", help="Of the window, in pixels.", min=1)] = 1080,
    selector: Annotated[str | None, typer.Option("--selector", help="One element, by CSS selector.")] = None,
    wait_until: WaitUntil = None,
    timeout: Timeout = None,
    pool: Pool = None,
    region: Region = None,
    data: Data = HERE,
) -> None:
    """Take a picture of a page: PNG, or JPEG or WebP by the name of the file."""
    options: dict[str, Any] = {"fullPage": full_page}
    kind = {".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}.get(pathlib.Path(output).suffix.lower())
    if kind:
        options["type"] = kind
    body: dict[str, Any] = {"screenshotOptions": options, "viewport": {"width": width, "height": height}}
    if selector:
        body["selector"] = selector
    _act(
        "screenshot",
        _page(url, html, wait_until, timeout) | body,
        output=output,
        wishes=_wishes(pool, region),
        data=data,
    )


@app.command()
def pdf(
    url: Url = None,
    html: Html = None,
    output: Output = "page.pdf",
    paper: Annotated[str, typer.Option("--format", help="letter, legal, tabloid, ledger, a0 to a6.")] = "a4",
    landscape: Annotated[bool, typer.Option("--landscape")] = False,
    background: Annotated[bool, typer.Option("--background", help="Print backgrounds too.")] = False,
    wait_until: WaitUntil = None,
    timeout: Timeout = None,
    pool: Pool = None,
    region: Region = None,
    data: Data = HERE,
) -> None:
    """Print a page to PDF."""
    body = {"pdfOptions": {"format": paper, "landscape": landscape, "printBackground": background}}
    _act("pdf", _page(url, html, wait_until, timeout) | body, output=output, wishes=_wishes(pool, region), data=data)


@app.command()
def content(
    url: Url = None,
    html: Html = None,
    output: Output = "-",
    wait_until: WaitUntil = None,
    timeout: Timeout = None,
    pool: Pool = None,
    region: Region = None,
    data: Data = HERE,
) -> None:
    """Fetch a page's HTML as it is after its scripts have run."""
    body = _page(url, html, wait_until, timeout)
    _act("content", body, output=output, wishes=_wishes(pool, region), data=data, unwrap=True)


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="What the router says, unadorned.")] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Again every second, until Ctrl-C.")] = False,
    data: Data = HERE,
) -> None:
    """Show pools, regions, browsers and sessions."""
    import orjson
    from rich import live

    from browserpool.local import client, show

    found = client.found(data)
    if as_json:
        typer.echo(orjson.dumps(_run(client.status(found)), option=orjson.OPT_INDENT_2).decode())
        return
    if not watch:
        show.printed(_run(client.status(found)))
        return

    async def follow() -> None:
        with live.Live(show.tables(await client.status(found)), screen=True, auto_refresh=False) as screen:
            while True:
                await asyncio.sleep(1)
                screen.update(show.tables(await client.status(found)), refresh=True)

    _run(follow())


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def _page(url: str | None, html: str | None, wait_until: str | None, timeout: float | None) -> dict[str, Any]:
    if (url is None) == (html is None):
        raise typer.BadParameter("name a URL, or a file of HTML with --html; one of the two")
    page = {"url": url} if url is not None else {"html": _read(html or "-")}
    go: dict[str, Any] = {}
    if wait_until is not None:
        go["waitUntil"] = wait_until
    if timeout is not None:
        go["timeout"] = round(timeout * 1000)
    return page | ({"gotoOptions": go} if go else {})


def _read(file: str) -> str:
    if file == "-":
        return sys.stdin.read()
    try:
        return pathlib.Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{file} cannot be read: {error}") from None


def _wishes(pool: str | None, region: str | None) -> dict[str, str]:
    return {name: value for name, value in (("pool", pool), ("region", region)) if value is not None}


def _act(
    action: str, body: dict[str, Any], *, output: str, wishes: dict[str, str], data: pathlib.Path, unwrap: bool = False
) -> None:
    from browserpool.local import client

    answer = _run(client.act(client.found(data), action, body, wishes=wishes))
    written = client.result(answer) if unwrap else answer.body
    if output == "-":
        sys.stdout.buffer.write(written)
        sys.stdout.flush()
        return
    try:
        pathlib.Path(output).write_bytes(written)
    except OSError as error:
        raise typer.BadParameter(f"{output} cannot be written: {error.strerror}") from None
    used = "" if answer.used_ms is None else f", {answer.used_ms:.0f} ms of a browser"
    typer.echo(f"{output}: {len(written):,} bytes{used}", err=True)
