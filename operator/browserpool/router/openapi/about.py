"""What can be said of a route, for the document: all of it optional."""

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any, Final

JSON: Final = "application/json"


class Group(enum.StrEnum):
    """Headings, in the order in which they are shown."""

    ACTIONS = "Quick actions"
    CRAWL = "Crawling"
    SESSIONS = "Sessions"
    LIVE = "Live view and recordings"
    CHROME = "Chrome's own addresses"
    WORKER = "The Worker's binding"
    BROWSERLESS = "browserless"
    MORE = "Limits, state and the API itself"
    AGENTS = "What agents say"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What comes back when all is well.

    ``shape``: a type that pydantic knows, for JSON. ``enveloped``: it stands under ``result``. ``media``: what the bytes are, where they
    are none. ``headers``: names of ``parameters.ANSWERED``, of which those in ``always`` are never missing.
    """

    status: int = 200
    text: str = "As asked."
    shape: Any = None
    enveloped: bool = False
    meta: bool = False
    media: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    always: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What is said of a route. What is left out is said of any: any body, any answer, any failure.

    ``body``: a type that pydantic knows. ``query`` and ``headers``: names of ``parameters.ASKED``. ``fails``: statuses that its handler
    answers with, in the wire's envelope; the door's own go without saying. ``own_errors``: what else fails is told in other words.
    ``each``: what is said for each value of the path's one parameter, where each has an address of its own in the document.
    """

    group: Group | None = None
    text: str = ""
    body: Any = None
    body_required: bool = True
    example: Any = None
    query: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    answer: Answer | None = None
    fails: frozenset[int] | None = None
    own_errors: bool = False
    each: Mapping[str, "About"] = dataclasses.field(default_factory=dict)


NOTHING: Final = About()
