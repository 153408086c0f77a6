"""The addresses and headers between router, sidecar and agent.

Every call to an agent but the probes carries a claim token: ``Authorization: Bearer <claim token>``, or for a WebSocket
``?token=``, since puppeteer and browsers set no header on one. Errors come as the wire's error envelope
(``wire.envelope``), with the status that the client is to see, so that a router passes them through untouched.
"""

ACTION = "/v1/actions/{action}"
"""POST: a quick action; the body is the client's, validated. 200: bytes or JSON, as the client is to get it."""
CDP = "/v1/cdp"
"""WebSocket: the browser's own CDP endpoint."""
CDP_PAGE = "/v1/cdp/page/{target}"
"""WebSocket: one page's CDP endpoint."""
CHROME_JSON = "/v1/json/{rest:.*}"
"""GET, PUT: Chrome's own ``/json/…``, answered by Chrome; WebSocket addresses in it are Chrome's and must be rewritten."""
CHROME_DEVTOOLS = "/v1/devtools/{file:.*}"
"""GET: a file of the DevTools that Chromium carries."""
DOWNLOADS = "/v1/downloads"
"""GET: what the session has downloaded."""
DOWNLOAD = "/v1/downloads/{file}"
"""GET: the bytes of one of them."""
END = "/v1/end"
"""POST: the session of the token's fence is over. Answered with ``Ended`` when the browser is clean or has to give up."""

HEALTHZ = "/healthz"
READYZ = "/readyz"
METRICS = "/metrics"

ROUTER_HELLO = "/internal/v1/hello"
"""POST ``Hello`` to a router, with the agent token. 200 ``Welcome``; 404: the browser is not registered (yet)."""
ROUTER_HEARTBEAT = "/internal/v1/heartbeat"
"""POST ``Heartbeat``. 200 ``Reply`` once it is written; 503: the queue is full, say it again next time."""

ROUTER_LIVE_VIEW = "/internal/v1/live-view"
"""POST ``{browser_id, session_id, base, wish}``: a link to the browser's session, for a client who asks for one over CDP."""
ROUTER_RECORDING = "/internal/v1/recording"
"""POST ``{browser_id, session_id, number, final, events}``: a part of a session's recording. 200 ``{more}``: whether to go on."""

DATABASE = "X-Browserpool-Database"
"""Header of an agent's calls to a router: the database that its browser is registered in (``names.DatabaseName``); none: the
installation's own."""

RENEW = "/v1/sessions/{session}/renew"
"""POST to a router, with the client's token: the session is in use, though no message of it passes here."""
BASE = "X-Browserpool-Base"
"""Header: the ``http://host:port`` by which clients call the request's sender, for the addresses in the answer."""
WAIT = "X-Browserpool-Wait"
"""Header of a request: ``0`` if it is not to wait for a browser."""
WAY = "X-Browserpool-Way"
"""Header of a sidecar's answer to a WebSocket: ``direct`` to the browser, or ``proxied`` by a router."""

BROWSER_MS_USED = "X-Browser-Ms-Used"
"""Milliseconds for which an action kept the browser."""
CLEAN = "clean"
"""Field of END's answer: true when nothing of the session is left and the browser may be claimed again."""
GIVE_UP = "gone"
"""Field of END's answer: true when the agent will exit instead of recycling (``recycle: Delete``)."""
