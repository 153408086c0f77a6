"""The tools: settings, tasks, logs, the web server's bits."""

import asyncio
import contextlib
import dataclasses
import itertools
import logging
import socket
from typing import Annotated

import aiohttp
import orjson
import pydantic
import pytest
from aiohttp import web

from browserpool.lib import listening, logs, plain, settings, tasks
from browserpool.lib import web as lib_web


class Example(pydantic.BaseModel):
    name: str
    port: int = 8080


def test_settings_come_from_prefixed_variables():
    read = settings.from_environment(Example, {"BROWSERPOOL_NAME": "x", "BROWSERPOOL_PORT": "1", "NAME": "other"})
    assert read == Example(name="x", port=1)
    assert settings.from_environment(Example, settings.to_environment(read)) == read


@pytest.mark.parametrize(
    ("environment", "variable"),
    [({}, "BROWSERPOOL_NAME"), ({"BROWSERPOOL_NAME": "x", "BROWSERPOOL_PORT": "many"}, "BROWSERPOOL_PORT")],
)
def test_a_bad_setting_is_named(environment, variable):
    with pytest.raises(settings.SettingsError, match=variable):
        settings.from_environment(Example, environment)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    name: Annotated[str, plain.some]
    url: Annotated[str, plain.address] = "http://localhost"
    port: Annotated[int | None, plain.or_none(plain.whole(0, 65535))] = None
    times: Annotated[int, plain.whole(1)] = 1
    words: Annotated[tuple[str, ...], plain.texts] = ()
    form: Annotated[str, plain.one_of("text", "json")] = "text"
    grace: Annotated[float, plain.seconds(zero=True)] = 0.0
    interval: Annotated[float, plain.seconds(zero=False)] = 1.0
    note: str = ""


def plainly(**variables):
    named = {settings.variable(name): text for name, text in ({"name": "x"} | variables).items()}
    return plain.from_environment(Plain, named)


def test_plain_settings_survive_the_environment():
    whole = Plain(
        name="x", url="https://u", port=0, times=2, words=("a b", "c"), form="json", grace=0.0, interval=0.5, note="n"
    )
    assert plain.from_environment(Plain, {"NAME": "other", **plain.to_environment(whole)}) == whole
    assert plainly(port="", words="[]") == Plain(name="x") == plainly()


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("name", ""),
        ("url", "ftp://u"),
        ("port", "65536"),
        ("port", "-1"),
        ("port", "many"),
        ("times", "0"),
        ("times", "1.5"),
        ("words", "a,b"),
        ("words", "[1]"),
        ("words", '"ab"'),
        ("form", "xml"),
        ("grace", "-1"),
        ("grace", "nan"),
        ("interval", "0"),
        ("interval", "inf"),
        ("interval", "soon"),
    ],
)
def test_a_bad_plain_setting_is_named(field, text):
    with pytest.raises(settings.SettingsError, match=settings.variable(field)):
        plainly(**{field: text})


def test_all_that_is_wrong_with_plain_settings_is_said_at_once():
    with pytest.raises(settings.SettingsError, match=r"(?s)BROWSERPOOL_NAME: is required.*BROWSERPOOL_TIMES"):
        plain.from_environment(Plain, {"BROWSERPOOL_TIMES": "none"})


def test_backoff_grows_to_its_bound():
    assert list(itertools.islice(tasks.backoff(first=1, most=5), 5)) == [1, 2, 4, 5, 5]


async def test_background_work_outlives_its_caller_and_is_finished_on_close():
    done = []

    async def work():
        await asyncio.sleep(0)
        done.append(True)

    async with tasks.Background() as background:
        background.spawn(work(), name="work")
        assert len(background) == 1
    assert done == [True]


async def test_background_work_that_does_not_end_is_cancelled_after_its_grace():
    async with tasks.Background(grace=0.01) as background:
        task = background.spawn(asyncio.Event().wait(), name="endless")
    assert task.cancelled()


def test_the_waits_of_a_stop_share_what_is_left_of_its_budget():
    at = 100.0
    budget = tasks.Budget(now=lambda: at)
    assert (budget.begun, budget.left(60)) == (False, 60)
    with budget.begun_after(10):
        assert not budget.begun
    assert budget.begun
    assert [budget.left(most) for most in (60, 4)] == [10, 4]
    at = 107.0
    assert budget.left(60) == 3
    budget.begin(60)
    assert budget.left(60) == 3, "the one that ends first counts"
    budget.begin(1)
    at = 109.0
    assert budget.left(60) == 0


async def test_background_work_gets_no_more_than_is_left_of_a_budget():
    budget = tasks.Budget()
    async with tasks.Background(grace=600, budget=budget) as background:
        stuck = background.spawn(asyncio.sleep(600), name="stuck")
        budget.begin(0)
    assert stuck.cancelled()


async def test_background_work_is_cancelled_at_once_where_it_is_of_no_use():
    background = tasks.Background(grace=600)
    stuck = background.spawn(asyncio.sleep(600), name="stuck")
    await background.close(grace=0)
    assert stuck.cancelled()


async def test_a_background_failure_is_logged(caplog):
    async def fail():
        raise ValueError("broken")

    async with tasks.Background() as background:
        background.spawn(fail(), name="failing")
    assert "background task failed" in caplog.text


