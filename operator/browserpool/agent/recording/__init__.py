"""What happens on a session's pages, as rrweb's events: recorded in the pages, collected here, handed to a router as it comes.

What lives here: the script, the agent's own CDP sessions beside the client's, the outbox. What must not enter: what becomes of a
recording; a router keeps it, and says when it is enough. Nothing here may hold up a page or a session: what cannot be recorded is not.

=========== ===========================================================================================
``script``  what runs in the pages: rrweb's recorder, in a world of its own
``pages``   the pages of one Chromium: each gets the script, each tells its events
``outbox``  events on their way to a router: bounded, in order, tried again
``records`` the recordings of this agent: begun with a session's first connection, finished with its Chromium
``vendor``  rrweb's recorder as npm has it, with its license
=========== ===========================================================================================
"""
