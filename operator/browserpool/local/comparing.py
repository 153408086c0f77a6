"""What `compare` prints: who served a pool's callers, and how well."""

from typing import Any

from rich import console, table

_NUMBERS = ("requests", "failed", "errors", "p50", "p95", "p99")
_WIDE = 120
"""Columns of what goes to a file or a pipe."""


def printed(found: dict[str, Any]) -> None:
    """Print the answer of ``/v1/outcomes``."""
    terminal = console.Console()
    (terminal if terminal.is_terminal else console.Console(width=_WIDE)).print(shown(found))


def shown(found: dict[str, Any]) -> table.Table | str:
    """One line for each action and arm."""
    pool, minutes = found["pool"], found["since"] / 60
    if not found["outcomes"]:
        return f"nobody was served by pool {pool}, or for it, in the last {minutes:g} minutes"
    made = table.Table(
        title=f"pool {pool}, the last {minutes:g} minutes",
        title_justify="left",
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
    for name in ("action", "served by", *_NUMBERS):
        made.add_column(name, justify="right" if name in _NUMBERS else "left", no_wrap=True)
    before = ""
    for line in found["outcomes"]:
        action = line["action"]
        bad = "red" if line["failures"] else "green"
        made.add_row(
            "" if action == before else "all quick actions" if action == "all" else action,
            line["arm"],
            f"{line['requests']:,}",
            f"[{bad}]{line['failures']:,}[/]",
            f"[{bad}]{line['errorRate']:.2%}[/]",
            *(_duration(line[name]) for name in ("p50Ms", "p95Ms", "p99Ms")),
        )
        before = action
    return made


def _duration(milliseconds: float | None) -> str:
    if milliseconds is None:
        return "-"
    return f"{milliseconds:.0f} ms" if milliseconds < 10_000 else f"{milliseconds / 1000:.1f} s"
