"""Find Chromium's binary and spawn it in a home of its own. Waits for nothing, and imports nothing heavy."""

import contextlib
import dataclasses
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal

from browserpool.agent import flags, homes, processes, settings
from browserpool.agent.egress import flags as flags_of_egress
from browserpool.lib import listening

BINARIES = (
    # Debian's and Ubuntu's commands are shell scripts that do not hand on signals; the binaries stand here.
    "/usr/lib/chromium/chromium-headless-shell",
    "/usr/lib/chromium/headless_shell",
    "chrome-headless-shell",
    "/usr/lib/chromium/chromium",
    "/usr/lib/chromium-browser/chromium-browser",
    "/opt/google/chrome/chrome",
    "chromium",
    "google-chrome",
)
_PASSED_ON = (
    "PATH",
    "LANG",
    "LANGUAGE",
    "TZ",
    "LD_LIBRARY_PATH",
    "FONTCONFIG_FILE",
    "FONTCONFIG_PATH",
    "XDG_DATA_DIRS",
)


class NotFound(Exception):
    """There is no Chromium here. The message says where it was looked for, and how to mend it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All it takes to start a Chromium, as often as need be."""

    binary: str
    sandbox: bool
    egress: Sequence[str]
    features: Collection[str]
    extra: Sequence[str]
    base: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Launched:
    """A Chromium that was spawned, and may not answer yet. What it writes to ``standard_error`` must be read.

    That is a socket, not a pipe: uvloop closes a pipe's descriptor twice, and by the second time it may be another thread's file.
    """

    process: subprocess.Popen[bytes]
    home: homes.Home
    standard_error: socket.socket


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """What is made before anything heavy is imported: the egress guard's socket, the recipe, a first Chromium."""

    listener: socket.socket
    recipe: Recipe
    first: Launched


def ahead(wanted: settings.AgentSettings) -> Ahead:
    """Spawn a first Chromium, pointed at a socket on which the egress guard will listen.

    Raises:
        NotFound: there is no Chromium.
        OSError: it cannot be executed, or there is no room for its home.
    """
    binary = find(wanted.chromium)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    host, port = listener.getsockname()
    recipe = Recipe(
        binary=binary,
        sandbox=wants_sandbox(wanted.sandbox, user=os.geteuid()),
        egress=flags_of_egress.chromium(listening.Address(host=host, port=port)),
        features=wanted.chromium_features,
        extra=wanted.chromium_args,
        base=wanted.data_dir,
    )
    try:
        return Ahead(listener=listener, recipe=recipe, first=launch(recipe))
    except BaseException:
        listener.close()
        raise


def find(wanted: str, *, which: Callable[[str], str | None] = shutil.which) -> str:
    """The path of Chromium's binary: ``wanted`` if it is given, else the first of ``BINARIES``.

    Raises:
        NotFound: none of them can be executed.
    """
    for candidate in (wanted,) if wanted else BINARIES:
        if (path := which(candidate)) is not None:
            return path
    looked = wanted or ", ".join(BINARIES)
    raise NotFound(
        f"There is no Chromium to run (looked for {looked}). Install one (Debian, Ubuntu: apt-get install chromium-headless-shell, "
        "or chromium), or name its binary in BROWSERPOOL_CHROMIUM."
    )


def wants_sandbox(setting: Literal["auto", "on", "off"], *, user: int) -> bool:
    """Chromium refuses to start a sandbox for root."""
    return setting == "on" or (setting == "auto" and user != 0)


def environment(home: homes.Home, *, ours: Mapping[str, str]) -> dict[str, str]:
    """Chromium's environment: little of ours, none of our secrets, and every directory inside ``home``."""
    passed = {name: value for name, value in ours.items() if name in _PASSED_ON or name.startswith("LC_")}
    return passed | {
        "HOME": str(home.path),
        "TMPDIR": str(home.temporary),
        "XDG_CACHE_HOME": str(home.path / "cache"),
        "XDG_CONFIG_HOME": str(home.path / "config"),
    }


def launch(recipe: Recipe) -> Launched:
    """Spawn Chromium in a new home. From the main thread (see ``processes.spawn``).

    Raises:
        OSError: no room for a home, or the binary cannot be executed.
    """
    ours, theirs = socket.socketpair()
    with theirs, contextlib.ExitStack() as undo:
        undo.callback(ours.close)
        home = homes.make(recipe.base)
        undo.callback(home.remove)
        argv = flags.arguments(
            flags.Wanted(
                binary=recipe.binary,
                profile=home.profile,
                sandbox=recipe.sandbox,
                egress=recipe.egress,
                features=recipe.features,
                extra=recipe.extra,
            )
        )
        process = processes.spawn(argv, environment=environment(home, ours=os.environ), standard_error=theirs)
        undo.pop_all()
    return Launched(process=process, home=home, standard_error=ours)
