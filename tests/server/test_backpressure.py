"""A slow reader stops the application; a slow application stops the client."""

import asyncio
import socket
from typing import Any

import pytest

from tests.server.harness import (
    CHUNKED,
    Client,
    Receive,
    Scope,
    Send,
    Serving,
    body,
    chunked,
    in_loop,
    read_body,
    request,
    serving,
    start,
    until,
)
from zonda.server.reactor.interface import BULK_SIZE, HIGH_WATER


def connection(server: Serving) -> Any:  # noqa: ANN401
    (only,) = server.service.connections
    return only


async def settled(value: Any) -> int:  # noqa: ANN401
    """What ``value()`` is once it no longer changes."""
    before = -1
    while before != (now := int(value())):
        before = now
        for _ in range(20):
            await asyncio.sleep(0.001)
    return before


@pytest.mark.parametrize("size", [100, 5_000, 65_536, 1_000_000])
@in_loop
async def test_a_slow_reader_stops_the_application(size: int) -> None:
    sent = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        await send(start())
        while sent < 64_000_000:
            await send(body(b"x" * size, more=True))
            sent += size

    async with serving(app) as server:
        client = await server.connect(receive_buffer=4096)
        await client.send(request())
        await until(lambda: connection(server).transport.queued > HIGH_WATER)
        stopped_at = await settled(lambda: sent)
        assert stopped_at < 16_000_000
        assert connection(server).transport.queued <= HIGH_WATER + 2 * size + 200
        assert (
            sum(len(part) for part in connection(server).transport.queue)
            <= 2 * HIGH_WATER + 2 * size
        )
        await client.read(10_000_000)
        await until(lambda: sent > stopped_at)
        client.close()


@in_loop
async def test_the_application_goes_on_when_the_client_reads_again() -> None:
    content = bytes(range(256)) * 4000

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        for offset in range(0, len(content), 50_000):
            await send(body(content[offset : offset + 50_000], more=True))
        await send(body())

    async with serving(app) as server:
        client = await server.connect(receive_buffer=4096)
        for _ in range(3):
            await client.send(request())
            assert (await client.read_response()).body == content


@in_loop
async def test_senders_in_several_tasks_all_go_on() -> None:
    done = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def talk() -> None:
            nonlocal done
            for _ in range(20):
                await send(body(b"x" * 40_000, more=True))
            done += 1

        await send(start())
        async with asyncio.TaskGroup() as group:
            for _ in range(5):
                group.create_task(talk())
        await send(body())

    async with serving(app) as server:
        client = await server.connect(receive_buffer=4096)
        await client.send(request())
        assert len((await client.read_response()).body) == 5 * 20 * 40_000
        assert done == 5


@in_loop
async def test_a_sender_goes_on_although_another_task_found_the_room() -> None:
    # The second task's write empties the queue before the reactor hears that there is room.
    waiting = asyncio.Event()
    room = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def block() -> None:
            while True:
                blocked = asyncio.ensure_future(send(body(b"x" * 65_536, more=True)))
                done, _ = await asyncio.wait([blocked], timeout=0.1)
                if not done:
                    waiting.set()
                    await blocked
                    return

        await send(start())
        blocking = asyncio.create_task(block())
        await room.wait()
        await send(body(b"y", more=True))
        await blocking
        await send(body(b"z"))

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request())
        await waiting.wait()
        # All that the client's system holds, read in one turn of the loop, again and again, with
        # the application's write at once after it.
        while True:
            try:
                client.unread += client.sock.recv(16_000_000)
            except BlockingIOError:
                break
        room.set()
        response = await client.read_response()
        assert response.body.endswith(b"z")


@in_loop
async def test_a_reader_that_also_sends_does_not_strand_the_application() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        """Echo piece by piece, both ways at once."""
        await send(start())
        more = True
        while more:
            message = await receive()
            more = message["more_body"]
            await send(body(message["body"], more=more))

    content = bytes(range(256)) * 20_000
    async with serving(app) as server:
        client = await server.connect(receive_buffer=8192)
        await client.send(request("POST", "/", ("Content-Length", str(len(content)))))
        sending = asyncio.ensure_future(client.send(content))
        response = await client.read_response()
        await sending
        assert response.body == content


