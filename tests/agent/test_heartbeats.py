"""The router's client against a router's endpoints: when it speaks, and what it does when nobody listens."""

import contextlib
import dataclasses

import pytest

from browserpool.agent import heartbeats
from browserpool.lib import tasks
from browserpool.model.heartbeats import Hello
from browserpool.model.names import Fence
from support import agents, waiting

HOUR = 3600.0
HELLO = Hello(browser_id=agents.BROWSER, address="127.0.0.1:1", chromium="Chrome/1")
VITALS = heartbeats.Vitals(load=0, uses=0, restarts=0, memory_bytes=0)


class State:
    """What the heart tells."""

    def __init__(self):
        self.healthy = True
        self.fence = 5

    def urgent(self):
        return heartbeats.Urgent(healthy=self.healthy, clean_fence=Fence(self.fence))


@contextlib.asynccontextmanager
async def beating(router, state, *, interval=HOUR, token=agents.AGENT_TOKEN):
    heard = []
    async with tasks.Background(grace=0) as background:
        client = heartbeats.Router(url=router.url, headers={"Authorization": f"Bearer {token}"})
        heart = heartbeats.Heart(
            router=client,
            browser_id=agents.BROWSER,
            urgent=state.urgent,
            vitals=lambda: VITALS,
            heard=heard.append,
            interval=interval,
        )
        task = background.spawn(heart.beat(incarnation=3), name="heart")
        await waiting.until(lambda: router.heartbeats or task.done())
        try:
            yield heart, task, heard
        finally:
            task.cancel()
            client.close()


async def test_a_change_is_told_at_once_and_nothing_else_is(router):
    state = State()
    async with beating(router, state) as (heart, _, heard):
        await waiting.until(lambda: heard)
        heart.changed()
        state.healthy = False
        heart.changed()
        await waiting.until(lambda: len(heard) == 2)
        state.fence = 6
        heart.changed()
        await waiting.until(lambda: len(heard) == 3)
        told = [(beat["sequence"], beat["healthy"], beat["clean_fence"]) for beat in router.heartbeats]
        assert told == [(1, True, 5), (2, False, 5), (3, False, 6)]


async def test_a_change_that_could_not_be_told_is_told_soon(router):
    state = State()
    async with beating(router, state) as (heart, _, heard):
        await waiting.until(lambda: heard)
        router.status = 503
        state.healthy = False
        heart.changed()
        await waiting.until(lambda: router.refused >= 2)
        router.status = 200
        await waiting.until(lambda: len(heard) == 2)
        assert router.newest["healthy"] is False
        assert router.newest["sequence"] > 2


async def test_it_beats_regularly(router):
    async with beating(router, State(), interval=0.02) as (_, _, heard):
        await waiting.until(lambda: len(heard) >= 5)


async def test_forgotten(router):
    router.known = False
    async with beating(router, State()) as (_, task, heard):
        with pytest.raises(heartbeats.Forgotten):
            await task
        assert heard == []


@pytest.mark.parametrize("status", [404, 500, 503])
async def test_hello_is_said_until_somebody_answers(router, status):
    router.status = status
    async with tasks.Background(grace=0) as background:
        client = heartbeats.Router(url=router.url + "/", headers={"Authorization": f"Bearer {agents.AGENT_TOKEN}"})
        heart = heartbeats.Heart(
            router=client,
            browser_id=agents.BROWSER,
            urgent=State().urgent,
            vitals=lambda: VITALS,
            heard=lambda _: None,
            interval=0.1,
        )
        task = background.spawn(heart.hello(HELLO), name="hello")
        await waiting.until(lambda: router.refused >= 2)
        router.status = 200
        welcome = await task
        assert welcome.incarnation == router.incarnation
        assert router.hellos == [dataclasses.asdict(HELLO)]
        client.close()


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://nowhere.invalid"])
async def test_a_router_that_cannot_be_reached(url):
    with pytest.raises(heartbeats.Failed, match="cannot be reached"):
        await heartbeats.Router(url=url, headers={}).hello(HELLO)
