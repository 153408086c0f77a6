"""The commands that run: `up`, and one process each of an installation."""

import pathlib
import runpy
from collections.abc import Sequence
from typing import Annotated

import typer

from browserpool.cli import options

app = typer.Typer()


@app.command()
def up(
    file: Annotated[
        pathlib.Path,
        typer.Option("--file", "-f", help="The manifest: YAML or JSON, one pool or several.", metavar="FILE"),
    ],
    port: Annotated[
        int, typer.Option("--port", "-p", help="The router's port; 0: any free one.", min=0, max=65535)
    ] = 8080,
    data: options.Data = options.HERE,
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
    secrets: Annotated[
        pathlib.Path | None,
        typer.Option(
            "--secrets",
            help="What a pool names by tokenSecretRef (tokens for other systems) or databaseSecretRef (connection strings of regions' "
            "databases): the file NAME/KEY in this directory.",
            envvar="BROWSERPOOL_SECRETS_DIR",
            metavar="DIR",
        ),
    ] = None,
    log_level: Annotated[str, typer.Option("--log-level", help="Of the files under DIR/logs.")] = "INFO",
) -> None:
    """Run pools on this machine: embedded Postgres, router, browsers. Edits of FILE are followed; Ctrl-C stops everything."""
    from browserpool.local import up as local

    wanted = local.Options(
        file=file,
        port=port,
        chrome_port=chrome_port,
        data=data,
        host=host,
        nodes=nodes,
        chromium=chromium,
        secrets=secrets,
        log_level=log_level.upper(),
    )
    options.run(local.run(wanted))


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
    dsn: options.Dsn,
    wait: Annotated[
        float, typer.Option("--wait", help="Seconds to try for, while the database is away.", min=0, metavar="SECONDS")
    ] = 0,
    check: Annotated[
        bool,
        typer.Option("--check", help="Change nothing; fail unless the schema is there (with --wait: until it is)."),
    ] = False,
    secrets: Annotated[
        pathlib.Path | None,
        typer.Option(
            "--secrets",
            help="Also those of regions that have a database of their own, as far as they answer: connection strings in NAME/KEY here.",
            envvar="BROWSERPOOL_SECRETS_DIR",
            metavar="DIR",
        ),
    ] = None,
) -> None:
    """Bring the store's database to this version's schema."""
    from browserpool.store import migrate as store

    if check:
        options.run(store.patiently(lambda: store.check(dsn), wait=wait))
        typer.echo("the schema is this version's")
        return
    typer.echo(_applied(options.run(store.patiently(lambda: store.apply(dsn), wait=wait))))
    if secrets is not None:
        options.run(_migrate_regions(dsn, secrets))


async def _migrate_regions(dsn: str, secrets: pathlib.Path) -> None:
    from browserpool.model import databases, errors
    from browserpool.store import migrate_regions

    async for name, done in migrate_regions.apply(dsn, secrets):
        which = databases.described(name)
        if isinstance(done, errors.BrowserpoolError):
            typer.echo(f"browserpool: {which} is left as it is: {done.message}", err=True)
        else:
            typer.echo(f"{which}: {_applied(done)}")


def _applied(names: Sequence[str]) -> str:
    return f"applied: {', '.join(names)}" if names else "nothing to apply"
