"""Live view links: a router makes them, because it alone has the key; asked for in the name of a client who came by CDP."""

from typing import Any, Final

import aiohttp
import orjson

from browserpool.agent import settings
from browserpool.model import agentapi, errors
from browserpool.model.wire import envelope

DEADLINE: Final = 10.0


class Links:
    """Asks the agent's router, by the agent's own token."""

    def __init__(self, *, http: aiohttp.ClientSession, wanted: settings.AgentSettings) -> None:
        self._http = http
        self._url = wanted.router_url.rstrip("/") + agentapi.ROUTER_LIVE_VIEW
        self._headers = wanted.headers
        self._browser_id = wanted.browser_id

    async def ask(self, session_id: str, *, base: str, wish: dict[str, Any]) -> dict[str, Any]:
        """A link to the session, as the wire has it; ``base``: how the client calls the router that he came by.

        Raises:
            errors.BrowserpoolError: no router makes one; its message says why.
        """
        said = {"browser_id": self._browser_id, "session_id": session_id, "base": base, "wish": wish}
        timeout = aiohttp.ClientTimeout(total=DEADLINE)
        try:
            async with self._http.post(
                self._url, data=orjson.dumps(said), headers=self._headers, timeout=timeout
            ) as answer:
                content = await answer.read()
                found: dict[str, Any] = orjson.loads(content)
                if answer.status != 200:
                    raise errors.BrowserpoolError(envelope.message(content) or "The router makes no live view link.")
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise errors.Unavailable(f"The router does not answer: {error!r}") from error
        return found
