"""What the API server says of our CRDs: they are taken, bad manifests are refused in clear words, defaults are the models'."""

import dataclasses
import json
import pathlib

import pytest
import yaml
from kubernetes.aio import client as official

from browserpool.controller import kube
from browserpool.lib import chance
from browserpool.model import session_object
from browserpool.model.pool import BrowserPool, PoolSpec
from cluster import shell

ROOT = pathlib.Path(__file__).parents[2]
NAMESPACE = f"crds-{chance.unique_id()[:8]}"
API = "browserpool.dev/v1alpha1"


@pytest.fixture(scope="module")
def api(kubernetes):
    """The cluster, with our CRDs established and a namespace for objects that nobody acts on."""
    kubernetes.kubectl("apply", "--server-side", "--force-conflicts", "--filename", str(ROOT / "crds"))
    for name in ("browserpools", "browsersessions"):
        kubernetes.kubectl("wait", f"crd/{name}.browserpool.dev", "--for=condition=Established", "--timeout=30s")
    kubernetes.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    yield kubernetes
    kubernetes.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What became of a manifest: the object as it would be stored, or the words that refuse it."""

    stored: dict | None = None
    refused: str = ""


@pytest.fixture
async def tried(api):
    """Sends a manifest as ``kubectl create`` does, unknown fields refused: all is checked and completed, and nothing is kept."""
    configuration = await kube.configured(str(api.kubeconfig))
    async with official.ApiClient(configuration) as client:

        async def send(manifest):
            plural = f"{manifest['kind'].lower()}s"
            answer = await client.call_api(
                f"/apis/{API}/namespaces/{NAMESPACE}/{plural}",
                "POST",
                query_params=[("dryRun", "All"), ("fieldValidation", "Strict")],
                header_params={"Accept": "application/json", "Content-Type": "application/json"},
                body=manifest,
                auth_settings=["BearerToken"],
                _preload_content=False,
            )
            said = await answer.json()
            return Tried(stored=said) if answer.status == 201 else Tried(refused=said["message"])

        yield send


def pool(spec, *, name="shop"):
    return {"apiVersion": API, "kind": "BrowserPool", "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}


def session(spec, *, name="one"):
    return {
        "apiVersion": API,
        "kind": "BrowserSession",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": spec,
    }


def model_takes(manifest):
    try:
        BrowserPool.model_validate(manifest)
    except ValueError:
        return False
    return True


# ---------------------------------------------------------------- pools
@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (
            {"replicas": -1},
            "spec.replicas: Invalid value: -1: spec.replicas in body should be greater than or equal to 0",
        ),
        ({"replicas": "two"}, 'spec.replicas in body must be of type integer: "string"'),
        ({"replicsa": 1}, 'unknown field "spec.replicsa"'),
        ({"regions": []}, "spec.regions in body should have at least 1 items"),
        ({"regions": [{"name": "eu"}, {"name": "eu"}]}, 'spec.regions[1]: Duplicate value: {"name":"eu"}'),
        ({"regions": [{"replicas": 1}]}, "spec.regions[0].name: Required value"),
        ({"regions": [{"name": "EU"}]}, "spec.regions[0].name in body should match"),
        (
            {"regions": [{"name": "eu", "backup": "eu"}]},
            "spec.regions[0].backup: Invalid value: a region cannot be its own backup; name another",
        ),
        (
            {"regions": [{"name": "eu", "backup": "us"}]},
            "spec.regions: Invalid value: a region's backup must be the name of another region",
        ),
        (
            {"regions": [{"name": "eu", "backup": "us", "backupRouter": {"url": "http://far"}}, {"name": "us"}]},
            "spec.regions[0].backupRouter: Invalid value: a region has backup or backupRouter, not both",
        ),
        ({"regions": [{"name": "eu", "backupRouter": {}}]}, "spec.regions[0].backupRouter.url: Required value"),
        (
            {"regions": [{"name": "eu", "backupRouter": {"url": "ftp://far"}}]},
            "spec.regions[0].backupRouter.url in body should match",
        ),
        (
            {"regions": [{"name": "eu", "movingFrom": {}}]},
            "spec.regions[0].movingFrom: Invalid value: movingFrom must be another database than the one",
        ),
        (
            {
                "regions": [
                    {
                        "name": "eu",
                        "databaseSecretRef": {"name": "eu"},
                        "movingFrom": {"databaseSecretRef": {"name": "eu", "key": "dsn"}},
                    }
                ]
            },
            "spec.regions[0].movingFrom: Invalid value: movingFrom must be another database than the one",
        ),
        (
            {"regions": [{"name": f"r{n}", "near": [f"p{n}-{m}" for m in range(29)]} for n in range(9)]},
            "spec.regions: Invalid value: near may have 256 places in all regions together",
        ),
        (
            {"regions": [{"name": "eu", "near": ["DE"]}, {"name": "us", "near": ["US", "DE"]}]},
            "spec.regions: Invalid value: a place may stand in near of one region only",
        ),
        (
            {"replicas": 4, "maxReplicas": 3},
            "spec.regions: Invalid value: a region would have maxReplicas below replicas",
        ),
        (
            {"maxReplicas": 3, "regions": [{"name": "eu", "replicas": 4}]},
            "a region would have maxReplicas below replicas",
        ),
        (
            {"regions": [{"name": "eu", "replicas": 4, "maxReplicas": 3}]},
            "spec.regions[0].maxReplicas: Invalid value: maxReplicas must not be below replicas",
        ),
        ({"sessions": {"keepAlive": "soon"}}, "spec.sessions.keepAlive in body should match"),
        ({"sessions": {"keepAlive": -1}}, "spec.sessions.keepAlive in body should be greater than or equal to 0"),
        ({"sessions": {"recycle": "Maybe"}}, 'Unsupported value: "Maybe": supported values: "Restart", "Delete"'),
        ({"spillover": "Always"}, 'Unsupported value: "Always"'),
        (
            {"egress": {"allow": ["10.0.0.0/33"]}},
            'spec.egress.allow[0]: Invalid value: "10.0.0.0/33": must be a network such as 10.0.0.0/8',
        ),
        ({"egress": {"deny": ["10.0.0.0/8", "ten"]}}, 'spec.egress.deny[1]: Invalid value: "ten": must be a network'),
        ({"canary": {"percent": 10}}, "spec.canary.image: Required value"),
        ({"canary": {"image": "new:2", "percent": 101}}, "should be less than or equal to 100"),
        ({"upstream": {"url": "http://old"}}, "spec.upstream.kind: Required value"),
        ({"upstream": {"url": "old:3000", "kind": "cdp"}}, "spec.upstream.url in body should match"),
        (
            {"upstream": {"url": "ws://old", "kind": "cloudflare"}},
            "spec.upstream.url: Invalid value: for kind cloudflare the url must begin with http",
        ),
        ({"upstream": {"url": "http://old", "kind": "cdp", "percent": 101}}, "should be less than or equal to 100"),
        (
            {"updateStrategy": {"maxUnavailable": 0}},
            "spec.updateStrategy: Invalid value: maxUnavailable and maxSurge cannot both be 0",
        ),
        (
            {"updateStrategy": {"maxUnavailable": "0%", "maxSurge": "0%"}},
            "maxUnavailable and maxSurge cannot both be 0",
        ),
        ({"updateStrategy": {"maxUnavailable": "150%"}}, "spec.updateStrategy.maxUnavailable in body should match"),
        ({"networkPolicy": "Open"}, 'Unsupported value: "Open": supported values: "Managed", "Unmanaged"'),
        ({"chromium": {"features": ["WebGPU"]}}, 'Unsupported value: "WebGPU": supported values: "WebGL", "WebMCP"'),
        (
            {"chromium": {"features": ["WebGL", "WebGL"]}},
            'spec.chromium.features[1]: Duplicate value: "WebGL"',
        ),
        ({"refill": {"maxRate": 0}}, "spec.refill.maxRate: Invalid value: 0: must be at least 0.01"),
        ({"refill": {"maxBatch": 0}}, "spec.refill.maxBatch in body should be greater than or equal to 1"),
        ({"autoscaling": {}}, "spec.autoscaling.maxReplicas: Required value"),
        (
            {"autoscaling": {"minReplicas": 5, "maxReplicas": 4}},
            "spec.autoscaling.minReplicas: Invalid value: minReplicas must not be above maxReplicas",
        ),
        (
            {"autoscaling": {"maxReplicas": 4, "schedule": [{"from": "08:00", "to": "09:00", "minReplicas": 5}]}},
            "spec.autoscaling.schedule: Invalid value: the minReplicas of an hour must not be above maxReplicas",
        ),
        (
            {"autoscaling": {"maxReplicas": 4, "schedule": [{"from": "8:00", "to": "09:00", "minReplicas": 1}]}},
            "spec.autoscaling.schedule[0].from in body should match",
        ),
        (
            {
                "autoscaling": {"maxReplicas": 4},
                "regions": [{"name": "eu", "replicas": 4, "maxReplicas": 3}],
            },
            "spec.regions[0].maxReplicas: Invalid value: maxReplicas must not be below replicas",
        ),
    ],
    ids=lambda value: json.dumps(value)[:60] if isinstance(value, dict) else "",
)
async def test_a_bad_pool_is_refused_in_clear_words(tried, spec, words):
    manifest = pool(spec)
    assert words in (await tried(manifest)).refused
    assert not model_takes(manifest), "up and kubectl agree"


@pytest.mark.parametrize(
    ("name", "regions", "words"),
    [
        ("p" * 41, [{"name": "eu"}], "a pool's name has at most 40 characters"),
        ("a.b", [{"name": "eu"}], "of a-z, 0-9 and - (no dots)"),
        ("p" * 40, [{"name": "r" * 16}], "may have 55 characters together"),
    ],
)
async def test_names_that_no_browser_could_bear_are_refused(tried, name, regions, words):
    manifest = pool({"regions": regions}, name=name)
    assert words in (await tried(manifest)).refused
    assert not model_takes(manifest)


GOOD = [
    {},
    {"replicas": 0},
    {"regions": [{"name": "r" * 15}]},
    {"replicas": 4, "maxReplicas": 3, "regions": [{"name": "eu", "replicas": 2}]},
    {
        "regions": [
            {"name": "eu", "backup": "us", "nodeSelector": {"a.b/c": "d"}},
            {"name": "us", "backup": "eu", "replicas": 0},
        ]
    },
    {
        "regions": [
            {
                "name": "eu",
                "near": ["DE", "FR"],
                "backupRouter": {"url": "https://far/p", "tokenSecretRef": {"name": "far"}, "pool": "main"},
            },
            {"name": "us", "near": ["US"]},
        ]
    },
    {
        "regions": [
            {"name": "eu", "databaseSecretRef": {"name": "eu"}, "movingFrom": {}},
            {"name": "us", "movingFrom": {"databaseSecretRef": {"name": "us", "key": "dsn"}}},
            {
                "name": "ap",
                "databaseSecretRef": {"name": "far"},
                "movingFrom": {"databaseSecretRef": {"name": "far", "key": "other"}},
            },
            {
                "name": "sa",
                "databaseSecretRef": {"name": "far"},
                "movingFrom": {"databaseSecretRef": {"name": "near"}},
            },
        ]
    },
    {"sessions": {"keepAlive": 90, "maxLifetime": "1h30m", "recycle": "Delete"}},
    {"canary": {"image": "new:2"}},
    {"canary": {"image": "new:2", "percent": 0, "version": "150", "args": []}},
    {"updateStrategy": {"type": "Recreate", "maxUnavailable": 0}},
    {"updateStrategy": {"type": "RollingUpdate", "maxUnavailable": 0, "maxSurge": "10%"}},
    {
        "upstream": {
            "url": "wss://old:3000/?a=b",
            "kind": "browserless",
            "percent": 0.5,
            "tokenSecretRef": {"name": "old"},
        }
    },
    {"upstream": {"url": "http://old:9222", "kind": "cdp", "percent": 1, "sticky": False, "fallback": "Both"}},
    {"egress": {"allow": ["10.0.0.1/8", "192.168.1.1", "fd00::/8", "::1"], "deny": ["0.0.0.0/0"]}},
    {"chromium": {"features": []}, "networkPolicy": "Unmanaged", "refill": {"maxRate": 0.5}},
    {"chromium": {"features": ["WebMCP", "WebGL"]}, "refill": {"maxRate": 20}},
    {"replicas": 9, "maxReplicas": 3, "autoscaling": {"maxReplicas": 20}},
    {"autoscaling": {"maxReplicas": 1}, "regions": [{"name": "eu", "maxReplicas": 0}]},
    {
        "maxReplicas": 50,
        "autoscaling": {
            "minReplicas": 2,
            "maxReplicas": 20,
            "buffer": 3,
            "scaleDownDelay": "10m",
            "schedule": [
                {"days": ["Mon", "Sun"], "from": "22:00", "to": "06:00", "timeZone": "Europe/Berlin", "minReplicas": 8}
            ],
        },
    },
    {"chromium": {"image": "registry.example/chromium:1", "args": ["--lang=de", ""]}},
    {
        "template": {
            "metadata": {"labels": {"team": "web"}, "annotations": {"a": "b"}},
            "spec": {
                "tolerations": [{"operator": "Exists"}],
                "containers": [{"name": "browser", "resources": {"limits": {"cpu": 2}}}],
            },
        }
    },
]


@pytest.mark.parametrize("spec", GOOD, ids=lambda spec: json.dumps(spec)[:60])
async def test_a_good_pool_is_stored_as_the_model_reads_it(tried, spec):
    """What is left out is completed by the API server; the model, which completes it too, must come to the same."""
    stored = (await tried(pool(spec, name="p" * 40))).stored
    read = BrowserPool.model_validate(stored)
    assert read.spec == PoolSpec.model_validate(spec)
    # Nothing of the manifest was dropped.
    for field, value in spec.items():
        assert (
            {**stored["spec"][field], **value} == stored["spec"][field]
            if isinstance(value, dict)
            else stored["spec"][field] == value
        )


@pytest.mark.parametrize(
    ("at", "values"),
    [
        (
            "sessions.keepAlive",
            ["0s", "1m30s", "30s1m", "1.5s", "1.s", ".5s", "5 s", "5", "", "5S", "-5s", "1y", 0, 2**53, "9" * 30 + "d"],
        ),
        ("updateStrategy.maxSurge", ["0%", "100%", "01%", "101%", "1.5%", "%", "5", 0, 10**9]),
        (
            "egress.allow",
            [[text] for text in ("0.0.0.0/0", "::/0", "10.1", "10.0.0.0/", "10.0.0.0/08", "010.0.0.1", "")],
        ),
        (
            "egress.deny",
            [
                [text]
                for text in ("10.0.0.1/8", "10.0.0.0/255.0.0.0", "::ffff:10.0.0.1/120", "fe80::1%eth0", " 10.0.0.1")
            ],
        ),
        ("regions", [[{"name": name}] for name in ("a", "a-", "-a", "a.b", "a_b", "1", "", "ä", "a\n")]),
        ("chromium.version", ["", "1", "v" * 1024, 1]),
        ("chromium.features", [[], ["WebGL"], ["webgl"], ["WebGL"] * 9, "WebGL", None]),
        ("refill.maxRate", [0.01, 0.009, 0, -1, 1, 1.5, "1", True, 10_000, 10_001, 10_000.5, 1e-9]),
        ("refill.maxBatch", [1, 1.0, 1.5, "1", True, 10_000, 10_001]),
        ("replicas", [0, 500_000, 500_001, None]),
        (
            "autoscaling",
            [
                {"maxReplicas": 5, **more}
                for more in (
                    {},
                    {"maxReplicas": 0},
                    {"minReplicas": 6},
                    {"buffer": 0},
                    {"buffer": "100%"},
                    {"buffer": "5"},
                    {"scaleDownDelay": 0},
                    {"scaleDownDelay": "soon"},
                    {"schedule": []},
                )
            ],
        ),
        (
            "autoscaling",
            [
                {"maxReplicas": 5, "schedule": [{"from": begin, "to": end, "minReplicas": 1, "days": days}]}
                for begin, end, days in (
                    ("00:00", "00:00", []),
                    ("23:59", "09:00", ["Mon"]),
                    ("24:00", "09:00", []),
                    ("09:60", "09:00", []),
                    ("09:00:00", "10:00", []),
                    ("9:00", "10:00", []),
                    ("09:00", "10:00", ["Mon", "Mon"]),
                    ("09:00", "10:00", ["mon"]),
                    (900, "10:00", []),
                )
            ],
        ),
    ],
)
async def test_what_the_api_server_takes_the_model_can_read(tried, at, values):
    """``up`` may take more; but a stored object that the controller cannot read would be nobody's."""
    taken = 0
    for value in values:
        spec = value
        for name in reversed(at.split(".")):
            spec = {name: spec}
        stored = (await tried(pool({"maxReplicas": 500_000} | spec))).stored
        taken += stored is not None
        assert stored is None or model_takes(stored), value
    assert 0 < taken < len(values)


