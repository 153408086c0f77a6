"""``/mcp``: the router's addresses as tools of the Model Context Protocol, by its official SDK.

A tool is one request to this router's own HTTP address, sent with the caller's own bearer token: it meets the same limits, claims and
errors as whoever asks there, and knows nothing that they do not say. What must not enter: another way to a browser, and a session of the
protocol: each request stands alone, so that any router answers the next.

============= ==========================================================================
``tools``     what a tool is (pure)
``catalogue`` the tools: name, arguments, which request each is (pure); imported by ``sdk`` alone
``schemas``   their arguments' schemas, made of the wire's models (pure)
``blocks``    an HTTP answer as what a model is shown (pure)
``asking``    the request to the router itself
``asgi``      one request of aiohttp's, answered by an ASGI application
``sdk``       the tools as the SDK's server; alone in knowing the SDK
``hosting``   the SDK, if it is wanted and there
``doors``     the address
============= ==========================================================================
"""
