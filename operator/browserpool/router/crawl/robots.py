"""What a site's robots.txt says to this crawler: what it may fetch, how often, for what, and where the sitemaps are. Pure.

The file is read by a library; what that does not know are content signals (contentsignals.org): ``Content-Signal: search=yes,
ai-train=no, use=reference`` in the group of an agent.
"""

import functools
import re
from collections.abc import Iterable, Iterator
from typing import Final

import protego

AGENT: Final = "BrowserpoolCrawler"
"""The product token that robots.txt files may name."""
USER_AGENT: Final = f"Mozilla/5.0 (compatible; {AGENT}/1.0)"
MAX_BYTES: Final = 512 * 1024
"""Of a robots.txt that are read (RFC 9309, 2.5: at least 500 KiB)."""
MAX_DELAY: Final = 86_400.0
CLOSED: Final = "User-agent: *\nDisallow: /\n"
"""What holds while a site cannot say what does (RFC 9309, 2.3.1.4)."""
_LEVELS: Final = {"immediate": 0, "reference": 1, "full": 2}
_LINE: Final = re.compile(r"[ \t]*([A-Za-z-]+)[ \t]*:[ \t]*([^#\r\n]*)")


class Rules:
    """A robots.txt, read for this crawler and what it says that it crawls for."""

    def __init__(self, text: str, *, purposes: Iterable[str] = (), use: str = "reference") -> None:
        self._file = protego.Protego.parse(text)
        self._signals = signals(text)
        self._purposes = tuple(purposes)
        self._use = use

    @property
    def sitemaps(self) -> list[str]:
        """The addresses of its sitemaps, as they stand there."""
        return list(self._file.sitemaps)

    @property
    def delay(self) -> float | None:
        """Seconds between two visits, if it says."""
        if (delay := self._file.crawl_delay(AGENT)) is not None:
            return min(float(delay), MAX_DELAY)
        rate = self._file.request_rate(AGENT)
        return min(rate.seconds / rate.requests, MAX_DELAY) if rate is not None and rate.requests > 0 else None

    def forbids(self, url: str) -> str | None:
        """Why ``url`` may not be fetched; ``None`` if it may."""
        return self._signalled or (
            None if self._file.can_fetch(url, AGENT) else f"Its site's robots.txt does not allow it to {AGENT}."
        )

    @functools.cached_property
    def _signalled(self) -> str | None:
        refused = [purpose for purpose in self._purposes if self._signals.get(purpose) == "no"]
        if refused:
            return f"Its site's robots.txt says no to {', '.join(refused)} (Content-Signal); crawl for less (crawlPurposes)."
        level = self._signals.get("use", "full")
        if _LEVELS[self._use] > _LEVELS.get(level, 2):
            return f"Its site's robots.txt allows no use beyond {level} (Content-Signal); see contentUse."
        return None


def signals(text: str) -> dict[str, str]:
    """The content signals to this crawler: those of its own group, else those of all."""
    own: dict[str, str] = {}
    others: dict[str, str] = {}
    for agents, value in _signal_lines(text):
        pairs = dict(_pairs(value))
        if AGENT.lower() in agents:
            own |= pairs
        elif not agents or "*" in agents:
            others |= pairs
    return own or others


def _signal_lines(text: str) -> Iterator[tuple[frozenset[str], str]]:
    """Each Content-Signal line, with the agents of its group; none: it stands before all groups, and is for everybody."""
    agents: set[str] = set()
    in_head = False
    for line in text.splitlines():
        found = _LINE.match(line)
        if found is None:
            continue
        field, value = found[1].lower(), found[2].strip().lower()
        if field == "user-agent":
            agents = agents if in_head else set()
            agents.add(value)
            in_head = True
        elif field != "sitemap":
            in_head = False
            if field == "content-signal":
                yield frozenset(agents), value


def _pairs(value: str) -> Iterator[tuple[str, str]]:
    for part in value.split(","):
        name, equals, said = part.partition("=")
        if equals:
            yield name.strip(), said.strip()
