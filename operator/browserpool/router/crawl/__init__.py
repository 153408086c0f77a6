"""``/crawl``: jobs that fetch a site page by page, whoever's router is there to work on them.

What lives here: the doors of a job, the rules of what it fetches, and the worker that every router runs. A job and its queue are the
store's; nothing of it is remembered here that another router would miss. What must not enter: a connection to any site. Whatever is fetched
is fetched by an agent, behind its egress guard.

============ =================================================================================
``doors``    a job is made, read, ended
``results``  what its client is told (pure)
``plan``     what a job's body asks for (pure)
``frontier`` addresses: their one form, which of them a job fetches, in which order (pure)
``robots``   what a site's robots.txt says (pure)
``sitemaps`` what its sitemaps list (pure)
``policy``   when a worker may take a browser (pure)
``visits``   one entry of a queue: fetched, and what follows from it
``asking``   a browser for a visit, and what its agent is asked
``worker``   the loops
============ =================================================================================
"""
