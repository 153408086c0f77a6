"""The machine's clock steps under ``up``, its router and its agents. Leases and tokens go by the database's time, and notice nothing.

A step cannot be made on a machine that others use. So ``up`` runs on a Python of its own (a virtual environment made for the test), in
which ``time.time`` is off by what a file says at that moment; the steady clock, which a step leaves alone, is the real one. (Who reads
``datetime.now`` instead is found by the linter: nobody may but ``lib.clock``.)
"""

import pathlib
import site as python_site
import sysconfig
import venv
from collections.abc import Iterator

import aiohttp
import pytest

from browserpool.lib import clock
from support import site, stack, waiting

_SHIFT = """
import sys, time

_real, _real_ns = time.time, time.time_ns
_role = next((role for role in ("router", "agent") if f"browserpool.{role}" in sys.orig_argv), "up")


def _offset():
    try:
        with open(f"{FOLDER}/{_role}") as file:
            return int(file.read() or 0)
    except OSError:
        return 0


time.time = lambda: _real() + _offset()
time.time_ns = lambda: _real_ns() + _offset() * 1_000_000_000
"""


class Clocks:
    """Sets how far each process's clock is off, in seconds; told from then on."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder

    def step(self, **offsets: int) -> None:
        for role, seconds in offsets.items():
            fresh = self._folder / f"{role}.new"
            fresh.write_text(str(seconds))
            fresh.replace(self._folder / role)


@pytest.fixture
def clocks(tmp_path: pathlib.Path) -> Clocks:
    return Clocks(tmp_path)


@pytest.fixture
def shifted(tmp_path: pathlib.Path) -> Iterator[stack.Stack]:
    """An installation under those clocks."""
    environment = tmp_path / "venv"
    venv.create(environment, symlinks=True)
    packages = pathlib.Path(sysconfig.get_path("purelib", vars={"base": str(environment)}))
    (packages / "shifted_clock.py").write_text(_SHIFT.replace("{FOLDER}", str(tmp_path)))
    everything = [sysconfig.get_path("purelib"), *python_site.getsitepackages()]
    lines = [f"import site; site.addsitedir({path!r})" for path in dict.fromkeys(everything)]
    (packages / "shifted_clock.pth").write_text("\n".join([*lines, "import shifted_clock"]) + "\n")
    with stack.prepared(pools=[stack.pool("main", replicas=1)], python=str(environment / "bin" / "python")) as made:
        yield made


async def _screenshot(client: aiohttp.ClientSession, page: str) -> None:
    async with client.post("/v1/screenshot", json={"url": page}) as answer:
        assert answer.status == 200, await answer.text()


async def test_nothing_depends_on_the_wall_clock(shifted: stack.Stack, clocks: Clocks, web: site.Site) -> None:
    clocks.step(up=0, router=7200, agent=-7200)
    shifted.start()
    seen = {name: _hour_of_first_line(shifted.log(name)) for name in ("router", "main-local-0")}
    assert (seen["router"] - seen["main-local-0"]) % 24 == 4, "the clocks are not shifted at all"
    async with shifted.client() as client:
        # A claim token that the router signed is good at an agent four hours behind.
        await _screenshot(client, web.url("/small"))
        async with client.post("/devtools/browser?keep_alive=10000") as answer:
            session = (await answer.json())["sessionId"]
        began = clock.monotonic()
        for router, agent in ((-86_400, 86_400), (0, 0), (86_400, -86_400)):
            clocks.step(up=router, router=router, agent=agent)
            async with client.ws_connect(f"/devtools/browser/{session}") as socket:
                await socket.send_json({"id": 1, "method": "Browser.getVersion"})
                assert (await socket.receive_json(timeout=20))["id"] == 1

        # A day forward has not ended the session; its own ten seconds do, neither sooner nor a day later.
        async def is_over() -> bool:
            return not (await shifted.status())["sessions"]

        await waiting.until(is_over, deadline=30, every=0.05)
        assert clock.monotonic() - began >= 10
        await _screenshot(client, web.url("/small"))
    await shifted.whole()
    past = await shifted.past()
    assert [int(one.reason) for one in past] == [1, 2, 1]
    assert stack.overlaps(past) == []
    assert shifted.stop() == 0
    assert shifted.leftovers() == []


def _hour_of_first_line(log: str) -> int:
    return next(int(line[:2]) for line in log.splitlines() if line[2:3] == ":")
