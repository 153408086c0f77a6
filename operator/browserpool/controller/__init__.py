"""What should exist: observe → decide → apply, the same for a cluster's pods and for one machine's processes.

What lives here: the decisions (``desired``, pure), what they are made from (``observe``) and how they are carried out
(``apply``, through hands that the caller gives). What must not enter: client traffic, and any policy outside ``desired``.
Kubernetes itself will stand behind one thin client here; ``local`` brings processes instead of pods.

=============== ======================================================================================
``desired``     pure: which browsers to make, drain, delete, forget, adopt
``observe``     the store's rows joined with the pods, as values
``apply``       carries actions out: rows in the store, pods through ``Hands``
``crds``        the CustomResourceDefinitions, made from the models
``crds_texts``  what they say beyond the models: rules, statuses, printer columns
``rights``      what it may do at the API server, as data; the chart's roles are compared with it
=============== ======================================================================================
"""
