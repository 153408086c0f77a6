"""All pages, and which actions each is for.

Every view of every page is looked at. Where no action has a part in how a page comes, ``snapshot`` stands for the four views that it
holds, beside the actions that ask less of Chromium (no status) or something else of it; the rest would only be time.
"""

import dataclasses
from typing import Final

from support.corpus import content, frames, network, scripts
from support.corpus.model import ACTIONS, Fails, Page

_NEVER_COME: Final = frozenset(
    {"redirect-to-itself", "silent", "empty", "status-204", "tls-self_signed", "download", "alerts-for-ever"}
)
"""One of each kind of page that is an error, for every action."""
_BY_EVERYTHING: Final = frozenset(page.name for page in (*frames.PAGES, *scripts.HOSTILE, *network.STATUSES[:3]))
_OF_ERRORS: Final = ("content", "screenshot", "pdf")
_OF_PAGES: Final = ("snapshot", "screenshot", "pdf", "links", "scrape")


def _for_its_actions(page: Page) -> Page:
    if page.actions != ACTIONS or page.name in _NEVER_COME or page.name in _BY_EVERYTHING:
        return page
    fails = isinstance(page.expect, Fails) and not page.but
    return dataclasses.replace(page, actions=_OF_ERRORS if fails else _OF_PAGES)


PAGES: Final[tuple[Page, ...]] = tuple(
    map(_for_its_actions, (*frames.PAGES, *network.PAGES, *content.PAGES, *scripts.PAGES))
)
