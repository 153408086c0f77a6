"""The client's door: from an HTTP request to a browser, and back.

What lives here: the URL table, who may come in, what is claimed for whom, the wait when there is nothing to claim, and the way to the
agent. What must not enter: SQL, Kubernetes, CDP's meaning (frames pass unread), and any state that a second router would miss.
Only ``cli`` and ``local`` may call it, and only through ``__main__`` and ``settings``.

============== =======================================================================================
``__main__``   the process
``app``        wires the parts, runs the loops, drains on SIGTERM
``settings``   its configuration
``routes``     the URL table, as data
``services``   what a handler is given
``bearer``     the bearer token that a request carries (pure)
``loopback``   what may come in by a port without a token (pure)
``door``       who asks: bearer tokens, agent tokens
``chromedoor`` a port on loopback without a token, as Chrome's own is
``catalog``    pools, tokens and nodes, cached
``place``      where this router stands
``quotas``     a token's rate, concurrency and browser time (pure core)
``limits``     what a token may still do
``target``     what to claim for a request (pure)
``line``       who is next (pure)
``waiting``    the wait for a browser: bounded, fair, with a deadline
``claiming``   claim or wait, use, retry on another, release in the background
``sharing``    which quick actions are at work in one session (pure core)
``holding``    the sessions held here: renewed together, expired, told when lost
``agents``     calls to agents
``dbclock``    the database's time, which claim tokens are written in
``actions``    quick actions
``moving``     traffic that moves to a pool from another system
``remote``     calls to other systems
``secretfiles`` tokens for other systems, from files
``outcomes``   how requests ended, and how long they took
``cache``      answers of quick actions, given again for a while
``extract``    json: what goes to the agent for it, and what comes back (pure)
``ai``         language models: whom to ask, what, and what they say
``cdp``        CDP over WebSocket
``relay``      an answer passed on as it comes
``bridge``     two WebSockets joined
``downloads``  what a session has downloaded
``direct``     sessions whose client speaks to the browser itself
``devtools``   sessions over HTTP
``worker_binding`` what a Worker's browser binding is asked
``worker_frames`` the chunked frames of older ones (pure core)
``binding``    what a request asks its session to be bound to (pure)
``recording``  what sessions have been recorded as
``liveview``   a running session in the viewer's own browser
``selfcontained`` pages that hold all that they run (pure)
``chromejson`` Chrome's own /json at the root
``lookup``     a session by its id, for its owner
``addresses``  the addresses that are given out, Chrome's rewritten (pure)
``intake``     what agents say
``status``     probes, metrics, the picture for people
``openapi``    the API in its own words: a document, and a page
``browserless`` browserless' addresses, for who comes from there
``mcpserver``  the same as tools of the Model Context Protocol
``spilling``   what another cluster's router serves
``sidecar``    the same door beside the client, without a store
``crawl``      jobs that fetch whole sites, and the worker for them
``answers``    errors on their way out
============== =======================================================================================
"""
