"""Child processes: ended in order, killed when they do not end, restarted, and never left behind."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from browserpool.lib import tasks
from browserpool.local import processes
from support import processes as seen
from support import waiting


def command(tmp_path, code, **fields):
    return processes.Command(
        name="child",
        argv=[sys.executable, "-u", "-c", code],
        environment={"PATH": os.environ["PATH"], "WHO": "child"},
        log=tmp_path / "logs" / "child.log",
        **fields,
    )


def said(tmp_path):
    try:
        return (tmp_path / "logs" / "child.log").read_text()
    except FileNotFoundError:
        return ""


SLEEP = "print('up'); import time; time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up'); time.sleep(600)"


async def test_it_leads_its_own_session_and_writes_to_its_log(tmp_path):
    code = "import os, sys; print(os.getsid(0) == os.getpid(), dict(os.environ)['WHO']); print('bad', file=sys.stderr); sys.exit(7)"
    process = processes.start(command(tmp_path, code))
    assert await asyncio.wait_for(process.wait(), 20) == 7
    assert process.returncode == 7
    assert not process.running
    assert said(tmp_path) == "True child\nbad\n"


async def test_stop_asks_first(tmp_path):
    process = processes.start(command(tmp_path, SLEEP))
    await waiting.until(lambda: said(tmp_path))
    assert process.returncode is None
    assert await process.stop(grace=10) == -signal.SIGTERM
    assert await process.stop(grace=10) == -signal.SIGTERM, "a second stop is no error"


async def test_what_does_not_stop_is_killed_with_its_session(tmp_path):
    child = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
    process = processes.start(command(tmp_path, child + STUBBORN))
    await waiting.until(lambda: said(tmp_path))
    family = seen.below(process.pid)
    assert len(family) == 1
    assert await process.stop(grace=0.1) == -signal.SIGKILL
    await waiting.until(lambda: seen.still_running(family) == [])


async def test_a_command_that_cannot_be_run_ends_and_says_why(tmp_path):
    process = processes.start(
        processes.Command(name="none", argv=["/no/such/program"], environment={}, log=tmp_path / "log")
    )
    assert await asyncio.wait_for(process.wait(), 20) != 0
    assert "/no/such/program" in (tmp_path / "log").read_text()


@pytest.mark.parametrize("setpriv", [True, False], ids=["by setpriv", "by itself"])
async def test_it_dies_with_its_parent(tmp_path, setpriv):
    parent = f"""
import asyncio, pathlib, shutil
from browserpool.local import processes
{"" if setpriv else "processes.shutil.which = lambda name: None"}
async def main():
    log = pathlib.Path({str(tmp_path / "logs" / "child.log")!r})
    child = processes.start(processes.Command(name="c", argv={[sys.executable, "-u", "-c", SLEEP]!r}, environment={{}}, log=log))
    print(child.pid, flush=True)
    await child.wait()
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE) as process:  # noqa: ASYNC220 - only its start blocks
        family = []
        try:
            await waiting.until(lambda: said(tmp_path), deadline=20)
            family = seen.below(process.pid)
            assert len(family) == 1
        finally:
            process.kill()
    await waiting.until(lambda: seen.still_running(family) == [])


async def test_a_large_log_is_set_aside(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "_LOG_MOST", 10)
    for text in ("first and long", "second"):
        await processes.start(command(tmp_path, f"print({text!r})")).wait()
    assert said(tmp_path) == "second\n"
    assert (tmp_path / "logs" / "child.log.1").read_text() == "first and long\n"


async def test_a_service_is_started_again_until_it_is_stopped(tmp_path):
    async with tasks.Background() as background:
        service = processes.Service(command(tmp_path, "print('run')"), grace=5, background=background)
        service.start()
        await waiting.until(lambda: service.starts >= 3)
        await service.stop()
    assert "run" in said(tmp_path)
    assert not service.running


async def test_a_service_that_is_killed_comes_back(tmp_path):
    async with tasks.Background() as background:
        service = processes.Service(command(tmp_path, SLEEP), grace=5, background=background)
        service.start()
        await waiting.until(lambda: said(tmp_path))
        first = service.process.pid
        os.kill(first, signal.SIGKILL)
        await waiting.until(lambda: service.running and service.process.pid != first)
        await service.stop()
        assert service.process.returncode == -signal.SIGTERM


async def test_commands_that_are_only_run_keep_their_exit_codes():
    """What is adopted is collected at once; a command that somebody waits for must not be, or its failure is lost."""
    code = """
import asyncio, subprocess
from browserpool.local import processes

def run():
    return subprocess.run(["sh", "-c", "exit 3"], capture_output=True).returncode

async def main():
    processes.adopt_orphans()
    print({await asyncio.to_thread(run) for _ in range(30)})

asyncio.run(main())
"""
    ran = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", code], capture_output=True, text=True, timeout=60
    )
    assert (ran.stdout.strip(), ran.stderr) == ("{3}", "")
