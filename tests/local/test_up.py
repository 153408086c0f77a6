"""A whole installation on one machine, as a person meets it: real Postgres, router, agents, Chromium."""

import io
import os
import pathlib
import signal
import socket
import stat

import aiohttp
import pytest
from PIL import Image

from browserpool.local import client
from support import installation, processes, waiting

PATIENCE = 60
"""Seconds; a busy machine takes its time, and no test is about that."""


@pytest.fixture(scope="module")
def up():
    with installation.running(installation.manifest(replicas=2), arguments=["--chrome-port", "0"]) as made:
        yield made


def agent_of(made, browser_id):
    """The agent process of a browser, found by its log file."""
    log = f"{browser_id}.log"
    return next(
        one
        for one in processes.below(made.pid)
        if "browserpool.agent" in one.command and pathlib.Path(f"/proc/{one.pid}/fd/1").readlink().name == log
    )


def router_of(made):
    return next(one for one in processes.below(made.pid) if "browserpool.router" in one.command)


def test_it_says_where_it_is_and_keeps_its_secrets(up):
    ready, token = up.printed
    assert ready == f"ready: {up.router.url}"
    assert token == f"token: {up.data / 'token'}"
    for name in ("token", "signing-key"):
        assert stat.S_IMODE((up.data / name).stat().st_mode) == 0o600


def test_a_screenshot_by_the_command(up):
    picture = up.folder / "hello.png"
    done = up.command(
        "screenshot", "--html", "-", "-o", str(picture), "--width", "320", "--height", "200", stdin=b"<h1>Hello</h1>"
    )
    assert done.returncode == 0, done.stderr
    with Image.open(picture) as image:
        assert (image.format, image.size) == ("PNG", (320, 200))
        assert len(image.convert("L").getcolors(256)) > 2, "nothing is written on it"


def test_a_picture_of_another_kind_by_the_name_of_its_file(up):
    done = up.command("screenshot", "--html", "-", "-o", str(up.folder / "a.jpg"), stdin=b"<p>hello</p>")
    assert done.returncode == 0, done.stderr
    with Image.open(up.folder / "a.jpg") as image:
        assert image.format == "JPEG"


def test_content_and_pdf_by_the_command(up):
    done = up.command("content", "--html", "-", stdin=b"<p id=a></p><script>a.textContent = 6 * 7</script>")
    assert b'<p id="a">42</p>' in done.stdout, done.stderr
    done = up.command("pdf", "--html", "-", "-o", "-", stdin=b"<h1>Paper</h1>")
    assert done.stdout.startswith(b"%PDF-"), done.stderr


def test_what_the_router_refuses_is_a_sentence(up):
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    done = up.command("screenshot", f"http://127.0.0.1:{port}/", "-o", str(up.folder / "none.png"))
    assert done.returncode == 1
    assert done.stderr.startswith(b"browserpool: ")
    assert b"(422 from http://" in done.stderr
    assert b"Traceback" not in done.stderr
    assert not (up.folder / "none.png").exists()


async def test_it_answers_as_a_local_chrome_where_that_was_asked_for(up):
    chrome = next(line.split()[-1] for line in up.shown.splitlines() if line.startswith("as a local Chrome"))
    async with aiohttp.ClientSession() as tool:
        async with tool.get(f"{chrome}/json/version") as answer:
            address = (await answer.json())["webSocketDebuggerUrl"]
        async with tool.ws_connect(address) as socket:
            await socket.send_json({"id": 1, "method": "Browser.getVersion"})
            assert "Chrome" in (await socket.receive_json(timeout=30))["result"]["product"]
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await tool.ws_connect(address, origin="https://example.com")
        assert refused.value.status == 403
        async with tool.post(f"{chrome}/v1/screenshot", json={"html": "x"}) as answer:
            assert answer.status == 404
        async with tool.get(f"{chrome}/devtools/session") as answer:
            [session] = [one["sessionId"] for one in await answer.json() if "endTime" not in one]
        async with tool.delete(f"{chrome}/devtools/browser/{session}") as answer:
            assert answer.status == 200


def test_status_as_tables_and_as_json(up):
    tables = up.command("status").stdout.decode()
    assert "test-local-0" in tables
    assert "test-local-1" in tables
    assert b'"browser_id": "test-local-0"' in up.command("status", "--json").stdout


