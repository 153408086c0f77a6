"""The actions that read a page: ``POST /content``, ``/markdown``, ``/links``, ``/scrape``, ``/accessibilityTree`` (api.md §3)."""

from typing import Annotated, Final

from pydantic import Field

from browserpool.model.wire import shared
from browserpool.model.wire.scalars import Flag, Part, Pause, Text

MAX_ELEMENTS: Final = 200
"""Selectors of one ``/scrape``."""
Selector = Annotated[Text, Field(min_length=1, max_length=4096)]


class Content(shared.QuickAction):
    """The body of ``POST /content``: the shared one."""


class Markdown(shared.QuickAction):
    """The body of ``POST /markdown``: the shared one."""


class Links(shared.QuickAction):
    """The body of ``POST /links``. External is what leads to another host than the page's own."""

    visible_links_only: Flag = False
    exclude_external_links: Flag = False


class Element(Part):
    """What to look for. ``timeout``: milliseconds to wait for a match; absent: what is there is taken (browserless has it)."""

    selector: Selector
    timeout: Pause | None = None


class Scrape(shared.QuickAction):
    """The body of ``POST /scrape``."""

    elements: Annotated[tuple[Element, ...], Field(min_length=1, max_length=MAX_ELEMENTS)]


class AccessibilityTree(shared.QuickAction):
    """The body of ``POST /accessibilityTree``. ``root`` is a CSS selector; with it, all below is of interest unless said otherwise."""

    root: Selector | None = None
    interesting_only: Flag | None = None

    @property
    def only_interesting(self) -> bool:
        """``interestingOnly``, or what holds when it is absent."""
        return self.root is None if self.interesting_only is None else self.interesting_only
