"""The examples do as their comments say. Of autoscalers: Kubernetes' and KEDA's fields, our metrics, and arithmetic that fits what the
scale subresource says.
"""

import datetime
import math
import pathlib
import re

import pytest
import yaml

from browserpool import metrics
from browserpool.controller import crds
from browserpool.controller.desired import seen, status, template, versions
from browserpool.model.names import HOME, BrowserId, PoolName, RegionName
from browserpool.model.pool import BrowserPool, Region
from browserpool.model.states import BrowserState
from support import charts

NOON = datetime.datetime(2026, 3, 1, 12, 0, tzinfo=datetime.UTC)
EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"
# What a ScaledObject of KEDA 2 may have, as far as it is used here.
KEDA = {
    "": {"apiVersion", "kind", "metadata", "spec"},
    "spec": {
        "scaleTargetRef", "pollingInterval", "cooldownPeriod", "initialCooldownPeriod", "idleReplicaCount", "minReplicaCount",
        "maxReplicaCount", "fallback", "advanced", "triggers",
    },
    "spec.scaleTargetRef": {"apiVersion", "kind", "name", "envSourceContainerName"},
    "spec.advanced": {"horizontalPodAutoscalerConfig", "restoreToOriginalReplicaCount", "scalingModifiers"},
    "spec.advanced.horizontalPodAutoscalerConfig": {"behavior", "name"},
}  # fmt: skip
TRIGGER = {"type", "name", "metadata", "metricType", "authenticationRef", "useCachedMetrics"}
PROMETHEUS = {
    "serverAddress",
    "query",
    "threshold",
    "activationThreshold",
    "namespace",
    "ignoreNullValues",
    "authModes",
}


def read(name):
    (document,) = yaml.safe_load_all((EXAMPLES / name).read_text())
    return document


def pool_crd():
    return crds.browserpools()


def hpa_of(document):
    """The HorizontalPodAutoscaler that the document is, or that KEDA makes of it."""
    if document["kind"] == "HorizontalPodAutoscaler":
        return document
    spec, (trigger,) = document["spec"], document["spec"]["triggers"]
    target = {"type": trigger["metricType"], "averageValue": trigger["metadata"]["threshold"]}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": f"keda-hpa-{document['metadata']['name']}"},
        "spec": {
            "scaleTargetRef": spec["scaleTargetRef"],
            "minReplicas": spec["minReplicaCount"],
            "maxReplicas": spec["maxReplicaCount"],
            "metrics": [{"type": "External", "external": {"metric": {"name": "s0-prometheus"}, "target": target}}],
            "behavior": spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"],
        },
    }


BOTH = pytest.mark.parametrize("name", ["hpa.yaml", "keda.yaml"])


@BOTH
def test_kubernetes_takes_it(name):
    assert charts.complaints(hpa_of(read(name))) == []


def test_keda_has_these_fields():
    document = read("keda.yaml")
    assert (document["apiVersion"], document["kind"]) == ("keda.sh/v1alpha1", "ScaledObject")
    for path, known in KEDA.items():
        place = document
        for step in filter(None, path.split(".")):
            place = place[step]
        assert place.keys() <= known, path
    for trigger in document["spec"]["triggers"]:
        assert trigger.keys() <= TRIGGER
        assert {"serverAddress", "query", "threshold"} <= trigger["metadata"].keys() <= PROMETHEUS
        assert all(isinstance(value, str) for value in trigger["metadata"].values()), "KEDA reads text only"


@BOTH
def test_it_scales_a_pool_by_its_subresource(name):
    crd = pool_crd()["spec"]
    version = crd["versions"][0]
    target = read(name)["spec"]["scaleTargetRef"]
    assert target["kind"] == crd["names"]["kind"]
    assert target["apiVersion"] == f"{crd['group']}/{version['name']}"
    properties = version["schema"]["openAPIV3Schema"]["properties"]
    for path in version["subresources"]["scale"].values():
        part, field = path.removeprefix(".").split(".")
        assert field in properties[part]["properties"], path


@BOTH
def test_its_metrics_are_ours(name):
    ours = {metric._name: set(metric._labelnames) for metric in metrics.REGISTRY._collector_to_names}
    text = (EXAMPLES / name).read_text()
    used = re.findall(r"(browserpool_\w+)\{([^}]*)\}", text)
    assert used
    for metric, matchers in used:
        assert set(re.findall(r"(\w+)!?=", matchers)) <= ours[metric], metric
    assert set(re.findall(r'state="(\w+)"', text)) <= set(BrowserState)


