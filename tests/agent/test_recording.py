"""Events on their way to a router: in order, each once, bounded, tried again while it is away."""

import asyncio

import pytest

from browserpool.agent.recording import outbox, script
from browserpool.lib import tasks
from browserpool.model import errors
from support import waiting


class Router:
    """Keeps parts as the real one does: a number that comes again is kept once. ``away``: so many times it does not answer."""

    def __init__(self):
        self.parts = {}
        self.away = 0
        self.more = True
        self.gate = asyncio.Event()
        self.gate.set()

    async def send(self, part):
        if self.away:
            self.away -= 1
            raise errors.Unavailable("away")
        self.parts.setdefault(part.number, part)
        await self.gate.wait()
        return self.more

    @property
    def events(self):
        return [told.event for _, part in sorted(self.parts.items()) for told in part.events]


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    monkeypatch.setattr(outbox, "EVERY", 0.01)


@pytest.fixture
async def background():
    async with tasks.Background(grace=0) as made:
        yield made


async def stopped(task):
    task.cancel()
    await asyncio.wait({task})


async def test_all_that_was_told_arrives_once_and_in_order(monkeypatch, background):
    monkeypatch.setattr(outbox, "LARGEST", 30)
    router = Router()
    box = outbox.Outbox(router.send)
    task = background.spawn(box.run(), name="send")
    told = [f"event {number}" for number in range(40)]
    for event in told[:30]:
        box.put("T", event)
    await waiting.until(lambda: router.events == told[:30])
    for event in told[30:]:
        box.put("T", event)
    await stopped(task)
    await box.finish()
    assert router.events == told
    assert all(sum(len(one.event) for one in part.events) <= 30 for part in router.parts.values())
    assert [part.final for _, part in sorted(router.parts.items())] == [False] * (len(router.parts) - 1) + [True]


async def test_a_part_whose_answer_was_lost_goes_again_as_it_was(background):
    router = Router()
    box = outbox.Outbox(router.send)
    task = background.spawn(box.run(), name="send")
    box.put("T", "first")
    router.gate.clear()
    await waiting.until(lambda: router.parts)
    box.put("T", "second")
    await stopped(task)
    router.gate.set()
    await box.finish()
    assert router.events == ["first", "second"]


async def test_a_router_that_is_away_is_asked_again():
    router = Router()
    router.away = 2
    box = outbox.Outbox(router.send)
    box.put("T", "event")
    await box.finish()
    assert (router.events, box.over) == (["event"], False)


async def test_a_router_that_stays_away_loses_the_recording_and_nothing_else(monkeypatch):
    monkeypatch.setattr(outbox, "PATIENCE", 0.0)
    router = Router()
    router.away = 10
    box = outbox.Outbox(router.send)
    box.put("T", "event")
    await box.finish()
    box.put("T", "another")
    assert (router.events, box.over, box._waiting) == ([], True, [])


async def test_a_router_that_has_had_enough_gets_no_more(background):
    router = Router()
    router.more = False
    box = outbox.Outbox(router.send)
    task = background.spawn(box.run(), name="send")
    box.put("T", "event")
    await asyncio.wait_for(task, 5)
    box.put("T", "another")
    await box.finish()
    assert router.events == ["event"]


async def test_what_waits_and_how_long_is_bounded(monkeypatch):
    monkeypatch.setattr(outbox, "PENDING", 10)
    now = 0.0
    box = outbox.Outbox(Router().send, monotonic=lambda: now)
    box.put("T", "x" * 8)
    assert not box.over
    box.put("T", "x" * 8)
    assert (box.over, box._waiting) == (True, [])
    box = outbox.Outbox(Router().send, monotonic=lambda: now)
    now = outbox.LONGEST + 1
    box.put("T", "x")
    assert box.over


def test_the_script_is_the_recorder_with_its_license():
    assert "rrwebRecord" in script.source()
    assert script.source().count("maskAllInputs: true") == 1
    folder = script.importlib.resources.files("browserpool.agent.recording").joinpath("vendor")
    assert "MIT License" in folder.joinpath("LICENSE").read_text()
    assert f"`@rrweb/record` {script.VERSION} " in folder.joinpath("README.md").read_text()
