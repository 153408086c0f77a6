"""A router's status as tables for people."""

from typing import Any

from rich import console, table

_PASSING = ("starting", "recycling", "draining")
_WIDE = 160
"""Columns of what goes to a file or a pipe."""
_COLOURS = {"ready": "green", "claimed": "cyan", "starting": "yellow", "recycling": "yellow", "draining": "magenta"}


def tables(status: dict[str, Any]) -> console.Group:
    """Pools with their regions, browsers, sessions, from the answer of ``/v1/status``."""
    return console.Group(_pools(status), _browsers(status), _sessions(status))


def printed(status: dict[str, Any]) -> None:
    """Print the tables; into a file or a pipe without cutting anything to a terminal's width."""
    terminal = console.Console()
    (terminal if terminal.is_terminal else console.Console(width=_WIDE)).print(tables(status))


def _table(title: str, *columns: str, numbers: tuple[str, ...] = ()) -> table.Table:
    shown = table.Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in columns:
        shown.add_column(name, justify="right" if name in numbers else "left", no_wrap=name == columns[0])
    return shown


def _pools(status: dict[str, Any]) -> table.Table:
    lags = {region["region"]: region for region in status["regions"]}
    numbers = ("ready", "claimed", "most", "queue", "lag")
    shown = _table("pools", "pool", "region", *numbers, "backup", "others", numbers=numbers)
    for pool in status["pools"]:
        for region in pool["regions"]:
            counts = region["states"]
            shown.add_row(
                pool["name"],
                region["name"],
                f"[{_COLOURS['ready']}]{counts.get('ready', 0)}[/] of {region['replicas']}",
                f"[{_COLOURS['claimed']}]{counts.get('claimed', 0)}[/]",
                str(region["max_replicas"]),
                str(pool["queue"]),
                _lag(lags.get(region["name"])),
                region["backup"] or "-",
                ", ".join(f"{counts[state]} {state}" for state in _PASSING if counts.get(state)) or "-",
            )
    return shown


def _lag(region: dict[str, Any] | None) -> str:
    if region is None or not region["writers"]:
        return "-"
    return f"{region['lag']:.1f} s" + (" stale" if region["stale"] else "")


def _browsers(status: dict[str, Any]) -> table.Table:
    numbers = ("for", "heard", "uses", "restarts", "memory")
    shown = _table("\nbrowsers", "browser", "node", "state", *numbers, numbers=numbers)
    for browser in status["browsers"]:
        state = browser["state"]
        note = " unwell" if state == "ready" and not browser["healthy"] else ""
        note += " to drain" if browser["drain_requested"] and state == "claimed" else ""
        shown.add_row(
            browser["browser_id"],
            browser["node"],
            f"[{_COLOURS.get(state, 'white')}]{state}[/]{note}",
            duration(browser["state_age"]),
            duration(browser["last_seen_age"]),
            str(browser["uses"]),
            str(browser["restarts"]),
            f"{browser['memory_bytes'] / 2**20:.0f} MB",
        )
    return shown


def _sessions(status: dict[str, Any]) -> table.Table | str:
    if not status["sessions"]:
        return "\nno sessions"
    shown = _table("\nsessions", "session", "kind", "browser", "token", "since", "until")
    for session in status["sessions"]:
        shown.add_row(
            session["session_id"],
            session["kind"],
            session["browser_id"],
            session["token"] or "-",
            session["started_at"][11:19],
            session["expires_at"][11:19],
        )
    return shown


def duration(seconds: float | None) -> str:
    """An age in its two largest units: ``3m12s``; never: ``-``."""
    if seconds is None:
        return "-"
    whole = int(seconds)
    if whole < 60:
        return f"{seconds:.1f}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02}m"