async def test_a_browser_stands_on_a_simulated_node(up):
    places = {browser["browser_id"]: (browser["node"], browser["zone"]) for browser in await up.browsers()}
    assert places["test-local-0"] == ("local-node-0", "local-a")
    assert places["test-local-1"] == ("local-node-1", "local-b")


def test_a_second_up_on_the_same_directory_is_refused(up):
    done = up.command("up", "-f", str(up.file), "--port", "0")
    assert done.returncode == 1
    assert f"{up.data} is in use by another `browserpool up` (process {up.pid})".encode() in done.stderr


def test_a_port_that_is_taken_is_refused_before_anything_starts(up):
    taken = up.router.url.rpartition(":")[2]
    with installation.prepared(installation.manifest(), arguments=["--port", taken]) as other:
        other.begin()
        assert other.process.wait(30) == 1
        assert f"Port {taken} is in use by another program" in other.shown
        assert not (other.data / "postgres").exists()


async def test_edits_are_followed_and_a_broken_one_is_shown(up):
    up.edit(installation.manifest(replicas=3))
    await waiting.until(lambda: _states_are(up, ["ready"] * 3), deadline=PATIENCE)
    up.edit("spec: [")
    await waiting.until(lambda: "stays in force" in up.shown, deadline=PATIENCE)
    assert f"{up.file}:1: is not YAML" in up.shown
    assert await up.states() == ["ready"] * 3
    up.edit(installation.manifest(replicas=1))
    await waiting.until(lambda: _states_are(up, ["ready"]), deadline=PATIENCE)
    assert [browser["browser_id"] for browser in await up.browsers()] == ["test-local-0"]
    up.edit(installation.manifest(replicas=2))
    await waiting.until(lambda: _states_are(up, ["ready"] * 2), deadline=PATIENCE)


async def test_a_pool_finds_by_itself_how_many_to_keep_ready(up):
    rules = {"minReplicas": 1, "maxReplicas": 2, "buffer": "100%", "scaleDownDelay": "2s"}
    up.edit(installation.manifest(maxReplicas=4, autoscaling=rules))
    await waiting.until(lambda: _states_are(up, ["ready"]), deadline=PATIENCE)
    headers = {"Authorization": f"Bearer {up.router.token}"}
    async with aiohttp.ClientSession(up.router.url, headers=headers) as http:
        held = []
        for _ in range(2):
            async with http.post("/devtools/browser?keep_alive=600000") as answer:
                held.append((await answer.json())["sessionId"])
        await waiting.until(lambda: _states_are(up, ["claimed"] * 2 + ["ready"] * 2), deadline=PATIENCE)
        (shown,) = (await client.status(up.router))["pools"]
        assert shown["regions"][0]["replicas"] == 2, "routers know the number that was found"
        for session in held:
            async with http.delete(f"/devtools/browser/{session}") as answer:
                assert answer.status == 200
    await waiting.until(lambda: _states_are(up, ["ready"]), deadline=PATIENCE)
    up.edit(installation.manifest(replicas=2))
    await waiting.until(lambda: _states_are(up, ["ready"] * 2), deadline=PATIENCE)


async def test_a_canary_differs_by_its_arguments_and_stays_when_it_is_promoted(up):
    def marked():
        """The pids of the Chromiums that have the canary's argument."""
        return {
            one.pid for one in processes.below(up.pid) if "--mute-audio" in one.command and "--type=" not in one.command
        }

    args = ["--mute-audio"]
    up.edit(installation.manifest(replicas=2, canary={"image": "new:2", "percent": 50, "args": args}))
    (tried,) = await waiting.until(lambda: len(marked()) == 1 and marked(), deadline=PATIENCE)
    await waiting.until(lambda: _states_are(up, ["ready"] * 2), deadline=PATIENCE)
    up.edit(installation.manifest(replicas=2, chromium={"image": "new:2", "args": args}))
    pids = await waiting.until(lambda: len(marked()) == 2 and marked(), deadline=PATIENCE)
    assert tried in pids