async def test_an_object_without_a_spec_gets_all_defaults(tried):
    manifest = pool({})
    del manifest["spec"]
    stored = (await tried(manifest)).stored
    assert PoolSpec.model_validate(stored["spec"]) == PoolSpec()
    assert stored["spec"]["regions"] == [{"name": "local"}]
    assert stored["spec"]["updateStrategy"] == {"type": "RollingUpdate", "maxUnavailable": "25%", "maxSurge": 0}


@pytest.mark.parametrize("path", sorted((ROOT / "examples").rglob("*.yaml")), ids=lambda path: path.name)
async def test_the_examples_are_taken(tried, path):
    for document in yaml.safe_load_all(path.read_text()):
        if document["apiVersion"] == API:
            document["metadata"]["namespace"] = NAMESPACE
            assert (await tried(document)).refused == ""


async def test_the_largest_pool_is_taken(tried):
    """The rules' true cost at their bounds stays within what the API server spends on one object."""
    names = [f"region-{number:02}" for number in range(64)]
    regions = [
        {
            "name": name,
            "backup": names[number - 1],
            "replicas": 1,
            "maxReplicas": 9,
            "near": [f"{place:02}-{name}".ljust(32, "x") for place in range(4)],
        }
        for number, name in enumerate(names)
    ]
    networks = [f"10.{number}.0.0/16" for number in range(256)]
    stored = (await tried(pool({"regions": regions, "egress": {"allow": networks, "deny": networks}}))).stored
    assert len(stored["spec"]["regions"]) == 64


