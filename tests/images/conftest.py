"""The images that ``make images`` has built. Run by ``make images-test`` only: it takes a builder, and root where that is buildah."""

from collections.abc import Iterator

import pytest

from support import containers


@pytest.fixture(scope="session")
def controller() -> Iterator[containers.Container]:
    """The controller's image."""
    with containers.container("controller") as made:
        yield made


@pytest.fixture(scope="session")
def router() -> Iterator[containers.Container]:
    """The router's image."""
    with containers.container("router") as made:
        yield made


@pytest.fixture(scope="session")
def browser() -> Iterator[containers.Container]:
    """The browser's image."""
    with containers.container("browser") as made:
        yield made


@pytest.fixture(params=["controller", "router", "browser"])
def image(request: pytest.FixtureRequest) -> containers.Container:
    """Each image."""
    return request.getfixturevalue(request.param)
