"""The bearer token that a request carries, whoever's it is. Pure.

Three ways to say it, in this order: ``Authorization: Bearer``; Cloudflare's old pair ``X-Auth-Email`` and ``X-Auth-Key``, of which
the key is the token; ``?token=`` for clients that can set no header (``puppeteer.connect``'s address, a browser's WebSocket).
"""

from collections.abc import Mapping


def said(*, headers: Mapping[str, str], query: Mapping[str, str]) -> str | None:
    """The token; ``None``: the request carries none."""
    scheme, _, value = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return value.strip()
    return headers.get("X-Auth-Key") or query.get("token") or None
