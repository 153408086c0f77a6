"""Children that die with their parent, and whole groups."""

import os
import pathlib
import signal
import socket
import subprocess
import sys

import pytest

from browserpool.agent import launch, processes
from support import waiting

PROC = pathlib.Path("/proc")
SPAWN_AND_WAIT = """
import shutil, socket, sys
from browserpool.agent import processes
if sys.argv[1] == "without setpriv":
    shutil.which = lambda _: None
child = processes.spawn(["/bin/sleep", "300"], environment={}, standard_error=socket.socketpair()[1])
print(child.pid, flush=True)
sys.stdin.read()
"""


def runs(pid):
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def name(pid):
    return (PROC / str(pid) / "comm").read_text().strip()


@pytest.mark.parametrize("way", ["with setpriv", "without setpriv"])
async def test_a_child_dies_with_its_parent_however_that_ends(way):
    with subprocess.Popen(  # noqa: ASYNC220 - it is waited for by what it prints
        [sys.executable, "-c", SPAWN_AND_WAIT, way], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        child = int(parent.stdout.readline())
        await waiting.until(lambda: name(child) == "sleep")
        parent.send_signal(signal.SIGKILL)
        parent.wait(10)
    await waiting.until(lambda: not runs(child))


async def test_the_whole_group_is_killed_and_reaped():
    script = "/bin/sleep 300 & echo $! >&2; /bin/sleep 300"
    ours, theirs = socket.socketpair()
    with ours, theirs, processes.spawn(["/bin/sh", "-c", script], environment={}, standard_error=theirs) as child:
        grandchild = int(ours.makefile().readline())
        assert os.getpgid(grandchild) == child.pid
        assert not processes.group_is_gone(child)
        assert processes.resident_bytes(child.pid) > 0
        processes.kill_group(child.pid)
        await waiting.until(lambda: processes.group_is_gone(child))
        assert not runs(grandchild)
        processes.kill_group(child.pid)


def test_the_environment_of_chromium_holds_none_of_our_secrets():
    home = launch.homes.make("")
    try:
        ours = {
            "PATH": "/bin",
            "LC_ALL": "C",
            "BROWSERPOOL_CLAIM_KEY": "secret",
            "AWS_SECRET": "secret",
            "HOME": "/root",
        }
        given = launch.environment(home, ours=ours)
        assert given["PATH"] == "/bin"
        assert given["LC_ALL"] == "C"
        assert "secret" not in given.values()
        for directory in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
            assert given[directory].startswith(str(home.path))
    finally:
        home.remove()


@pytest.mark.parametrize(
    ("wanted", "there", "found"),
    [
        ("", {"/usr/lib/chromium/chromium-headless-shell", "chromium"}, "/usr/lib/chromium/chromium-headless-shell"),
        ("", {"/usr/lib/chromium/chromium"}, "/usr/lib/chromium/chromium"),
        ("", {"google-chrome"}, "google-chrome"),
        ("/opt/mine", {"/opt/mine", "chromium"}, "/opt/mine"),
    ],
)
def test_the_binary_is_found(wanted, there, found):
    assert launch.find(wanted, which=lambda name: name if name in there else None) == found


@pytest.mark.parametrize("wanted", ["", "/opt/mine"])
def test_no_binary_says_what_to_install(wanted):
    with pytest.raises(launch.NotFound, match=r"looked for .*apt-get install.*BROWSERPOOL_CHROMIUM") as raised:
        launch.find(wanted, which=lambda _: None)
    assert wanted in str(raised.value)
