"""What the CRDs say that the models do not: rules in CEL, statuses, printer columns. Data only."""

from collections.abc import Mapping
from typing import Any, Final

from browserpool.model import pool
from browserpool.model.databases import DatabaseSecretKey

Schema = dict[str, Any]


def _rule(rule: str, message: str, *, field: str = "") -> Schema:
    """``field`` is what is to be mended. The messages are fixed: one with values in it is estimated as far too costly."""
    return {"rule": rule, "message": message} | ({"fieldPath": field} if field else {})


def _text(description: str, **more: Any) -> Schema:
    return {"type": "string", "description": description, **more}


def _moment(description: str) -> Schema:
    return _text(description, format="date-time")


def _count(description: str) -> Schema:
    return {"type": "integer", "format": "int64", "minimum": 0, "description": description}


def _list(description: str, items: Schema, *, key: str) -> Schema:
    return {
        "type": "array",
        "description": description,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": [key],
        "items": items,
    }


def _object(description: str, properties: Schema, *, required: tuple[str, ...] = ()) -> Schema:
    made: Schema = {"type": "object", "description": description, "properties": properties}
    return made | ({"required": list(required)} if required else {})


def _column(name: str, path: str, kind: str = "string", *, wide: bool = False) -> Schema:
    return {"name": name, "type": kind, "jsonPath": path} | ({"priority": 1} if wide else {})


def _labels(description: str) -> Schema:
    return {"type": "object", "description": description, "additionalProperties": {"type": "string"}}


TEMPLATE: Final[Schema] = {
    "type": "object",
    "properties": {
        "metadata": _object(
            "What the pods bear besides the labels and annotations of browserpool.",
            {"labels": _labels("Labels of the pods."), "annotations": _labels("Annotations of the pods.")},
        ),
        # The shape of a pod's spec is Kubernetes' own and grows with each release; the API server checks it when a pod is made.
        "spec": {
            "type": "object",
            "description": "A pod's spec, or a part of one.",
            "x-kubernetes-preserve-unknown-fields": True,
        },
    },
}
"""The schema of a pod template."""

_NAME = "self.metadata.name"
_WANTED = "(has(r.replicas) ? r.replicas : self.replicas)"
_MOST = f"(has(r.maxReplicas) ? r.maxReplicas : has(self.maxReplicas) ? self.maxReplicas : {_WANTED})"
_PLACES = "self.regions.map(r, has(r.near) ? size(r.near) : 0).sum()"
_ZERO = "(type(self.{0}) == int ? self.{0} == 0 : self.{0} == '0%')"
_NETWORK = _rule("isCIDR(self) || isIP(self)", "must be a network such as 10.0.0.0/8 or fd00::/8, or an address")
# Not ``self.?name == oldSelf.?name``, which the API server estimates as far too costly.
_SAME = "(has(self.{0}) ? has(oldSelf.{0}) && self.{0} == oldSelf.{0} : !has(oldSelf.{0}))"
# Objects have types of their own, and cannot be compared but by what they hold.
_NOW_IN, _WAS_IN = "self.databaseSecretRef", "self.movingFrom.databaseSecretRef"
_KEY = f"(has({{0}}.key) ? {{0}}.key : '{DatabaseSecretKey.model_fields['key'].default}')"
_FIXED = ("poolRef", "region", "nodeName", "tokenName", "keepAlive", "ttl")


