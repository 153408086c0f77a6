"""The hash of all that makes one browser differ from another of the same pool and region."""

import hashlib

import orjson

from browserpool.model.pool import PoolSpec, Region


def hashed(spec: PoolSpec, region: Region) -> str:
    """Ten hex digits over what a browser is started with; a browser whose row has others is out of date.

    Numbers of replicas, queues, leases and refill are left out: changing them replaces nothing.
    """
    parts = {
        "template": spec.template,
        "chromium": spec.chromium.model_dump(mode="json"),
        "recycle": spec.sessions.recycle.value,
        "recycleAfter": spec.sessions.recycle_after,
        "egress": spec.egress.model_dump(mode="json"),
        "nodeSelector": region.node_selector,
    }
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()[:10]
