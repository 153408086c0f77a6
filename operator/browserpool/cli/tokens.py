"""`token`: clients' bearer tokens."""

from typing import Annotated

import typer

from browserpool.cli import options
from browserpool.model import errors

app = typer.Typer(help="Clients' bearer tokens: put, list, remove.", no_args_is_help=True)


@app.command("put")
def put(
    name: Annotated[str, typer.Argument(help="What it is called; one that is there is replaced.")],
    dsn: options.Dsn,
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
    options.run(connect.once(dsn, lambda db: store.put(db, kept), process="token"))
    typer.echo(f"the token {name} is registered" if secret else bearer)


@app.command("list")
def listing(dsn: options.Dsn) -> None:
    """Show the registered tokens and their limits; the secrets themselves are not kept."""
    from browserpool.store import connect
    from browserpool.store import tokens as store

    for one in options.run(connect.once(dsn, store.listing, process="token")):
        pools = "all pools" if one.pools is None else ", ".join(sorted(one.pools))
        limits = [
            *([f"{one.concurrency} sessions at once"] if one.concurrency is not None else []),
            *([f"{one.rate_per_second:g} requests/s"] if one.rate_per_second is not None else []),
            *([f"{one.daily_seconds:g} s of browsers a day"] if one.daily_seconds is not None else []),
            *(["admin"] if one.admin else []),
        ]
        typer.echo("\t".join([one.name, pools, *limits]))


@app.command("remove")
def remove(name: Annotated[str, typer.Argument(help="What it is called.")], dsn: options.Dsn) -> None:
    """Forget a token: what comes with it is refused within a second or two."""
    from browserpool.model.names import TokenName
    from browserpool.store import connect
    from browserpool.store import tokens as store

    if not options.run(connect.once(dsn, lambda db: store.remove(db, TokenName(name)), process="token")):
        raise errors.NotFound(f"There is no token {name}; `browserpool token list` names those there are.")
    typer.echo(f"the token {name} is removed")