@in_loop
async def test_room_found_while_a_request_body_arrives_wakes_the_application() -> None:
    # In one batch of events, the first connection's application blocks the loop; meanwhile the
    # second client, which had sent some more of its body, reads all that it was sent.
    blocked_send = asyncio.Event()
    second: list[Client] = []
    drained = 0

    def app(scope: Scope, receive: Receive, send: Send) -> Any:  # noqa: ANN401
        if scope["path"] == "/first":
            drain(second[0])
        return respond(scope, receive, send)

    def drain(client: Client) -> None:
        nonlocal drained
        quiet = 0
        while quiet < 50:
            try:
                data = client.sock.recv(1_000_000)
            except BlockingIOError:
                quiet += 1
                continue
            client.unread += data
            drained += len(data)

    async def respond(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        if scope["path"] == "/second":
            total = 0
            while not blocked_send.is_set():
                pending = asyncio.ensure_future(send(body(b"x" * 65_536, more=True)))
                total += 1
                done, _ = await asyncio.wait([pending], timeout=0.1)
                if not done:
                    blocked_send.set()
                    await pending
        await send(body(b"end"))

    async with serving(app) as server:
        first = await server.connect()
        other = await server.connect()
        second.append(other)
        await server.accepted(2)
        await other.send(request("POST", "/second", ("Content-Length", "10")))
        await blocked_send.wait()
        first.send_what_fits(request("GET", "/first"))
        other.send_what_fits(b"12345")
        assert (await first.read_response()).body == b"end"
        assert (await other.read_response()).body.endswith(b"end")
        assert drained


@pytest.mark.parametrize("piece", [1, 1000, 65_536], ids=str)
@in_loop
async def test_a_slow_application_stops_the_client(piece: int) -> None:
    gate = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await gate.wait()
        size = len(await read_body(receive))
        await send(start())
        await send(body(b"%d" % size))

    count = 3_000_000 // (piece + 6)
    data = chunked(*[b"x" * piece] * count)
    async with serving(app) as server:
        # Little room in the system, so that not much has to be sent to fill it.
        server.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        client = await server.connect()
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
        await client.send(request("POST", "/", CHUNKED))
        await until(lambda: server.service.in_flight)
        sent = 0

        def push() -> int:
            nonlocal sent
            sent += client.send_what_fits(data[sent : sent + 1_000_000])
            return sent

        stopped_at = await settled(push)
        assert stopped_at < len(data)
        only = connection(server)
        assert only.exchange.buffered < 2_000_000
        assert only.parser.unread() <= 400_000
        gate.set()
        sending = asyncio.ensure_future(client.send(data[sent:]))
        response = await client.read_response()
        await sending
        assert response.body == b"%d" % (count * piece)


@in_loop
async def test_an_application_that_does_not_read_leaves_the_body_with_the_client() -> None:
    gate = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await gate.wait()
        await send(start())
        await send(body(b"unread"))

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request("POST", "/", ("Content-Length", "100000000")))
        await until(lambda: server.service.in_flight)
        data = b"x" * 1_000_000
        sent = 0

        def push() -> int:
            nonlocal sent
            sent += client.send_what_fits(data)
            return sent

        assert await settled(push) < 20_000_000
        gate.set()
        response = await client.read_response()
        assert response.body == b"unread"
        assert response.closes


@in_loop
async def test_pipelined_requests_are_left_with_the_client_while_one_runs() -> None:
    gate = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await gate.wait()
        await send(start())
        await send(body(b"ok"))

    one = request("GET", "/", ("X-Filler", "y" * 1000))
    async with serving(app) as server:
        client = await server.connect()
        sent = client.send_what_fits(one)
        await until(lambda: server.service.in_flight)
        data = one * 12_000

        def push() -> int:
            nonlocal sent
            sent += client.send_what_fits(data[(sent - len(one)) :][:1_000_000])
            return sent

        await settled(push)
        assert sent < len(data)
        assert connection(server).parser.unread() <= 2 * BULK_SIZE
        gate.set()
        whole = -(-sent // len(one))
        rest = asyncio.ensure_future(client.send((one * whole)[sent:]))
        for _ in range(whole):
            assert (await client.read_response()).body == b"ok"
        await rest


@in_loop
async def test_answers_to_pipelined_requests_wait_for_a_slow_reader() -> None:
    begun = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal begun
        begun += 1
        await send(start())
        await send(body(b"x" * 30_000))

    async with serving(app) as server:
        client = await server.connect(receive_buffer=4096)
        await client.send(request() * 1000)
        await until(lambda: begun)
        assert await settled(lambda: begun) < 600
        assert connection(server).transport.queued < 2 * HIGH_WATER
        for _ in range(1000):
            assert len((await client.read_response()).body) == 30_000
        assert begun == 1000
