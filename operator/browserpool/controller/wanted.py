"""The pools as the API server has them: what each wants, or why that cannot be understood. Pure."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import pydantic

from browserpool.controller.desired import labels, merge
from browserpool.model import names
from browserpool.model.names import PoolName, RegionName
from browserpool.model.pool import BrowserPool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One BrowserPool object. ``pool`` is None if its spec is invalid: then ``problem`` says why. ``created`` orders them by age."""

    name: PoolName
    uid: str
    generation: int
    created: str
    pool: BrowserPool | None
    problem: str = ""
    status: Mapping[str, Any] = dataclasses.field(default_factory=dict, compare=False)
    """As the object bears it; a change of it alone is no change of what is wanted."""


def read(found: Mapping[str, Any]) -> Wanted:
    """A BrowserPool from its object."""
    metadata = found["metadata"]
    pool, problem = _parsed(found)
    return Wanted(
        name=PoolName(metadata["name"]),
        uid=str(metadata.get("uid", "")),
        generation=int(metadata.get("generation", 1)),
        created=str(metadata.get("creationTimestamp", "")),
        pool=pool,
        problem=problem,
        status=found.get("status") or {},
    )


def _parsed(found: Mapping[str, Any]) -> tuple[BrowserPool | None, str]:
    # Without its status, which is ours, and whose change must not make the pool another.
    try:
        return BrowserPool.model_validate({key: value for key, value in found.items() if key != "status"}), ""
    except pydantic.ValidationError as error:
        return None, "; ".join(_complaint(one["loc"], one["msg"]) for one in error.errors())


def _complaint(place: tuple[int | str, ...], message: str) -> str:
    path = ".".join(str(part) for part in place)
    return f"{path}: {message}" if path else message.removeprefix("Value error, ")


def installed(pool: BrowserPool, *, image: str, mark: str) -> BrowserPool:
    """``pool`` with what the installation adds to it, so that a change of that makes browsers out of date as a change of the pool does.

    ``image`` is that of browsers whose pool names none; ``mark``, an annotation of pods, stands for all else that reaches them.
    """
    spec = pool.spec
    chromium = spec.chromium if spec.chromium.image else spec.chromium.model_copy(update={"image": image})
    template = merge.merged(spec.template, {"metadata": {"annotations": {labels.INSTALLATION: mark}}})
    return pool.model_copy(update={"spec": spec.model_copy(update={"chromium": chromium, "template": template})})


def colliding(found: Iterable[Wanted]) -> dict[PoolName, str]:
    """The pools whose browsers would bear names of an older pool's, each with the sentence that says so.

    Pool ``a`` with region ``b-c`` and pool ``a-b`` with region ``c`` would both make ``a-b-c-0``.
    """
    taken: dict[str, PoolName] = {}
    refused: dict[PoolName, str] = {}
    for one in sorted(found, key=lambda one: (one.created, one.name)):
        if one.pool is None:
            continue
        prefixes = {_first(one.name, RegionName(region.name)): region.name for region in one.pool.spec.regions}
        clash = next((prefix for prefix in prefixes if prefix in taken), None)
        if clash is None:
            taken |= dict.fromkeys(prefixes, one.name)
        else:
            refused[one.name] = (
                f"Browsers of region {prefixes[clash]} would bear the names of pool {taken[clash]}'s ({clash}, ...); "
                "rename the pool or the region."
            )
    return refused


def _first(pool: PoolName, region: RegionName) -> str:
    return names.browser_id(pool=pool, region=region, ordinal=0)
