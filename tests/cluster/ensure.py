"""Which cluster tests get: the one of KUBECONFIG, else kind's where Docker works, else our own."""

import contextlib
import os
from collections.abc import Iterator

from cluster import access, external, ours


@contextlib.contextmanager
def cluster() -> Iterator[access.Cluster]:
    """A cluster for as long as the block lasts. One that was there before (``python -m cluster up``, KUBECONFIG) stays.

    Raises:
        shell.Failed: none can be had; the message says what is missing.
    """
    if found := _found():
        yield found
        return
    made = _made()
    try:
        yield made
    finally:
        made.host.close()


def _found() -> access.Cluster | None:
    if kubeconfig := os.environ.get("KUBECONFIG"):
        return external.given(kubeconfig)
    return ours.running()


def _made() -> access.Cluster:
    return external.kind() if external.kind_works() else ours.bring_up()
