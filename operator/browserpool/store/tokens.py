"""Clients' bearer tokens, hashed."""

from typing import Any

from browserpool.model.names import TokenName
from browserpool.model.tokens import Token
from browserpool.store import connect, queries

_SQL = queries.topic("tokens")


async def put(db: connect.Database, token: Token) -> None:
    """Keep ``token`` under its name, in place of what was there."""
    parameters = {
        "token": token.name,
        "hash": token.hash,
        "pools": None if token.pools is None else sorted(token.pools),
        "concurrency": token.concurrency,
        "rate_per_second": token.rate_per_second,
        "daily_seconds": token.daily_seconds,
        "admin": token.admin,
    }
    await connect.execute(db, _SQL["put"], parameters)


async def listing(db: connect.Database) -> list[Token]:
    """All tokens, by name."""
    return await connect.fetch(db, _SQL["listing"], {}, into=_token)


async def remove(db: connect.Database, name: TokenName) -> bool:
    """Forget the token. Answers whether there was one."""
    return await connect.execute(db, _SQL["remove"], {"token": name}) > 0


def _token(*, pools: list[Any] | None, **columns: Any) -> Token:
    return Token(pools=None if pools is None else frozenset(pools), **columns)
