"""The pod's token, as its file says at this moment: a Secret may come, change and go while the pod runs."""

import os
import pathlib

Version = tuple[int, int, int]


class TokenFile:
    """``read`` costs a ``stat``; the file is opened only when it is another one than before."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._version: Version | None = None
        self._token: str | None = None

    def read(self) -> str | None:
        """The token; ``None``: there is no file, it cannot be read, or it is empty."""
        version = self._seen()
        if version != self._version:
            self._version, self._token = version, self._opened() if version is not None else None
        return self._token

    def _seen(self) -> Version | None:
        try:
            status = os.stat(self.path)  # noqa: PTH116 - as it stands a Path would be made for each request
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size

    def _opened(self) -> str | None:
        try:
            return pathlib.Path(self.path).read_text(encoding="utf-8").strip() or None
        except (OSError, UnicodeDecodeError):
            return None

    def complaint(self, said: str) -> str:
        """What to do about the router's 401, which ``said`` so much."""
        if self.read() is None:
            return (
                f"This sidecar has no token: {self.path or 'BROWSERPOOL_TOKEN_FILE'} is missing or empty. In Kubernetes, make a "
                "Secret browserpool-token with the key token in this pod's namespace; it is read as soon as it is mounted, without a "
                "restart. Or send `Authorization: Bearer TOKEN` yourself."
            )
        return f"The router does not take the token in {self.path}: {said}"
