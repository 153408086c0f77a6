"""The Secrets that browsers' pods take their credentials from: one for 200 ordinals, so that a pod costs no write but its own."""

import base64
from collections.abc import Sequence
from typing import Any, Final

from browserpool.controller.desired import labels
from browserpool.model import credentials, names
from browserpool.model.names import PoolName, RegionName

ORDINALS: Final = 200
"""Browsers whose credentials one Secret holds: about 40 KB, far under the API server's bound of 1 MB."""


def shard(ordinal: int) -> int:
    """Which Secret holds the credentials of this ordinal."""
    return ordinal // ORDINALS


def name(*, pool: PoolName, region: RegionName, number: int) -> str:
    """The Secret's name."""
    return f"browserpool-browsers-{pool}-{region}-{number}"


def claim_key(ordinal: int) -> str:
    """The Secret's key that holds the browser's claim key."""
    return f"{ordinal}.claim-key"


def agent_token(ordinal: int) -> str:
    """The Secret's key that holds the browser's agent token."""
    return f"{ordinal}.agent-token"


def secret(
    *,
    pool: PoolName,
    region: RegionName,
    number: int,
    namespace: str,
    signing_key: str,
    owners: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    """The Secret of one shard; a function of the signing key and the browsers' names alone."""
    data: dict[str, str] = {}
    for ordinal in range(number * ORDINALS, (number + 1) * ORDINALS):
        browser_id = names.browser_id(pool=pool, region=region, ordinal=ordinal)
        data[claim_key(ordinal)] = _encoded(credentials.claim_key(signing_key=signing_key, browser_id=browser_id))
        data[agent_token(ordinal)] = _encoded(credentials.agent_token(signing_key=signing_key, browser_id=browser_id))
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name(pool=pool, region=region, number=number),
            "namespace": namespace,
            "labels": labels.of(pool=pool, region=region),
            "ownerReferences": list(owners),
        },
        "type": "Opaque",
        "data": data,
    }


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
