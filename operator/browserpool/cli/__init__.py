"""The commands. Each imports what it needs when it runs, so that `router` needs no Postgres wheel and `agent` no database.

What fails is a sentence on standard error and exit code 1; a wrong command line is exit code 2. What lives here: options and arguments, and
which room does the work. What must not enter: the work. Nobody calls it but ``__main__`` and the script ``browserpool``.

============= =====================================================
``main``      the commands together
``processes`` `up`, `controller`, `router`, `sidecar`, `agent`, `migrate`
``clients``   `screenshot`, `pdf`, `content`, `status`
``tokens``    `token`
``capacity``  `bench`, `plan`
``options``   what several of them share
============= =====================================================
"""
