"""What a mirror keeps when news of its own writes and the watch's come in whatever order."""

import asyncio
import contextlib

import pytest

from browserpool.controller import kube, mirror
from support import waiting


def pod(name, version):
    return {"metadata": {"name": name, "resourceVersion": str(version)}}


class Server:
    """Lists nothing, then sends what the test puts into ``news``."""

    def __init__(self):
        self.news = asyncio.Queue()

    async def list(self, resource, *, selector=""):
        return kube.Listing(items=[pod("there", 5)], version="10")

    async def watch(self, resource, *, selector="", since, lasts):
        while True:
            yield await self.news.get()

    def says(self, kind, name, version):
        self.news.put_nowait(kube.Change(kind=kind, object=pod(name, version)))


@pytest.fixture
async def server():
    return Server()


@pytest.fixture
async def followed(server):
    """A mirror that follows; it keeps of each object its version."""
    made = mirror.Mirror(server, kube.PODS, seen=mirror.version_of, on_change=lambda *_: None)
    task = asyncio.get_running_loop().create_task(made.run())
    await asyncio.wait_for(made.synced.wait(), 5)
    yield made
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def caught_up(server, followed):
    """All that the server has said so far was heard."""
    server.says("ADDED", "last", 1000)
    await waiting.until(lambda: "last" in followed.objects)
    followed.drop("last")


async def test_what_it_writes_itself_is_there_at_once(followed):
    followed.put(pod("new", 11))
    assert followed.objects == {"there": 5, "new": 11}


async def test_an_older_state_does_not_take_the_place_of_a_newer(followed):
    followed.put(pod("there", 12))
    followed.put(pod("there", 11))
    assert followed.objects["there"] == 12


async def test_the_answer_to_a_deletion_that_comes_after_the_news_of_the_end_brings_nothing_back(server, followed):
    followed.put(pod("gone", 11))
    server.says("DELETED", "gone", 13)
    await caught_up(server, followed)
    followed.put(pod("gone", 12))
    assert followed.objects == {"there": 5}


async def test_so_it_is_when_another_than_its_own_watch_tells_of_the_end(followed):
    followed.put(pod("gone", 11))
    followed.drop("gone", version=13)
    followed.put(pod("gone", 12))
    assert followed.objects == {"there": 5}
    followed.put(pod("gone", 14))
    assert followed.objects == {"there": 5, "gone": 14}


async def test_the_next_of_that_name_is_kept(server, followed):
    server.says("ADDED", "gone", 11)
    server.says("DELETED", "gone", 12)
    server.says("ADDED", "gone", 14)
    await caught_up(server, followed)
    assert followed.objects == {"there": 5, "gone": 14}
    server.says("DELETED", "gone", 13)
    server.says("ADDED", "end", 1001)
    await waiting.until(lambda: "end" in followed.objects)
    assert followed.objects["gone"] == 14


async def test_a_list_brings_back_what_the_watch_lost(followed):
    followed.drop("there")
    await followed.refresh()
    assert followed.objects == {"there": 5}
