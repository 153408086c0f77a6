"""Pages that hold all that they run and load, and the policy that lets nothing else run or load in them. Pure."""

import base64
import hashlib
import re


def policy(text: str, **more: str) -> str:
    """The ``Content-Security-Policy`` of a page: its own scripts and styles, by their hashes, and ``more`` directives (``img_src``)."""
    own = {f"{tag}-src": _hashes(text, tag) for tag in ("script", "style")}
    directives = {
        "default-src": "'none'",
        **own,
        **{name.replace("_", "-"): value for name, value in more.items()},
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in directives.items())


def _hashes(text: str, tag: str) -> str:
    return " ".join(_hash(part) for part in re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL))


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