# ---------------------------------------------------------------- what kubectl shows and does
@pytest.fixture
def shop(api):
    """A stored pool, with a status as the controller writes it."""
    api.apply(pool({"replicas": 2, "maxReplicas": 4}), namespace=NAMESPACE)
    now = "2026-03-01T12:00:00Z"
    said = [
        {"type": kind, "status": status, "reason": reason, "message": "", "lastTransitionTime": now}
        for kind, status, reason in [
            ("Ready", "False", "TooFewReady"),
            ("Degraded", "True", "CrashLoop"),
            ("DatabaseFresh", "True", "Fresh"),
            ("SpilloverActive", "False", "OwnRegionServes"),
        ]
    ]
    counts = {"replicas": 3, "desiredReplicas": 2, "readyReplicas": 1, "claimedReplicas": 1, "updatedReplicas": 3}
    counts["warmReplicas"] = 2
    counts["canary"] = {"image": "new:2", "percent": 25, "state": "Progressing", "shown": "25%"}
    status = {**counts, "selector": "browserpool.dev/pool=shop", "conditions": said}
    arguments = ("patch", "bp", "shop", "--namespace", NAMESPACE, "--subresource=status", "--type=merge", "--patch")
    api.kubectl(*arguments, json.dumps({"status": status}))
    yield api
    api.delete("bp", "shop", namespace=NAMESPACE)


