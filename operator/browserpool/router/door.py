"""Who asks: whose the bearer token of a request is."""

from collections.abc import Mapping

from browserpool import metrics
from browserpool.model import credentials, errors, tokens
from browserpool.model.names import BrowserId
from browserpool.router import bearer, catalog

HOW = "Send it as `Authorization: Bearer TOKEN`, or as ?token= where no header can be set."


async def enter(book: catalog.Catalog, *, headers: Mapping[str, str], query: Mapping[str, str]) -> tokens.Token:
    """The token's owner.

    Raises:
        errors.Unauthorized: no token, or nobody's.
    """
    secret = bearer.said(headers=headers, query=query)
    if secret is None:
        metrics.REFUSED.labels("unauthorized").inc()
        raise errors.Unauthorized(f"A bearer token is required. {HOW}")
    try:
        return await book.token(secret)
    except errors.Unauthorized:
        metrics.REFUSED.labels("unauthorized").inc()
        raise


def enter_agent(browser_id: BrowserId, *, signing_key: str, headers: Mapping[str, str]) -> None:
    """Let in the agent of that browser, and nobody else.

    Raises:
        errors.Unauthorized: the token is not that browser's.
    """
    secret = bearer.said(headers=headers, query={})
    if secret is None or not credentials.is_agent_token(secret, signing_key=signing_key, browser_id=browser_id):
        metrics.REFUSED.labels("unauthorized").inc()
        raise errors.Unauthorized(f"The bearer token is not the agent token of browser {browser_id}.")
