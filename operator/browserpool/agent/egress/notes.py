"""Recent refusals by host and port. To Chromium each of them is a failed proxy; whoever reports a page's error asks here for its name."""

import dataclasses
from collections import OrderedDict
from typing import Final

from browserpool.lib import clock
from browserpool.model import errors

KEPT: Final = 256
"""Refusals remembered; a page can cause any number."""
FRESH: Final = 60.0
"""Seconds for which a refusal explains an error: as long as a navigation may take."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Note:
    message: str
    code: errors.Code
    at: float


class Notes:
    """The newest ``KEPT`` refusals, each for ``FRESH`` seconds."""

    def __init__(self, *, monotonic: clock.Monotonic = clock.monotonic) -> None:
        self._monotonic = monotonic
        self._notes: OrderedDict[tuple[str, int], _Note] = OrderedDict()

    def __len__(self) -> int:
        return len(self._notes)

    def refused(self, host: str, port: int, *, message: str, code: errors.Code) -> None:
        """Remember why ``host:port`` could not be reached."""
        key = _key(host, port)
        self._notes[key] = _Note(message=message, code=code, at=self._monotonic())
        self._notes.move_to_end(key)
        if len(self._notes) > KEPT:
            self._notes.popitem(last=False)

    def reached(self, host: str, port: int) -> None:
        """Forget: ``host:port`` answers."""
        self._notes.pop(_key(host, port), None)

    def refusal(self, host: str, port: int) -> errors.BrowserpoolError | None:
        """Why a page was lately refused ``host:port``; ``None`` if it was not."""
        note = self._notes.get(_key(host, port))
        if note is None or self._monotonic() - note.at > FRESH:
            return None
        return errors.PageFailed(note.message, code=note.code)


def _key(host: str, port: int) -> tuple[str, int]:
    return host.lower().removeprefix("[").removesuffix("]"), port
