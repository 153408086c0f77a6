"""Which CDP messages are answered instead of passed on."""

import json

import orjson
import pytest

from browserpool.agent import screening
from browserpool.model import agentapi
from support import agents

DOWNLOADS = "/home/downloads"


def frame(method, params=None, **more):
    return orjson.dumps({"id": 7, "method": method, "params": params or {}} | more)


def nested(inner, times=1):
    for _ in range(times):
        inner = frame("Target.sendMessageToTarget", {"sessionId": "s", "message": inner.decode()})
    return inner


REFUSED = [
    frame("Target.createBrowserContext", {"proxyServer": "direct://"}),
    frame("Target.createBrowserContext", {"proxyBypassList": "*"}),
    frame("Target.exposeDevToolsProtocol", {"targetId": "t"}),
    b'{"id": 7, "method": "Target.exposeDevToolsProtocol"}',
    frame("Page.navigate", {"url": "file:///etc/passwd"}, sessionId="s"),
    frame("Page.navigate", {"url": " FILE:///etc/passwd"}),
    frame("Page.navigate", {"url": "fi\nle:///etc/passwd"}),
    frame("Target.createTarget", {"url": "view-source:file:///etc/passwd"}),
    *(frame("Page.navigate", {"url": f"{chr(mark)}file:///etc/passwd"}) for mark in range(0x21)),
    frame("Page.navigate", {"url": "view-source:\x02file:///etc/passwd"}),
    frame("Network.loadNetworkResource", {"url": "file:///etc/passwd"}),
    b'{"id": 7, "method": "Target.create\\u0042rowserContext", "params": {"proxy\\u0053erver": "direct://"}}',
    nested(frame("Page.navigate", {"url": "file:///etc/passwd"})),
    nested(frame("Page.enable"), times=12),
    b'{"id": 7, "method": "Page.navigate", "params": {"url": "file:///etc/passwd#\\ud800"}}',
    frame("DOM.setFileInputFiles", {"files": ["/etc/passwd"], "nodeId": 1}),
    frame("DOM.setFileInputFiles", {"files": [DOWNLOADS + "/a", DOWNLOADS + "/../profile/Cookies"]}),
    frame("DOM.setFileInputFiles", {"files": [DOWNLOADS]}),
    frame("DOM.setFileInputFiles", {"files": ["a.txt"]}),
    frame("Input.dispatchDragEvent", {"type": "drop", "data": {"items": [], "files": ["/etc/passwd"]}}),
    nested(frame("DOM.setFileInputFiles", {"files": ["/etc/passwd"]})),
    frame("Target.sendMessageToTarget", {"message": '{"id": 1, /**/ "method": "Page.navigate"}'}),
]
PASSED = [
    frame("Target.createBrowserContext", {"disposeOnDetach": True}),
    frame("Target.createBrowserContext", {"proxyServer": "", "proxyBypassList": ""}),
    frame("Page.navigate", {"url": "https://example.com/file:///x"}),
    frame("Runtime.evaluate", {"expression": "'file:///etc/passwd'"}),
    nested(frame("Page.enable")),
    frame("Page.navigate"),
    b'{"id": 7, "method": "Page.navigate", "params": []}',
    b"[]",
    b'{"id": 7, "method": "Runtime.evaluate", "params": {"expression": "\'\\ud800\'"}}',
    frame("DOM.setFileInputFiles", {"files": [DOWNLOADS + "/a", DOWNLOADS + "/b/../c"], "objectId": "1"}),
    frame("DOM.setFileInputFiles", {"files": []}),
    frame("Input.dispatchDragEvent", {"type": "drop", "data": {"items": [{"mimeType": "text/plain"}]}}),
    frame("Browser.setDownloadBehavior", {"behavior": "deny"}),
]
NO_JSON = [
    b"not JSON",
    b"",
    b'{"id": 7, /* read on */ "method": "Page.navigate", "params": {"url": "file:///etc/passwd"}}',
    b'{"id": 7, "method": "Page.navigate", "params": {"url": "file:///etc/passwd",}}',
    b"\xff\xfe",
    b"[" * 100_000,
]


@pytest.mark.parametrize("message", REFUSED)
def test_refused(message):
    said = orjson.loads(screening.judge(message, downloads=DOWNLOADS).refusal)
    assert said["id"] == 7
    assert said["error"]["message"].startswith("browserpool does not")
    assert said.get("sessionId") == json.loads(message).get("sessionId")


@pytest.mark.parametrize("message", PASSED)
def test_passed_on(message):
    assert screening.judge(message, downloads=DOWNLOADS) == screening.Judged(frame=message)


@pytest.mark.parametrize("message", NO_JSON)
def test_what_is_no_json_is_not_left_to_chromium(message):
    assert orjson.loads(screening.judge(message, downloads=DOWNLOADS).refusal)["error"]["code"] == -32700


@pytest.mark.parametrize("method", ["Browser.setDownloadBehavior", "Page.setDownloadBehavior"])
@pytest.mark.parametrize("wrapped", [lambda inner: inner, nested], ids=["flat", "nested"])
def test_downloads_go_to_the_sessions_own_directory(method, wrapped):
    wish = {"behavior": "allowAndName", "downloadPath": "/somewhere/else", "eventsEnabled": True}
    passed = screening.judge(wrapped(frame(method, wish, sessionId="s")), downloads=DOWNLOADS)
    assert passed == screening.Judged(frame=passed.frame)
    inner = orjson.loads(passed.frame)
    if wrapped is nested:
        inner = orjson.loads(inner["params"]["message"])
    assert inner == {"id": 7, "method": method, "params": wish | {"downloadPath": DOWNLOADS}, "sessionId": "s"}


async def test_a_client_hears_why_and_its_connection_goes_on(agent, fences):
    token = agents.token(next(fences), kind="cdp")
    async with agent.cdp(token) as socket:
        for message in (REFUSED[0], frame("Target.createBrowserContext")):
            await socket.send_str(message.decode())
        refusal, made = [orjson.loads((await socket.receive(timeout=30)).data) for _ in range(2)]
    assert "egress guard" in refusal["error"]["message"]
    assert made["result"]["browserContextId"]


async def test_a_local_file_is_not_opened_over_http_either(agent, fences):
    token = agents.token(next(fences), kind="cdp")
    path = agentapi.CHROME_JSON.replace("{rest:.*}", "new")
    async with agent.http.put(f"{agent.url}{path}?file:///etc/hostname", headers=agents.bearer(token)) as answer:
        assert answer.status == 400
