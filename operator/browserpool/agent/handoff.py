"""A browser's pages in human hands: a script asks for a person, the person says how it went, the script hears of it.

The state is the browser's own: it is gone with its Chromium, as the pages are. Pure but for the timer that ends a handoff in time.
"""

import asyncio
import dataclasses
from collections.abc import Callable
from typing import Any, Final

from browserpool.lib import chance, clock

LONGEST_MS: Final = 1_800_000
MOST_INSTRUCTIONS: Final = 4096
MOST_REASON: Final = 1024
MOST: Final = 100
"""At one time; each is of another page."""
TIMED_OUT: Final = "The handoff timed out."


class Refused(Exception):
    """The command cannot be done; the message is for whoever sent it."""


@dataclasses.dataclass(slots=True, kw_only=True)
class _Handoff:
    target_id: str
    handoff_id: str
    instructions: str | None
    timeout: int | None
    began: float
    timer: asyncio.TimerHandle | None = None


Complete = Callable[[str, dict[str, Any]], None]
"""Called with the target and the event's params when a handoff is over."""


class Handoffs:
    """The handoffs of one Chromium, by target. ``listeners`` hear of each end."""

    def __init__(self, *, monotonic: clock.Monotonic = clock.monotonic) -> None:
        self._monotonic = monotonic
        self._open: dict[str, _Handoff] = {}
        self.listeners: set[Complete] = set()

    def begin(self, target_id: str, params: dict[str, Any]) -> dict[str, Any]:
        """``Cloudflare.handoff``; raises ``Refused``."""
        instructions = _text(params, "instructions", most=MOST_INSTRUCTIONS)
        timeout = params.get("timeout")
        if timeout is not None and (
            isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout <= LONGEST_MS
        ):
            raise Refused(f"timeout must be milliseconds, {LONGEST_MS} at most.")
        if target_id in self._open:
            raise Refused(f"Page {target_id} is handed over already: {self._open[target_id].handoff_id}.")
        if len(self._open) >= MOST:
            raise Refused(f"{MOST} pages are handed over already.")
        handoff = _Handoff(
            target_id=target_id,
            handoff_id=chance.unique_id(),
            instructions=instructions,
            timeout=None if timeout is None else round(timeout),
            began=self._monotonic(),
        )
        if handoff.timeout is not None:
            loop = asyncio.get_running_loop()
            handoff.timer = loop.call_later(handoff.timeout / 1000, self._late, handoff)
        self._open[target_id] = handoff
        return {"targetId": target_id, "handoffId": handoff.handoff_id}

    def complete(self, target_id: str, params: dict[str, Any]) -> dict[str, Any]:
        """``Cloudflare.handoffComplete``; raises ``Refused``."""
        success, reason = params.get("success", True), _text(params, "reason", most=MOST_REASON)
        if not isinstance(success, bool):
            raise Refused("success must be true or false.")
        handoff = self._open.get(target_id)
        if handoff is None:
            raise Refused(f"Page {target_id} is not handed over.")
        return self._end(handoff, success=success, reason=reason)

    def state(self, target_id: str) -> dict[str, Any]:
        """``Cloudflare.getHandoffState``."""
        handoff = self._open.get(target_id)
        if handoff is None:
            return {"active": False}
        said = {
            "active": True,
            "handoffId": handoff.handoff_id,
            "instructions": handoff.instructions,
            "timeout": handoff.timeout,
            "durationMs": round((self._monotonic() - handoff.began) * 1000),
        }
        return {name: value for name, value in said.items() if value is not None}

    def close(self) -> None:
        """Forget all of them; nobody is told, because nobody is left."""
        for handoff in self._open.values():
            if handoff.timer is not None:
                handoff.timer.cancel()
        self._open.clear()

    def _late(self, handoff: _Handoff) -> None:
        self._end(handoff, success=False, reason=TIMED_OUT)

    def _end(self, handoff: _Handoff, *, success: bool, reason: str | None) -> dict[str, Any]:
        self._open.pop(handoff.target_id, None)
        if handoff.timer is not None:
            handoff.timer.cancel()
        said = {
            "targetId": handoff.target_id,
            "handoffId": handoff.handoff_id,
            "instructions": handoff.instructions,
            "success": success,
            "reason": reason,
        }
        event = {name: value for name, value in said.items() if value is not None}
        for listener in tuple(self.listeners):
            listener(handoff.target_id, event)
        return event


def _text(params: dict[str, Any], name: str, *, most: int) -> str | None:
    value = params.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > most:
        raise Refused(f"{name} must be a text of {most} characters at most.")
    return value
