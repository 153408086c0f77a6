"""What test clusters write down about what they made, and how it is taken away."""

import pathlib
import subprocess
from collections.abc import Iterator

import pytest

from cluster import record
from support import processes


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as started:
        yield started
        started.kill()


def _seen(sleeper: subprocess.Popen[bytes]) -> processes.Seen:
    return next(one for one in processes.seen() if one.pid == sleeper.pid)


def _record(folder: pathlib.Path) -> record.Record:
    return record.Record(path=folder / "kept" / "record.jsonl")


def test_processes_and_folders_are_taken_away_once(tmp_path: pathlib.Path, sleeper: subprocess.Popen[bytes]) -> None:
    kept, made = _record(tmp_path), tmp_path / "made"
    made.mkdir()
    (made / "file").touch()
    kept.folder(made)
    kept.process(record.Process(pid=sleeper.pid, started=_seen(sleeper).started))
    kept.folder(tmp_path / "never made")
    kept.undo()
    assert sleeper.wait(10) < 0
    assert not made.exists()
    assert not kept.path.exists()
    kept.undo()


def test_a_later_process_of_the_same_pid_is_left_alone(
    tmp_path: pathlib.Path, sleeper: subprocess.Popen[bytes]
) -> None:
    kept = _record(tmp_path)
    kept.process(record.Process(pid=sleeper.pid, started=_seen(sleeper).started - 1))
    kept.undo()
    assert sleeper.poll() is None


def test_a_line_that_was_cut_off_is_passed_over(tmp_path: pathlib.Path) -> None:
    kept = _record(tmp_path)
    kept.folder(tmp_path / "made")
    (tmp_path / "made").mkdir()
    with kept.path.open("a") as file:
        file.write('{"kind": "fol')
    kept.undo()
    assert not (tmp_path / "made").exists()


def test_groups_go_children_first(tmp_path: pathlib.Path) -> None:
    kept = _record(tmp_path)
    (tmp_path / "group" / "child" / "grandchild").mkdir(parents=True)
    kept.cgroup(tmp_path / "group")
    kept.undo()
    assert not (tmp_path / "group").exists()
