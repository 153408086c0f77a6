"""The cluster's nodes, for requests that name a node and nothing else; written by whoever watches them."""

from collections.abc import Collection

from browserpool.model.nodes import Node
from browserpool.store import connect, queries

_SQL = queries.topic("nodes")


async def replace(db: connect.Database, nodes: Collection[Node]) -> int:
    """Make ``nodes`` all that there are. Answers how many rows were new, changed or deleted."""
    parameters = {
        "nodes": [node.name for node in nodes],
        "regions": [node.region for node in nodes],
        "zones": [node.zone for node in nodes],
    }
    return await connect.execute(db, _SQL["put"], parameters) + await connect.execute(db, _SQL["keep"], parameters)


async def listing(db: connect.Database) -> list[Node]:
    """All nodes, by name."""
    return await connect.fetch(db, _SQL["listing"], {}, into=Node)
