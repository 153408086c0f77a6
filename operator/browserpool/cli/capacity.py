"""`bench` and `plan`."""

from typing import Annotated

import typer

from browserpool.cli import options

app = typer.Typer()


@app.command()
def bench(data: options.Data = options.HERE) -> None:
    """Measure what heartbeats and sessions cost on this machine (half a minute), for `plan`."""
    from rich import console

    from browserpool.local import measuring, planning

    screen = console.Console(stderr=True, highlight=False)
    with screen.status("measuring") as shown:
        costs = options.run(measuring.measured(say=shown.update))
    planning.keep(data / measuring.KEPT, costs)
    planning.printed(planning.costs_table(costs))


@app.command()
def plan(
    browsers: Annotated[int, typer.Option("--browsers", help="Of all regions together.", min=1)],
    regions: Annotated[int, typer.Option("--regions", help="Among which they are spread evenly.", min=1)] = 1,
    interval: Annotated[float, typer.Option("--interval", help="Seconds between two heartbeats.", min=0.1)] = 5.0,
    session: Annotated[float, typer.Option("--session", help="Seconds that a browser is held.", min=0.01)] = 10.0,
    busy: Annotated[float, typer.Option("--busy", help="Share of browsers that are held.", min=0.0, max=1.0)] = 0.5,
    browser_memory: Annotated[
        float, typer.Option("--browser-memory", help="GiB that a browser asks for.", min=0.01)
    ] = 0.5,
    browser_cores: Annotated[float, typer.Option("--browser-cores", help="Cores that it asks for.", min=0.001)] = 0.1,
    node_memory: Annotated[float, typer.Option("--node-memory", help="GiB that a node can give.", min=0.1)] = 60.0,
    node_cores: Annotated[float, typer.Option("--node-cores", help="Cores that it can give.", min=0.1)] = 15.0,
    pods_per_node: Annotated[int, typer.Option("--pods-per-node", help="Pods that it can run.", min=1)] = 110,
    routers: Annotated[
        int | None, typer.Option("--routers", help="Of each region; default: as many as it takes.", min=1)
    ] = None,
    load: Annotated[float, typer.Option("--load", help="How busy processors may be.", min=0.01, max=1.0)] = 0.5,
    data: options.Data = options.HERE,
) -> None:
    """Say how many nodes, routers, rows a second, database cores, WAL and disk so many browsers take, from what `bench` measured."""
    from browserpool.local import measuring, planning
    from browserpool.model import capacity

    wish = capacity.Wish(
        browsers=browsers,
        regions=regions,
        heartbeat_interval=interval,
        session_seconds=session,
        busy=busy,
        browser_memory=browser_memory * capacity.GIB,
        browser_cores=browser_cores,
        node_memory=node_memory * capacity.GIB,
        node_cores=node_cores,
        pods_per_node=pods_per_node,
        routers=routers,
        load=load,
    )
    need = capacity.needs(wish, planning.kept(data / measuring.KEPT))
    planning.printed(planning.plan_table(wish, need))
