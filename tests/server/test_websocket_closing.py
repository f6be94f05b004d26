"""How a WebSocket ends: the close handshake both ways, what each side learns, and what is left."""

import asyncio
import gc
import weakref
from typing import Any

import pytest

from tests.server.harness import Message, Receive, Scope, Send, in_loop, request, serving, until
from tests.server.websocket_client import (
    DEFLATE,
    Recorder,
    accepted,
    echo,
    handshake,
    open_websocket,
    ping,
    say,
    text,
    websocket,
)
from tests.wire.websocket.frames import BINARY, CLOSE, TEXT, close_frame, frame
from zonda.server.exchange import ClientDisconnected
from zonda.server.reactor.interface import HIGH_WATER
from zonda.server.worker import WorkerState

# The client closes


@pytest.mark.parametrize(
    ("data", "code", "reason"),
    [
        (close_frame(1000), 1000, ""),
        (close_frame(1000, b"done"), 1000, "done"),
        (close_frame(1001, "für heute".encode()), 1001, "für heute"),
        (close_frame(1003), 1003, ""),
        (close_frame(1011, b"x" * 123), 1011, "x" * 123),
        (close_frame(3000), 3000, ""),
        (close_frame(4999), 4999, ""),
        (frame(CLOSE), 1005, ""),
    ],
    ids=lambda value: value if isinstance(value, (int, str)) else len(value),
)
@in_loop
async def test_the_clients_code_is_answered_and_reaches_the_application(
    data: bytes, code: int, reason: str
) -> None:
    recorder = Recorder()
    async with serving(recorder) as server:
        peer = await open_websocket(server)
        await peer.send(data)
        assert await peer.closed() == (code, "")
        await server.idle()
        assert recorder.end == (code, reason)
        assert server.refusals() == []


@in_loop
async def test_messages_ahead_of_the_close_come_first() -> None:
    recorder = Recorder()
    async with serving(recorder, ws_max_queue=3) as server:
        peer = await open_websocket(server)
        await peer.send(*(text(str(number)) for number in range(50)), close_frame(1000))
        await peer.closed()
        await server.idle()
        assert recorder.messages == [str(number) for number in range(50)]
        assert recorder.end == (1000, "")


@in_loop
async def test_what_follows_the_close_is_dropped() -> None:
    recorder = Recorder()
    async with serving(recorder) as server:
        peer = await open_websocket(server)
        await peer.send(close_frame(1000), text("late"), ping(), frame(15), b"\xff" * 5000)
        assert await peer.closed() == (1000, "")
        await server.idle()
        assert recorder.messages == []
        assert server.refusals() == []


@in_loop
async def test_the_close_may_come_between_fragments() -> None:
    recorder = Recorder()
    async with serving(recorder) as server:
        peer = await open_websocket(server)
        await peer.send(frame(TEXT, b"never whole", fin=False), close_frame(1001))
        assert await peer.closed() == (1001, "")
        await server.idle()
        assert recorder.messages == []


