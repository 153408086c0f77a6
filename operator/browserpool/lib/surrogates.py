"""JSON in which half of an emoji stands alone: legal in JavaScript, nowhere else, and shown as U+FFFD everywhere. Pure."""

import re
from typing import Final

_ESCAPE: Final = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
"""An escape in JSON; in its group, half of a pair that stands alone."""


def mended(text: str) -> str:
    """The same JSON with U+FFFD for each half that stands alone."""
    return _ESCAPE.sub(lambda found: r"\ufffd" if found[1] else found[0], text)
