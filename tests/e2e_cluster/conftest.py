"""One cluster for the whole run. Run by ``make e2e`` only: it takes root and minutes."""

import contextlib
import os
import pathlib
from collections.abc import Iterator

import pytest

from cluster import access, ensure, external
from support import release as releases

_HERE = pathlib.Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what must not happen to somebody else's cluster. Pods take their time, and the first test waits for a cluster:
    ten minutes for each that names no time of its own.
    """
    here = [item for item in items if item.path.is_relative_to(_HERE)]
    left_out = _left_out()
    out = [item for item in here if left_out & set(item.keywords)]
    config.hook.pytest_deselected(items=out)
    items[:] = [item for item in items if item not in out]
    for item in here:
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(600))


def _left_out() -> set[str]:
    """Markers of tests that the cluster in use is not for."""
    if "KUBECONFIG" in os.environ:
        return {"faults", "ours"}
    return {"ours"} if external.kind_works() else set()


@pytest.fixture(scope="session")
def kubernetes(pytestconfig: pytest.Config) -> Iterator[access.Cluster]:
    """A cluster of three nodes in two regions; browserpool is not installed in it."""
    with contextlib.ExitStack() as stack:
        # Uncaptured: it says how far it is.
        with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            made = stack.enter_context(ensure.cluster())
        yield made


@pytest.fixture
def namespace(kubernetes: access.Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own, deleted after it."""
    name = request.node.originalname.replace("_", "-")[:50].strip("-")
    kubernetes.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    kubernetes.delete("namespace", name, timeout=120)


@pytest.fixture(scope="session")
def release(kubernetes: access.Cluster) -> Iterator[releases.Release]:
    """browserpool, installed from this tree, without a pool."""
    with releases.installed(kubernetes) as made:
        yield made


@pytest.fixture(scope="session")
def client(release: releases.Release) -> Iterator[str]:
    """A client's pod that lives as long as the run, on the node eu-a1."""
    with release.client("client", node="eu-a1") as name:
        yield name
