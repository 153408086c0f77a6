"""One machine: processes as pods, an embedded Postgres, the router in front; the decisions are the controller's.

What lives here: ``browserpool up``: what starts and stops a whole installation under one directory. What must not enter: policy (that
is ``controller.desired``) and anything that a client's request passes through. Only the command line may call it.

=============== ======================================================================================
``up``          the order in which everything starts, and stops
``manifest``    reading pools from a file, with complaints that name the line
``directory``   the data directory: who holds it, its secrets, its address file
``postgres``    Postgres' server from the wheel, under the directory
``processes``   child processes: groups, deadlines, logs, restarts
``agents``      processes as the controller's pods: one agent for each browser
``nodes``       simulated nodes and zones
``reconcile``   observe → plan → apply, again and again
``progress``    what a person sees while the pool warms
``client``      what the commands ask of a router
``show``        tables of pools, browsers and sessions
``comparing``   the table of `compare`
``routing``     the router as a child process
``measuring``   what heartbeats and sessions cost on this machine
``planning``    the tables of `bench` and `plan`; ``model.capacity`` reckons
``problems``    what is wrong, for whoever typed the command
=============== ======================================================================================
"""
