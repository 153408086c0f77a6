"""An API server and a client of it."""

from collections.abc import AsyncIterator

import pytest

from browserpool.controller import kube
from support import apiserver


@pytest.fixture
async def api() -> AsyncIterator[tuple[apiserver.ApiServer, apiserver.Site]]:
    """The server, and where it is reached."""
    async with apiserver.running() as made:
        yield made


@pytest.fixture
def server(api: tuple[apiserver.ApiServer, apiserver.Site]) -> apiserver.ApiServer:
    return api[0]


@pytest.fixture
def site(api: tuple[apiserver.ApiServer, apiserver.Site]) -> apiserver.Site:
    return api[1]


@pytest.fixture
async def client(site: apiserver.Site) -> AsyncIterator[kube.Client]:
    async with kube.Client(site.configuration(), namespace=apiserver.NAMESPACE, timeout=5) as made:
        yield made
