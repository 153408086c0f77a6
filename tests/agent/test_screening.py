"""Which CDP messages are answered instead of passed on."""

import orjson
import pytest

from browserpool.agent import screening
from browserpool.model import agentapi
from support import agents


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
    frame("Network.loadNetworkResource", {"url": "file:///etc/passwd"}),
    b'{"id": 7, "method": "Target.create\\u0042rowserContext", "params": {"proxy\\u0053erver": "direct://"}}',
    nested(frame("Page.navigate", {"url": "file:///etc/passwd"})),
    nested(frame("Page.enable"), times=12),
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
    b"not JSON",
    b"",
]


@pytest.mark.parametrize("message", REFUSED)
def test_refused(message):
    said = orjson.loads(screening.answer(message))
    assert said["id"] == 7
    assert said["error"]["message"].startswith("browserpool does not")
    assert said.get("sessionId") == orjson.loads(message).get("sessionId")


@pytest.mark.parametrize("message", PASSED)
def test_passed_on(message):
    assert screening.answer(message) is None


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
