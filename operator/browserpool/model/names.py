"""Identifiers. Each is text or a number on the wire; the types keep one from standing where another belongs."""

import re
from typing import Final, NewType

PoolName = NewType("PoolName", str)
RegionName = NewType("RegionName", str)
ZoneName = NewType("ZoneName", str)
NodeName = NewType("NodeName", str)
BrowserId = NewType("BrowserId", str)
"""The pod's name; see ``browser_id``."""
SessionId = NewType("SessionId", str)
"""Chosen by the caller of a claim, unique; a UUID unless a client brings its own."""
TokenName = NewType("TokenName", str)
DatabaseName = NewType("DatabaseName", str)
"""``<Secret's name>/<key>``; empty: the installation's own. See ``databases``."""
HOME: Final = DatabaseName("")
"""The installation's own database."""
HolderId = NewType("HolderId", str)
"""The process that holds a lease (a router's instance); for people and for clean-up, never for trust."""
Fence = NewType("Fence", int)
"""Raised by each claim of a browser and by each registration of its name; whatever speaks for an older one is refused."""
Incarnation = NewType("Incarnation", int)
"""Given by the store to each start of an agent, ever rising; a heartbeat of an older one is refused."""

LABEL_PATTERN = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
"""RFC 1123 label: what Kubernetes takes for names that end up in host names."""
_LABEL = re.compile(LABEL_PATTERN)
SESSION_PATTERN = r"[A-Za-z0-9_-]{1,64}"
_SESSION = re.compile(SESSION_PATTERN)


def is_label(text: str) -> bool:
    """Whether ``text`` may name a pool, a region, a zone or a node."""
    return _LABEL.fullmatch(text) is not None


def is_session_id(text: str) -> bool:
    """Whether ``text`` may be a session's id."""
    return _SESSION.fullmatch(text) is not None


def is_target_id(text: str) -> bool:
    """Whether ``text`` may be what Chrome calls one of its targets: what else is asked for never reaches it."""
    return text.isascii() and text.isalnum()


def browser_id(*, pool: PoolName, region: RegionName, ordinal: int) -> BrowserId:
    """The one name of this browser: the same arguments always give the same pod, so a repeated create makes nothing twice."""
    return BrowserId(f"{pool}-{region}-{ordinal}")
