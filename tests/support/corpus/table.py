"""All pages."""

from typing import Final

from support.corpus import content, frames, network, scripts
from support.corpus.model import Page

PAGES: Final[tuple[Page, ...]] = (*frames.PAGES, *network.PAGES, *content.PAGES, *scripts.PAGES)
