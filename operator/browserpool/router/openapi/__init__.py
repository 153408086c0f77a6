"""The API in its own words: an OpenAPI 3.1 document at ``/openapi.json``, and a page for people at ``/docs``.

What lives here: what is said of each route beyond its address, the schemas of bodies (from the models that validate them) and of answers,
the document and the page that are made of these. What must not enter: a client's request (but in ``serving``), and anything that a
reader of the page would have to load from elsewhere.

Whoever adds a route needs nothing from here: it is in the document by its handler's docstring. ``Route.about`` says more of it.

============== =======================================================================================
``about``      what can be said of a route: its body, its parameters, its answer, how it fails
``said``       what is said of ours
``shapes``     what answers look like, as models
``outcomes``   the same of a pool's outcomes
``parameters`` query parameters and headers by name; the headers of answers
``failures``   errors by status: when, with which codes
``schemas``    JSON schemas of the models, as the wire really is
``document``   the document (pure)
``page``       the document as a page (pure)
``documentation`` both, made once
``serving``    the two addresses
============== =======================================================================================
"""
