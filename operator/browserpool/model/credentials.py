"""Credentials, each derived or checked by a pure function.

* One signing key belongs to an installation. From it each browser's two secrets are derived, so that a browser's own
  secrets speak for that browser alone: a **claim key** (the router signs claim tokens with it, the agent checks them) and an
  **agent token** (the agent's bearer token for heartbeats).
* A **live view link** says: the bearer may look at this session, or drive it (``live_view``). Its key is derived too.
* A **claim token** says: the bearer holds this browser's session of this fence, until this time on the database's clock.
* **Bearer tokens** of clients are kept as SHA-256 only. They are long random secrets, never passwords, so a slow hash would
  protect nothing and would cost every request.
"""

import base64
import binascii
import dataclasses
import hashlib
import hmac
from typing import Any

import orjson

from browserpool.model import errors
from browserpool.model import terms as session_terms
from browserpool.model.names import BrowserId, Fence, SessionId


def _derive(signing_key: str, purpose: str, browser_id: BrowserId) -> str:
    return hmac.new(signing_key.encode(), f"{purpose}:{browser_id}".encode(), hashlib.sha256).hexdigest()


def claim_key(*, signing_key: str, browser_id: BrowserId) -> str:
    """The secret that router and agent share to sign and check this browser's claim tokens."""
    return _derive(signing_key, "claim", browser_id)


def agent_token(*, signing_key: str, browser_id: BrowserId) -> str:
    """The bearer token by which this browser's agent speaks to routers."""
    return _derive(signing_key, "agent", browser_id)


def is_agent_token(token: str, *, signing_key: str, browser_id: BrowserId) -> bool:
    """Whether ``token`` is this browser's agent token; takes the same time whatever the answer."""
    return hmac.compare_digest(token.encode(), agent_token(signing_key=signing_key, browser_id=browser_id).encode())


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ClaimToken:
    """``expires`` is in seconds since 1970 on the database's clock. ``terms`` are the session's, and the agent keeps to them."""

    browser_id: BrowserId
    session_id: SessionId
    fence: Fence
    kind: str
    expires: float
    terms: session_terms.Terms = session_terms.NONE


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _signature(payload: str, key: str) -> bytes:
    return hmac.new(key.encode(), payload.encode(), hashlib.sha256).digest()


def live_view_key(*, signing_key: str) -> str:
    """The secret that live view links are signed with; routers alone know it."""
    return _derive(signing_key, "live view", BrowserId("-"))


def sealed(fields: list[object], *, key: str) -> str:
    """``fields``, as text that may stand in a path or a header, and that nobody can change without ``key``."""
    payload = _encode(orjson.dumps(fields))
    return f"{payload}.{_encode(_signature(payload, key))}"


def unsealed(text: str, *, key: str) -> list[Any] | None:
    """What ``sealed`` made the text of; ``None`` if it did not, or not with this key."""
    payload, _, signature = text.partition(".")
    try:
        if not hmac.compare_digest(_decode(signature), _signature(payload, key)):
            return None
        fields: list[Any] = orjson.loads(_decode(payload))
    except (ValueError, binascii.Error):
        return None
    return fields


def sign(token: ClaimToken, *, key: str) -> str:
    """``token`` as text, signed with the browser's claim key."""
    fields: list[object] = [token.browser_id, token.session_id, token.fence, token.kind, token.expires]
    return sealed([*fields, session_terms.plain(token.terms)] if token.terms else fields, key=key)


def verify(text: str, *, key: str, browser_id: BrowserId, now: float) -> ClaimToken:
    """The token in ``text``, if it was signed for this browser and has not expired at ``now`` (database's seconds).

    Whether its fence is current is for the agent to say: that is state, and this is not.

    Raises:
        errors.Unauthorized: not a token, not signed with ``key``, another browser's, or expired.
    """
    fields = unsealed(text, key=key)
    if fields is None:
        raise errors.Unauthorized("The claim token is not one that this browser's router signed.")
    token = ClaimToken(
        browser_id=BrowserId(fields[0]),
        session_id=SessionId(fields[1]),
        fence=Fence(fields[2]),
        kind=fields[3],
        expires=fields[4],
        terms=session_terms.from_plain(fields[5]) if len(fields) > 5 else session_terms.NONE,
    )
    if token.browser_id != browser_id:
        raise errors.Unauthorized(f"The claim token is for browser {token.browser_id}, and this is {browser_id}.")
    if token.expires <= now:
        raise errors.Unauthorized("The claim token has expired; claim again.")
    return token


def hashed(bearer: str) -> bytes:
    """What is kept of a client's bearer token."""
    return hashlib.sha256(bearer.encode()).digest()