def test_what_the_adapter_is_told_is_yaml_and_makes_the_metric_that_is_asked_for():
    text = (EXAMPLES / "hpa.yaml").read_text()
    comment = text[text.index("#   rules:") : text.index("apiVersion:")]
    (rule,) = yaml.safe_load(re.sub(r"^# {0,3}", "", comment, flags=re.MULTILINE))["rules"]["external"]
    (metric,) = read("hpa.yaml")["spec"]["metrics"]
    assert metric["external"]["metric"]["name"] == rule["name"]["as"]
    assert "<<.LabelMatchers>>" in rule["metricsQuery"]


# ---------------------------------------------------------------- the arithmetic
def replicas_wanted(document, *, metric, shown):
    """What Kubernetes makes of it: the metric divided by averageValue, unless that is within a tenth of what the status shows."""
    spec = hpa_of(document)["spec"]
    (one,) = spec["metrics"]
    target = one["external"]["target"]
    assert target["type"] == "AverageValue", "Value would multiply by the number of all pods"
    average = float(target["averageValue"])
    steady = shown and abs(1 - metric / (average * shown)) <= 0.1
    wanted = shown if steady else math.ceil(metric / average)
    return min(max(wanted, spec["minReplicas"]), spec["maxReplicas"])


def shown_of(replicas, *, claimed, regions=("eu", "us"), **spec):
    """``status.warmReplicas`` of a pool at rest."""
    pool = BrowserPool.model_validate(
        {
            "metadata": {"name": "default"},
            "spec": {"replicas": replicas, "maxReplicas": 500, "regions": [{"name": r} for r in regions], **spec},
        }
    )
    states = [BrowserState.READY] * replicas + [BrowserState.CLAIMED] * claimed
    browsers = tuple(
        seen.Browser(
            browser_id=BrowserId(f"default-{region}-{number}"),
            region=RegionName(region),
            ordinal=number,
            state=state,
            pod=seen.Pod.RUNNING,
            template_hash=template.hashed(pool.spec, pool.spec.regions[0]),
        )
        for region in regions
        for number, state in enumerate(states)
    )
    world = seen.World(pool=PoolName("default"), browsers=browsers)
    made = status.manifest(status.summary(pool, world), previous_conditions=(), now=NOON)
    assert made["replicas"] == (replicas + claimed) * len(regions)
    _, field = crds._SCALE["statusReplicasPath"].removeprefix(".").split(".")
    return made[field]


@BOTH
@pytest.mark.parametrize(("claimed", "settles_at"), [(0, 2), (20, 5), (38, 10), (41, 11), (72, 18), (400, 20)])
def test_it_settles_at_a_quarter_of_those_in_use_and_stays(name, claimed, settles_at):
    document, replicas, history = read(name), 2, []
    for _ in range(6):
        shown = shown_of(replicas, claimed=claimed)
        assert shown == replicas, "the status counts as the spec does"
        replicas = replicas_wanted(document, metric=claimed, shown=shown)
        history.append(replicas)
    assert set(history) == {settles_at}


# ---------------------------------------------------------------- a canary
def test_the_canary_has_the_share_that_the_example_says_and_its_browsers_stay_when_it_is_promoted_so():
    document = read("canary.yaml")
    tried = BrowserPool.model_validate(document)
    (region,) = tried.spec.regions
    both = versions.of(tried.spec, region, paused=False)
    assert versions.due(both.percent, tried.spec.wanted(region)) == 2

    text = (EXAMPLES / "canary.yaml").read_text()
    comment = text[text.index("#   chromium:") :]
    promoted = yaml.safe_load(re.sub(r"^ *# {0,3}", "", comment, flags=re.MULTILINE))
    spec = {key: value for key, value in document["spec"].items() if key != "canary"} | promoted
    after = BrowserPool.model_validate(document | {"spec": spec})
    assert versions.of(after.spec, region, paused=False) == versions.Versions(stable=both.canary)


# ---------------------------------------------------------------- a region's own database
def test_the_region_with_a_database_of_its_own_spills_to_one_in_another_and_may_have_come_from_there():
    document = read("regions-databases.yaml")
    tried = BrowserPool.model_validate(document)
    eu, us = tried.spec.regions
    assert (eu.databases, us.databases) == (("eu-db/dsn",), (HOME,))
    assert (eu.backup, tried.spec.spillover.when_stale) == (us.name, True)

    text = (EXAMPLES / "regions-databases.yaml").read_text()
    said = re.findall(r"^ *# {3,}(\w+: .*)$", text, flags=re.MULTILINE)
    assert len(said) == 3
    spillover, *moving = [yaml.safe_load(one) for one in said]
    assert BrowserPool.model_validate(document | {"spec": document["spec"] | spillover}).spec.spillover.when_stale
    was = [Region.model_validate(document["spec"]["regions"][0] | one).databases for one in moving]
    assert was == [("eu-db/dsn", HOME), ("eu-db/dsn", "eu-db-old/dsn")]
