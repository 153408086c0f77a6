"""What the agent counts from its first moment on. prometheus_client comes late, with the servers; what happens before waits here.

``meters.note(lambda metrics: metrics.EGRESS.labels("allowed").inc())``: for modules that must not import ``metrics`` themselves.
"""

import types
from collections.abc import Callable

Note = Callable[[types.ModuleType], None]
"""Given ``metrics``, counts something."""

_metrics: list[types.ModuleType] = []
_early: list[Note] = []


def note(what: Note) -> None:
    """Count ``what``: now, or as soon as there is something to count it in."""
    if _metrics:
        what(_metrics[0])
    else:
        _early.append(what)


def load() -> None:
    """Import ``metrics`` unless that is done, and count what waited for it."""
    from browserpool import metrics

    _metrics[:] = [metrics]
    while _early:
        _early.pop()(metrics)
