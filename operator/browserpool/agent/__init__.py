"""One browser: supervises Chromium, does the quick actions, bridges CDP, guards egress.

What lives here: all that happens beside one Chromium. What must not enter: the store, a cluster, other browsers. The agent knows of
the rest of the world one router's address and the tokens that it is shown; it decides nothing about who gets a browser, and
obeys the highest fence it has seen.

An agent starts in three steps, so that it is ready as soon as its Chromium is. What it takes to spawn Chromium (``settings``, ``flags``,
``launch``, ``homes``, ``processes``) imports nothing heavy; then ``app`` imports what speaks to Chromium and to the router, without
aiohttp and pydantic; the rest (``servers``: routes, bridge, actions, pages) is imported by ``front`` while those two are waited for.

============== =====================================================================================
``__main__``   the process: settings, spawn Chromium, then import and run ``app``
``settings``   the process's configuration
``flags``      settings to Chromium's arguments (pure)
``homes``      a directory for each start of Chromium; sweeps those of dead agents
``processes``  a process group of its own that dies with us; its memory
``launch``     find the binary, spawn it in a home
``app``        wires it all; SIGTERM
``front``      the sockets at once, the servers when they are imported
``servers``    aiohttp's servers
``routes``     the URL table, errors as the wire's envelope
``ops``        probes and metrics
``custody``    whose the browser is now: admits, supersedes, ends, cleans
``session``    the rules of that: fences and what must be recycled (pure)
``tokens``     claim tokens, checked against the database's clock
``supervisor`` keeps one child process up: probe, kill, back off, give up; knows nothing of Chromium
``chromium``   the child: waits for CDP, probes it
``browser``    one running Chromium as the quick actions see it; the page made ahead
``driver``     CDP; the only module that imports pyppeteer
``bridge``     a client's CDP WebSocket to Chromium's
``lines``      a CDP WebSocket to Chromium, made ahead
``commands``   what a CDP client may ask that Chromium does not know: ``Cloudflare.*``
``handoff``    pages in human hands
``links``      live view links, which a router makes
``recording``  what happens on a session's pages, if it asked for that to be kept
``screening``  CDP messages that a client may not send, or not as they are (pure)
``downloads``  what a session has downloaded
``heartbeats`` the router's client: Hello, Heartbeat
``meters``     counts, also before there are metrics
``actions``    the quick actions
``fetch``      a GET without a browser, behind the same guard
``documents``  what stands in what was so fetched
``page``       a page's life, once
``egress``     the proxy that Chromium is pointed at
============== =====================================================================================
"""
