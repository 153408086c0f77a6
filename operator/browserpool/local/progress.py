"""What a person sees while ``up`` runs: a bar while the pool warms where there is a terminal, plain lines where there is none.

The two lines that scripts wait for (``ready: …`` and ``token: …``) go to standard output, all the rest to standard error.
"""

import pathlib
import sys

from rich import console, progress

from browserpool.controller.desired import status


class Screen:
    """``say`` prints one line; ``warm`` shows how far the pools are."""

    def __init__(self) -> None:
        self._console = console.Console(stderr=True, highlight=False)
        self._bar: progress.Progress | None = None
        self._task = progress.TaskID(0)
        self._last = ""

    def say(self, text: str) -> None:
        """One line (or several) for a person."""
        self._console.print(text, markup=False, soft_wrap=True)

    def start(self) -> None:
        """Show the bar from now on, if there is a terminal."""
        if not self._console.is_terminal:
            return
        self._bar = progress.Progress(
            progress.SpinnerColumn(),
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        self._bar.start()
        self._task = self._bar.add_task("", total=None)

    def finish(self) -> None:
        """Take the bar away; may be called again."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def step(self, text: str) -> None:
        """What is being done now."""
        if self._bar is not None:
            self._bar.update(self._task, description=text)
        else:
            self._line(text)

    def warm(self, statuses: list[status.PoolStatus]) -> None:
        """How many browsers are ready, of how many."""
        regions = [region for one in statuses for region in one.regions]
        ready, wanted = sum(min(r.ready, r.wanted) for r in regions), sum(r.wanted for r in regions)
        held = sum(region.held for region in regions)
        text = "warming browsers" + (f" ({held} ended at once)" if held else "")
        if self._bar is not None:
            self._bar.update(self._task, description=text, total=wanted, completed=ready)
        else:
            self._line(f"{text}: {ready} of {wanted} ready")

    def _line(self, text: str) -> None:
        if text != self._last:
            self._last = text
            self.say(text)

    def ready(self, *, url: str, token: pathlib.Path) -> None:
        """The two lines that scripts wait for, instead of the bar."""
        self.finish()
        sys.stdout.write(f"ready: {url}\ntoken: {token}\n")
        sys.stdout.flush()