def columns(text):
    head, *rows = [line.split() for line in text.strip().splitlines()]
    return [dict(zip(head, row, strict=False)) for row in rows]


def test_kubectl_get_shows_what_matters(shop):
    (row,) = columns(shop.kubectl("get", "bp", "--namespace", NAMESPACE))
    assert list(row) == ["NAME", "DESIRED", "READY", "CLAIMED", "CANARY", "AGE"]
    assert [row[name] for name in ("NAME", "DESIRED", "READY", "CLAIMED", "CANARY")] == ["shop", "2", "1", "1", "25%"]


def test_kubectl_get_wide_shows_more(shop):
    (row,) = columns(shop.kubectl("get", "bp", "--namespace", NAMESPACE, "--output", "wide"))
    shown = {name: row[name] for name in ("PODS", "UPDATED", "WHOLE", "DEGRADED", "FRESH", "SPILLING")}
    assert shown == {
        "PODS": "3",
        "UPDATED": "3",
        "WHOLE": "False",
        "DEGRADED": "CrashLoop",
        "FRESH": "True",
        "SPILLING": "False",
    }


def test_a_category_lists_both_kinds(shop):
    assert "browserpool.browserpool.dev/shop" in shop.kubectl(
        "get", "browserpool", "--namespace", NAMESPACE, "--output", "name"
    )
    listed = shop.kubectl("api-resources", "--categories=browserpool-all", "--output", "name").split()
    assert sorted(listed) == ["browserpools.browserpool.dev", "browsersessions.browserpool.dev"]


