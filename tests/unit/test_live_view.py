"""Live view links: what may be asked for, what a link says, what a read-only viewer may send."""

import orjson
import pytest

from browserpool.model import errors, live_view
from browserpool.model.names import SessionId
from browserpool.router.liveview import making, rules

KEY = "a signing key of some length"
LINK = live_view.Link(
    session_id=SessionId("s-1"), target_id="ABC", mode=live_view.Mode.TAB, read_only=True, expires=1000.5
)


@pytest.mark.parametrize(
    ("body", "wish"),
    [
        ({}, live_view.Wish()),
        ({"mode": "tab", "targetId": "A1"}, live_view.Wish(mode=live_view.Mode.TAB, target_id="A1")),
        ({"expiresInMs": 60000, "guardrails": {}}, live_view.Wish(milliseconds=60000)),
        ({"expiresInMs": 3600000.0, "guardrails": {"mode": "readonly"}}, live_view.Wish(milliseconds=3600000, read_only=True)),
        ({"mode": None, "targetId": None, "expiresInMs": None, "guardrails": None}, live_view.Wish()),
    ],
)  # fmt: skip
def test_what_may_be_asked_for(body, wish):
    assert live_view.wish(body) == wish


def test_a_link_is_good_for_five_minutes():
    assert live_view.Wish().milliseconds == 300_000


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"mode": "window"}, "mode"),
        ({"targetId": "a/b"}, "targetId"),
        ({"targetId": 1}, "targetId"),
        ({"expiresInMs": 59999}, "expiresInMs"),
        ({"expiresInMs": 3600001}, "expiresInMs"),
        ({"expiresInMs": "soon"}, "expiresInMs"),
        ({"expiresInMs": True}, "expiresInMs"),
        ({"expiresInMs": float("nan")}, "expiresInMs"),
        ({"guardrails": {"mode": "readwrite"}}, "readonly"),
        ({"guardrails": {"allowedDomains": []}}, "readonly"),
        ({"guardrails": "readonly"}, "readonly"),
    ],
)
def test_what_may_not(body, word):
    with pytest.raises(errors.InvalidRequest, match=word):
        live_view.wish(body)


def test_a_link_says_what_was_signed_until_it_expires():
    text = live_view.sign(LINK, signing_key=KEY)
    assert live_view.verify(text, signing_key=KEY, now=1000.4) == LINK
    with pytest.raises(errors.Unauthorized, match="expired"):
        live_view.verify(text, signing_key=KEY, now=1000.5)
    driving = live_view.sign(
        live_view.Link(session_id=LINK.session_id, target_id="ABC", mode=LINK.mode, read_only=False, expires=1000.5),
        signing_key=KEY,
    )
    forged = driving.partition(".")[0] + "." + text.partition(".")[2]
    for wrong in (forged, text[:-2], "", ".", "x.y", text + "x", "é.é"):
        with pytest.raises(errors.Unauthorized):
            live_view.verify(wrong, signing_key=KEY, now=0)
    with pytest.raises(errors.Unauthorized):
        live_view.verify(text, signing_key=KEY + "x", now=0)


@pytest.mark.parametrize(
    ("wish", "address"),
    [
        (live_view.Wish(), "https://host/live/TEXT/devtools/inspector.html?wss=host/live/TEXT/page/T1"),
        (live_view.Wish(read_only=True), "https://host/live/TEXT"),
        (live_view.Wish(mode=live_view.Mode.TAB), "https://host/live/TEXT"),
        (live_view.Wish(mode=live_view.Mode.FULL), "https://host/live/TEXT"),
    ],
)
def test_what_a_person_opens(wish, address):
    assert making.frontend("https://host", "TEXT", wish, "T1") == address


def test_the_page_that_is_meant():
    pages = [{"id": "A"}, {"id": "B"}]
    assert (making.chosen(pages, None), making.chosen(pages, "B")) == ("A", "B")
    for entries, target in (([], None), (pages, "C")):
        with pytest.raises(errors.NotFound):
            making.chosen(entries, target)


def frame(method, params=None, **more):
    return orjson.dumps({"id": 3, "method": method, "params": params or {}} | more)


@pytest.mark.parametrize(
    "sent",
    [
        frame("Page.startScreencast", {"format": "jpeg"}),
        frame("Page.screencastFrameAck", {"sessionId": 1}, sessionId="S"),
        frame("Target.attachToTarget", {"targetId": "T", "flatten": True}),
        frame("Cloudflare.getHandoffState"),
    ],
)
def test_a_read_only_viewer_may_look(sent):
    screened = rules.screened(sent)
    assert (orjson.loads(screened.onward), screened.back) == (orjson.loads(sent), None)
    assert not rules.is_use(sent)


@pytest.mark.parametrize(
    "sent",
    [
        *(
            frame(method, sessionId="S")
            for method in (
                "Input.dispatchMouseEvent", "Input.dispatchKeyEvent", "Input.insertText", "Page.navigate", "Page.reload",
                "Page.navigateToHistoryEntry", "Runtime.evaluate", "Runtime.enable", "Network.getCookies", "Browser.close",
                "Page.addScriptToEvaluateOnNewDocument", "Page.captureScreenshot", "Target.createTarget", "Target.closeTarget",
                "Target.sendMessageToTarget", "Target.exposeDevToolsProtocol", "Cloudflare.handoff",
                "Cloudflare.handoffComplete", "Cloudflare.getLiveView", "page.enable", "",
            )
        ),
        frame("Target.attachToTarget", {"targetId": "T"}, sessionId="S"),
        frame("Target.attachToTarget", {"targetId": "T", "flatten": 1}, sessionId="S"),
    ],
)  # fmt: skip
def test_a_read_only_viewer_may_do_nothing(sent):
    screened = rules.screened(sent)
    said = orjson.loads(screened.back)
    assert (screened.onward, said["id"], said["sessionId"]) == (None, 3, "S")
    assert "read-only" in said["error"]["message"]


@pytest.mark.parametrize(
    "sent",
    [b"", b"{", b"[]", b'"Page.enable"', b"1", b'{"id": 1}', b'{"method": ["Page.enable"]}', b"\xff", b" " * 70000],
)
def test_what_is_no_message_is_never_passed_on(sent):
    assert rules.screened(sent).onward is None
    assert rules.is_use(sent)


def test_a_message_that_two_readers_could_read_differently_goes_on_as_it_was_judged():
    sent = b'{"id":1,"method":"Runtime.evaluate","params":{"expression":"1"},"method":"Page.enable"}'
    assert orjson.loads(rules.screened(sent).onward) == {
        "id": 1,
        "method": "Page.enable",
        "params": {"expression": "1"},
    }
    assert rules.screened(sent).onward.count(b'"method"') == 1
