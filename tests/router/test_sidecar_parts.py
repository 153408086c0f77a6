"""The sidecar's pure parts: headers, the token's file, when a session is renewed."""

import asyncio
import os

import multidict
import pydantic
import pytest

from browserpool.lib import tasks
from browserpool.router.sidecar import keeping, passing, settings, tokenfile
from support import waiting

OWN = passing.Own(token="own", node="n1", pool="p1", base="http://localhost:9222")


def onward(headers: dict[str, str], query: dict[str, str] | None = None, own: passing.Own = OWN) -> dict[str, str]:
    proxy = multidict.CIMultiDictProxy(multidict.CIMultiDict(headers))
    passed = passing.onward(proxy, query=query or {}, own=own)
    return {name.lower(): value for name, value in passed.items()}


ADDED = {
    "authorization": "Bearer own",
    "x-browserpool-node": "n1",
    "x-browserpool-pool": "p1",
    "x-browserpool-base": "http://localhost:9222",
}


@pytest.mark.parametrize(
    ("headers", "query", "differs"),
    [
        ({}, {}, {}),
        ({"Accept": "x", "Cookie": "a=b"}, {}, {"accept": "x", "cookie": "a=b"}),
        # What the client says of itself wins.
        ({"Authorization": "Bearer mine"}, {}, {"authorization": "Bearer mine"}),
        ({"Authorization": "Basic mine"}, {}, {"authorization": "Basic mine"}),
        ({"X-Auth-Key": "mine"}, {}, {"authorization": "Bearer mine", "x-auth-key": "mine"}),
        ({}, {"token": "mine"}, {"authorization": "Bearer mine"}),
        ({"X-Browserpool-Node": "n2"}, {}, {"x-browserpool-node": "n2"}),
        ({}, {"node": "n2"}, {"x-browserpool-node": None}),
        ({"x-browserpool-pool": "p2"}, {}, {"x-browserpool-pool": "p2"}),
        ({}, {"pool": "p2"}, {"x-browserpool-pool": None}),
        ({"X-Browserpool-Base": "http://elsewhere"}, {}, {}),
        # What is of one connection stays on it.
        ({"Connection": "keep-alive, X-Mine", "X-Mine": "1", "Keep-Alive": "timeout=5"}, {}, {}),
        (
            {"Host": "localhost:9222", "Transfer-Encoding": "chunked", "Expect": "100-continue", "TE": "trailers"},
            {},
            {},
        ),
        ({"Content-Length": "3", "Content-Type": "a/b"}, {}, {"content-length": "3", "content-type": "a/b"}),
    ],
)
def test_what_goes_on(headers: dict[str, str], query: dict[str, str], differs: dict[str, str | None]) -> None:
    expected = {name: value for name, value in {**ADDED, **differs}.items() if value is not None}
    assert onward(headers, query) == expected


def test_who_has_nothing_adds_nothing() -> None:
    nobody = passing.Own(token=None, node=None, pool=None, base="http://[::1]:1")
    assert onward({}, own=nobody) == {"x-browserpool-base": "http://[::1]:1"}


def test_a_request_of_our_own_has_no_body_and_opens_no_websocket() -> None:
    passed = passing.without_body(passing.Headers({"Content-Length": "1", "Sec-WebSocket-Key": "k", "Accept": "x"}))
    assert list(passed) == ["Accept"]


def test_headers_that_stand_twice_stay_two() -> None:
    answer = multidict.CIMultiDict([("Set-Cookie", "a"), ("Set-Cookie", "b"), ("Connection", "close")])
    assert list(passing.end_to_end(answer).items()) == [("Set-Cookie", "a"), ("Set-Cookie", "b")]


# ---------------------------------------------------------------- the token


def test_the_token_is_what_the_file_says_now(tmp_path) -> None:
    path = tmp_path / "token"
    file = tokenfile.TokenFile(str(path))
    assert file.read() is None
    assert f"{path} is missing or empty" in file.complaint("no")
    path.write_text("first\n")
    assert file.read() == "first"
    assert file.complaint("it is nobody's") == f"The router does not take the token in {path}: it is nobody's"
    # As the kubelet does: a new file behind a link, even with an old one's size and time.
    (tmp_path / "new").write_text("later\n")
    os.utime(tmp_path / "new", ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    (tmp_path / "new").replace(path)
    assert file.read() == "later"
    path.write_bytes(b"\xff\xfe")
    assert file.read() is None
    path.unlink()
    assert file.read() is None


@pytest.mark.parametrize("path", ["", "/dev/null/x"])
def test_no_file_is_no_token(path: str) -> None:
    assert tokenfile.TokenFile(path).read() is None


# ---------------------------------------------------------------- renewal


class Renewals:
    """What the router answers, in turn; the last one for ever."""

    def __init__(self, *answers: keeping.Renewal) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def __call__(self) -> keeping.Renewal:
        self.asked += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


async def test_only_what_is_used_is_renewed(fast_keeper) -> None:
    keeper, renewals = fast_keeper(keeping.Renewal.DONE)
    await asyncio.sleep(0.1)  # many intervals: nothing must happen in them
    assert renewals.asked == 0
    keeper.seen()
    await waiting.until(lambda: renewals.asked == 1)
    await asyncio.sleep(0.1)
    assert renewals.asked == 1


async def test_what_could_not_be_renewed_is_tried_again(fast_keeper) -> None:
    keeper, renewals = fast_keeper(keeping.Renewal.AWAY, keeping.Renewal.AWAY, keeping.Renewal.DONE)
    keeper.seen()
    await waiting.until(lambda: renewals.asked == 3)
    assert not keeper.over.is_set()


async def test_a_session_that_is_over_is_told(fast_keeper) -> None:
    keeper, renewals = fast_keeper(keeping.Renewal.OVER)
    keeper.seen()
    await asyncio.wait_for(keeper.over.wait(), 5)
    assert renewals.asked == 1


@pytest.mark.parametrize(("keep_alive", "interval"), [(10, 2.5), (60, 15), (600, 15)])
def test_the_interval_leaves_room_for_failures(keep_alive: float, interval: float) -> None:
    keeper = keeping.Keeper(Renewals(keeping.Renewal.DONE), keep_alive=keep_alive)
    assert keeper._interval == interval
    assert interval * 4 <= keep_alive


@pytest.fixture
async def fast_keeper():
    async with tasks.Background(grace=0) as background:

        def make(*answers: keeping.Renewal) -> tuple[keeping.Keeper, Renewals]:
            renewals = Renewals(*answers)
            keeper = keeping.Keeper(renewals, keep_alive=0.02)
            background.spawn(keeper.run(), name="keeper")
            return keeper, renewals

        yield make


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize("url", ["", "router:8080", "ftp://router", "http://", "http://router/path", "http://r?x"])
def test_an_address_that_is_none_of_a_router_is_refused(url: str) -> None:
    with pytest.raises(pydantic.ValidationError, match="router_url"):
        settings.SidecarSettings(router_url=url)
