"""A pool's one or two versions: how many of a region's browsers are to be of which, and which are of the wrong one."""

import dataclasses
from collections.abc import Sequence

from browserpool.controller.desired import seen, template
from browserpool.model.names import BrowserId
from browserpool.model.pool import PoolSpec, Region
from browserpool.model.states import BrowserState


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """The templates of one region, by their hashes. ``canary`` is None where there is one version only; ``percent`` is its share."""

    stable: str
    canary: str | None = None
    percent: int = 0

    def are(self, template_hash: str) -> bool:
        """Whether a browser of this template may stay."""
        return template_hash in (self.stable, self.canary)

    @property
    def fresh(self) -> frozenset[str]:
        """The templates of which new browsers may be made."""
        return frozenset([self.stable] if self.canary is None or not self.percent else [self.stable, self.canary])


def of(spec: PoolSpec, region: Region, *, paused: bool) -> Versions:
    """Those that the pool wants; one that is paused keeps its name and has no share."""
    stable, second = template.hashed(spec, region), template.canary(spec)
    hashed = None if second is None else template.hashed(second, region)
    if spec.canary is None or hashed == stable:
        return Versions(stable=stable)
    return Versions(stable=stable, canary=hashed, percent=0 if paused else spec.canary.percent)


def bounds(percent: int, total: int) -> tuple[int, int]:
    """How few and how many of ``total`` browsers may be canaries: the share rounded down and up.

    Of two or more, one is at least if the share is not 0, and one is not unless it is 100.
    """
    if percent in (0, 100):
        return total * percent // 100, total * percent // 100
    if total < 2:
        return 0, 0
    low, high = max(1, total * percent // 100), min(total - 1, -(-total * percent // 100))
    return min(low, total - 1), max(high, low)


def due(percent: int, total: int) -> int:
    """How many of ``total`` are best canaries."""
    low, high = bounds(percent, total)
    return min(high, max(low, (total * percent + 50) // 100))


def created(two: Versions, kept: Sequence[seen.Browser], number: int) -> list[str]:
    """The templates of ``number`` new browsers beside those that are ``kept``."""
    if two.canary is None:
        return [two.stable] * number
    canaries = sum(b.template_hash == two.canary for b in kept)
    new = min(number, max(0, due(two.percent, len(kept) + number) - canaries))
    return [two.stable] * (number - new) + [two.canary] * new


def misplaced(
    two: Versions,
    supply: Sequence[seen.Browser],
    claimed: Sequence[seen.Browser],
    *,
    wanted: int,
    as_used: bool,
) -> frozenset[BrowserId]:
    """The browsers that are of the other version than they should be, so that the region has its share.

    What is claimed counts, and is taken last of all; if browsers are replaced ``as_used``, first.
    """
    if two.canary is None:
        return frozenset()
    there = [*supply, *(b for b in claimed if not b.drain_requested)]
    staying = [b for b in there if two.are(b.template_hash) and b.node is not seen.Node.LEAVING]
    ordered = sorted(staying, key=lambda b: (_in_use(b) != as_used, b.state is BrowserState.READY, -b.ordinal))
    canaries = [b for b in ordered if b.template_hash == two.canary]
    total = max(len(there), wanted)
    low, high = bounds(two.percent, total)
    if len(canaries) > high:
        return frozenset(b.browser_id for b in canaries[: len(canaries) - high])
    # What is still to be made can be of either; and what is one too many goes before another is replaced.
    lacking = low - len(canaries) - (total - len(staying))
    if lacking <= 0 or len(supply) > wanted:
        return frozenset()
    stable = [b for b in ordered if b.template_hash == two.stable and (as_used or b.state is not BrowserState.CLAIMED)]
    return frozenset(b.browser_id for b in stable[:lacking])


def spared(
    two: Versions, ordered: Sequence[seen.Browser], claimed: Sequence[seen.Browser], number: int
) -> list[seen.Browser]:
    """The first ``number`` of ``ordered``, which are all to stay but for their number: of each version as many as keep the share."""
    number = max(0, min(number, len(ordered)))
    canaries = [b for b in ordered if b.template_hash == two.canary]
    stable = [b for b in ordered if b.template_hash != two.canary]
    if not canaries:
        return list(ordered[:number])
    held = sum(b.template_hash == two.canary for b in claimed)
    over = len(canaries) + held - due(two.percent, len(ordered) + len(claimed) - number)
    first = min(number, len(canaries), max(0, over, number - len(stable)))
    return [*canaries[:first], *stable[: number - first]]


def _in_use(browser: seen.Browser) -> bool:
    return browser.state in (BrowserState.CLAIMED, BrowserState.RECYCLING)
