"""The router's door beside the client: a port on its own loopback, without a token, and the way from there.

It runs in the client's pod. Whatever it is asked goes on to a router, with the pod's token and a wish for a browser on the pod's own node;
a CDP connection goes from here straight to the browser's pod. What must not enter: the store (a contract holds that), Kubernetes, and
memory of browsers or sessions beyond the connections that are open: a sidecar may be killed at any time, and nothing is lost with it.

============= ======================================================================================
``__main__``  the process
``app``       wires the parts, holds the port, stops on SIGTERM
``settings``  its configuration
``tokenfile`` the pod's token, as its file says at this moment
``passing``   which headers go on to the router, and which come back (pure)
``upstream``  calls to the router
``forward``   one request to the router, streamed both ways
``cdp``       CDP: straight to the browser's pod, or by the router where that cannot be
``keeping``   renewal of a session whose messages no router sees
============= ======================================================================================
"""
