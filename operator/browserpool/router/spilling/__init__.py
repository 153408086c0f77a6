"""Traffic that another cluster's router serves, because a region of this one is empty or stale: ``regions[].backupRouter``.

What lives here: when a request goes there and when it does not, the requests to that router, and the way back to sessions that were made
there. What must not enter: claims and agents, which the callers bring along as what the region would do.

A request that came through a router already (``X-Browserpool-Via``) is served here or not at all: it goes one hop far, so there are no
loops. It does not wait there either (``X-Browserpool-Wait: 0``): if it is to wait, then where it came in.

============== =======================================================================================
``rules``      who may go there, with what, and what its answers mean (pure)
``breaker``    a router that is away is left alone for a while (pure core)
``turns``      who of those that wait asks a router next
``serving``    the region, then the other router, then whichever is the first
``asking``     a quick action there
``sessions``   a CDP session there
``following``  what belongs to a session that was made there
``listing``    such sessions in lists of sessions
============== =======================================================================================
"""