@pytest.mark.parametrize("leaves", [False, True])
@pytest.mark.parametrize("fails", [False, True])
async def test_work_goes_to_its_end_and_what_nobody_waits_for_is_handed_on(leaves: bool, fails: bool, caplog):
    gate, unwanted = asyncio.Event(), []

    async def work() -> int:
        await gate.wait()
        if fails:
            raise ValueError("broken")
        return 7

    async with tasks.Background() as background:
        caller = asyncio.get_running_loop().create_task(
            background.to_its_end(work(), unwanted=unwanted.append, name="work")
        )
        await asyncio.sleep(0)
        if leaves:
            caller.cancel()
            await asyncio.wait({caller})
        gate.set()
        await asyncio.wait({caller})
    assert caller.cancelled() == leaves
    assert unwanted == ([7] if leaves and not fails else [])
    if not leaves:
        assert (repr(caller.exception()) if fails else caller.result()) == ("ValueError('broken')" if fails else 7)
    assert "background task failed" not in caplog.text


@pytest.mark.parametrize("fails", [False, True])
async def test_who_is_cancelled_is_let_go_before_the_work_has_ended(fails: bool, caplog):
    gate, cancelled = asyncio.Event(), asyncio.Event()

    async def work() -> int:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
            await gate.wait()
            if fails:
                raise ValueError("broken")
        return 7

    async with tasks.Background() as background:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await background.let_go(work(), name="work")
        await cancelled.wait()
        assert len(background) == 1, "it is about to end"
        gate.set()
    assert len(background) == 0
    assert "background task failed" not in caplog.text


async def test_who_stays_has_what_the_work_gives_or_raises(caplog):
    async def work(*, fails: bool) -> int:
        await asyncio.sleep(0)
        if fails:
            raise ValueError("broken")
        return 7

    async with tasks.Background() as background:
        assert await background.let_go(work(fails=False), name="work") == 7
        with pytest.raises(ValueError, match="broken"):
            await background.let_go(work(fails=True), name="work")
    assert "background task failed" not in caplog.text


async def test_what_runs_beside_a_block_ends_with_it():
    ended = []

    async def work():
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(True)

    async def block():
        async with tasks.beside(work(), name="beside"):
            await asyncio.sleep(0)
            raise ValueError("the block's own")

    with pytest.raises(ValueError, match="the block's own"):
        await block()
    assert ended == [True]


async def test_what_runs_beside_a_block_fails_where_it_is_awaited(caplog):
    async def fail():
        raise ValueError("broken")

    async with tasks.beside(fail(), name="beside") as unawaited:
        await asyncio.wait({unawaited})
    with pytest.raises(ValueError, match="broken"):
        async with tasks.beside(fail(), name="beside") as awaited:
            await awaited
    assert caplog.records == []


async def test_clean_up_finishes_although_its_caller_is_cancelled():
    started, finished = asyncio.Event(), asyncio.Event()

    async def clean_up():
        started.set()
        await asyncio.sleep(0.01)
        finished.set()

    async with asyncio.TaskGroup() as group:
        caller = group.create_task(tasks.finish(clean_up(), deadline=5))
        await started.wait()
        caller.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await caller
        assert caller.cancelled()
        assert finished.is_set()


async def test_clean_up_is_bounded():
    with pytest.raises(TimeoutError):
        await tasks.finish(asyncio.Event().wait(), deadline=0.01)


async def test_periodic_work_survives_a_failure(caplog):
    calls = 0
    enough = asyncio.Event()

    async def sometimes():
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ValueError("once")
        enough.set()

    async with asyncio.TaskGroup() as group:
        loop = group.create_task(tasks.periodically(sometimes, every=0.001, name="sometimes"))
        async with asyncio.timeout(5):
            await enough.wait()
        loop.cancel()
    assert "periodic work failed" in caplog.text


def test_a_json_log_line_carries_its_extras():
    record = logging.LogRecord("x", logging.INFO, __file__, 1, "claimed %s", ("b",), None)
    record.session = "s1"
    line = orjson.loads(logs._Json("router").format(record))
    assert (line["message"], line["session"], line["process"]) == ("claimed b", "s1", "router")
    assert logs._Text("router").format(record).endswith("claimed b session=s1")


async def test_a_handler_is_cancelled_when_its_client_goes_away():
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def handler(_request):
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    app = web.Application()
    app.router.add_get("/", handler)
    async with lib_web.serve(app, host="127.0.0.1", port=0) as address, aiohttp.ClientSession() as client:
        async with asyncio.TaskGroup() as group:
            request = group.create_task(client.get(f"http://{address}/"))
            await started.wait()
            request.cancel()
        async with asyncio.timeout(5):
            await cancelled.wait()


def test_addresses_of_both_families():
    assert str(listening.Address(host="127.0.0.1", port=1)) == "127.0.0.1:1"
    assert str(listening.Address(host="::1", port=1)) == "[::1]:1"


@pytest.mark.parametrize("host", ["127.0.0.1", "", "localhost"])
def test_it_listens_on_every_address_of_a_host_at_one_port(host):
    with listening.opened(host, 0) as sockets:
        port = listening.address(sockets).port
        assert {one.getsockname()[1] for one in sockets} == {port}
        # Nobody serves yet, and the connection stands all the same.
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            pass
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_a_port_that_is_taken_is_not_shared():
    with (
        listening.opened("127.0.0.1", 0) as sockets,
        pytest.raises(OSError, match="in use"),
        listening.opened("127.0.0.1", listening.address(sockets).port),
    ):
        pass
