"""The pool's policy as pure functions: values in, actions out.

What lives here: every decision on how many browsers exist, which one goes and when. What must not enter: clocks (ages come in, in
seconds), chance, I/O, logs, the store, Kubernetes. Whoever observes a world and can act on it may call it.

=============== ======================================================================================
``seen``        what is observed of a browser, its pod and its region
``plan``        ``plan(pool, world) -> actions``
``blind``       regions of which nothing is decided: a database of theirs does not answer
``failing``     which browsers should be ready and are not, and whose turn it is to be replaced
``rollout``     whose turn it is when the template has changed
``versions``    which browsers are to be of the canary's template, and which of the stable one
``canary``      whether the canary is worse, and is to be paused
``settling``    for how long a region has been short of browsers, or has had too many
``scaling``     how many each region keeps ready where the pool finds that by itself (``hours``: its schedule)
``pace``        how many may be made now, by ``refill.maxRate``
``template``    the hash of all that makes one browser differ from another
``status``      what the pool's state is called: counts and conditions
``canary_status`` what is said of the canary
``session``     BrowserSession objects: which claim, what each says (``session_status``), what is released
``notices``     what a person would ask about, as sentences
``pod``         the manifest of a browser's pod
``merge``       the pool's template laid over it
``shards``      the Secrets that pods take their credentials from
``network``     a pool's NetworkPolicy
``labels``      by which objects say whose they are
=============== ======================================================================================
"""