@pytest.mark.parametrize("message", [say("x"), {"type": "websocket.close"}], ids=["send", "close"])
@in_loop
async def test_sending_to_a_client_that_has_left_is_an_oserror_and_logs_nothing(
    message: Message,
) -> None:
    errors: list[BaseException] = []

    @websocket
    async def app(receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "websocket.disconnect"
        for _ in range(2):
            with pytest.raises(ClientDisconnected) as caught:
                await send(message)
            errors.append(caught.value)
        await send(message)

    async with serving(app) as server:
        peer = await open_websocket(server)
        await peer.close(1001, "bye")
        await server.idle()
        assert "1001 bye" in str(errors[0])
        assert isinstance(errors[0], OSError)


class WebSocketDisconnect(Exception):
    """As Starlette's: what its receive_text() raises once the client has left."""


@pytest.mark.parametrize("wrapped", ["plain", "grouped", "causing"])
@in_loop
async def test_a_frameworks_disconnect_is_not_logged(wrapped: str) -> None:
    @websocket
    async def app(receive: Receive, send: Send) -> None:
        await receive()
        error = WebSocketDisconnect(1001)
        if wrapped == "grouped":
            raise ExceptionGroup("group", [error])
        if wrapped == "causing":
            raise ValueError("could not go on") from error
        raise error

    async with serving(app) as server:
        peer = await open_websocket(server)
        await peer.close(1001)
        await server.idle()


@in_loop
async def test_another_exception_after_the_disconnect_is_logged() -> None:
    @websocket
    async def app(receive: Receive, send: Send) -> None:
        await receive()
        raise ValueError("my fault")

    async with serving(app) as server:
        peer = await open_websocket(server)
        await peer.close(1001)
        await server.idle()
        assert "my fault" in server.take_errors()[0]


@in_loop
async def test_a_frameworks_disconnect_while_the_client_is_there_is_an_error() -> None:
    @websocket
    async def app(receive: Receive, send: Send) -> None:
        raise WebSocketDisconnect(1001)

    async with serving(app) as server:
        peer = await open_websocket(server)
        assert await peer.answer_close() == (1011, "")
        await server.idle()
        assert "WebSocketDisconnect" in server.take_errors()[0]


# The client is just gone


@pytest.mark.parametrize("how", ["close", "reset", "end_sending"])
@in_loop
async def test_a_client_that_just_goes_is_1006(how: str) -> None:
    recorder = Recorder()
    async with serving(recorder) as server:
        peer = await open_websocket(server)
        await peer.send(text("last words"))
        await until(lambda: recorder.received)
        getattr(peer.client, how)()
        await server.idle()
        assert recorder.messages == ["last words"]
        assert recorder.end == (1006, "")


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("moment", range(8))
@in_loop
async def test_a_client_may_go_at_any_moment(moment: int, how: str) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await asyncio.sleep(0)
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({**message, "type": "websocket.send"})
        await send(say("into the void"))

    steps = [
        handshake()[:20],
        handshake()[20:],
        text("x")[:3],
        text("x")[3:] + ping(b"ping"),
        frame(TEXT, b"x" * 100_000, fin=False),
        text("x")[:1] + b"\xff",
        b"\xff" * 1000,
    ]
    async with serving(app) as server:
        client = await server.connect()
        for step in steps[:moment]:
            await client.send(step)
            await asyncio.sleep(0)
        getattr(client, how)()
        await server.idle()


@in_loop
async def test_a_client_that_goes_while_messages_wait_is_noticed_behind_them() -> None:
    go_on = asyncio.Event()
    events: list[Message] = []

    @websocket
    async def app(receive: Receive, send: Send) -> None:
        await go_on.wait()
        while not events or events[-1]["type"] == "websocket.receive":
            events.append(await receive())

    async with serving(app, ws_max_queue=2) as server:
        peer = await open_websocket(server)
        await peer.send(*(text(str(number)) for number in range(20)))
        peer.client.end_sending()
        go_on.set()
        await server.idle()
        assert [each.get("text") for each in events[:-1]] == [str(n) for n in range(20)]
        assert events[-1]["code"] == 1006


# The application closes


@pytest.mark.parametrize(
    ("message", "code", "reason"),
    [
        ({}, 1000, ""),
        ({"code": None, "reason": None}, 1000, ""),
        ({"code": 1001}, 1001, ""),
        ({"code": 1003, "reason": "no pictures"}, 1003, "no pictures"),
        ({"code": 1007}, 1007, ""),
        ({"code": 4000, "reason": "ü" * 61}, 4000, "ü" * 61),
        ({"code": 1005}, 1005, ""),
    ],
    ids=lambda value: repr(value)[:30],
)
@in_loop
async def test_the_applications_code_reaches_the_client(
    message: Message, code: int, reason: str
) -> None:
    events: list[Message] = []

    @websocket
    async def app(receive: Receive, send: Send) -> None:
        await send(say("last words"))
        await send({"type": "websocket.close", **message})
        events.append(await receive())

    async with serving(app) as server:
        peer = await open_websocket(server)
        assert await peer.message() == "last words"
        assert await peer.answer_close() == (code, reason)
        await server.idle()
        assert events == [{"type": "websocket.disconnect", "code": code, "reason": ""}]


@pytest.mark.parametrize(
    "message",
    [
        {"code": 1006},
        {"code": 1015},
        {"code": 999},
        {"code": 2000},
        {"code": 5000},
        {"code": -1},
        {"code": 2**70},
        {"code": "1000"},
        {"code": 1000.0},
        {"code": 1005, "reason": "why"},
        {"reason": "x" * 124},
        {"reason": b"bytes"},
        {"reason": "\ud800"},
    ],
    ids=lambda value: repr(value)[:30],
)
@in_loop
async def test_a_close_that_cannot_be_sent_is_refused_and_the_session_goes_on(
    message: Message,
) -> None:
    @websocket
    async def app(receive: Receive, send: Send) -> None:
        with pytest.raises(RuntimeError):
            await send({"type": "websocket.close", **message})
        await send(say("still here"))
        await receive()

    async with serving(app) as server:
        peer = await open_websocket(server)
        assert await peer.message() == "still here"


@pytest.mark.parametrize("answered", [False, True], ids=["unanswered", "answered"])
@in_loop
async def test_sending_after_ones_own_close_is_a_runtime_error(answered: bool) -> None:
    errors: list[BaseException] = []

    @websocket
    async def app(receive: Receive, send: Send) -> None:
        await send({"type": "websocket.close"})
        if answered:
            await receive()
        for message in (say("x"), {"type": "websocket.close"}):
            with pytest.raises(RuntimeError, match="nothing can be sent after the close") as caught:
                await send(message)
            errors.append(caught.value)

    async with serving(app) as server:
        peer = await open_websocket(server)
        assert await peer.answer_close() == (1000, "")
        await server.idle()
        assert len(errors) == 2


@in_loop
async def test_what_comes_after_our_close_is_dropped_until_the_clients() -> None:
    closed = asyncio.Event()
    events: list[Message] = []

    @websocket
    async def app(receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.close", "code": 4000})
        closed.set()
        events.append(await receive())

    async with serving(app, ws_max_queue=1) as server:
        peer = await open_websocket(server)
        await peer.send(text("1"), *(text("x" * 1000) for _ in range(1000)))
        await closed.wait()
        assert await peer.close_frame() == (4000, "")
        await peer.send(text("2"), ping(), close_frame(4000))
        await peer.client.assert_closed()
        peer.client.close()
        await server.idle()
        assert events == [{"type": "websocket.disconnect", "code": 4000, "reason": ""}]


@in_loop
async def test_both_may_close_at_once() -> None:
    may_close = asyncio.Event()
    events: list[Message] = []

    @websocket
    async def app(receive: Receive, send: Send) -> None:
        await may_close.wait()
        await send({"type": "websocket.close", "code": 4001, "reason": "ours"})
        events.append(await receive())

    async with serving(app) as server:
        peer = await open_websocket(server)
        may_close.set()
        assert await peer.close_frame() == (4001, "ours")
        # Sent without regard to what the server said.
        await peer.send(close_frame(4002, b"theirs"))
        await peer.client.assert_closed()
        peer.client.close()
        await server.idle()
        assert events == [{"type": "websocket.disconnect", "code": 4002, "reason": "theirs"}]


@pytest.mark.parametrize("codes", ["returns", "raises", "cancels"])
@in_loop
async def test_an_application_that_ends_closes_the_session(codes: str) -> None:
    @websocket
    async def app(receive: Receive, send: Send) -> None:
        await send(say("last words"))
        if codes == "raises":
            raise ValueError("my fault")
        if codes == "cancels":
            raise asyncio.CancelledError

    async with serving(app) as server:
        peer = await open_websocket(server, DEFLATE)
        assert await peer.message() == "last words"
        assert (await peer.answer_close())[0] == (1000 if codes == "returns" else 1011)
        await server.idle()
        assert server.service.sessions == 0
        if codes == "raises":
            assert "my fault" in server.take_errors()[0]


@in_loop
async def test_an_application_that_fails_later_closes_with_1011() -> None:
    @websocket
    async def app(receive: Receive, send: Send) -> None:
        message = await receive()
        raise ValueError(message["text"])

    async with serving(app) as server:
        peer = await open_websocket(server, target="/here")
        await peer.send(text("my fault"), text("unread"))
        assert await peer.answer_close() == (1011, "")
        await server.idle()
        (error,) = server.take_errors()
        assert "my fault" in error
        assert "/here" in error


@in_loop
async def test_an_application_that_returns_with_messages_unread_closes_with_1000() -> None:
    @websocket
    async def app(receive: Receive, send: Send) -> None:
        await receive()

    async with serving(app, ws_max_queue=2) as server:
        peer = await open_websocket(server)
        await peer.send(*(text("x") for _ in range(100)))
        assert await peer.answer_close() == (1000, "")


# The client does not play along


@in_loop
async def test_a_client_that_does_not_answer_our_close_is_given_up() -> None:
    recorder: list[Message] = []

    @websocket
    async def app(receive: Receive, send: Send) -> None:
        await send({"type": "websocket.close"})
        recorder.append(await receive())

    async with serving(app, ws_timeout_close=0.1, timeout_linger=0.1) as server:
        peer = await open_websocket(server)
        assert await peer.close_frame() == (1000, "")
        await peer.send(text("not a close"))
        await peer.client.assert_closed()
        await server.idle()
        assert recorder == [{"type": "websocket.disconnect", "code": 1006, "reason": ""}]
        assert "did not answer a Close frame" in server.refusals()[0]


@in_loop
async def test_a_client_that_does_not_close_after_both_closes_is_closed() -> None:
    async with serving(echo, timeout_linger=0.1) as server:
        peer = await open_websocket(server)
        await peer.send(close_frame(1000))
        assert await peer.close_frame() == (1000, "")
        await peer.client.assert_closed()
        await server.idle()  # while the client is still there


@in_loop
async def test_a_client_that_reads_late_gets_all_ahead_of_the_close() -> None:
    @websocket
    async def app(receive: Receive, send: Send) -> None:
        for _ in range(4):
            await send(say(bytes(65_000)))
        await send({"type": "websocket.close", "code": 4000})
        await receive()

    async with serving(app, ws_timeout_close=0.1) as server:
        peer = await open_websocket(server, receive_buffer=4096)
        await until(lambda: any("Close frame" in line for line in server.refusals()))
        for _ in range(4):
            assert await peer.message() == bytes(65_000)
        assert await peer.closed() == (4000, "")


@in_loop
async def test_a_client_may_end_its_side_with_its_close() -> None:
    recorder = Recorder()
    async with serving(recorder) as server:
        peer = await open_websocket(server)
        await peer.send(close_frame(1001))
        peer.client.end_sending()
        assert await peer.closed() == (1001, "")
        await server.idle()
        assert recorder.end == (1001, "")


@in_loop
async def test_a_pong_that_is_owed_does_not_follow_our_close() -> None:
    """The last of many pings is answered when the client reads, unless we have closed by then."""
    blocked = asyncio.Event()

    @websocket
    async def app(receive: Receive, send: Send) -> None:
        async def flood() -> None:
            while True:
                await send(say(bytes(65_536)))

        flooding = asyncio.create_task(flood())
        (connection,) = server.service.connections
        await until(lambda: connection.transport.queued > HIGH_WATER)
        blocked.set()
        await receive()  # what is behind the pings
        flooding.cancel()
        await send({"type": "websocket.close", "code": 4000})
        await receive()

    async with serving(app) as server:
        peer = await open_websocket(server, receive_buffer=4096)
        await blocked.wait()
        await peer.send(*(ping(b"%d" % number) for number in range(20)), text("behind"))
        found = await peer.frame()
        while found.opcode != CLOSE:
            assert found.opcode == BINARY
            found = await peer.frame()
        await peer.send(close_frame(4000))
        await peer.client.assert_closed()
        peer.client.close()


# The server leaves


@in_loop
async def test_a_drain_closes_with_1012_and_tells_the_application() -> None:
    recorder = Recorder()
    async with serving(recorder) as server:
        peer = await open_websocket(server)
        await peer.send(text("before"))
        await until(lambda: recorder.received)
        server.server.drain()
        assert await peer.answer_close() == (1012, "")
        await server.server.wait()
        assert recorder.messages == ["before"]
        assert recorder.end == (1012, "")
        assert server.worker.state is WorkerState.GONE


@in_loop
async def test_an_application_that_sends_in_a_drain_is_told_by_an_oserror() -> None:
    draining = asyncio.Event()
    errors: list[BaseException] = []

    @websocket
    async def app(receive: Receive, send: Send) -> None:
        await draining.wait()
        try:
            await send(say("too late"))
        except OSError as error:
            errors.append(error)
            raise

    async with serving(app) as server:
        peer = await open_websocket(server)
        server.server.drain()
        assert await peer.close_frame() == (1012, "")
        draining.set()
        await server.idle_exchanges()
        await peer.send(close_frame(1012))
        await peer.client.assert_closed()
        peer.client.close()
        assert "1012" in str(errors[0])


@in_loop
async def test_a_handshake_that_is_accepted_in_a_drain_is_closed_with_1012() -> None:
    may_accept = asyncio.Event()
    recorder = Recorder()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await may_accept.wait()
        await recorder(scope, receive, send)

    async with serving(app) as server:
        client = await server.connect()
        await client.send(handshake())
        await until(lambda: server.service.running)
        server.server.drain()
        await until(lambda: server.service.draining)
        may_accept.set()
        peer = await accepted(client)
        assert await peer.answer_close() == (1012, "")
        await server.server.wait()
        assert recorder.end == (1012, "")


@in_loop
async def test_an_application_that_ignores_the_drain_is_cancelled() -> None:
    cancelled = asyncio.Event()

    @websocket
    async def app(receive: Receive, send: Send) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with serving(app, timeout_graceful_shutdown=0.1, ends_clean=False) as server:
        peer = await open_websocket(server)
        server.server.drain()
        assert await peer.close_frame() == (1012, "")
        await server.server.wait()
        assert cancelled.is_set()


@in_loop
async def test_a_client_that_does_not_answer_does_not_hold_the_drain() -> None:
    async with serving(Recorder(), ws_timeout_close=0.1) as server:
        peer = await open_websocket(server)
        server.server.drain()
        assert await peer.close_frame() == (1012, "")
        await peer.client.assert_closed()
        await server.server.wait()


@in_loop
async def test_many_sessions_end_with_a_drain() -> None:
    async with serving(echo) as server:
        peers = [await open_websocket(server) for _ in range(50)]
        server.server.drain()
        assert [await peer.answer_close() for peer in peers] == [(1012, "")] * 50
        await server.server.wait()


# What is left


@pytest.mark.parametrize("how", ["closed", "reset", "refused", "ended"])
@in_loop
async def test_nothing_is_left_of_a_session(how: str) -> None:
    left: weakref.WeakSet[Any] = weakref.WeakSet()

    class Kept:
        """Whatever hangs on a session: its application's locals."""

    @websocket
    async def app(receive: Receive, send: Send) -> None:
        kept = Kept()
        left.add(kept)
        while (await receive())["type"] == "websocket.receive":
            if how == "ended":
                return

    async with serving(app) as server:
        for _ in range(10):
            peer = await open_websocket(server, DEFLATE)
            await peer.send(text("x" * 100))
            if how == "closed":
                await peer.close()
            elif how == "reset":
                peer.client.reset()
            elif how == "refused":
                await peer.send(frame(15))
                await peer.closed()
            else:
                await peer.answer_close()
        await server.idle()
        gc.collect()
        assert len(left) == 0
        assert server.service.sessions == 0
        assert server.service.in_flight == 0
        assert not server.service.running


@in_loop
async def test_the_connection_cannot_be_used_for_http_again() -> None:
    async with serving(echo) as server:
        peer = await open_websocket(server)
        await peer.send(request())
        assert (await peer.closed())[0] == 1002