def test_kubectl_scale_changes_replicas_and_is_held_to_the_rules(shop):
    shop.kubectl("scale", "bp/shop", "--replicas=3", "--namespace", NAMESPACE)
    assert shop.get("bp", "shop", namespace=NAMESPACE)["spec"]["replicas"] == 3
    with pytest.raises(shell.Failed, match="maxReplicas below replicas"):
        shop.kubectl("scale", "bp/shop", "--replicas=5", "--namespace", NAMESPACE)


def test_the_scale_subresource_is_an_autoscalers(shop):
    path = f"/apis/{API}/namespaces/{NAMESPACE}/browserpools/shop/scale"
    scale = json.loads(shop.kubectl("get", "--raw", path))
    assert (scale["spec"]["replicas"], scale["status"]) == (2, {"replicas": 2, "selector": "browserpool.dev/pool=shop"})


def test_writing_the_status_is_no_change_of_the_pool(shop):
    before = shop.get("bp", "shop", namespace=NAMESPACE)["metadata"]["generation"]
    arguments = ("patch", "bp", "shop", "--namespace", NAMESPACE, "--subresource=status", "--type=merge", "--patch")
    shop.kubectl(*arguments, '{"status": {"readyReplicas": 2}, "spec": {"replicas": 4}}')
    after = shop.get("bp", "shop", namespace=NAMESPACE)
    assert (after["metadata"]["generation"], after["spec"]["replicas"]) == (before, 2)
    assert after["status"]["readyReplicas"] == 2


