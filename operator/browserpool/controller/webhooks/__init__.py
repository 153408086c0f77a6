"""Admission webhooks: what the API server asks before it takes a client's pod, and before it lets a browser's pod be evicted.

What lives here: two decisions, and the HTTPS server that carries them to the API server. Every replica of the controller serves them,
whether it leads or not. What must not enter: anything that could keep somebody else's pod from being created, and writes to the API
server.

============== =====================================================================================================
``review``     pure: AdmissionReview, read and answered
``injection``  pure: whether a pod gets a sidecar, and the JSON patch that adds it
``sidecar``    pure: the container and the volumes that are added
``eviction``   drains a browser in the store, and tells the eviction of a claimed one to come again
``server``     HTTPS, by kopf's server; certificates that are read again when they change; deadline and metrics
``wiring``     the decisions with what the settings say, at their paths
============== =====================================================================================================

What a chart has to say. Both configurations: ``admissionReviewVersions: [v1]``, ``failurePolicy: Ignore``, ``timeoutSeconds: 5``; the
controller's Service, port 443 to the pods' 9443; the certificate of that Service's name (``<service>.<namespace>.svc``) as
``caBundle``, and with its key as the files that BROWSERPOOL_WEBHOOK_CERT and BROWSERPOOL_WEBHOOK_KEY name (``ControllerSettings``).
The Service publishes addresses that are not ready: injection needs neither store nor Lease.

* ``/inject``: mutating, CREATE of ``pods``. ``namespaceSelector`` browserpool.dev/injection=enabled, ``objectSelector``
  browserpool.dev/inject=true, ``sideEffects: None``; asked twice about one pod it adds nothing more.
* ``/evict``: validating, CREATE of ``pods/eviction``. ``namespaceSelector`` kubernetes.io/metadata.name=the release's namespace,
  ``sideEffects: NoneOnDryRun``. The controller must be allowed to get pods there.

The sidecar is a native one (an init container with ``restartPolicy: Always``): Kubernetes 1.29 or newer; an older one would wait for it
to end.
"""
