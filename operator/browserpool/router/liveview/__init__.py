"""A running session in the viewer's own browser: links to it, the page that they open, and what a viewer may do.

What lives here: the link's handlers, the viewer's page, the rules for what a viewer sends. What must not enter: claims (a view never makes
one, nor does it keep a session that nobody uses), and anything that a second router would miss: the link says it all.

============ ==========================================================================================
``making``   a link for a caller of the API, or for an agent whose client asks over CDP
``opening``  what a link opens: the viewer's page, DevTools' files, the CDP connection
``rules``    which CDP messages a viewer may send, and which of them count as use (pure)
``viewer``   the page: HTML, style and script in one file, which loads nothing else
============ ==========================================================================================
"""