POOL_ROOT_RULES: Final[tuple[Schema, ...]] = (
    _rule(
        f"{_NAME}.matches('^[a-z0-9]([-a-z0-9]{{0,38}}[a-z0-9])?$')",
        "a pool's name has at most 40 characters, of a-z, 0-9 and - (no dots): browsers are named pool-region-number, and a pod's "
        "name becomes a host name",
    ),
    _rule(
        f"self.spec.regions.all(r, size({_NAME}) + size(r.name) <= {pool.NAMES_MOST})",
        f"the pool's name and a region's name may have {pool.NAMES_MOST} characters together: browsers are named "
        "pool-region-number, in 63",
    ),
)
POOL_RULES: Final[Mapping[str, tuple[Schema, ...]]] = {
    "": (
        _rule(
            "self.regions.all(r, !has(r.backup) || self.regions.exists(o, o.name == r.backup))",
            "a region's backup must be the name of another region of this pool",
            field=".regions",
        ),
        _rule(
            f"{_PLACES} <= {pool.PLACES_MOST}",
            f"near may have {pool.PLACES_MOST} places in all regions together",
            field=".regions",
        ),
        _rule(
            # Where there are more, the rule above refuses them, and this one would take too long.
            f"{_PLACES} > {pool.PLACES_MOST} || "
            "self.regions.all(r, !has(r.near) || r.near.all(p, self.regions.exists_one(o, has(o.near) && p in o.near)))",
            "a place may stand in near of one region only",
            field=".regions",
        ),
        _rule(
            # Where autoscaling finds the number, it stays below maxReplicas, and replicas means nothing.
            f"has(self.autoscaling) || self.regions.all(r, {_MOST} >= {_WANTED})",
            "a region would have maxReplicas below replicas; where a region has no number of its own, the pool's holds",
            field=".regions",
        ),
    ),
    "regions.[]": (
        _rule(
            "!has(self.backup) || !has(self.backupRouter)",
            "a region has backup or backupRouter, not both",
            field=".backupRouter",
        ),
        _rule(
            f"!has(self.movingFrom) || has({_NOW_IN}) != has({_WAS_IN}) || (has({_NOW_IN}) && "
            f"({_NOW_IN}.name != {_WAS_IN}.name || {_KEY.format(_NOW_IN)} != {_KEY.format(_WAS_IN)}))",
            "movingFrom must be another database than the one that the region is in; name the one where it was, or leave it out",
            field=".movingFrom",
        ),
        _rule(
            "!has(self.backup) || self.backup != self.name",
            "a region cannot be its own backup; name another region or leave backup out",
            field=".backup",
        ),
        _rule(
            "!has(self.maxReplicas) || !has(self.replicas) || self.maxReplicas >= self.replicas",
            "maxReplicas must not be below replicas",
            field=".maxReplicas",
        ),
    ),
    "autoscaling": (
        _rule(
            "!has(self.minReplicas) || self.minReplicas <= self.maxReplicas",
            "minReplicas must not be above maxReplicas",
            field=".minReplicas",
        ),
        _rule(
            "!has(self.schedule) || self.schedule.all(h, h.minReplicas <= self.maxReplicas)",
            "the minReplicas of an hour must not be above maxReplicas",
            field=".schedule",
        ),
    ),
    "updateStrategy": (
        _rule(
            f"self.type != 'RollingUpdate' || !{_ZERO.format('maxUnavailable')} || !{_ZERO.format('maxSurge')}",
            "maxUnavailable and maxSurge cannot both be 0; nothing could be replaced",
        ),
    ),
    "upstream": (
        _rule(
            "self.kind != 'cloudflare' || self.url.startsWith('http')",
            "for kind cloudflare the url must begin with http:// or https://",
            field=".url",
        ),
    ),
    # Once more, for the API server takes a whole number to be above any bound between it and the next: 0 would pass.
    "refill.maxRate": (_rule("self >= 0.01", "must be at least 0.01, which is one browser in 100 seconds"),),
    "egress.allow.[]": (_NETWORK,),
    "egress.deny.[]": (_NETWORK,),
}
"""The rules of a pool's spec, by where they stand; ``[]`` is a list's items."""
SESSION_RULES: Final[Mapping[str, tuple[Schema, ...]]] = {
    "": (
        _rule(
            " && ".join(_SAME.format(name) for name in _FIXED),
            "a session's spec cannot be changed, but for ttlSecondsAfterFinished; delete the session and make another",
        ),
    ),
}

