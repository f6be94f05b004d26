"""What a WebSocket may cost: its limits, and backpressure in both directions."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable

import pytest

from tests.server.harness import (
    Client,
    Receive,
    Scope,
    Send,
    Serving,
    answer,
    in_loop,
    request,
    serving,
    until,
)
from tests.server.websocket_client import (
    DEFLATE,
    accepted,
    binary,
    echo,
    handshake,
    open_websocket,
    ping,
    say,
    text,
    websocket,
)
from tests.wire.websocket.frames import CONTINUATION, TEXT, frame

MEBIBYTE = 1024 * 1024


def narrow(server: Serving) -> None:
    """Let the system keep little of what is on its way, so that little makes it full."""
    for sock in server.sockets:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)


async def stalls(progress: Callable[[], int]) -> int:
    """What ``progress`` comes to when it goes no further."""
    last = -1
    still = 0

    def stopped() -> bool:
        nonlocal last, still
        now = progress()
        still = still + 1 if now == last else 0
        last = now
        return still > 30

    await until(stopped)
    return last


def flooding(client: Client, flood: bytes) -> Callable[[], int]:
    """Send ``flood`` as far as the server takes it; returns how far that was."""
    sent = 0

    def more() -> int:
        nonlocal sent
        sent += client.send_what_fits(flood[sent:])
        return sent

    return more


# Size and fragments


@pytest.mark.parametrize("split", [False, True], ids=["whole", "fragments"])
@in_loop
async def test_a_message_may_be_as_large_as_the_limit_and_no_larger(split: bool) -> None:
    async with serving(echo, ws_max_size=10_000) as server:
        peer = await open_websocket(server)
        half = frame(TEXT, b"x" * 5000, fin=False)
        await peer.send(half + frame(CONTINUATION, b"x" * 5000) if split else text("x" * 10_000))
        assert await peer.message() == "x" * 10_000
        await peer.send(half + frame(CONTINUATION, b"x" * 5001) if split else text("x" * 10_001))
        assert (await peer.closed())[0] == 1009


@in_loop
async def test_a_message_that_is_too_large_is_refused_before_it_comes() -> None:
    async with serving(echo, ws_max_size=10_000) as server:
        peer = await open_websocket(server)
        await peer.send(frame(TEXT, length=10_001))
        assert (await peer.closed())[0] == 1009


@in_loop
async def test_without_a_limit_messages_are_as_large_as_they_are() -> None:
    async with serving(echo, ws_max_size=0) as server:
        peer = await open_websocket(server)
        sending = asyncio.create_task(peer.send(binary(bytes(20 * MEBIBYTE))))
        assert len(await peer.message()) == 20 * MEBIBYTE
        await sending


@in_loop
async def test_a_message_may_have_as_many_fragments_as_the_limit() -> None:
    async with serving(echo, ws_max_fragments=3) as server:
        peer = await open_websocket(server)
        begin, middle = frame(TEXT, b"a", fin=False), frame(CONTINUATION, b"b", fin=False)
        for _ in range(2):
            await peer.send(begin, middle, frame(CONTINUATION, b"c"))
            assert await peer.message() == "abc"
        await peer.send(begin, middle, middle, frame(CONTINUATION, b"c"))
        assert (await peer.closed())[0] == 1008


# The peer sends faster than the application takes


@pytest.mark.parametrize("size", [10, 1000, 100_000])
@pytest.mark.parametrize("compressed", [False, True], ids=["", "deflate"])
@in_loop
async def test_a_stalled_application_stops_the_peer(size: int, compressed: bool) -> None:
    go_on = asyncio.Event()
    received = 0

    @websocket
    async def app(receive: Receive, send: Send) -> None:
        nonlocal received
        await go_on.wait()
        while (await receive())["type"] == "websocket.receive":
            received += 1

    async with serving(app, ws_max_queue=4) as server:
        narrow(server)
        peer = await open_websocket(server, *([DEFLATE] if compressed else []))
        one = binary(bytes(size))
        peer.client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        number = max(4 * MEBIBYTE // len(one), 20) if size > 10 else 50_000
        flood = one * number
        more = flooding(peer.client, flood)
        taken = await stalls(more)
        assert taken < len(flood)
        go_on.set()
        await peer.send(flood[taken:])
        await until(lambda: received == number)


@pytest.mark.parametrize(
    ("queue", "size", "held"), [(1, 1, 1), (7, 1, 7), (1000, 50_000, 6)], ids=["1", "7", "size"]
)
@in_loop
async def test_messages_that_wait_are_bounded_in_number_and_in_size(
    queue: int, size: int, held: int
) -> None:
    go_on = asyncio.Event()

    @websocket
    async def app(receive: Receive, send: Send) -> None:
        await go_on.wait()
        while (await receive())["type"] == "websocket.receive":
            pass

    async with serving(app, ws_max_queue=queue) as server:
        peer = await open_websocket(server)
        # A ping is answered when it is reached: so many messages ahead of it are in the queue.
        one = binary(bytes(size))
        sending = asyncio.create_task(
            peer.send(*(ping(b"%d" % number) + one for number in range(held + 20)))
        )
        for number in range(held):
            assert await peer.pong() == b"%d" % number
        (connection,) = server.service.connections
        before = connection.transport.sent
        assert await stalls(lambda: connection.transport.sent) == before
        go_on.set()
        for number in range(held, held + 20):
            assert await peer.pong() == b"%d" % number
        await sending
        await peer.close()


@in_loop
async def test_one_message_larger_than_the_queue_is_taken() -> None:
    async with serving(echo, ws_max_queue=1) as server:
        peer = await open_websocket(server)
        for _ in range(3):
            sending = asyncio.create_task(peer.send(binary(bytes(MEBIBYTE))))
            assert len(await peer.message()) == MEBIBYTE
            await sending


@in_loop
async def test_pings_wait_with_the_messages_ahead_of_them() -> None:
    go_on = asyncio.Event()

    @websocket
    async def app(receive: Receive, send: Send) -> None:
        await go_on.wait()
        while (await receive())["type"] == "websocket.receive":
            pass

    async with serving(app, ws_max_queue=2) as server:
        peer = await open_websocket(server)
        await peer.send(*(text("x") for _ in range(5)), ping(b"behind"))
        go_on.set()
        assert await peer.pong() == b"behind"


# The peer reads slower than the application sends


@pytest.mark.parametrize("size", [100, 1000, 100_000])
@in_loop
async def test_a_slow_reader_stops_the_application(size: int) -> None:
    sent = 0

    @websocket
    async def app(receive: Receive, send: Send) -> None:
        nonlocal sent
        while True:
            await send(say(bytes(size)))
            sent += 1

    async with serving(app) as server:
        narrow(server)
        peer = await open_websocket(server, receive_buffer=4096)
        number = await stalls(lambda: sent)
        assert 0 < number * size < MEBIBYTE
        for _ in range(number + 100):
            assert await peer.message() == bytes(size)
        await until(lambda: sent > number)
        peer.client.reset()
        await server.idle()


@in_loop
async def test_a_slow_reader_is_still_heard() -> None:
    heard: list[str] = []

    @websocket
    async def app(receive: Receive, send: Send) -> None:
        async def flood() -> None:
            while True:
                await send(say(bytes(100_000)))

        flooding = asyncio.create_task(flood())
        while (message := await receive())["type"] == "websocket.receive":
            heard.append(message["text"])
        flooding.cancel()

    async with serving(app) as server:
        peer = await open_websocket(server, receive_buffer=4096)
        await peer.send(text("one"))
        await until(lambda: heard == ["one"])
        await peer.send(text("two"))
        await until(lambda: heard == ["one", "two"])
        peer.client.reset()
        await server.idle()


@in_loop
async def test_a_reader_that_stalls_for_good_is_given_up() -> None:
    errors: list[BaseException] = []

    @websocket
    async def app(receive: Receive, send: Send) -> None:
        try:
            while True:
                await send(say(bytes(100_000)))
        except OSError as error:
            errors.append(error)
            raise

    async with serving(app, timeout_write=0.2) as server:
        await open_websocket(server, receive_buffer=4096)
        await server.idle()
        assert errors
        assert "stopped reading" in server.refusals()[0]


@in_loop
async def test_a_sender_that_waits_goes_on_when_the_client_closes() -> None:
    ended: list[str] = []

    @websocket
    async def app(receive: Receive, send: Send) -> None:
        async def flood() -> None:
            with contextlib.suppress(OSError):
                while True:
                    await send(say(bytes(100_000)))
            ended.append("flood")

        flooding = asyncio.create_task(flood())
        assert (await receive())["type"] == "websocket.disconnect"
        await flooding

    async with serving(app) as server:
        peer = await open_websocket(server, receive_buffer=4096)
        await peer.send(frame(8))
        while (await peer.frame()).opcode != 8:
            pass
        await until(lambda: ended)  # before the connection has ended, which lingers
        assert server.service.connections
        peer.client.close()


# The peer pings and never reads


@pytest.mark.parametrize("payload", [b"", b"x" * 125], ids=["empty", "full"])
@in_loop
async def test_a_peer_that_pings_and_never_reads_is_owed_one_pong(payload: bytes) -> None:
    async with serving(echo) as server:
        narrow(server)
        peer = await open_websocket(server, receive_buffer=4096)
        (connection,) = server.service.connections
        transport = connection.transport
        one = ping(payload)
        most = parts = 0
        more = flooding(peer.client, one * 100_000)

        def watched() -> int:
            nonlocal most, parts
            most = max(most, transport.queued)
            parts = max(parts, len(transport.queue))
            return more()

        # The server takes them all, and holds no more for it.
        assert await stalls(watched) == 100_000 * len(one)
        assert most <= 300 * 1024
        assert parts <= 1100
        await peer.send(ping(b"last"))
        while await peer.pong() != b"last":
            pass


# Counting


@in_loop
async def test_open_sessions_are_no_requests_in_progress() -> None:
    may_accept = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await answer(b"ok")(scope, receive, send)
            return
        if scope["path"] == "/wait":
            await may_accept.wait()
        await echo(scope, receive, send)

    async with serving(app, limit_concurrency=1) as server:
        for _ in range(3):
            await open_websocket(server)
        client = await server.connect()
        await client.send(request())
        assert (await client.read_response()).status == 200
        waiting = await server.connect()
        await waiting.send(handshake("/wait"))
        await until(lambda: server.service.in_flight == 4)
        # A handshake that is not answered yet is one.
        await client.send(request())
        assert (await client.read_response()).status == 503
        may_accept.set()
        await accepted(waiting)
        last = await server.connect()
        await last.send(request())
        assert (await last.read_response()).status == 200


@in_loop
async def test_open_sessions_are_connections() -> None:
    async with serving(echo, limit_connections=2) as server:
        first, second = await open_websocket(server), await open_websocket(server)
        third = await server.connect()
        await third.send(handshake())
        await first.send(text("x"))
        assert await first.message() == "x"
        assert len(server.service.connections) == 2
        await second.close()
        await accepted(third)


@in_loop
async def test_the_access_log_has_a_line_when_the_session_ends() -> None:
    lines: list[tuple[object, ...]] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            assert isinstance(record.args, tuple)
            lines.append(record.args)

    logger = logging.getLogger("zonda.access")
    handler = Kept()
    logger.addHandler(handler)
    try:
        async with serving(echo, access_log=True) as server:
            peer = await open_websocket(server, target="/live?x=1")
            await peer.send(text("é" * 10))
            await peer.message()
            assert lines == []
            await peer.close()
            await server.idle()
            (line,) = lines
            assert line[1:6] == ("GET", "/live?x=1", "1.1", 101, 22)
            assert isinstance(line[6], float)
            assert line[6] > 0
            denied = await server.connect()
            await denied.send(handshake(without="key"))
            assert (await denied.read_response()).status == 400
    finally:
        logger.removeHandler(handler)
