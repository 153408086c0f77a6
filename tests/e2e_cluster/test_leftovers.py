"""What a run that was killed leaves on this machine, and what the next one does about it."""

import os
import pathlib
import subprocess
import sys

import pytest

from browserpool.lib import clock
from cluster import binaries, ours
from support import processes

_KILLED_HALFWAY = """
import os, signal
from cluster import manifests, ours

manifests.dns = lambda: os.kill(os.getpid(), signal.SIGKILL)
ours.bring_up()
"""
_PLACES = (
    "/run/netns",
    "/sys/class/net",
    *(str(path) for path in pathlib.Path("/sys/fs/cgroup").iterdir() if path.is_dir()),
)


def _made() -> set[str]:
    """Everything of clusters' that has a name here."""
    return {
        str(path)
        for place in _PLACES
        if pathlib.Path(place).exists()
        for path in pathlib.Path(place).iterdir()
        if path.name.startswith(("browserpool-", "bp-"))
    }


@pytest.mark.usefixtures("kubernetes")  # so that what is built once is built
@pytest.mark.ours
def test_a_killed_run_is_taken_away_by_the_next(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = _made()
    monkeypatch.setenv("BROWSERPOOL_CLUSTER_HOME", str(tmp_path / "home"))
    paths = os.pathsep.join(str(binaries.ROOT / source) for source in ("tests", "operator"))
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED_HALFWAY], env=os.environ | {"PYTHONPATH": paths}, timeout=120, check=False
    )
    assert killed.returncode < 0
    assert _made() > before
    assert _running(tmp_path)
    begun = clock.monotonic()
    ours.take_away()
    assert clock.monotonic() - begun < 60
    assert _made() == before
    assert _running(tmp_path) == []
    assert [
        path.name for path in (tmp_path / "home").iterdir() if path.name not in {"logs", "current.json", "lock"}
    ] == []


def _running(folder: pathlib.Path) -> list[str]:
    return [one.command for one in processes.seen() if str(folder) in one.command]
