"""The Chrome door: a port on loopback that is entered without a token, as Chrome's own debugging port is (``loopback``).

For tools written for a local Chrome that cannot send a token (``puppeteer.connect({browserURL})`` sends none, neither in a header nor in
the address). It is shut unless ``chrome_port`` is set; whoever comes in is the owner of ``chrome_token``.
"""

from collections.abc import Mapping
from typing import Final

from browserpool import metrics
from browserpool.model import errors, tokens
from browserpool.router import catalog, loopback, routes

ROUTES: Final = tuple(
    route
    for route in routes.ROUTES
    if route.path.startswith(("/json", "/devtools/", "/live/")) or route.path == "/healthz"
)
"""Chrome's own addresses, and what goes with a session. Served at the root only."""


async def enter(book: catalog.Catalog, *, headers: Mapping[str, str], secret: str) -> tokens.Token:
    """The owner of ``secret``, for a request that no web page can have sent.

    Raises:
        errors.Forbidden: a web page may have sent it.
        errors.Unauthorized: the secret is nobody's (any more).
    """
    reason = loopback.refusal(headers)
    if reason is not None:
        metrics.REFUSED.labels("web_page").inc()
        raise errors.Forbidden(reason)
    return await book.token(secret)
