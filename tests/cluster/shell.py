"""Commands with deadlines, waiting with deadlines, and the lines that say how far things are."""

import pathlib
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TypeVar

from browserpool.lib import clock

T = TypeVar("T")


class Failed(Exception):
    """A command or a wait failed; the message holds what it was and the end of what it said."""


def run(
    *command: str | pathlib.Path,
    text: str | None = None,
    timeout: float = 60.0,
    env: dict[str, str] | None = None,
    folder: pathlib.Path | None = None,
) -> str:
    """Run to the end; answers what it wrote to stdout.

    Raises:
        Failed: it ended with another code than 0, or not within ``timeout`` seconds.
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words, input=text, capture_output=True, text=True, timeout=timeout, check=False, env=env, cwd=folder
        )
    except subprocess.TimeoutExpired as caught:
        raise Failed(f"{' '.join(words)}: not done within {timeout} s") from caught
    except FileNotFoundError as caught:
        raise Failed(f"{words[0]} is not installed") from caught
    if done.returncode:
        raise Failed(f"{' '.join(words)}: exit code {done.returncode}\n{tail(done.stderr or done.stdout)}")
    return done.stdout


def tail(text: str, *, lines: int = 20) -> str:
    return "\n".join(text.strip().splitlines()[-lines:])


def until(condition: Callable[[], T], *, what: str, deadline: float, every: float = 0.1) -> T:
    """Ask ``condition`` again and again until it is truthy. A ``Failed`` of its own counts as not yet.

    Raises:
        Failed: it was still falsy after ``deadline`` seconds.
    """
    end, reason = clock.monotonic() + deadline, ""
    while True:
        try:
            if value := condition():
                return value
        except Failed as caught:
            reason = f": {caught}"
        if clock.monotonic() > end:
            raise Failed(f"{what}: not within {deadline} s{reason}")
        time.sleep(every)


def say(text: str) -> None:
    """A progress line, past pytest's capture."""
    print(f"cluster: {text}", file=sys.__stderr__, flush=True)
