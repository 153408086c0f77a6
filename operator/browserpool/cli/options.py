"""What several commands share: options, and how a coroutine is run."""

import asyncio
import pathlib
import sys
from collections.abc import Coroutine
from typing import Annotated, Any

import typer

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


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run to the end; Ctrl-C ends the process as a shell expects."""
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        sys.exit(130)
