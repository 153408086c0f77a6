"""The controller as a process: settings, probes, SIGTERM."""

import asyncio
import contextlib
import os
import pathlib
import signal
import subprocess
import sys

import aiohttp
import pydantic
import pytest

from browserpool.controller import app, kube
from browserpool.lib import clock
from browserpool.lib import settings as lib_settings
from browserpool.model import errors
from browserpool.store import connect
from support import controllers, postgres
from support.waiting import until

GIVEN = 30.0
"""Seconds that the chart gives a controller's pod after SIGTERM."""
SOURCES = pathlib.Path(__file__).parents[2] / "operator"


@pytest.fixture
def cluster(api, database, dsn, tmp_path):
    server, site = api
    return controllers.Cluster(server, site, database, dsn=dsn, folder=tmp_path)


async def fetched(replica, path):
    async with aiohttp.ClientSession() as session, session.get(f"http://{replica.ops_address}{path}") as answer:
        return answer.status, await answer.text()


async def test_a_leader_and_one_that_stands_by_are_both_alive_and_ready(cluster):
    async with contextlib.AsyncExitStack() as stack:
        for identity in ("one", "two"):
            replica = await stack.enter_async_context(cluster.controller(identity))
            await until(lambda: not replica.ready())  # noqa: B023 - awaited here
            assert await fetched(replica, "/readyz") == (200, '{"ok":true,"why":""}')
            assert await fetched(replica, "/healthz") == (200, '{"ok":true,"why":""}')
        assert not replica.election.leading


async def test_a_replica_says_what_it_waits_for_and_needs_no_restart(cluster):
    with controllers.locked_out(cluster.settings("one").dsn):
        async with cluster.controller() as replica:
            assert await fetched(replica, "/readyz") == (503, '{"ok":false,"why":"the store was not reached yet"}')
            assert (await fetched(replica, "/healthz"))[0] == 200
            assert cluster.server.served == [], "who has no store does not lead"


async def test_a_leader_whose_rounds_do_not_end_is_not_alive(cluster, monkeypatch):
    async with cluster.controller() as replica:
        await until(lambda: replica.round is not None and replica.round.rounds)
        monkeypatch.setattr(app, "_STUCK", -1.0)
        status, said = await fetched(replica, "/healthz")
        assert status == 503
        assert "no round has ended" in said


async def test_a_leader_who_may_not_list_is_not_alive(cluster, monkeypatch):
    async def refused(*_, **__):
        raise errors.Forbidden("networkpolicies is forbidden")

    monkeypatch.setattr(kube.Client, "list", refused)
    async with cluster.controller() as replica:
        await until(lambda: replica.election.leading and replica.leads_since is not None)
        assert (await fetched(replica, "/healthz"))[0] == 200, "it has a while for it"
        monkeypatch.setattr(app, "_STUCK", -1.0)
        status, said = await fetched(replica, "/healthz")
        assert status == 503
        assert "no round has ended" in said


async def test_metrics_are_served(cluster):
    cluster.server.put(kube.POOLS, controllers.pool(replicas=1))
    async with cluster.controller() as replica:
        await until(lambda: cluster.pods() and replica.round.rounds)
        _, text = await fetched(replica, "/metrics")
    for line in (
        "browserpool_leading 1.0",
        'browserpool_kubernetes_requests_total{code="200",resource="pods",verb="create"}',
        'browserpool_pods_created_total{pool="shop",region="eu"}',
        'browserpool_reconcile_seconds_count{outcome="changed"}',
    ):
        assert line in text


async def started(cluster, *, stderr=asyncio.subprocess.PIPE, **more):
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCES)}
    environment |= lib_settings.to_environment(cluster.settings("process", **more))
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "browserpool.controller", env=environment, stderr=stderr
    )


async def test_a_process_that_is_told_to_end_gives_the_lease_back_and_ends_well(cluster):
    cluster.server.put(kube.POOLS, controllers.pool(replicas=2))
    process = await started(cluster)
    try:
        await until(lambda: len(cluster.pods()) == 2, deadline=60)
        process.send_signal(signal.SIGTERM)
        _, said = await asyncio.wait_for(process.communicate(), 20)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    assert process.returncode == 0, said.decode()
    assert "Traceback" not in said.decode()
    assert cluster.server.raw(kube.LEASES)["browserpool-controller"]["spec"]["holderIdentity"] == ""
    assert len(cluster.pods()) == 2, "its end is nobody else's"


async def test_a_process_whose_database_hangs_gives_the_lease_back_and_ends_in_time(api, hanging, tmp_path):
    server, site = api
    with postgres.clone(hanging) as dsn:
        async with connect.opened(dsn, process="tests") as database:
            cluster = controllers.Cluster(server, site, database, dsn=dsn, folder=tmp_path)
            cluster.server.put(kube.POOLS, controllers.pool(replicas=2))
            # What it says goes to a file: a pipe that nobody reads would fill up, and hold it.
            with (tmp_path / "log").open("wb") as log:
                process = await started(cluster, stderr=log)
            try:
                await until(lambda: len(cluster.pods()) == 2, deadline=60)
                with hanging.hung():
                    began = clock.monotonic()
                    process.send_signal(signal.SIGTERM)
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(process.wait(), 2 * GIVEN)
                    seconds = clock.monotonic() - began
            finally:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
    said = (tmp_path / "log").read_text()
    assert process.returncode == 0, said
    assert seconds < GIVEN / 2, f"it took {seconds:.1f} s\n{said}"
    assert cluster.server.raw(kube.LEASES)["browserpool-controller"]["spec"]["holderIdentity"] == ""


def run(**environment):
    given = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCES), **environment}
    return subprocess.run(
        [sys.executable, "-m", "browserpool.controller"],
        env=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_wrong_settings_are_all_named():
    done = run(BROWSERPOOL_SIGNING_KEY="short", BROWSERPOOL_OPS_PORT="x")
    assert done.returncode == 2
    for name in ("DSN", "SIGNING_KEY", "NAMESPACE", "IDENTITY", "ROUTER_URL", "BROWSER_IMAGE", "OPS_PORT"):
        assert f"BROWSERPOOL_{name}: " in done.stderr
    assert "short" not in done.stderr.replace("shorter", ""), "a secret is not repeated"


async def test_without_a_cluster_it_says_so(cluster, tmp_path):
    with pytest.raises(errors.ClusterUnavailable, match="name a kubeconfig"):
        async with cluster.controller(kubeconfig=str(tmp_path / "none")):
            pass


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ({"renew_deadline": 60.0}, "retry_period < renew_deadline < lease_duration"),
        ({"webhook_port": 9443}, "webhook_port needs webhook_cert and webhook_key"),
        ({"router_url": "router:8080"}, "router_url"),
    ],
)
def test_settings_that_cannot_work_are_refused(cluster, more, complaint):
    with pytest.raises(pydantic.ValidationError, match=complaint):
        cluster.settings("one", **more)


def test_in_a_pod_the_service_account_is_used(monkeypatch, tmp_path):
    """The official client's own loading; only the place of its files is another."""
    from kubernetes.aio.config import incluster_config

    (tmp_path / "token").write_text("a token")
    (tmp_path / "ca.crt").write_bytes((pathlib.Path(__file__).parents[1] / "support" / "self_signed.pem").read_bytes())
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    configuration = asyncio.run(kube.configured(""))
    assert configuration.host == "https://10.0.0.1:443"
    assert asyncio.run(configuration.get_api_key_with_prefix("BearerToken")) == "bearer a token"
