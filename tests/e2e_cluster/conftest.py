"""One cluster for the whole run. Run by ``make e2e`` only: it takes root and minutes."""

import pathlib
from collections.abc import Iterator

import pytest

from cluster import access, ensure

_HERE = pathlib.Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Pods take their time, and the first test waits for a cluster: ten minutes for each that names no time of its own."""
    for item in items:
        if item.path.is_relative_to(_HERE) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def kubernetes() -> Iterator[access.Cluster]:
    """A cluster of three nodes in two regions; browserpool is not installed in it."""
    with ensure.cluster() as made:
        yield made


@pytest.fixture
def namespace(kubernetes: access.Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own, deleted after it."""
    name = request.node.originalname.replace("_", "-")[:50].strip("-")
    kubernetes.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    kubernetes.delete("namespace", name, timeout=120)
