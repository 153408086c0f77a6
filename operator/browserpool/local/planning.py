"""``browserpool plan``: what was measured on this machine, and what follows from it, as a table for people."""

import dataclasses
import json
import pathlib

from rich import console, table

from browserpool.local import problems
from browserpool.model import capacity

_MIB = 2**20


def keep(path: pathlib.Path, costs: capacity.Costs) -> None:
    """Write the costs down for ``kept``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dataclasses.asdict(costs), indent=2) + "\n", encoding="utf-8")


def kept(path: pathlib.Path) -> capacity.Costs:
    """The costs that were measured.

    Raises:
        problems.Problem: there are none, or they cannot be read.
    """
    try:
        return capacity.read(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise problems.Problem(
            f"Nothing was measured on this machine yet ({path} is missing): run `browserpool bench`."
        ) from None
    except (ValueError, AttributeError, TypeError) as error:
        raise problems.Problem(f"{path} cannot be read ({error}): run `browserpool bench` again.") from None


def costs_table(costs: capacity.Costs) -> table.Table:
    """What one of each thing costs."""
    shown = table.Table(title="measured on this machine", title_justify="left")
    for name in ("what", "database CPU", "router CPU", "WAL", "disk"):
        shown.add_column(name, justify="left" if name == "what" else "right")
    shown.add_row(
        "a heartbeat, in a batch of 100",
        _micros(costs.row_cpu + costs.batch_cpu / capacity.MAX_BATCH),
        _micros(costs.router_heartbeat_cpu),
        _bytes(costs.row_wal + costs.batch_wal / capacity.MAX_BATCH),
        "",
    )
    shown.add_row(
        "a heartbeat, alone in its batch",
        _micros(costs.row_cpu + costs.batch_cpu),
        "",
        _bytes(costs.row_wal + costs.batch_wal),
        "",
    )
    shown.add_row(
        "a session: claim, release, history",
        _micros(costs.session_cpu),
        _micros(costs.router_session_cpu),
        _bytes(costs.session_wal),
        _bytes(costs.history_row),
    )
    shown.add_row("a browser", "", "", "", _bytes(costs.browser_row))
    return shown


def plan_table(wish: capacity.Wish, need: capacity.Need) -> table.Table:
    """What it takes, for a region and for all of them."""
    regions = wish.regions
    shown = table.Table(
        title=f"{wish.browsers:,} browsers in {regions} region{'s' if regions > 1 else ''}", title_justify="left"
    )
    shown.add_column("what")
    shown.add_column("each region", justify="right")
    shown.add_column("all", justify="right")
    shown.add_column("how it comes about", overflow="fold")
    rows: list[tuple[str, float, str]] = [
        ("browsers", need.browsers, ""),
        ("nodes", need.nodes, f"{need.browsers_per_node} browsers each; {need.bound_by} run out first"),
        ("heartbeats/s", need.heartbeats_per_second, f"one every {wish.heartbeat_interval:g} s"),
        ("batches/s", need.batches_per_second, f"{need.rows_per_batch:.3g} rows each"),
        (
            "sessions/s",
            need.sessions_per_second,
            f"{wish.busy:.0%} of the browsers are held, for {wish.session_seconds:g} s each",
        ),
        (
            "routers",
            need.routers,
            f"{need.router_load:.0%} of a core each for heartbeats and claims; what they carry comes on top",
        ),
        ("connections to Postgres", need.connections, "through a transaction pooler" if need.wants_pooler else ""),
        ("database cores", need.database_cores, f"{wish.load:.0%} busy"),
    ]
    for name, each, how in rows:
        shown.add_row(name, _number(each), _number(each * regions), how)
    for name, each, how in (
        ("WAL/s", need.wal_per_second, ""),
        ("WAL in a day", need.wal_per_second * capacity.DAY, "for replicas and archives"),
        ("tables and indexes", need.disk, f"history of sessions kept for {wish.history_days:g} days"),
    ):
        shown.add_row(name, _bytes(each), _bytes(each * regions), how)
    return shown


def printed(*tables: table.Table) -> None:
    """To standard output; a file or a pipe gets whole lines."""
    screen = console.Console()
    (screen if screen.is_terminal else console.Console(width=140)).print(*tables)


def _number(value: float) -> str:
    return f"{value:,.1f}" if value < 100 and value != int(value) else f"{value:,.0f}"


def _micros(seconds: float) -> str:
    return f"{seconds * 1e6:,.0f} µs"


def _bytes(value: float) -> str:
    for unit, size in (("TiB", 2**40), ("GiB", 2**30), ("MiB", _MIB), ("KiB", 2**10)):
        if value >= size:
            return f"{value / size:,.1f} {unit}"
    return f"{value:,.0f} B"
