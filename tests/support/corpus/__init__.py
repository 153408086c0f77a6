"""Hard pages: what the web does to browsers, served on loopback over real sockets.

What lives here: pages as values (what a server sends, byte by byte where it matters, and what each quick action must make of it), and one
server that sends it. What must not enter: the actions, a browser, a test.

============ ==================================================================
``model``    a page, its server's steps, what is expected: values
``server``   sends the steps; plain, and over TLS with bad certificates
``table``    all pages
``frames``   frames, shadow roots, service workers, what draws
``network``  redirects, endless and broken answers, statuses, TLS
``content``  what is no HTML; character sets, scripts of the world; sizes
``scripts``  dialogs, windows, loops, hostile and greedy JavaScript
============ ==================================================================
"""
