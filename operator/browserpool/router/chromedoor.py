"""The Chrome door: a port on loopback that is entered without a token, as Chrome's own debugging port is.

For tools written for a local Chrome that cannot send a token (``puppeteer.connect({browserURL})`` sends none, neither in a header nor in
the address). It is shut unless ``chrome_port`` is set; whoever comes in is the owner of ``chrome_token``.

Whoever may open a connection to loopback may come in, so, as Chrome does, it refuses what a web page in somebody's ordinary browser
could send: anything with an ``Origin``, and anything addressed to a name (a page could bind its own name to 127.0.0.1).
"""

import ipaddress
import urllib.parse
from collections.abc import Mapping
from typing import Final

from browserpool import metrics
from browserpool.model import errors, tokens
from browserpool.router import catalog, routes

HOST: Final = "127.0.0.1"
ROUTES: Final = tuple(
    route for route in routes.ROUTES if route.path.startswith(("/json", "/devtools/")) or route.path == "/healthz"
)
"""Chrome's own addresses, and what goes with a session. Served at the root only."""


async def enter(book: catalog.Catalog, *, headers: Mapping[str, str], secret: str) -> tokens.Token:
    """The owner of ``secret``, for a request that no web page can have sent.

    Raises:
        errors.Forbidden: a web page may have sent it.
        errors.Unauthorized: the secret is nobody's (any more).
    """
    reason = refusal(headers)
    if reason is not None:
        metrics.REFUSED.labels("web_page").inc()
        raise errors.Forbidden(reason)
    return await book.token(secret)


def refusal(headers: Mapping[str, str]) -> str | None:
    """Why the request is not let in; ``None``: it is. Pure."""
    if "Origin" in headers:
        return "The Chrome door takes no requests of web pages (this one has an Origin); use the router's port, with a token."
    host = urllib.parse.urlsplit(f"//{headers.get('Host', '')}").hostname or ""
    if host != "localhost" and not _is_address(host):
        return "The Chrome door is called as localhost or by an IP address; use the router's port, with a token."
    return None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
