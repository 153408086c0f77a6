"""The only SQL: Postgres, one round trip a question, every answer a value of ``model``.

What lives here: statements (``sql/*.sql``, named), the functions named as they are, the pool of connections, the writer that batches
heartbeats. What must not enter: HTTP, processes, policy of pools. Any process above may call it, and none sees a psycopg error: what
the database cannot do at the moment is ``errors.Unavailable``, what it cannot hold is ``errors.InvalidRequest``.

Time is the database's: no function here compares a process's clock with a row.

================ ========================================================================================
``connect``      the pool of connections; deadlines, one retry on a broken connection, errors mapped
``databases``    the installation's database and those of regions: opened, watched
``region_databases`` which of them there are, for the routers
``everywhere``   what concerns all of them: sessions wherever they are, lists, renewals
``claims``       a claim that may have to look in several of them
``writers``      the batch writer of each of them
``queries``      loads ``sql/*.sql``
``measures``     how large the database is, for `browserpool bench`
``migrate``      brings a database to the schema that this code needs
``migrate_regions`` those of regions, as far as they can be reached
``browsers``     register, locate, hello, drain, withdraw, forget, sweep, claimable, listing
``leases``       claim, renew, release, expire
``sessions``     live and past sessions, and who is connected to them
``recordings``   what sessions have been recorded as
``remote_sessions`` those that another cluster's router has
``heartbeats``   the batch writer
``regions``      regions, and how far behind their heartbeats are
``cache``        answers of quick actions that routers share for a while
``outcomes``     how requests to pools ended, by minutes
``nodes``        the cluster's nodes, their regions and zones
``pools``        pools as the routers are to see them
``crawls``       crawls: jobs, their queues, politeness, results
``installation`` whose database this is
``tokens``       clients' bearer tokens, hashed
``usage``        how long browsers were held for each token, by days
``sql``          ``schema.sql`` is the present truth, ``migrations/`` the way to it, the rest the statements by topic
================ ========================================================================================
"""
