"""In which databases a region's browsers and sessions are: the installation's own, or one that the region names (``databaseSecretRef``).

Pools, tokens, nodes, what is cached, crawls, outcomes: all that belongs to no region is in the installation's own database.
"""

from typing import Annotated

from pydantic import Field

from browserpool.model.manifests import Part
from browserpool.model.names import HOME, DatabaseName


class DatabaseSecretKey(Part):
    """One key of a Secret, which holds a connection string."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)] = Field(
        description="The Secret's name. Controller and routers read it from files: it must be mounted into them."
    )
    key: Annotated[str, Field(pattern=r"^[-._a-zA-Z0-9]+$", max_length=253)] = Field(
        default="dsn", description="Which of its keys holds the database's connection string."
    )


class Former(Part):
    """The database that a region moves away from."""

    database_secret_ref: DatabaseSecretKey | None = Field(
        default=None, description="The region's databaseSecretRef of before. Default: the installation's own database."
    )


def name(ref: DatabaseSecretKey | None) -> DatabaseName:
    """The database that is meant."""
    return HOME if ref is None else DatabaseName(f"{ref.name}/{ref.key}")


def described(database: DatabaseName) -> str:
    """The database, as a sentence has it."""
    if database == HOME:
        return "the installation's own database"
    secret, _, key = database.partition("/")
    return f"the database of Secret {secret} (key {key})"
