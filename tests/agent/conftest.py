"""Fixtures of the agent's tests."""

import itertools
import pathlib
from collections.abc import AsyncIterator

import pytest

from support import agents


@pytest.fixture
async def router() -> AsyncIterator[agents.Router]:
    """A router's endpoints for agents."""
    async with agents.router() as made:
        yield made


@pytest.fixture
async def agent(router: agents.Router, tmp_path: pathlib.Path) -> AsyncIterator[agents.Agent]:
    """A running agent of the test's own."""
    async with agents.agent(router, tmp_path) as made:
        yield made


@pytest.fixture
def fences() -> "itertools.count[int]":
    """Fences that claims of this agent would get."""
    return itertools.count(agents.FIRST_FENCE + 1)
