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
    made, stays = _had()
    try:
        yield made
    finally:
        if not stays:
            made.host.close()


def _had() -> tuple[access.Cluster, bool]:
    """A cluster, and whether it was there before."""
    if kubeconfig := os.environ.get("KUBECONFIG"):
        return external.given(kubeconfig), True
    with ours.alone():
        if found := ours.running():
            return found, True
        return (external.kind() if external.kind_works() else ours.bring_up()), False