async def test_a_pool_that_is_taken_out_is_emptied_and_another_is_made(up):
    def names(browsers):
        return [browser["browser_id"] for browser in browsers if browser["state"] == "ready"]

    async def only(*wanted):
        return names(await up.browsers()) == list(wanted)

    up.edit(installation.manifest(name="other", replicas=1, regions=[{"name": "eu"}, {"name": "us", "backup": "eu"}]))
    await waiting.until(lambda: only("other-eu-0", "other-us-0"), deadline=PATIENCE)
    assert [pool["name"] for pool in (await client.status(up.router))["pools"]] == ["other"]
    done = up.command("content", "--html", "-", "--region", "us", stdin=b"<p>hello</p>")
    assert b"<p>hello</p>" in done.stdout, done.stderr
    up.edit(installation.manifest(replicas=2))
    await waiting.until(lambda: only("test-local-0", "test-local-1"), deadline=PATIENCE)


async def test_a_killed_agent_is_replaced(up):
    before = {browser["browser_id"]: browser["fence"] for browser in await up.browsers()}
    os.kill(agent_of(up, "test-local-1").pid, signal.SIGKILL)
    await waiting.until(lambda: _is_new(up, "test-local-1", before), deadline=PATIENCE)
    await waiting.until(lambda: _states_are(up, ["ready"] * 2), deadline=PATIENCE)


async def test_a_killed_router_comes_back_on_the_same_port(up):
    before, url = router_of(up), up.router.url
    os.kill(before.pid, signal.SIGKILL)
    await waiting.until(lambda: processes.still_running([before]) == [], deadline=PATIENCE)
    await waiting.until(lambda: _answers(up), deadline=PATIENCE)
    assert up.router.url == url
    assert router_of(up).pid != before.pid
    await waiting.until(lambda: _states_are(up, ["ready"] * 2), deadline=PATIENCE)


async def test_a_killed_postgres_comes_back(up):
    before = next(one for one in processes.below(up.pid) if "/postgres -D" in one.command)
    os.kill(before.pid, signal.SIGKILL)
    await waiting.until(lambda: processes.still_running([before]) == [], deadline=PATIENCE)
    await waiting.until(lambda: _states_are(up, ["ready"] * 2), deadline=PATIENCE)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_and_a_second_start_works(up, number):
    """Last in this file: it stops what the others share, and starts it again."""
    token = up.router.token
    family = processes.below(up.pid)
    assert sum("browserpool.agent" in one.command for one in family) == 2
    assert up.stop(number) == 0, up.shown
    assert processes.still_running(family) == []
    assert list(up.temporary.iterdir()) == []
    assert sorted(entry.name for entry in up.data.iterdir()) == ["logs", "postgres", "signing-key", "token"]
    up.start()
    assert up.router.token == token


async def test_a_session_that_was_open_has_ended_when_it_starts_again(up):
    picture = await client.act(up.router, "screenshot", {"html": "<h1>again</h1>"})
    with Image.open(io.BytesIO(picture.body)) as image:
        assert image.format == "PNG"
    family = processes.below(up.pid)
    up.process.kill()
    up.process.wait(10)
    await waiting.until(lambda: processes.still_running(family) == [], deadline=20)
    up.start()
    assert await up.states() == ["ready"] * 2
    assert (await client.status(up.router))["sessions"] == []


async def _states_are(made, wanted):
    try:
        return await made.states() == wanted
    except client.problems.Problem:
        return False


async def _answers(made):
    try:
        return bool(await client.status(made.router))
    except client.problems.Problem:
        return False


async def _is_new(made, browser_id, before):
    found = {browser["browser_id"]: browser["fence"] for browser in await made.browsers()}
    return found.get(browser_id, 0) > before[browser_id]


def test_a_chromium_that_is_not_there_is_named(up):
    done = up.command("up", "-f", str(up.file), "--port", "0", "--chromium", "/no/such/chromium")
    assert done.returncode == 1
    assert b"There is no Chromium to run (looked for /no/such/chromium)" in done.stderr


async def test_a_chromium_that_does_not_start_is_quoted():
    with installation.prepared(installation.manifest(replicas=1)) as other:
        broken = other.folder / "chromium"
        broken.write_text("#!/bin/sh\necho no luck today >&2\nexit 3\n")
        broken.chmod(0o755)
        other.arguments = ["--chromium", str(broken)]
        other.begin()
        await waiting.until(lambda: "test-local-0 ended soon after its start" in other.shown, deadline=60)
        assert "no luck today" in other.shown
        assert other.printed == []
        assert other.stop() == 0
