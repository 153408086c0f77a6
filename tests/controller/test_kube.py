"""The thin client and the mirror, against a server that answers as the real one does."""

import asyncio
import contextlib

import pytest

from browserpool import metrics
from browserpool.controller import kube, mirror
from browserpool.model import errors
from support import apiserver
from support.waiting import until


def pod(name, **labels):
    return {"metadata": {"name": name, "labels": {"app": "x"} | labels}, "spec": {}}


@contextlib.asynccontextmanager
async def mirrored(client, resource=kube.PODS, **more):
    """A mirror that runs; ``changes`` has what it told."""
    changes = []
    made = mirror.Mirror(
        client,
        resource,
        seen=lambda found: found["metadata"].get("labels", {}).get("v", ""),
        on_change=lambda name, before, after: changes.append((name, before, after)),
        **more,
    )
    async with asyncio.TaskGroup() as group:
        running = group.create_task(made.run())
        await asyncio.wait_for(made.synced.wait(), 5)
        yield made, changes
        running.cancel()


# ---------------------------------------------------------------- requests
async def test_an_object_is_made_read_patched_and_deleted(client):
    made = await client.create(kube.PODS, pod("a"))
    assert (await client.get(kube.PODS, "a"))["metadata"]["uid"] == made["metadata"]["uid"]
    await client.patch(kube.PODS, "a", {"status": {"phase": "Running"}}, subresource="status")
    assert (await client.list(kube.PODS)).items[0]["status"] == {"phase": "Running"}
    assert await client.delete(kube.PODS, "a") is None
    assert (await client.list(kube.PODS)).items == []


async def test_what_the_server_refuses_is_an_error_of_ours(client, server):
    await client.create(kube.PODS, pod("a"))
    with pytest.raises(errors.Conflict):
        await client.create(kube.PODS, pod("a"))
    with pytest.raises(errors.NotFound):
        await client.get(kube.PODS, "b")
    for status, kind in ((403, errors.Forbidden), (422, errors.InvalidRequest), (401, errors.Unauthorized)):
        with (
            apiserver.failing(server, verb="create", resource="pods", status=status),
            pytest.raises(kind, match="made to fail"),
        ):
            await client.create(kube.PODS, pod("c"))
    for status in (429, 500, 503):
        with (
            apiserver.failing(server, verb="get", resource="pods", status=status),
            pytest.raises(errors.ClusterUnavailable),
        ):
            await client.get(kube.PODS, "a")


async def test_deleting_what_is_not_there_or_another_of_that_name_is_no_error(client, server):
    assert await client.delete(kube.PODS, "a") is None
    await client.create(kube.PODS, pod("a"))
    assert await client.delete(kube.PODS, "a", uid="of an older one") is None
    assert list(server.raw(kube.PODS)) == ["a"]


async def test_a_replacement_over_a_changed_object_is_a_conflict(client):
    made = await client.create(kube.LEASES, {"metadata": {"name": "l"}, "spec": {"holderIdentity": "a"}})
    await client.replace(kube.LEASES, "l", made)
    with pytest.raises(errors.Conflict):
        await client.replace(kube.LEASES, "l", made)


async def test_a_server_that_is_away_is_unavailable(client, site):
    await site.stop()
    with pytest.raises(errors.ClusterUnavailable, match="gives no answer"):
        await client.get(kube.PODS, "a")


async def test_requests_are_counted(client):
    def counted():
        return metrics.KUBE_REQUESTS.labels("get", "pods", "404")._value.get()

    before = counted()
    with pytest.raises(errors.NotFound):
        await client.get(kube.PODS, "a")
    assert counted() == before + 1


# ---------------------------------------------------------------- mirror
async def test_a_mirror_holds_what_is_there_and_what_comes_and_goes(client, server):
    server.put(kube.PODS, pod("a", v="1"))
    async with mirrored(client) as (made, changes):
        assert dict(made.objects) == {"a": "1"}
        server.put(kube.PODS, pod("b", v="1"))
        await until(lambda: "b" in made.objects)
        server.change(kube.PODS, "a", {"metadata": {"labels": {"v": "2"}}})
        await until(lambda: made.objects["a"] == "2")
        server.finish(kube.PODS, "b")
        await until(lambda: "b" not in made.objects)
    assert changes == [("a", None, "1"), ("b", None, "1"), ("a", "1", "2"), ("b", "1", None)]


async def test_only_what_the_selector_chooses_is_listed_and_watched(client, server):
    server.put(kube.PODS, pod("a", app="y"))
    async with mirrored(client, selector="app=x") as (made, _):
        server.put(kube.PODS, pod("b", app="y"))
        server.put(kube.PODS, pod("c"))
        await until(lambda: "c" in made.objects)
        assert list(made.objects) == ["c"]


async def test_a_watch_that_cannot_go_on_lists_again_and_misses_nothing(client, server):
    server.put(kube.PODS, pod("a", v="1"))
    server.put(kube.PODS, pod("b", v="1"))
    async with mirrored(client) as (made, changes):
        await until(lambda: server.count("watch", kube.PODS) == 1)
        # What happens here no watch will tell.
        del server.objects[apiserver.reference(kube.PODS), apiserver.NAMESPACE, "b"]
        server.objects[apiserver.reference(kube.PODS), apiserver.NAMESPACE, "a"].patch(
            {"metadata": {"labels": {"v": "2"}, "resourceVersion": server._next()}}
        )
        server.forget_history()
        await until(lambda: dict(made.objects) == {"a": "2"})
        assert server.count("list", kube.PODS) == 2
        server.put(kube.PODS, pod("c", v="1"))
        await until(lambda: "c" in made.objects)
    assert ("b", "1", None) in changes


async def test_after_an_outage_the_watch_goes_on_from_where_it_was(client, server, site):
    async with mirrored(client) as (made, _):
        await until(lambda: server.count("watch", kube.PODS) == 1)
        await site.stop()
        await until(lambda: not made.connected)
        server.put(kube.PODS, pod("a"))
        await site.start()
        await until(lambda: "a" in made.objects)
        assert made.connected
        assert server.count("list", kube.PODS) == 1


async def test_a_watch_that_ends_is_taken_up_again(client, server):
    async with mirrored(client, lasts=1.0) as (made, _):
        await until(lambda: server.count("watch", kube.PODS) >= 2)
        server.put(kube.PODS, pod("a"))
        await until(lambda: "a" in made.objects)
        assert server.count("list", kube.PODS) == 1


async def test_what_was_put_in_is_not_undone_by_what_is_older(client, server):
    old = server.put(kube.PODS, pod("a", v="1"))
    async with mirrored(client) as (made, _):
        server.change(kube.PODS, "a", {"metadata": {"labels": {"v": "2"}}})
        made.put(await client.get(kube.PODS, "a"))
        made.put(old)
        assert made.objects["a"] == "2"
        made.drop("a", version=mirror.version_of(old))
        assert made.objects["a"] == "2"


async def test_what_was_made_after_a_list_was_taken_stays(client, server):
    async with mirrored(client) as (made, _):
        listing = await client.list(kube.PODS)
        made.put(server.put(kube.PODS, pod("a")))
        made.drop("a", version=int(listing.version))
        assert "a" in made.objects
