"""A session's files: what is downloaded, wherever a client wants it to go, and what a page may be given."""

import json

import aiohttp
import pytest

from browserpool.agent import downloads
from browserpool.model import agentapi, errors
from support import agents, waiting


class Client:
    """CDP by hand, errors included."""

    def __init__(self, socket):
        self.socket = socket
        self._number = 0

    async def ask(self, method, session=None, **params):
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        await self.socket.send_str(json.dumps(message | ({"sessionId": session} if session else {})))
        while (said := json.loads((await self.socket.receive(timeout=30)).data)).get("id") != self._number:
            pass
        return said

    async def call(self, method, session=None, **params):
        said = await self.ask(method, session, **params)
        assert "error" not in said, said
        return said["result"]

    async def page(self):
        target = (await self.call("Target.createTarget", url="about:blank"))["targetId"]
        return (await self.call("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]


LINK = """(() => {
  const link = document.createElement('a')
  link.download = 'a.bin'
  link.href = URL.createObjectURL(new Blob(['x'.repeat(1000)]))
  link.click()
})()"""
INPUT = "globalThis.made = Object.assign(document.createElement('input'), {type: 'file'})"


async def listed(agent, token):
    async with agent.http.get(f"{agent.url}{agentapi.DOWNLOADS}", headers=agents.bearer(token)) as answer:
        assert answer.status == 200
        return await answer.json()


async def fetched(agent, token, file):
    path = agentapi.DOWNLOAD.format(file=file)
    async with agent.http.get(f"{agent.url}{path}", headers=agents.bearer(token)) as answer:
        return answer.status, await answer.read()


async def test_a_download_is_fetched_from_its_session_and_gone_with_it(agent, fences, tmp_path):
    token = agents.token(next(fences), kind="cdp")
    async with agent.cdp(token) as socket:
        client = Client(socket)
        (elsewhere := tmp_path / "elsewhere").mkdir()
        wish = {"behavior": "allow", "downloadPath": str(elsewhere), "eventsEnabled": True}
        await client.call("Browser.setDownloadBehavior", **wish)
        session = await client.page()
        await client.call("Runtime.evaluate", session, expression=LINK)

        async def arrived():
            return [one["name"] for one in await listed(agent, token)] == ["a.bin"]

        await waiting.until(arrived)
        assert list(elsewhere.iterdir()) == []
        assert (await listed(agent, token))[0]["size"] == 1000
        assert await fetched(agent, token, "a.bin") == (200, b"x" * 1000)
        for file in ("b.bin", "..%2Fprofile%2FLocal%20State", "%2Fetc%2Fhostname", ".."):
            assert (await fetched(agent, token, file))[0] == 404, file
    assert await agent.end(token)
    assert await listed(agent, agents.token(next(fences), kind="cdp")) == []


async def test_a_page_is_given_no_file_of_this_machine(agent, fences, tmp_path):
    (tmp_path / "secret").write_text("mine")
    token = agents.token(next(fences), kind="cdp")
    async with agent.cdp(token) as socket:
        client = Client(socket)
        session = await client.page()
        made = await client.call("Runtime.evaluate", session, expression=INPUT)
        given = {"objectId": made["result"]["objectId"], "files": [str(tmp_path / "secret")]}
        said = await client.ask("DOM.setFileInputFiles", session, **given)
        assert "Send a file's content" in said["error"]["message"]
        count = await client.call("Runtime.evaluate", session, expression="made.files.length")
        assert count["result"]["value"] == 0


@pytest.mark.parametrize("method", ["ACTION", "CDP"])
async def test_files_are_a_cdp_sessions(agent, fences, method):
    token = agents.token(next(fences), kind=method.lower())
    async with agent.http.get(f"{agent.url}{agentapi.DOWNLOADS}", headers=agents.bearer(token)) as answer:
        assert answer.status == (403 if method == "ACTION" else 200)


async def test_nobody_without_a_token(agent):
    async with aiohttp.ClientSession() as stranger, stranger.get(f"{agent.url}{agentapi.DOWNLOADS}") as answer:
        assert answer.status == 401


def test_what_is_listed_is_whole_and_inside(tmp_path):
    home = tmp_path / "downloads"
    home.mkdir()
    for name in ("b", "a", ".hidden", "c.crdownload"):
        (home / name).write_bytes(b"12")
    (home / "folder").mkdir()
    (tmp_path / "outside").write_text("x")
    (home / "link").symlink_to(tmp_path / "outside")
    assert {one["name"]: one["size"] for one in downloads.listing(home)} == {"a": 2, "b": 2}
    assert downloads.find(home, "a") == home / "a"
    for name in (".hidden", "c.crdownload", "folder", "link", "../outside", str(tmp_path / "outside"), "", "."):
        with pytest.raises(errors.NotFound):
            downloads.find(home, name)
