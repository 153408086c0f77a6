"""A page's life, once: take the spare, set its rules, load, wait, hand it to the action, dispose of its context.

What lives here: all that the quick actions share, and nothing that only one of them needs. What must not enter: what an action makes of a
loaded page (``actions``), HTTP, the egress guard's doings (only its notes are read).

The hot path (a ``url`` and no further wishes) sends ``Page.navigate`` and waits for an event; every other message is there because the
body asks for it. What a body asks for is set up and answered before the page loads, so that no race decides whether it holds.

============= =====================================================================================
``life``      the life itself, as a context manager; the page that actions work on
``setup``     a body to the CDP calls that make its rules (pure)
``traffic``   which requests go on, and whose credentials they get; the handler of ``Fetch``
``loading``   navigate or set the document; the milestones on the way
``elsewhere`` a page that goes elsewhere by itself: how long it may take, and what becomes of what was being done
``scripts``   our own scripts in the page, in a world of their own
``waiting``   scripts and styles put in, selectors and time waited for
``failures``  Chromium's network errors to the wire's codes (pure)
``budget``    the action's time
============= =====================================================================================
"""
