"""Frozen values and the rules that belong to them: pools, browsers, sessions, tokens, wire bodies, errors.

What lives here: what two rooms must agree on, and what can be decided from values alone. What must not enter: I/O, clocks,
chance, asyncio, SQL, Kubernetes; ``now`` and identifiers come in as arguments. Any room above may call it.

================== ===================================================================================
``names``          the identifiers, and the browser's name as a function of pool, region and ordinal
``states``         the browser's states and their legal transitions
``pool``           the ``BrowserPool`` manifest
``manifests``      what the parts of manifests have in common
``autoscaling``    the part of it that says how a pool finds how many to keep ready
``refill``         the part of it that says how fast missing browsers are made
``egress``         the part of it that says what pages may reach
``canary``         the part of it that says which second version is tried
``elsewhere``      the part of it that names other systems
``databases``      the part of it that says in which database a region is
``silence``        when a database that says nothing is given up at a stop
``session_object`` the ``BrowserSession`` manifest
``quantities``     durations and shares as manifests write them
``claims``         what a claim asks and what it answers; session kinds, localities, close reasons
``capacity``       what so many browsers take, reckoned from measured costs
``browsers``       a browser as the store has it, its registration, where it stands
``sessions``       live and past sessions
``recordings``     recordings of sessions, and their parts on the way
``live_view``      links to look at a running session
``terms``          what a session is bound to: hosts, recording
``regions``        how far behind a region's heartbeats are
``addresses``      which networks are not public
``nodes``          the region and zone of a node
``crawls``         a crawl's job, its queue, its records
``outcomes``       how requests ended and how long they took, as sums; quantiles
``tokens``         a client's bearer token as it is kept
``heartbeats``     what an agent says of itself, and what it is told in return
``credentials``    keys derived for each browser, claim tokens, hashed bearer tokens
``agentapi``       the addresses and headers between router and agent
``errors``         one tree of errors, each with its HTTP status and wire code
``wire``           the HTTP API's bodies (Cloudflare Browser Run's format)
================== ===================================================================================
"""
