"""A real Kubernetes for tests: the caller's own, kind's, or three nodes of this machine's network namespaces.

Here lives what brings a cluster up, breaks it on purpose and takes it down again. Nothing here knows what browserpool installs.

==================  ============================================================================================
``access``          ``Cluster``: kubectl, helm, exec, logs, images, faults; what tests hold
``ensure``          which cluster it shall be: KUBECONFIG's, kind's, or ours; up before, down after
``external``        clusters that others made: KUBECONFIG's and kind's
``ours``            ours, put together from the modules below, and its faults
``binaries``        Kubernetes, etcd, containerd, CoreDNS and Helm, built from ``go/`` once
``images``          pause, CoreDNS and Debian as archives, without a registry
``network``         namespaces, one bridge, routes, addresses
``cgroups``         groups for a run's pods
``machines``        a machine: namespaces of its own, held by one process, and daemons within
``control``         etcd, API server, controller manager, scheduler
``node``            containerd, kubelet, kube-proxy
``certificates``    one authority and what it signs
``manifests``       CoreDNS as objects
``policies``        NetworkPolicies as nftables rules (pure)
``enforcer``        the process that keeps each node's rules as ``policies`` says
``record``          what was made, so that it can be taken away, also after a crash
``shell``           commands with deadlines, and progress lines
==================  ============================================================================================

``python -m cluster up`` brings one up and leaves it; ``down`` takes it away; ``status`` prints what a shell needs to use it.
"""
