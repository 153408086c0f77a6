"""Controllers of the tests' own: at an API server in this process, with kubelets and agents that do what the test says."""

import contextlib
import dataclasses
import json
import pathlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import psycopg
import psycopg.conninfo

from browserpool.controller import app, kube, settings
from browserpool.controller.desired import labels
from browserpool.model.browsers import Browser
from browserpool.model.heartbeats import Hello
from browserpool.model.names import BrowserId
from browserpool.model.states import BrowserState
from browserpool.store import browsers, connect
from support import apiserver, fleet
from support.waiting import until

SIGNING_KEY = "a signing key of the tests"
IMAGE = "registry.example/browser:1"


def pool(name: str = "shop", *, regions: tuple[str, ...] = ("eu",), **spec: Any) -> dict[str, Any]:
    """A BrowserPool as somebody applies it."""
    return {
        "apiVersion": "browserpool.dev/v1alpha1",
        "kind": "BrowserPool",
        "metadata": {"name": name},
        "spec": {"replicas": 2, "regions": [{"name": region} for region in regions], **spec},
    }


def node(name: str, *, region: str = "eu", zone: str = "eu-a", **spec: Any) -> dict[str, Any]:
    """A node that is well."""
    marks = {labels.NODE_REGION: region, labels.NODE_ZONE: zone}
    return {
        "metadata": {"name": name, "labels": marks},
        "spec": spec,
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }


def kubeconfig(site: apiserver.Site, folder: pathlib.Path) -> str:
    """The path of a kubeconfig that leads to ``site``."""
    path = folder / f"kubeconfig-{site.port}"
    named = {"name": "tests"}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{**named, "cluster": {"server": f"http://127.0.0.1:{site.port}"}}],
        "users": [{**named, "user": {"token": "a token"}}],
        "contexts": [{**named, "context": {"cluster": "tests", "user": "tests"}}],
        "current-context": "tests",
    }
    path.write_text(json.dumps(content))
    return str(path)


class Cluster:
    """The API server, the store, and what runs on the nodes."""

    def __init__(
        self, server: apiserver.ApiServer, site: apiserver.Site, db: connect.Database, *, dsn: str, folder: pathlib.Path
    ) -> None:
        self.server = server
        self.site = site
        self.db = db
        self.fleet = fleet.Fleet(db)
        self.regional: dict[str, connect.Database] = {}
        """Regions' databases, by their names."""
        self._dsn = dsn
        self._folder = folder
        server.put(kube.NODES, node("n1"))

    def settings(self, identity: str, **more: Any) -> settings.ControllerSettings:
        """Of one replica; quick where that decides nothing."""
        given = {
            "dsn": self._dsn,
            "signing_key": SIGNING_KEY,
            "namespace": apiserver.NAMESPACE,
            "identity": identity,
            "kubeconfig": kubeconfig(self.site, self._folder),
            "router_url": "http://router:8080",
            "browser_image": IMAGE,
            "host": "127.0.0.1",
            "ops_port": 0,
            "lease_duration": 60.0,
            "renew_deadline": 40.0,
            "retry_period": 0.2,
            "resync": 0.1,
        }
        return settings.ControllerSettings(**(given | more))

    @contextlib.asynccontextmanager
    async def controller(self, identity: str = "one", **more: Any) -> AsyncIterator[app.Controller]:
        """A replica, while the block runs."""
        async with app.running(self.settings(identity, **more)) as replica:
            yield replica

    # ------------------------------------------------------------ what is there
    def pods(self) -> list[str]:
        """The names of the pods, in order of their numbers."""
        return sorted(
            self.server.raw(kube.PODS), key=lambda name: (name.rpartition("-")[0], int(name.rpartition("-")[2]))
        )

    async def states(self) -> dict[str, str]:
        """Each browser's state in the store; those gone are left out."""
        return await states_in(self.db)

    def status(self, name: str = "shop") -> dict[str, Any]:
        """The pool's status."""
        return dict(self.server.raw(kube.POOLS)[name].get("status") or {})

    def condition(self, kind: str, name: str = "shop") -> dict[str, Any]:
        """One of its conditions; empty: not said yet."""
        return next((one for one in self.status(name).get("conditions", ()) if one["type"] == kind), {})

    def events(self, reason: str) -> list[str]:
        """The messages of the Events with this reason."""
        return [one["message"] for one in self.server.raw(kube.EVENTS).values() if one["reason"] == reason]

    # ------------------------------------------------------------ what happens on nodes
    async def run(self, name: str, *, on: str = "n1") -> fleet.Agent:
        """The pod is bound to a node, its container runs, its agent is clean and says so."""
        running = {
            "phase": "Running",
            "containerStatuses": [{"name": "browser", "restartCount": 0, "state": {"running": {}}}],
        }
        self.server.change(kube.PODS, name, {"spec": {"nodeName": on}, "status": running})
        return await self.greet(name)

    async def greet(self, name: str) -> fleet.Agent:
        """Its agent starts, and is clean."""
        word = Hello(browser_id=BrowserId(name), address=f"{name}:8082", chromium="Chrome/1")
        db = self.database_of(name)
        welcome = await browsers.hello(db, word)
        assert welcome is not None
        agent = self.fleet.agents[BrowserId(name)] = fleet.Agent(db, BrowserId(name), welcome)
        await agent.beat()
        return agent

    def database_of(self, name: str) -> connect.Database:
        """The one that the pod's agent is told to speak to."""
        # A pod that somebody else has put there under the name is told nothing.
        containers = self.server.raw(kube.PODS)[name]["spec"].get("containers", [])
        told = {one["name"]: one.get("value") for container in containers for one in container["env"]}
        named = told.get("BROWSERPOOL_DATABASE")
        return self.regional[named] if named else self.db

    async def run_all(self, number: int, *, on: str = "n1") -> list[str]:
        """Wait until there are ``number`` pods, and run those that do not yet."""
        await until(lambda: len(self.pods()) == number)
        for name in self.pods():
            if name not in self.fleet.agents:
                await self.run(name, on=on)
        return self.pods()


async def states_in(db: connect.Database) -> dict[str, str]:
    """Each browser's state in this database; those gone are left out."""
    return {row.browser_id: str(row.state) for row in await browsers.listing(db) if row.state != "gone"}


def with_state(row: Browser, state: BrowserState) -> Browser:
    """The row, as if it were in that state."""
    return dataclasses.replace(row, state=state)


@contextlib.contextmanager
def locked_out(dsn: str) -> Iterator[None]:
    """Nobody else can connect to the database while the block runs, and who was is thrown out."""
    name = psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]
    server = psycopg.conninfo.make_conninfo(dsn, dbname="postgres")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"alter database {name} allow_connections false".encode())
        connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [name])
    try:
        yield
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"alter database {name} allow_connections true".encode())
