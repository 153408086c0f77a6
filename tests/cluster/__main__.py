"""``python -m cluster COMMAND``: for people, and for the Makefile."""

import os
import sys
from collections.abc import Callable

from cluster import access, binaries, external, images, ours, shell


def _up() -> None:
    """Bring one up and leave it; show the one that is there."""
    with ours.alone():
        _show(ours.running() or ours.bring_up())


def _status() -> None:
    """Print the line that makes kubectl and helm speak to it."""
    if found := ours.running():
        _show(found)
    else:
        print("echo no cluster")


def _missing() -> None:
    """Print the packages to install: none where the cluster will be another's."""
    print(*([] if _elsewhere() else ours.missing()))


def _prepare() -> None:
    """Do beforehand what is done once: building programs and images."""
    if _elsewhere():
        external.tools()
    else:
        ours.check()
        binaries.ensure()
    images.debian()


def _can() -> None:
    """End with 1, and say why, where no cluster can be had; packages that are missing do not count, they can be installed."""
    if not _elsewhere():
        ours.check_rights()


def _elsewhere() -> bool:
    return "KUBECONFIG" in os.environ or external.kind_works()


def _show(cluster: access.Cluster) -> None:
    print(f"export KUBECONFIG={cluster.kubeconfig} PATH={cluster.tools}:$PATH")


_COMMANDS: dict[str, Callable[[], object]] = {
    "up": _up,
    "down": ours.take_away,
    "status": _status,
    "prepare": _prepare,
    "can": _can,
    "missing": _missing,
    "debian": lambda: print(images.debian()),
}


def main(words: list[str]) -> int:
    if len(words) != 1 or words[0] not in _COMMANDS:
        print(f"usage: python -m cluster {' | '.join(_COMMANDS)}", file=sys.stderr)
        return 2
    try:
        _COMMANDS[words[0]]()
    except shell.Failed as caught:
        print(f"cluster: {caught}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
