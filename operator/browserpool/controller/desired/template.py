"""The hash of all that makes one browser differ from another of the same pool and region."""

import hashlib

import orjson

from browserpool.model.canary import Canary
from browserpool.model.names import HOME
from browserpool.model.pool import BrowserPool, PoolSpec, Region


def hashed(spec: PoolSpec, region: Region) -> str:
    """Ten hex digits over what a browser is started with; a browser whose row has others is out of date.

    Numbers of replicas, queues, leases and refill are left out: changing them replaces nothing. Its database is not: a browser that is
    registered in another one is replaced, which is how a region moves.
    """
    parts = {
        "template": spec.template,
        "chromium": spec.chromium.model_dump(mode="json"),
        "recycle": spec.sessions.recycle.value,
        "recycleAfter": spec.sessions.recycle_after,
        "egress": spec.egress.model_dump(mode="json"),
        "nodeSelector": region.node_selector,
    }
    if (database := region.databases[0]) != HOME:
        parts["database"] = database
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()[:10]


def canary(spec: PoolSpec) -> PoolSpec | None:
    """The spec as it is once the canary is promoted; None: the pool has none."""
    if spec.canary is None:
        return None
    given = {"image": spec.canary.image, "version": spec.canary.version, "args": spec.canary.args}
    chromium = spec.chromium.model_copy(update={name: value for name, value in given.items() if value is not None})
    return spec.model_copy(update={"chromium": chromium, "canary": None})


def content(wanted: Canary) -> str:
    """Ten hex digits over all that the spec says of its canary."""
    plain = orjson.dumps(wanted.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(plain).hexdigest()[:10]


def chosen(pool: BrowserPool, region: Region, template_hash: str) -> BrowserPool:
    """The pool by whose spec a browser of this template is made: the canary's, if it is the canary's hash."""
    second = canary(pool.spec)
    if second is None or template_hash == hashed(pool.spec, region) or template_hash != hashed(second, region):
        return pool
    return pool.model_copy(update={"spec": second})
