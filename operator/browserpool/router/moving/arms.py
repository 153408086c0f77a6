"""Who serves a request: the pool, or the other system that its spec names. Pure."""

import dataclasses
import hashlib
from typing import Final

from browserpool.model import elsewhere
from browserpool.model.names import PoolName, TokenName
from browserpool.model.outcomes import Arm

_SPACE: Final = 2**64


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """One attempt. ``at_once``: the pool serves only if it has a browser ready; nobody waits for one."""

    arm: Arm
    at_once: bool = False


POOL_ALONE: Final = (Try(arm=Arm.POOL),)


def place(*, token: TokenName, pool: PoolName) -> float:
    """Where a caller stands among all, from 0 to under 100.

    It is the same at every router and forever: whoever was under a percentage is under each that is larger.
    """
    digest = hashlib.sha256(f"{pool}\0{token}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / _SPACE * 100


def first(upstream: elsewhere.Upstream, *, token: TokenName, pool: PoolName, draw: float) -> Arm:
    """Whose turn it is. ``draw``: a random number from 0 to under 100, for requests that do not stick to their caller's side."""
    stands = place(token=token, pool=pool) if upstream.sticky else draw
    return Arm.POOL if stands < upstream.percent else Arm.UPSTREAM


def plan(arm: Arm, fallback: elsewhere.Fallback) -> tuple[Try, ...]:
    """The attempts in their order; each but the first is made only if the one before failed.

    A pool that has no browser ready is not waited for while the upstream may serve; if that fails too, the wait begins.
    """
    to_upstream = fallback in (elsewhere.Fallback.TO_UPSTREAM, elsewhere.Fallback.BOTH)
    if arm is Arm.UPSTREAM:
        return (Try(arm=arm), *(POOL_ALONE if fallback is elsewhere.Fallback.BOTH else ()))
    if to_upstream:
        return (Try(arm=arm, at_once=True), Try(arm=Arm.UPSTREAM), *POOL_ALONE)
    return POOL_ALONE
