"""The BrowserPool manifest: what is read, what is refused, and in which words."""

import pydantic
import pytest

from browserpool.model import pool
from browserpool.model.names import RegionName


def manifest(**spec):
    return {
        "apiVersion": "browserpool.dev/v1alpha1",
        "kind": "BrowserPool",
        "metadata": {"name": "default"},
        "spec": spec,
    }


def hours(**more):
    one = {"from": "08:00", "to": "09:00", "minReplicas": 1, **more}
    return {"maxReplicas": 4, "schedule": [one]}


def test_the_names_of_browsers_fit_a_host_name():
    def read(pool_name, region):
        return pool.BrowserPool.model_validate(
            {"metadata": {"name": pool_name}, "spec": {"regions": [{"name": region}]}}
        )

    assert len(f"{read('p' * 40, 'r' * 15).name}-{'r' * 15}-499999") == 63
    with pytest.raises(pydantic.ValidationError, match="may have 55 characters together"):
        read("p" * 40, "r" * 16)


def test_an_empty_spec_has_the_documented_defaults():
    spec = pool.BrowserPool.model_validate(manifest()).spec
    assert spec.replicas == 1
    assert [region.name for region in spec.regions] == ["local"]
    assert spec.sessions.keep_alive == 60
    assert spec.sessions.recycle_after == 50
    assert spec.on_empty.mode is pool.OnEmptyMode.QUEUE
    assert spec.on_empty.queue_timeout == 30
    assert spec.spillover is pool.Spillover.WHEN_EMPTY_OR_STALE


def test_an_upstream_serves_everybody_until_it_is_told_otherwise():
    spec = pool.BrowserPool.model_validate(manifest(upstream={"url": "http://old:9222", "kind": "cdp"})).spec
    assert pool.PoolSpec().upstream is None
    assert (spec.upstream.percent, spec.upstream.sticky, spec.upstream.fallback) == (0, True, "ToUpstream")
    assert spec.upstream.token_secret_ref is None


def test_a_region_overrides_the_pools_numbers():
    spec = pool.BrowserPool.model_validate(
        manifest(replicas=4, maxReplicas=10, regions=[{"name": "eu"}, {"name": "us", "replicas": 2, "maxReplicas": 3}])
    ).spec
    eu, us = spec.regions
    assert (spec.wanted(eu), spec.most(eu)) == (4, 10)
    assert (spec.wanted(us), spec.most(us)) == (2, 3)
    assert spec.region(RegionName("us")) is us
    assert spec.region(RegionName("mars")) is None


