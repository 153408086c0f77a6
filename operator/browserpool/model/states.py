"""The browser's life as a table of legal transitions. The store's SQL follows this table; a test compares the two."""

import enum


class BrowserState(enum.StrEnum):
    """Where a browser is in its life."""

    STARTING = "starting"
    """Registered; its agent has not yet said that Chromium answers."""
    READY = "ready"
    """Free and clean: a claim may take it."""
    CLAIMED = "claimed"
    """Held by exactly one session."""
    RECYCLING = "recycling"
    """Its session ended; it becomes ready when its agent says that it is clean after that session's fence."""
    DRAINING = "draining"
    """Never to be claimed again; its pod is to be deleted."""
    GONE = "gone"
    """Its pod is deleted. The row stays for a while, so that its fence is never given again."""


S = BrowserState

TRANSITIONS: dict[BrowserState, frozenset[BrowserState]] = {
    S.STARTING: frozenset({S.READY, S.DRAINING}),
    # Back to recycling without a claim: its agent restarted, or says that Chromium is unwell.
    S.READY: frozenset({S.CLAIMED, S.RECYCLING, S.DRAINING}),
    # A claimed browser that is to drain is only marked; it drains when its session ends.
    S.CLAIMED: frozenset({S.RECYCLING, S.DRAINING}),
    S.RECYCLING: frozenset({S.READY, S.DRAINING}),
    S.DRAINING: frozenset({S.GONE}),
    # The name is registered again, with a higher fence.
    S.GONE: frozenset({S.STARTING}),
}

MADE_BY_HEARTBEATS: frozenset[tuple[BrowserState, BrowserState]] = frozenset(
    {(S.STARTING, S.READY), (S.RECYCLING, S.READY)}
)
"""All that a heartbeat may change. A late one must never hand out a claimed browser."""


def may_become(now: BrowserState, then: BrowserState) -> bool:
    """Whether a browser in state ``now`` may go to ``then`` in one step."""
    return then in TRANSITIONS[now]
