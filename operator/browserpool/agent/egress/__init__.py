"""The egress guard: which addresses a page may reach, and the only way out for Chromium.

Chromium is pointed at a SOCKS5 proxy in this process. Names arrive unresolved; the proxy resolves each once, judges **every** address
of the answer, and connects to one that it judged. Nothing is asked a second time, so an answer that changes between check and use
(DNS rebinding) changes nothing; redirects, sub-resources, WebSockets and kept connections are connections like any other, so nothing
is parsed. If one address of an answer is forbidden the whole answer is: a public address beside a private one is an attack or a
mistake, and to use half of it would hide which.

What lives here: verdicts, the proxy, what it remembers of refusals. What must not enter: CDP, quick actions, HTTP.

The proxy listens on loopback and asks no password, because Chromium's SOCKS client knows none: whatever runs beside the agent may use
it, and gets no more than a page would. The ports of the agent itself and of Chromium's CDP are refused whatever the policy says.

============= ==================================================================================
``policy``    an address and the pool's CIDRs to a verdict with its reason (pure)
``socks``     SOCKS5's messages, bytes to values and back (pure)
``names``     a host to its addresses, once, under a deadline
``dial``      a connection to the first of some judged addresses that answers
``notes``     recent refusals by host and port, for the names of page errors
``refusals``  why a connection is not made: for Chromium, for the page's error, for the metric (pure)
``relay``     bytes between two sockets, with back-pressure and half-close
``client``    Chromium's end of a connection: the handshake, then a relay
``proxy``     the server: resolve, judge, connect, relay
``flags``     what Chromium must be told so that nothing goes around the proxy (pure)
============= ==================================================================================
"""
