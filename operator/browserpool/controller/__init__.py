"""What should exist: observe → decide → apply, the same for a cluster's pods and for one machine's processes.

What lives here: the decisions (``desired``, pure), what they are made from (``observe``) and how they are carried out
(``apply``, through hands that the caller gives); and the process that does it on Kubernetes. What must not enter: client traffic, and
any policy outside ``desired``. Kubernetes stands behind ``kube`` (the official client's configuration, plain requests) and ``handlers``
(kopf); ``local`` brings processes instead of pods and uses the first eight only.

================ =====================================================================================
``desired``      pure: which browsers to make, drain, delete, forget, adopt; their pods; what it is called
``autoscaler``   how many each region keeps ready where the pool finds that by itself, and what it needed lately
``canaries``     the canaries that are tried, beside their stable versions, and those that are paused
``observe``      the store's rows joined with the pods, as values
``apply``        carries actions out: rows in the store, pods through ``Hands``
``installation`` whose database it is
``records``      pools, regions and nodes as routers are to see them
``lookout``      all browsers in all databases, and which regions cannot be seen
``app``          the process: what every replica does, what the leader does, how it stops
``leader``       one leader among the replicas, by a Lease
``reconciler``   the leader's loop over all pools
``sessions``     the leader's loop over all BrowserSession objects
``handlers``     kopf, which only tells what it sees
``kube``         a thin client of the API server
``mirror``       what the API server has of one kind, kept in memory by list and watch
``wanted``       pools as the API server has them, invalid ones included
``pods``         the browsers' pods: what exists of them, and hands to make and delete them
``policies``     the pools' NetworkPolicies
``nodes``        what becomes of each node, and which region it is of
``podstate``     what is read of a pod's or a node's object
``statuses``     writes pools' status, only what differs
``leftovers``    the Secrets of deleted pools
``chronicle``    from what was done and changed to Events
``events``       Kubernetes Events, counted and not too many
``ops``          probes and metrics
``settings``     the process's configuration
``__main__``     starts it
``webhooks``     admission: the sidecar's injection, the guard over evictions
``crds``         the CustomResourceDefinitions, made from the models
``crds_texts``   what they say beyond the models: rules, statuses, printer columns
``rights``       what it may do at the API server, as data; the chart's roles are compared with it
================ =====================================================================================
"""