_CONDITIONS: Final[Schema] = _list(
    "What is so at present, and since when.",
    _object(
        "One thing that is so, or is not.",
        {
            "type": _text("What.", maxLength=316, minLength=1),
            "status": _text("Whether it is so.", enum=["True", "False", "Unknown"]),
            "observedGeneration": _count("The generation of the spec that this was said of."),
            "lastTransitionTime": _moment("When status last changed."),
            "reason": _text("Why, in one word.", maxLength=1024, minLength=1),
            "message": _text("Why, for people.", maxLength=32768),
        },
        required=("type", "status", "lastTransitionTime", "reason", "message"),
    ),
    key="type",
)
_REGION: Final[Schema] = _object(
    "The browsers of one region.",
    {
        "name": _text("The region."),
        "desired": _count("Browsers to keep ready."),
        "desiredReason": _text("What made autoscaling want so many; the condition Autoscaling says more."),
        "maxReplicas": _count("Browsers that may exist."),
        "replicas": _count("Browsers that exist."),
        "ready": _count("Free to be claimed."),
        "claimed": _count("Held by a session."),
        "starting": _count("Not ready for the first time yet."),
        "recycling": _count("Between two sessions."),
        "draining": _count("Never to be claimed again."),
        "updated": _count("Made from the present template."),
        "held": _count("Names that wait before they get another pod, because their pods died young."),
        "unschedulable": _count("Pods that no node has room for."),
        "failing": _count("Pods whose container does not run."),
        "stale": {
            "type": "boolean",
            "description": "Heartbeats are too late to be trusted; spillover says what follows.",
        },
        "database": _text(
            "Away: one of the region's databases cannot be asked, and nothing is changed; DatabaseFresh says why. Moving: it moves to "
            "another. Left out: it answers.",
            enum=["Away", "Moving"],
        ),
        "elsewhere": _count(
            "While it moves, its browsers that are left in another database than the one it is to be in."
        ),
        "lagSeconds": _count("Age of the oldest heartbeat that waits to be written."),
    },
    required=("name",),
)
_FIGURES: Final[Schema] = {
    "requests": _count("Requests that it served, quick actions and CDP sessions."),
    "failures": _count("Those that failed by the browser or the system."),
    "errorRate": _text("The same as a percentage."),
    "p50Ms": _count(
        "The median of the milliseconds that they took; of CDP sessions until they were connected; 0: none."
    ),
    "p95Ms": _count("The 95th percentile of the same."),
}
_CANARY: Final[Schema] = _object(
    "The canary beside the stable version.",
    {
        "image": _text("Its image."),
        "percent": _count("Its share, as spec.canary has it."),
        "state": _text(
            "Paused: it was worse, and gets no browser until spec.canary changes.", enum=["Progressing", "Paused"]
        ),
        "shown": _text("The share, or Paused."),
        "reason": _text("Why it is paused, in one word; empty: it goes on."),
        "message": _text("Why it is paused, for people."),
        "content": _text("A hash of the spec.canary that this speaks of: it stays paused as long as that is the same."),
        "replicas": _count("Its browsers."),
        "readyReplicas": _count("Those that are free to be claimed."),
        "stable": _object("The stable version in the last ten minutes.", _FIGURES),
        "canary": _object("The canary in the last ten minutes.", _FIGURES),
    },
)
POOL_STATUS: Final[Schema] = _object(
    "What the controller saw last.",
    {
        "observedGeneration": _count("The generation of the spec that this status speaks of."),
        "replicas": _count("Browsers that exist, in all regions."),
        "desiredReplicas": _count("Browsers to keep ready, in all regions."),
        "readyReplicas": _count("Browsers that are free to be claimed."),
        "claimedReplicas": _count("Browsers that a session holds."),
        "updatedReplicas": _count("Browsers made from the present template."),
        "warmReplicas": _count(
            "Browsers that are ready or about to be, as spec.replicas counts them: of one region (the mean of those that have no "
            "number of their own, rounded up), without those in use. The replicas of the scale subresource's status."
        ),
        "selector": _text("The label selector of the pool's pods, for the scale subresource."),
        "regions": _list("The same by region.", _REGION, key="name"),
        "canary": _CANARY,
        "conditions": _CONDITIONS,
    },
)
SESSION_STATUS: Final[Schema] = _object(
    "The session as the controller saw it last.",
    {
        "observedGeneration": _count("The generation of the spec that this status speaks of."),
        "sessionId": _text("The session's id in the HTTP API."),
        "webSocketDebuggerUrl": _text(
            "Where CDP clients connect, with the bearer token that spec.tokenName names, or any that may use the pool."
        ),
        "podName": _text("The browser."),
        "nodeName": _text("The browser's node."),
        "zone": _text("The browser's zone."),
        "region": _text("The browser's region."),
        "spilled": {"type": "boolean", "description": "The browser is of the backup region."},
        "startedAt": _moment("When the browser was claimed."),
        "expiresAt": _moment("When the session ends at the latest; left out where only idleness ends it."),
        "finishedAt": _moment("When the session ended."),
        "conditions": _CONDITIONS,
    },
)


def _of(condition: str, part: str) -> str:
    return f".status.conditions[?(@.type=='{condition}')].{part}"


POOL_COLUMNS: Final[tuple[Schema, ...]] = (
    _column("Desired", ".status.desiredReplicas", "integer"),
    _column("Ready", ".status.readyReplicas", "integer"),
    _column("Claimed", ".status.claimedReplicas", "integer"),
    _column("Canary", ".status.canary.shown"),
    _column("Pods", ".status.replicas", "integer", wide=True),
    _column("Updated", ".status.updatedReplicas", "integer", wide=True),
    _column("Whole", _of("Ready", "status"), wide=True),
    _column("Degraded", _of("Degraded", "reason"), wide=True),
    _column("Fresh", _of("DatabaseFresh", "status"), wide=True),
    _column("Spilling", _of("SpilloverActive", "status"), wide=True),
    _column("Age", ".metadata.creationTimestamp", "date"),
)
SESSION_COLUMNS: Final[tuple[Schema, ...]] = (
    _column("Pool", ".spec.poolRef.name"),
    _column("Ready", _of("Ready", "status")),
    _column("Reason", _of("Ready", "reason")),
    _column("Pod", ".status.podName"),
    _column("Region", ".status.region", wide=True),
    _column("Node", ".status.nodeName", wide=True),
    _column("Spilled", ".status.spilled", "boolean", wide=True),
    _column("Expires", ".status.expiresAt", wide=True),
    _column("URL", ".status.webSocketDebuggerUrl", wide=True),
    _column("Age", ".metadata.creationTimestamp", "date"),
)
