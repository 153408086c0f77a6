"""The action's time. ``asyncio.timeout`` ends what takes too long; this says how much there is, so that no call asks for more."""

from browserpool.lib import clock


class Budget:
    """``seconds`` from now on."""

    def __init__(self, *, seconds: float, monotonic: clock.Monotonic = clock.monotonic) -> None:
        self._monotonic = monotonic
        self._started = monotonic()
        self._seconds = seconds

    @property
    def spent(self) -> float:
        """Seconds since the start."""
        return self._monotonic() - self._started

    @property
    def left(self) -> float:
        """Seconds that remain; never below zero."""
        return max(self._seconds - self.spent, 0.0)

    def at_most(self, milliseconds: float, *, most: float) -> float:
        """Seconds for a step that may take ``milliseconds`` (0: ``most`` milliseconds), within what is left."""
        return min((milliseconds or most) / 1000, self.left)
