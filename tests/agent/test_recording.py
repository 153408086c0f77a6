"""Events on their way to a router: in order, each once, bounded, tried again while it is away."""

import asyncio
import contextlib
import gc
import types
import weakref

import pytest

from browserpool.agent.recording import outbox, records, script
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


async def test_the_session_goes_on_in_another_chromium_while_the_rest_of_the_first_is_sent(background):
    under_way, arrived = [], []

    async def send(part):
        under_way.append(answer := asyncio.get_running_loop().create_future())
        await answer
        arrived.extend(told.event for told in part.events)
        return True

    async def turns():
        for _ in range(100):
            await asyncio.sleep(0)

    box = outbox.Outbox(send)
    box.put("T", "one")
    background.spawn(box.finish(), name="finish the first")
    await waiting.until(lambda: under_way)
    box.put("T", "two")
    task = background.spawn(box.run(), name="send")
    with contextlib.suppress(TimeoutError):
        await waiting.until(lambda: len(under_way) > 1, deadline=0.3)  # not if it waits for the other, as it should
    for answer in reversed(list(under_way)):
        answer.set_result(None)
        await turns()
    await waiting.until(lambda: not under_way[-1].done())
    await stopped(task)
    last = background.spawn(box.finish(), name="finish")
    while not last.done():
        await turns()
        under_way[-1].done() or under_way[-1].set_result(None)
    assert arrived.count("two") == 1


class Connection:
    """Of a Chromium whose pages say nothing."""

    def subscribe(self, _event, _handler):
        return lambda: None

    async def call(self, *_arguments, **_more):
        return {}


class Child:
    """A Chromium, as far as its recordings are concerned."""

    def __init__(self):
        self.browser = types.SimpleNamespace(connection=Connection())
        self.gone = asyncio.get_running_loop().create_future()


@pytest.mark.parametrize("over_before", [True, False])
async def test_a_chromium_that_is_gone_is_let_go(monkeypatch, over_before):
    """Also where its recording was over before it."""
    wanted = types.SimpleNamespace(router_url="http://router", headers={}, browser_id="b")
    token = types.SimpleNamespace(session_id="s", terms=types.SimpleNamespace(recording=True))
    sent = asyncio.Event()

    async def send(_records, _session_id, part):
        if part.final or over_before:
            sent.set()
        return not over_before

    monkeypatch.setattr(records.Records, "_sent", send)
    async with records.Records(http=None, wanted=wanted) as made:
        child = Child()
        gone, known = child.gone, weakref.ref(child)
        await made.ensure(token, child)
        if over_before:
            made._outboxes["s"].put("T", "event")
            await asyncio.wait_for(sent.wait(), 10)
            for _ in range(100):  # all that follows from it has happened
                await asyncio.sleep(0)
        gone.set_result(None)
        del child

        def is_let_go():
            gc.collect()
            return known() is None

        await waiting.until(is_let_go, deadline=10)
        assert sent.is_set()


def test_the_script_is_the_recorder_with_its_license():
    assert "rrwebRecord" in script.source()
    assert script.source().count("maskAllInputs: true") == 1
    folder = script.importlib.resources.files("browserpool.agent.recording").joinpath("vendor")
    assert "MIT License" in folder.joinpath("LICENSE").read_text()
    assert f"`@rrweb/record` {script.VERSION} " in folder.joinpath("README.md").read_text()
