"""What may come in by a port on loopback that asks for no token, as Chrome's own debugging port is. Pure.

Whoever may open a connection to loopback may come in, so, as Chrome does, it refuses what a web page in somebody's ordinary browser
could send: anything with an ``Origin``, and anything addressed to a name (a page could bind its own name to 127.0.0.1).
"""

import ipaddress
import urllib.parse
from collections.abc import Mapping
from typing import Final

HOST: Final = "127.0.0.1"


def refusal(headers: Mapping[str, str]) -> str | None:
    """Why the request is not let in; ``None``: it is."""
    if "Origin" in headers:
        return "This port takes no requests of web pages (this one has an Origin); use the router's own, with a token."
    host = urllib.parse.urlsplit(f"//{headers.get('Host', '')}").hostname or ""
    if host != "localhost" and not _is_address(host):
        return "This port is called as localhost or by an IP address; use the router's own, with a token."
    return None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
