"""Homes: locked while their agent lives, swept after."""

import subprocess
import sys

from browserpool.agent import homes

MAKE_AND_WAIT = """
import sys
from browserpool.agent import homes
print(homes.make(sys.argv[1]).path, flush=True)
sys.stdin.read()
"""


def another_agent(base):
    process = subprocess.Popen(
        [sys.executable, "-c", MAKE_AND_WAIT, str(base)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    return process, process.stdout.readline().strip()


def test_a_home_is_removed_with_all_that_is_in_it(tmp_path):
    home = homes.make(str(tmp_path))
    (home.temporary / "org.chromium.Chromium.x").mkdir()
    home.remove()
    home.remove()
    assert list(tmp_path.iterdir()) == []


def test_only_homes_of_dead_agents_are_swept(tmp_path):
    mine = homes.make(str(tmp_path))
    process, theirs = another_agent(tmp_path)
    with process:
        assert homes.sweep(str(tmp_path)) == 0
        process.kill()
        process.wait(10)
        assert homes.sweep(str(tmp_path)) == 1
    assert [str(path) for path in tmp_path.iterdir()] == [str(mine.path)]
    assert theirs != str(mine.path)
    mine.remove()


def test_sweeping_leaves_strangers_alone(tmp_path):
    (tmp_path / "org.chromium.Chromium.x").mkdir()
    (tmp_path / "browserpool-chromium-unlocked").mkdir()
    assert homes.sweep(str(tmp_path)) == 0
    assert len(list(tmp_path.iterdir())) == 2
