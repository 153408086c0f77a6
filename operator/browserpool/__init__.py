"""Browserpool: warm pools of headless Chromium, claimed through Postgres, reached over one HTTP request or over CDP.

The rooms, from the door to the floor; a room may import only what stands below it (checked by import-linter):

=============== =====================================================================================
``cli``         the commands; the only lazy imports
``local``       one machine: processes as pods, embedded Postgres
``controller``  what a cluster should look like: observe, decide (``desired``, pure), apply
``router``      the client's door: URL table, tokens, queue, claim, proxy
``agent``       one browser: supervises Chromium, does the quick actions, bridges CDP, guards egress
``store``       the only SQL
``metrics``     every metric: name, help, labels
``model``       frozen values and their rules: no I/O, no clock, no chance
``lib``         tools that have never heard of browsers
=============== =====================================================================================
"""

__version__ = "0.1.0"
