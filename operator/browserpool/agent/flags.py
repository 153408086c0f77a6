"""Chromium's arguments, as a pure function of what is wanted.

The pool's own come after ours and win, as Chromium takes the last of two; those that close the ways around the egress guard come
last of all. ``--disable-features`` and ``--enable-features`` are lists, and are merged.
"""

import dataclasses
import pathlib
from collections.abc import Collection, Mapping, Sequence
from typing import Final

QUIET = (
    # A pooled browser speaks to nobody on its own account: no updates, no metrics, no sync, no hints from its maker.
    "--disable-background-networking",
    "--disable-breakpad",
    "--disable-client-side-phishing-detection",
    "--disable-component-extensions-with-background-pages",
    "--disable-component-update",
    "--disable-crash-reporter",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-extensions",
    "--disable-sync",
    "--metrics-recording-only",
    "--no-default-browser-check",
    "--no-first-run",
    "--no-pings",
    "--no-service-autorun",
    "--password-store=basic",
    "--use-mock-keychain",
)
STEADY = (
    # Nobody looks at it, and it must not slow down or ask for that reason.
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-hang-monitor",
    "--disable-ipc-flooding-protection",
    "--disable-popup-blocking",
    "--disable-prompt-on-repost",
    "--disable-renderer-backgrounding",
    "--force-color-profile=srgb",
    "--hide-scrollbars",
    "--mute-audio",
)
DISABLED_FEATURES = (
    "AcceptCHFrame",
    "DialMediaRouteProvider",
    "MediaRouter",
    "OptimizationHints",
    "Translate",
    # Full Chromium preloads these pages: 79 MB, and 100 ms of an isolated screenshot.
    "WebUIOmniboxAimPopup",
    "WebUIOmniboxFullPopup",
    "WebUIOmniboxPopup",
)
FEATURES: Final[Mapping[str, tuple[str, ...]]] = {
    # The headless shell draws by SwiftShader unasked; full Chromium must be told that it may, for its code is made at run time.
    "WebGL": ("--enable-unsafe-swiftshader",),
    "WebMCP": ("--enable-features=WebMCP",),
}
"""What a pool's ``chromium.features`` may name, and the arguments that bring it."""
_WITHOUT: Final[Mapping[str, tuple[str, ...]]] = {"WebGL": ("--disable-3d-apis",)}
"""The arguments that take away what is there unasked."""
_LISTS = ("--disable-features=", "--enable-features=")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """``egress`` are the arguments that lead all traffic through the egress guard."""

    binary: str
    profile: pathlib.Path
    sandbox: bool
    egress: Sequence[str]
    features: Collection[str] = ("WebGL",)
    extra: Sequence[str] = ()


def is_headless_shell(binary: str) -> bool:
    """Whether ``binary`` is the headless shell, which has no other mode."""
    return "headless" in pathlib.PurePath(binary).name


def arguments(wanted: Wanted) -> list[str]:
    """The whole command, the binary first."""
    flags = [
        "--remote-debugging-port=0",
        f"--user-data-dir={wanted.profile}",
        *(() if is_headless_shell(wanted.binary) else ("--headless=new",)),
        *(() if wanted.sandbox else ("--no-sandbox",)),
        *QUIET,
        *STEADY,
        "--disable-features=" + ",".join(DISABLED_FEATURES),
        *_of_features(wanted.features),
        *wanted.extra,
        # Last: an argument of the pool's must not open a way around the guard.
        *wanted.egress,
        # The headless shell opens no page of its own; clients of a local Chrome expect one.
        "about:blank",
    ]
    return [wanted.binary, *_merged(flags)]


def _of_features(wanted: Collection[str]) -> list[str]:
    """The arguments of the features that are wanted, and against those that are not."""
    return [flag for name, flags in FEATURES.items() for flag in (flags if name in wanted else _WITHOUT.get(name, ()))]


def _merged(flags: Sequence[str]) -> list[str]:
    """``flags`` with each feature list given once, at its first place, holding all that any of them names."""
    merged: list[str] = []
    for flag in flags:
        name = next((name for name in _LISTS if flag.startswith(name)), None)
        at = next((i for i, known in enumerate(merged) if name is not None and known.startswith(name)), None)
        if name is None or at is None:
            merged.append(flag)
        else:
            merged[at] = f"{merged[at]},{flag.removeprefix(name)}"
    return merged
