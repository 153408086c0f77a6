"""A replica's webhooks as its settings make them: both paths, with the store, without it, and before it."""

import base64
import json
import pathlib
import ssl

import aiohttp
import pytest

from browserpool.controller import kube, settings
from browserpool.controller.desired import labels
from browserpool.controller.webhooks import wiring
from browserpool.store import databases
from support import apiserver, waiting
from support import fleet as fleets

PEM = pathlib.Path(waiting.__file__).with_name("webhooks_1.pem")
POD = {"metadata": {"name": "client", "labels": {"browserpool.dev/inject": "true"}}, "spec": {"containers": []}}


def config(**more):
    return settings.ControllerSettings(
        dsn="unused",
        signing_key="a signing key of tests",
        namespace=apiserver.NAMESPACE,
        identity="controller-0",
        router_url="http://router:8080",
        browser_image="browser:1",
        host="127.0.0.1",
        webhook_cert=str(PEM),
        webhook_key=str(PEM),
        sidecar_image="router:1",
        **more,
    )


async def ask(port, path, *, name="", **object_):
    request = {"uid": "u1", "namespace": apiserver.NAMESPACE, "name": name, "operation": "CREATE", "object": object_}
    trusted = ssl.create_default_context(cadata=PEM.read_text().partition("-----END PRIVATE KEY-----")[2])
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"https://127.0.0.1:{port}{path}", json={"request": request}, ssl=trusted) as answer,
    ):
        return (await answer.json())["response"]


def added(response):
    container = json.loads(base64.b64decode(response["patch"]))[0]["value"][0]
    return container["image"], {entry["name"]: entry.get("value") for entry in container["env"]}[
        "BROWSERPOOL_ROUTER_URL"
    ]


@pytest.mark.parametrize(
    ("more", "router"),
    [({}, "http://router:8080"), ({"sidecar_router_url": "http://near:8080"}, "http://near:8080")],
)
async def test_injection_needs_no_store(client, more, router):
    async with wiring.serving(config(webhook_port=0, **more), client=client, stores=lambda: None) as port:
        assert added(await ask(port, "/inject", **POD)) == ("router:1", router)


async def test_evictions_are_held_up_by_claims(client, database):
    fleet = fleets.Fleet(database)
    await fleet.ready()
    await fleet.claim("s")
    await fleet.ready(1)
    async with wiring.serving(
        config(webhook_port=0), client=client, stores=lambda: databases.Databases(database)
    ) as port:
        assert (await ask(port, "/evict", name="default-eu-0"))["status"]["code"] == 429
        assert (await ask(port, "/evict", name="default-eu-1"))["allowed"]


async def test_before_the_store_is_there_labels_tell_browsers_from_the_rest(client, server):
    server.put(kube.PODS, {"metadata": {"name": "default-eu-0", "labels": dict(labels.OURS)}})
    server.put(kube.PODS, {"metadata": {"name": "database-0"}})
    async with wiring.serving(config(webhook_port=0), client=client, stores=lambda: None) as port:
        assert not (await ask(port, "/evict", name="default-eu-0"))["allowed"]
        assert (await ask(port, "/evict", name="database-0"))["allowed"]
        assert (await ask(port, "/evict", name="nobody"))["allowed"]


async def test_without_a_port_there_are_none(client):
    async with wiring.serving(config(), client=client, stores=lambda: None) as port:
        assert port is None
