"""A session's downloads: one directory beside Chromium's profile, gone with it. Names in it are what clients see."""

import pathlib
from typing import Any, Final

from browserpool.model import errors

_UNFINISHED: Final = ".crdownload"


def listing(directory: pathlib.Path) -> list[dict[str, Any]]:
    """Finished downloads, the oldest first: name, size in bytes, and when it was written (milliseconds since 1970)."""
    found = [(path, path.stat()) for path in directory.iterdir() if _is_finished(path)]
    return [
        {"name": path.name, "size": status.st_size, "time": status.st_mtime_ns // 1_000_000}
        for path, status in sorted(found, key=lambda one: (one[1].st_mtime_ns, one[0].name))
    ]


def find(directory: pathlib.Path, name: str) -> pathlib.Path:
    """The finished download of that name.

    Raises:
        errors.NotFound: there is none.
    """
    path = directory / name
    if path.parent != directory or not _is_finished(path):
        raise errors.NotFound(f"The session has no download {name[:100]!r}; its list names those that it has.")
    return path


def _is_finished(path: pathlib.Path) -> bool:
    return path.is_file() and not path.is_symlink() and not path.name.startswith(".") and path.suffix != _UNFINISHED
