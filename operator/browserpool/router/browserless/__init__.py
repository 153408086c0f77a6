"""browserless' addresses: for programs that were written for it and change only the host.

What lives here: its bodies read as ours, our answers written as its, and what its management addresses say. What must not enter: another
way to a browser. Each address goes the way of our own: the same limits, claims and errors.

============== =====================================================================
``bodies``     a body of browserless' as one of ours (pure)
``actions``    screenshot, pdf, content, scrape; what is not offered
``connecting`` WebSockets: claim, connect, and end with the connection
``picture``    pressure and sessions
============== =====================================================================
"""
