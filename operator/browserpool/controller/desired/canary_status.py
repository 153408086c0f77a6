"""What is said of a pool's canary: as a value, and as ``status.canary`` of the object."""

import dataclasses
from typing import Any

from browserpool.controller.desired import seen
from browserpool.model.canary import Canary


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CanaryStatus:
    """The canary: what the spec says of it, ``content`` as a hash of that, and ``seen`` what became of it."""

    spec: Canary
    content: str
    seen: seen.Canary


def manifest(canary: CanaryStatus) -> dict[str, Any]:
    """As the object bears it."""
    spec, paused = canary.spec, canary.seen.paused
    return {
        "image": spec.image,
        "percent": spec.percent,
        "state": "Paused" if paused else "Progressing",
        "shown": "Paused" if paused else f"{spec.percent}%",
        "content": canary.content,
        "replicas": canary.seen.canary.replicas,
        "readyReplicas": canary.seen.canary.ready,
        "reason": canary.seen.reason,
        "message": canary.seen.message,
        "stable": _figures_object(canary.seen.stable),
        "canary": _figures_object(canary.seen.canary),
    }


def _figures_object(figures: seen.Figures) -> dict[str, Any]:
    return {
        "requests": figures.requests,
        "failures": figures.failures,
        "errorRate": f"{figures.error_rate:.1%}",
        "p50Ms": _milliseconds(figures.p50),
        "p95Ms": _milliseconds(figures.p95),
    }


def _milliseconds(seconds: float | None) -> int:
    return 0 if seconds is None else round(seconds * 1000)