@pytest.mark.parametrize(
    "field", ["bp.spec.regions.backup", "bp.spec.sessions.keepAlive", "bs.status.webSocketDebuggerUrl"]
)
def test_kubectl_explains_the_fields(api, field):
    assert "DESCRIPTION" in api.kubectl("explain", field)
    assert "<empty>" not in api.kubectl("explain", field)


# ---------------------------------------------------------------- sessions
@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({}, "spec.poolRef: Required value"),
        ({"poolRef": {}}, "spec.poolRef.name: Required value"),
        ({"poolRef": {"name": "Shop"}}, "spec.poolRef.name in body should match"),
        ({"poolRef": {"name": "shop"}, "ttl": "soon"}, "spec.ttl in body should match"),
        ({"poolRef": {"name": "shop"}, "ttlSecondsAfterFinished": -1}, "should be greater than or equal to 0"),
        ({"poolRef": {"name": "shop"}, "env": [{"name": "A", "value": "b"}]}, 'unknown field "spec.env"'),
    ],
)
async def test_a_bad_session_is_refused_in_clear_words(tried, spec, words):
    assert words in (await tried(session(spec))).refused


WHOLE = {
    "poolRef": {"name": "shop"},
    "region": "eu",
    "nodeName": "node-1.example",
    "tokenName": "web",
    "keepAlive": "5m",
    "ttl": 3600,
    "ttlSecondsAfterFinished": 60,
}


