"""The data directory: held by one, its secrets for its owner only."""

import os
import stat
import subprocess
import sys

import pytest

from browserpool.local import directory, problems

HOLD = """
import pathlib, sys
from browserpool.local import directory
with directory.held(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_holds_it_at_a_time_and_leaves_no_lock(tmp_path):
    data = tmp_path / "data"
    with directory.held(data) as home:
        directory.publish(home.url, "http://127.0.0.1:1")
        with (
            pytest.raises(problems.Problem, match=f"is in use by another .* \\(process {os.getpid()}\\)"),
            directory.held(data),
        ):
            pass
        assert home.read("url") == "http://127.0.0.1:1"
    assert list(data.iterdir()) == []
    with directory.held(data):
        pass


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(problems.Problem, match=f"process {process.pid}"), directory.held(tmp_path):
            pass
        process.kill()
    assert (tmp_path / "lock").exists()
    with directory.held(tmp_path):
        pass


def test_a_secret_is_made_once_for_its_owner_only(tmp_path):
    home = directory.Directory(path=tmp_path)
    first = directory.secret(home, "token")
    assert len(first) > 30
    (tmp_path / "token").chmod(0o644)
    assert directory.secret(home, "token") == first
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600
    assert directory.secret(home, "signing-key") != first


def test_a_place_that_cannot_be_a_directory(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(problems.Problem, match="cannot be used for data"), directory.held(tmp_path / "file"):
        pass
