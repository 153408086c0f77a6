"""What a session is bound to from its claim to its end: which hosts its pages may reach, whether it is recorded. Pure.

Terms stand in the session's row and in each of its claim tokens, so that any router may reconnect to the session and none may loosen it.
"""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from browserpool.model import errors

MOST_PATTERNS: Final = 50
MOST_SETS: Final = 4
MOST_CHARACTERS: Final = 4000
"""Of all patterns together. They travel in a header of each request to the agent, whose server takes 8 KB."""

SETS: Final = {
    # The format's own list, name by name: pages that load from it must load here too.
    "common-cdns": (
        "cdn.jsdelivr.net",
        "*.jsdelivr.net",
        "unpkg.com",
        "cdnjs.cloudflare.com",
        "esm.sh",
        "esm.run",
        "ajax.googleapis.com",
        "fonts.googleapis.com",
        "fonts.gstatic.com",
        "ajax.aspnetcdn.com",
        "aspnetcdn.com",
        "use.typekit.net",
        "use.fontawesome.com",
        "kit.fontawesome.com",
        "stackpath.bootstrapcdn.com",
        "maxcdn.bootstrapcdn.com",
        "cdn.tailwindcss.com",
    )
}
"""Named sets of patterns."""

_PATTERN: Final = re.compile(r"[a-z0-9_*]([a-z0-9_.*-]*[a-z0-9_*])?")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """``allowed_hosts``: patterns of the hosts that pages may reach; ``None``: whatever the pool allows; none of them: nothing at all."""

    allowed_hosts: tuple[str, ...] | None = None
    recording: bool = False

    def __bool__(self) -> bool:
        """Whether they say anything."""
        return self != NONE


NONE: Final = Terms()


def plain(terms: Terms) -> dict[str, Any]:
    """As JSON, what is not said left out."""
    said: dict[str, Any] = {}
    if terms.allowed_hosts is not None:
        said["hosts"] = list(terms.allowed_hosts)
    if terms.recording:
        said["recording"] = True
    return said


def from_plain(said: Mapping[str, Any] | None) -> Terms:
    """The terms that ``plain`` wrote."""
    if not said:
        return NONE
    hosts = said.get("hosts")
    return Terms(allowed_hosts=None if hosts is None else tuple(hosts), recording=bool(said.get("recording")))


def allowed_hosts(guardrails: object) -> tuple[str, ...] | None:
    """The patterns of a request's ``guardrails``; ``None`` if it sets no bounds.

    Raises:
        errors.InvalidRequest: it is not what the wire says. Nothing of it is ever dropped: who sets bounds must get them.
    """
    if guardrails is None or guardrails == {}:
        return None
    if not isinstance(guardrails, dict):
        raise errors.InvalidRequest('guardrails must be an object such as {"allowedDomains": ["*.example.com"]}.')
    if unknown := sorted(set(guardrails) - {"allowedDomains", "allowedDomainSets"}):
        raise errors.InvalidRequest(
            f"guardrails.{unknown[0]} is not known; there are allowedDomains and allowedDomainSets."
        )
    domains, sets = guardrails.get("allowedDomains"), guardrails.get("allowedDomainSets")
    if domains is None and sets is None:
        return None
    patterns = [_pattern(text) for text in _texts(domains, "allowedDomains", most=MOST_PATTERNS)]
    for name in _texts(sets, "allowedDomainSets", most=MOST_SETS):
        patterns += _set(name)
    found = tuple(dict.fromkeys(patterns))
    if sum(map(len, found)) > MOST_CHARACTERS:
        raise errors.InvalidRequest(
            f"guardrails may have {MOST_CHARACTERS} characters of hostnames in all; use wildcards such as *.example.com."
        )
    return found


def is_allowed(host: str, patterns: Iterable[str]) -> bool:
    """Whether ``host`` (a name or an address, as it stands in a URL) is one of these; ``*`` stands for any characters, dots too."""
    name = host.lower().removesuffix(".")
    return any(_matches(name, pattern) for pattern in patterns)


def _matches(name: str, pattern: str) -> bool:
    before, star, after = pattern.partition("*")
    if not star:
        return name == pattern
    long_enough = len(name) >= len(before) + len(after)
    return long_enough and name.startswith(before) and name.endswith(after)


def _texts(value: object, field: str, *, most: int) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise errors.InvalidRequest(f"guardrails.{field} must be a list of strings.")
    if len(value) > most:
        raise errors.InvalidRequest(f"guardrails.{field} may have {most} entries (given: {len(value)}).")
    return value


def _pattern(text: str) -> str:
    try:
        # Names in other scripts as Chromium asks for them.
        name = text if text.isascii() else text.encode("idna").decode()
    except UnicodeError:
        name = ""
    name = name.lower().removesuffix(".")
    if not _PATTERN.fullmatch(name) or name.count("*") > 1 or ".." in name or len(name) > 253:
        raise errors.InvalidRequest(
            f"guardrails.allowedDomains: {text[:80]!r} is no hostname; give it without scheme, port or path, with one * at most."
        )
    return name


def _set(name: str) -> tuple[str, ...]:
    try:
        return SETS[name]
    except KeyError:
        raise errors.InvalidRequest(
            f"guardrails.allowedDomainSets: {name[:80]!r} is not known; there is {', '.join(sorted(SETS))}. "
            "Lists at an address are not loaded here: write their names into allowedDomains."
        ) from None
