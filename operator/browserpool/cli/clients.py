"""What a person asks of a router: pages, and how it goes."""

import asyncio
import pathlib
import sys
from typing import Annotated, Any

import typer

from browserpool.cli import options

app = typer.Typer()


@app.command()
def screenshot(
    url: options.Url = None,
    html: options.Html = None,
    output: options.Output = "screenshot.png",
    full_page: Annotated[
        bool, typer.Option("--full-page", help="The whole page, not only what the window shows.")
    ] = False,
    width: Annotated[int, typer.Option("--width", help="Of the window, in pixels.", min=1)] = 1920,
    height: Annotated[int, typer.Option("--height", help="Of the window, in pixels.", min=1)] = 1080,
    selector: Annotated[str | None, typer.Option("--selector", help="One element, by CSS selector.")] = None,
    wait_until: options.WaitUntil = None,
    timeout: options.Timeout = None,
    pool: options.Pool = None,
    region: options.Region = None,
    data: options.Data = options.HERE,
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
    url: options.Url = None,
    html: options.Html = None,
    output: options.Output = "page.pdf",
    paper: Annotated[str, typer.Option("--format", help="letter, legal, tabloid, ledger, a0 to a6.")] = "a4",
    landscape: Annotated[bool, typer.Option("--landscape")] = False,
    background: Annotated[bool, typer.Option("--background", help="Print backgrounds too.")] = False,
    wait_until: options.WaitUntil = None,
    timeout: options.Timeout = None,
    pool: options.Pool = None,
    region: options.Region = None,
    data: options.Data = options.HERE,
) -> None:
    """Print a page to PDF."""
    body = {"pdfOptions": {"format": paper, "landscape": landscape, "printBackground": background}}
    _act("pdf", _page(url, html, wait_until, timeout) | body, output=output, wishes=_wishes(pool, region), data=data)


@app.command()
def content(
    url: options.Url = None,
    html: options.Html = None,
    output: options.Output = "-",
    wait_until: options.WaitUntil = None,
    timeout: options.Timeout = None,
    pool: options.Pool = None,
    region: options.Region = None,
    data: options.Data = options.HERE,
) -> None:
    """Fetch a page's HTML as it is after its scripts have run."""
    body = _page(url, html, wait_until, timeout)
    _act("content", body, output=output, wishes=_wishes(pool, region), data=data, unwrap=True)


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="What the router says, unadorned.")] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Again every second, until Ctrl-C.")] = False,
    data: options.Data = options.HERE,
) -> None:
    """Show pools, regions, browsers and sessions."""
    import orjson
    from rich import live

    from browserpool.local import client, show

    found = client.found(data)
    if as_json:
        typer.echo(orjson.dumps(options.run(client.status(found)), option=orjson.OPT_INDENT_2).decode())
        return
    if not watch:
        show.printed(options.run(client.status(found)))
        return

    async def follow() -> None:
        with live.Live(show.tables(await client.status(found)), screen=True, auto_refresh=False) as screen:
            while True:
                await asyncio.sleep(1)
                screen.update(show.tables(await client.status(found)), refresh=True)

    options.run(follow())


@app.command()
def compare(
    pool: Annotated[str, typer.Argument(help="The pool that callers move to.", metavar="POOL")],
    since: Annotated[str, typer.Option("--since", help="How far back: 30m, 1h, 7d at most.")] = "1h",
    as_json: Annotated[bool, typer.Option("--json", help="What the router says, unadorned.")] = False,
    data: options.Data = options.HERE,
) -> None:
    """Show how a pool and the system that it takes over from do, side by side: requests, errors, latencies by action."""
    import orjson

    from browserpool.local import client, comparing

    found = options.run(client.outcomes(client.found(data), pool, since=since))
    if as_json:
        typer.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
    else:
        comparing.printed(found)


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

    answer = options.run(client.act(client.found(data), action, body, wishes=wishes))
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