def test_without_a_maximum_the_pool_does_not_grow():
    spec = pool.BrowserPool.model_validate(manifest(replicas=4)).spec
    assert spec.most(spec.regions[0]) == 4


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"replicas": -1}, "greater than or equal to 0"),
        ({"replicsa": 1}, "Extra inputs are not permitted"),
        ({"regions": []}, "at least 1 item"),
        ({"regions": [{"name": "eu"}, {"name": "eu"}]}, "each name may stand once"),
        ({"regions": [{"name": "eu", "backup": "eu"}]}, "cannot be its own backup"),
        ({"regions": [{"name": "eu", "backup": "us"}]}, "not among eu"),
        (
            {"regions": [{"name": "eu", "backup": "us", "backupRouter": {"url": "http://far"}}, {"name": "us"}]},
            "eu has backup and backupRouter",
        ),
        ({"regions": [{"name": "eu", "backupRouter": {"url": "ws://far"}}]}, "should match pattern"),
        ({"regions": [{"name": "eu", "backupRouter": {"url": "http://a@far"}}]}, "should match pattern"),
        (
            {"regions": [{"name": "eu", "near": ["DE", "FR"]}, {"name": "us", "near": ["US", "DE"]}]},
            "near has DE twice; a place may stand in one region only",
        ),
        ({"regions": [{"name": "eu", "near": ["D E"]}]}, "should match pattern"),
        (
            {"regions": [{"name": f"r{n}", "near": [f"p{n}-{m}" for m in range(29)]} for n in range(9)]},
            "near has more than 256 places",
        ),
        ({"regions": [{"name": "EU"}]}, "should match pattern"),
        ({"replicas": 4, "maxReplicas": 3}, "maxReplicas 3 below replicas 4"),
        ({"sessions": {"keepAlive": "soon"}}, "written like 90s, 5m or 1h30m"),
        ({"sessions": {"keepAlive": True}}, "written like 90s, 5m or 1h30m"),
        ({"sessions": {"recycle": "Maybe"}}, "'Restart' or 'Delete'"),
        ({"egress": {"allow": ["10.0.0.0/33"]}}, "10.0.0.0/33"),
        ({"upstream": {"url": "http://old"}}, "kind\n  Field required"),
        ({"upstream": {"url": "http://old", "kind": "selenium"}}, "'cdp', 'cloudflare' or 'browserless'"),
        ({"upstream": {"url": "old:3000", "kind": "cdp"}}, "should match pattern"),
        ({"upstream": {"url": "http://user:secret@old", "kind": "cdp"}}, "should match pattern"),
        ({"upstream": {"url": "ws://old", "kind": "cloudflare"}}, "the url must begin with http:// or https://"),
        ({"upstream": {"url": "http://old", "kind": "cdp", "percent": 101}}, "less than or equal to 100"),
        ({"upstream": {"url": "http://old", "kind": "cdp", "tokenSecretRef": {"name": "a/b"}}}, "should match pattern"),
        ({"autoscaling": {}}, "maxReplicas\n  Field required"),
        ({"autoscaling": {"minReplicas": 5, "maxReplicas": 4}}, "minReplicas 5 is above maxReplicas 4"),
        ({"autoscaling": hours(minReplicas=5)}, "schedule: minReplicas 5 is above maxReplicas 4"),
        (
            {"autoscaling": hours(timeZone="Europe/Bielefeld")},
            "there is no time zone Europe/Bielefeld; zones are named",
        ),
        ({"autoscaling": hours(timeZone="../etc/passwd")}, "there is no time zone ../etc/passwd"),
        ({"autoscaling": hours(timeZone="Europe")}, "there is no time zone Europe;"),
        ({"autoscaling": hours(timeZone="")}, "at least 1 character"),
        ({"autoscaling": hours(days=["Monday"])}, "'Mon', 'Tue'"),
        ({"autoscaling": hours(days=["Mon", "Mon"])}, "each day may stand once"),
        ({"autoscaling": hours(**{"from": "8:00"})}, "should match pattern"),
        ({"autoscaling": hours(to="24:00")}, "should match pattern"),
        ({"autoscaling": hours(to=1440)}, "should be a valid string"),
        ({"autoscaling": {"maxReplicas": 4, "buffer": "101%"}}, "percentage from 0% to 100%"),
        (
            {"autoscaling": {"maxReplicas": 4}, "regions": [{"name": "eu", "replicas": 4, "maxReplicas": 3}]},
            "maxReplicas 3 below replicas 4",
        ),
    ],
)
def test_a_bad_manifest_is_refused_in_words(spec, words):
    with pytest.raises(pydantic.ValidationError, match=words.replace("/", "/")):
        pool.BrowserPool.model_validate(manifest(**spec))


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("90s", 90), ("5m", 300), ("1h30m", 5400), ("500ms", 0.5), ("1.5s", 1.5), ("2d", 172800), (12, 12), (0, 0)],
)
def test_durations(written, seconds):
    spec = pool.BrowserPool.model_validate(manifest(sessions={"keepAlive": written})).spec
    assert spec.sessions.keep_alive == seconds


def test_a_manifest_survives_being_stored():
    read = pool.BrowserPool.model_validate(
        manifest(
            replicas=3,
            sessions={"keepAlive": "90s"},
            egress={"allow": ["10.0.0.0/8"]},
            autoscaling=hours(days=["Mon"], timeZone="Europe/Berlin"),
            upstream={"url": "wss://old/?a=b", "kind": "browserless", "tokenSecretRef": {"name": "o"}, "percent": 0.5},
        )
    )
    stored = read.model_dump(mode="json", by_alias=True)
    assert stored["spec"]["sessions"]["keepAlive"] == "90s"
    assert pool.BrowserPool.model_validate(stored) == read


@pytest.mark.parametrize(
    ("mode", "when_empty", "when_stale"),
    [
        ("Never", False, False),
        ("WhenEmpty", True, False),
        ("WhenStale", False, True),
        ("WhenEmptyOrStale", True, True),
    ],
)
def test_spillover(mode, when_empty, when_stale):
    spillover = pool.Spillover(mode)
    assert (spillover.when_empty, spillover.when_stale) == (when_empty, when_stale)


def test_with_autoscaling_replicas_mean_nothing_and_maxreplicas_bounds():
    spec = pool.BrowserPool.model_validate(
        manifest(
            replicas=50, autoscaling={"maxReplicas": 8}, regions=[{"name": "eu"}, {"name": "us", "maxReplicas": 0}]
        )
    ).spec
    assert [spec.most(region) for region in spec.regions] == [8, 0]
    both = pool.BrowserPool.model_validate(manifest(replicas=50, maxReplicas=9, autoscaling={"maxReplicas": 20})).spec
    assert both.most(both.regions[0]) == 9


def test_a_time_that_yaml_took_for_a_number_is_a_time():
    """YAML 1.1 reads an unquoted 22:00 as 22 * 60."""
    spec = pool.BrowserPool.model_validate(manifest(autoscaling=hours(**{"from": 22 * 60, "to": 0}))).spec
    assert spec.autoscaling is not None
    assert [(one.begin, one.end) for one in spec.autoscaling.schedule] == [("22:00", "00:00")]
