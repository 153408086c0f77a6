"""Brings the databases of regions to the schema of this version, one after another; one that cannot be migrated is left as it is.

The leading controller does so too, as soon as it can: this is for an upgrade, whose first router is there before the first controller.
"""

import asyncio
import pathlib
from collections.abc import AsyncIterator
from typing import Final

from browserpool.model import errors
from browserpool.model.names import DatabaseName
from browserpool.store import connect, databases, migrate, region_databases

DEADLINE: Final = 60.0
"""Seconds for one of them."""


async def apply(
    dsn: str, directory: pathlib.Path
) -> AsyncIterator[tuple[DatabaseName, list[str] | errors.BrowserpoolError]]:
    """Of each that the installation's own database, at ``dsn``, knows: the names of the migrations that it lacked, or why it was left.

    ``directory`` has their connection strings, as ``databases.Opening`` says.

    Raises:
        errors.Unavailable: the installation's own database cannot be asked.
    """
    for name in await connect.once(dsn, region_databases.listing, process="migrate"):
        yield name, await _applied(name, directory)


async def _applied(name: DatabaseName, directory: pathlib.Path) -> list[str] | errors.BrowserpoolError:
    try:
        async with asyncio.timeout(DEADLINE):
            return await migrate.apply(databases.connection_string(name, str(directory)))
    except TimeoutError:
        return errors.Unavailable(f"It was not done within {DEADLINE:g} s.", retry_after=connect.RETRY_AFTER)
    except errors.BrowserpoolError as error:
        return error
