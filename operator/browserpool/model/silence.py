"""When a database that says nothing is given up: for a process that stops, and would wait for one statement after the other.

Moments are seconds on the process's steady clock.
"""

import dataclasses
import math


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """Of a server: when it last said anything, and since when a statement waited that was given no answer after that, if one was."""

    answered_at: float = -math.inf
    silent_since: float | None = None


def unanswered(heard: Heard, *, began: float) -> Heard:
    """A statement that began then was given no answer.

    It may have waited for others, or on a connection that is dead: it says nothing of the time in which others were answered.
    """
    since = max(began, heard.answered_at)
    earliest = since if heard.silent_since is None else min(heard.silent_since, since)
    return dataclasses.replace(heard, silent_since=earliest)


def gives_up(heard: Heard, *, now: float, stopping: bool, patience: float) -> bool:
    """Whether the server has had its time: the process stops, and it was silent for ``patience`` seconds."""
    return stopping and heard.silent_since is not None and now - heard.silent_since >= patience
