"""The HTTP API's bodies: Cloudflare Browser Run's wire format (api.md).

What lives here: one pydantic model a body, with every field's default and maximum, and the words for what is wrong with one. The same
models validate at the router, will generate OpenAPI, and are what the agent's actions read. What must not enter: I/O, HTTP, CDP.

Two rules stand behind the models. *Everything that the official SDKs' types can say is accepted*, and an explicit ``null`` is the same
as leaving the field out. *A field that nobody knows is refused*, with the nearest name: an option that is silently ignored costs its
caller an afternoon.

============== ====================================================================================
``actions``    ``ACTIONS``: which actions there are; ``parse``: bytes to a checked body
``shared``     the body that all quick actions share
``screenshot`` ``screenshotOptions``, ``selector``, ``scrollPage``
``snapshot``   several views of one page
``reading``    what reads a page: content, markdown, links, scrape, accessibilityTree
``extract``    what a language model is to read out of a page
``pdf``        ``pdfOptions``, paper sizes, lengths with units
``scalars``    the base of the models; milliseconds, lengths, addresses, numbers that JSON may hold
``patterns``   regular expressions, bare or ``/…/flags``, as matchers of bounded cost
``objects``    a body as the JSON object that it must be
``complaints`` what is wrong with a body, by the field's path, and how to mend it
``crawl``      a crawl's job; what is asked of an agent for it
``wildcards``  addresses with ``*`` and ``**``, as matchers
``envelope``   what goes back
============== ====================================================================================
"""
