"""Loads the statements of ``sql/<topic>.sql``, each named by a line ``-- name: <name>``."""

import functools
import importlib.resources
import re
from collections.abc import Mapping

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def text(path: str) -> str:
    """The file ``sql/<path>``."""
    return importlib.resources.files("browserpool.store").joinpath("sql", path).read_text(encoding="utf-8")


def migrations() -> list[str]:
    """The names of the migrations, in their order, without the suffix."""
    folder = importlib.resources.files("browserpool.store").joinpath("sql", "migrations")
    return sorted(entry.name.removesuffix(".sql") for entry in folder.iterdir() if entry.name.endswith(".sql"))


@functools.cache
def topic(name: str) -> Mapping[str, bytes]:
    """The statements of ``sql/<name>.sql`` by their names.

    Bytes, because psycopg takes only literals for text: these files are as fixed as literals are.
    """
    _, *parts = _NAME.split(text(f"{name}.sql"))
    return {part: body.strip().encode() for part, body in zip(parts[::2], parts[1::2], strict=True)}
