"""What a Worker's browser binding is asked, and the chunked frames of its older clients."""

import struct

import aiohttp
import hypothesis
import pytest
from hypothesis import strategies

from browserpool.router import worker_frames
from support import routers

# ---------------------------------------------------------------- frames


@pytest.mark.parametrize("size", [0, 1, 1_048_571, 1_048_572, 2_097_146, 2_097_147, 5_000_000])
def test_a_message_comes_out_as_it_went_in(size: int) -> None:
    message = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    frames = list(worker_frames.chunks(message))
    assert struct.unpack_from("<I", frames[0]) == (size,)
    assert [len(frame) for frame in frames[:-1]] == [worker_frames.MOST] * (len(frames) - 1)
    assert len(frames) == max(1, -(-(size + 4) // worker_frames.MOST))
    assembly = worker_frames.Assembly()
    assert [assembly.add(frame) for frame in frames] == [None] * (len(frames) - 1) + [message]


@hypothesis.given(
    strategies.lists(strategies.tuples(strategies.binary(max_size=50), strategies.integers(min_value=1, max_value=20)))
)
def test_messages_cut_anywhere_come_out_in_order(messages: list[tuple[bytes, int]]) -> None:
    """Whatever size of chunk a client cuts to, as long as the length is in the first."""
    assembly, found = worker_frames.Assembly(), []
    for message, size in messages:
        head, rest = struct.pack("<I", len(message)) + message[:size], message[size:]
        frames = [head, *(rest[start : start + size] for start in range(0, len(rest), size))]
        found += [whole for frame in frames if (whole := assembly.add(frame)) is not None]
    assert found == [message for message, _ in messages]


@pytest.mark.parametrize(
    "frame",
    [b"", b"abc", struct.pack("<I", 3) + b"four", struct.pack("<I", worker_frames.LONGEST + 1)],
    ids=["empty", "no length", "more than it says", "too long"],
)
def test_what_is_no_message_is_said_to_be_none(frame: bytes) -> None:
    with pytest.raises(worker_frames.Malformed):
        worker_frames.Assembly().add(frame)


# ---------------------------------------------------------------- the binding


async def acquired(rig: routers.Rig, **query: str) -> str:
    answer = await rig.request("GET", "/v1/acquire", params=query)
    assert answer.status == 200, answer.body
    return str(answer.json["sessionId"])


async def connected(rig: routers.Rig, path: str) -> aiohttp.ClientWebSocketResponse:
    return await rig.client.ws_connect(rig.ws + path, headers=rig.bearer(), max_msg_size=0)


async def message_from(socket: aiohttp.ClientWebSocketResponse) -> bytes:
    assembly = worker_frames.Assembly()
    while (whole := assembly.add(await socket.receive_bytes(timeout=10))) is None:
        pass
    return whole


async def test_older_clients_acquire_and_speak_in_chunks(rig: routers.Rig) -> None:
    await rig.make_pool()
    session_id = await acquired(rig, keep_alive="60000")
    socket = await connected(rig, f"/v1/connectDevtools?browser_session={session_id}")
    for message in (b'{"id":1}', "é".encode() * 800_000):
        for frame in worker_frames.chunks(message):
            await socket.send_str("ping")
            await socket.send_bytes(frame)
        assert await message_from(socket) == message
    await socket.close()


async def test_a_ping_keeps_no_session_alive(rig: routers.Rig) -> None:
    await rig.make_pool()
    session_id = await acquired(rig)
    socket = await connected(rig, f"/v1/connectDevtools?browser_session={session_id}")
    (held,) = rig.running.services.claiming.holding.all()
    held.active = False
    await socket.send_str("ping")
    await socket.close()  # is answered after what came before it
    assert not held.active


async def test_frames_that_are_no_messages_end_the_connection_and_say_why(rig: routers.Rig) -> None:
    await rig.make_pool()
    socket = await connected(rig, f"/v1/connectDevtools?browser_session={await acquired(rig)}")
    await socket.send_bytes(b"{}")
    closed = await socket.receive(timeout=10)
    assert (closed.type, closed.data) == (aiohttp.WSMsgType.CLOSE, aiohttp.WSCloseCode.PROTOCOL_ERROR)
    assert "no length" in closed.extra


async def test_newer_clients_use_the_addresses_of_the_api_under_v1(rig: routers.Rig) -> None:
    await rig.make_pool()
    answer = await rig.request("POST", "/v1/devtools/browser?keep_alive=60000")
    assert answer.json["webSocketDebuggerUrl"] == f"{rig.ws}/v1/devtools/browser/{answer.json['sessionId']}"
    socket = await connected(rig, f"/v1/devtools/browser/{answer.json['sessionId']}?persistent=true")
    await socket.send_str('{"id":1}')
    assert await socket.receive_str(timeout=10) == '{"id":1}'
    await socket.close()


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [("", 400, "browser_session"), ("?browser_session=nobodys", 404, "no session 'nobodys'")],
)
async def test_a_session_that_is_not_there(rig: routers.Rig, query: str, status: int, said: str) -> None:
    await rig.make_pool()
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await connected(rig, f"/v1/connectDevtools{query}")
    assert refused.value.status == status
    answer = await rig.request("GET", f"/v1/connectDevtools{query}")
    assert (answer.status, "WebSocket" in answer.message) == (400, True)


async def test_lists_are_of_the_callers_own_sessions(rig: routers.Rig) -> None:
    await rig.make_pool(browsers_=3)
    mine = await acquired(rig)
    stranger = await rig.make_token("stranger")
    await rig.request("POST", "/v1/devtools/browser", secret=stranger)
    ended = await acquired(rig)
    await rig.request("DELETE", f"/devtools/browser/{ended}")
    live = (await rig.request("GET", "/v1/sessions")).json["sessions"]
    assert [one["sessionId"] for one in live] == [mine]
    remembered = (await rig.request("GET", "/v1/history")).json["history"]
    assert [(one["sessionId"], one.get("closeReasonText")) for one in remembered] == [
        (mine, None),
        (ended, "NormalClosure"),
    ]
