"""Tokens for other systems, read from files: ``<directory>/<name of the Secret>/<key>``."""

import pathlib

from browserpool.model import elsewhere, errors


class SecretFiles:
    """The directory that they are mounted at."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def read(self, ref: elsewhere.SecretKey) -> str:
        """The token.

        Raises:
            errors.UpstreamFailed: it is not there, or is none.
        """
        try:
            held = (pathlib.Path(self._directory) / ref.name / ref.key).read_bytes()
        except OSError as error:
            raise errors.UpstreamFailed(
                f"The key {ref.key} of Secret {ref.name} is not mounted here: name the Secret in the chart's router.secrets, or put its "
                f"token at {ref.name}/{ref.key} in the directory that `browserpool up --secrets` or BROWSERPOOL_SECRETS_DIR names."
            ) from error
        token = held.decode("ascii", errors="replace").strip()
        if not token or not token.isascii() or not token.isprintable():
            raise errors.UpstreamFailed(
                f"The key {ref.key} of Secret {ref.name} is no token: a token is one line of printable ASCII."
            )
        return token
