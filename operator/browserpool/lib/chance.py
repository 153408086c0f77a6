"""The only place that throws dice: identifiers, secrets, jitter."""

import random
import secrets
import uuid


def unique_id() -> str:
    """A fresh UUID4 as text."""
    return str(uuid.uuid4())


def secret(*, bytes_of_entropy: int = 32) -> str:
    """A fresh URL-safe secret."""
    return secrets.token_urlsafe(bytes_of_entropy)


def jitter(seconds: float, *, share: float = 0.1) -> float:
    """``seconds``, moved by up to ``share`` either way, so that many processes do not act in step."""
    return seconds * random.uniform(1 - share, 1 + share)  # noqa: S311 - spreads load, guards nothing


def below(bound: int) -> int:
    """Any of 0 … ``bound`` - 1, each as likely as the others."""
    return random.randrange(bound)  # noqa: S311 - spreads load, guards nothing