@pytest.fixture
def stored_session(api):
    api.apply(session(WHOLE), namespace=NAMESPACE)
    yield api
    api.delete("bs", "one", namespace=NAMESPACE)


def test_a_session_is_stored_as_the_model_reads_it(stored_session):
    found = stored_session.get("bs", "one", namespace=NAMESPACE)
    assert found["spec"] == WHOLE
    assert session_object.BrowserSession.model_validate(found).spec == session_object.SessionSpec.model_validate(WHOLE)


@pytest.mark.parametrize(
    "change",
    [
        {"poolRef": {"name": "press"}},
        {"region": "us"},
        {"region": None},
        {"nodeName": "node-2"},
        {"tokenName": None},
        {"keepAlive": 300},
        {"ttl": "2h"},
    ],
    ids=json.dumps,
)
def test_a_session_cannot_be_changed(stored_session, change):
    with pytest.raises(shell.Failed, match="a session's spec cannot be changed, but for ttlSecondsAfterFinished"):
        patched(stored_session, change)


@pytest.mark.parametrize("seconds", [0, 5, None])
def test_but_for_how_long_it_stays_afterwards(stored_session, seconds):
    patched(stored_session, {"ttlSecondsAfterFinished": seconds})
    assert stored_session.get("bs", "one", namespace=NAMESPACE)["spec"].get("ttlSecondsAfterFinished") == seconds


def patched(api, change):
    api.kubectl("patch", "bs", "one", "--namespace", NAMESPACE, "--type=merge", "--patch", json.dumps({"spec": change}))


def test_kubectl_get_shows_where_a_session_is(stored_session):
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "Claimed",
        "message": "",
        "lastTransitionTime": "2026-03-01T12:00:00Z",
    }
    status = {"podName": "shop-eu-0", "nodeName": "node-1", "region": "eu", "spilled": False, "conditions": [ready]}
    arguments = ("patch", "bs", "one", "--namespace", NAMESPACE, "--subresource=status", "--type=merge", "--patch")
    stored_session.kubectl(*arguments, json.dumps({"status": status}))
    (row,) = columns(stored_session.kubectl("get", "bs", "--namespace", NAMESPACE))
    assert list(row) == ["NAME", "POOL", "READY", "REASON", "POD", "AGE"]
    assert [row[name] for name in list(row)[:5]] == ["one", "shop", "True", "Claimed", "shop-eu-0"]
    head = stored_session.kubectl("get", "bs", "--namespace", NAMESPACE, "--output", "wide").splitlines()[0].split()
    assert head == ["NAME", "POOL", "READY", "REASON", "POD", "REGION", "NODE", "SPILLED", "EXPIRES", "URL", "AGE"]
