"""``python -m bench [MODULE …]``: run the benchmarks, print a table, keep the figures in ``.browserpool/bench.json``."""

import dataclasses
import importlib
import json
import os
import pathlib
import platform
import sys

from rich import console, progress, table

from browserpool.lib import clock

MODULES = ("sql_claims", "sql_heartbeats", "failover", "outage", "startup", "quick_actions", "sharing", "cdp_sessions")
ON_DEMAND = ("on_a_cluster", "scale")
"""Those that run only when they are named."""
KEPT = pathlib.Path(".browserpool/bench.json")


def machine():
    """What the figures were measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(memory, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def drawn(figures):
    made = table.Table(title="browserpool: measured", title_justify="left")
    for name, justify in (
        ("what", "left"),
        ("value", "right"),
        ("unit", "left"),
        ("× floor", "right"),
        ("to reach", "right"),
    ):
        made.add_column(name, justify=justify, overflow="fold")
    for figure in figures:
        ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
        value = f"{figure.value:,.0f}" if figure.value >= 1000 else f"{figure.value:.3g}"
        made.add_row(figure.name, value, figure.unit, ratio, figure.target or "")
    return made


def main(wanted):
    screen = console.Console()
    known = MODULES + ON_DEMAND
    unknown = sorted(set(wanted) - set(known))
    if unknown:
        sys.exit(f"No benchmark is called {', '.join(unknown)}; there are {', '.join(known)}.")
    found = []
    with progress.Progress(
        *progress.Progress.get_default_columns(), progress.MofNCompleteColumn(), console=screen
    ) as bars:
        for name in wanted or MODULES:
            module = importlib.import_module(f"bench.{name}")
            found += module.run(lambda steps, what: bars.track(steps, description=what))
    screen.print(drawn(found))
    KEPT.parent.mkdir(exist_ok=True)
    now = clock.wall().isoformat(timespec="seconds")
    kept = {"measured_at": now, "machine": machine(), "figures": [dataclasses.asdict(figure) for figure in found]}
    KEPT.write_text(json.dumps(kept, indent=2) + "\n")
    screen.print(f"kept in {KEPT}")


if __name__ == "__main__":
    main(sys.argv[1:])
