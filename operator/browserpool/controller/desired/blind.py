"""Regions of which nothing is decided, because a database that may have browsers of them does not say what it has.

What is not seen would look like what is not there: browsers would be made in place of those that serve, and pods with sessions on them be
deleted as nobody's.
"""

import dataclasses
from collections.abc import Collection, Mapping

from browserpool.model import databases
from browserpool.model.names import HOME, DatabaseName, RegionName
from browserpool.model.pool import BrowserPool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """The databases that have ``answered`` what they have; ``away`` says of others, in a sentence, why they have not."""

    answered: frozenset[DatabaseName] = frozenset({HOME})
    away: Mapping[DatabaseName, str] = dataclasses.field(default_factory=dict)

    def trouble(self, name: DatabaseName) -> str:
        """Why nobody knows what this one has; empty: it has said so."""
        if name in self.answered:
            return ""
        text = databases.described(name)
        return self.away.get(name) or f"{text[0].upper()}{text[1:]} has not answered yet."


def regions(
    pool: BrowserPool | None, pods: Collection[tuple[RegionName, DatabaseName]], answers: Answers
) -> dict[RegionName, str]:
    """The regions of the pool of which nothing is to be decided, and why.

    ``pods`` are the places of its pods that exist, each with the database that it is registered in: there may be some of a region that
    the pool has no more, or in a database that it names no more.
    """
    concerned = dict.fromkeys(sorted(set(pods)))
    for region in pool.spec.regions if pool is not None else ():
        concerned |= dict.fromkeys((RegionName(region.name), database) for database in region.databases)
    found: dict[RegionName, str] = {}
    for region_name, database in concerned:
        if why := answers.trouble(database):
            found.setdefault(region_name, why)
    return found
