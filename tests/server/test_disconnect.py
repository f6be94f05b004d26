"""A client that leaves: the application hears of it at once, nothing leaks, nobody is blamed."""

import asyncio
import contextlib
import gc
import logging

import pytest

from tests.server.harness import (
    CHUNKED,
    Client,
    Message,
    Receive,
    Scope,
    Send,
    Serving,
    answer,
    body,
    in_loop,
    open_files,
    reactor_in_use,
    request,
    serving,
    soon,
    start,
    until,
)
from zonda.server.reactor.interface import HIGH_WATER

LEAVE = {"close": Client.close, "reset": Client.reset}
leaving = pytest.mark.parametrize("way", LEAVE)


@leaving
@in_loop
async def test_a_waiting_receive_hears_of_it_at_once(way: str) -> None:
    heard: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        heard.append(await receive())

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request())
        await until(lambda: server.service.running)
        LEAVE[way](client)
        await until(lambda: heard)
        assert heard == [{"type": "http.disconnect"}]
        await server.idle()


@leaving
@in_loop
async def test_a_receive_that_waits_for_the_body_hears_of_it(way: str) -> None:
    heard: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        heard.append(await receive())
        heard.append(await receive())
        heard.append(await receive())

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request("POST", "/", ("Content-Length", "10")) + b"abc")
        await until(lambda: heard)
        LEAVE[way](client)
        await until(lambda: len(heard) == 3)
        assert heard == [
            {"type": "http.request", "body": b"abc", "more_body": True},
            {"type": "http.disconnect"},
            {"type": "http.disconnect"},
        ]
        await server.idle()


@leaving
@in_loop
async def test_send_raises_an_os_error_once_the_client_has_left(way: str) -> None:
    raised: list[BaseException] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await receive()
        try:
            await send(start())
        except OSError as error:
            raised.append(error)
            raise

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request())
        await until(lambda: server.service.running)
        LEAVE[way](client)
        await until(lambda: raised)
        assert type(raised[0]) is not OSError
        await server.idle()


@leaving
@in_loop
async def test_a_stream_to_a_client_that_leaves_ends_with_an_os_error(way: str) -> None:
    raised: list[BaseException] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        try:
            while True:
                await send(body(b"x" * 1000, more=True))
                await asyncio.sleep(0)
        except OSError as error:
            raised.append(error)
            raise

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request())
        await client.read(2000)
        LEAVE[way](client)
        await until(lambda: raised)
        await server.idle()


@leaving
@in_loop
async def test_a_blocked_send_ends_with_an_os_error(way: str) -> None:
    raised: list[BaseException] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        try:
            while True:
                await send(body(b"x" * 65536, more=True))
        except OSError as error:
            raised.append(error)
            raise

    async with serving(app) as server:
        client = await server.connect(receive_buffer=4096)
        await client.send(request())
        await until(lambda: queued(server) > HIGH_WATER)
        LEAVE[way](client)
        await until(lambda: raised)
        await server.idle()


def queued(server: Serving) -> int:
    return sum(each.transport.queued for each in server.service.connections)


@leaving
@in_loop
async def test_a_stream_that_listens_for_the_disconnect_hears_of_it_while_it_sends(
    way: str,
) -> None:
    ended: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        listener = asyncio.ensure_future(receive())
        await send(start())
        while not listener.done():
            await send(body(b"tick", more=True))
            await asyncio.wait([listener], timeout=0.001)
        ended.append(listener.result())

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request())
        await client.read(200)
        LEAVE[way](client)
        await until(lambda: ended)
        assert ended == [{"type": "http.disconnect"}]
        await server.idle()


@leaving
@in_loop
async def test_it_is_heard_while_reading_is_paused(way: str) -> None:
    if reactor_in_use() != "epoll":
        pytest.skip("asyncio's transports tell of nothing while their reading is paused")
    heard: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        heard.append(await receive())

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request())
        await until(lambda: server.service.running)
        # So much is pipelined that the server stops reading, and little more, so that nothing
        # keeps the end of the connection from arriving.
        await client.send(b"x" * 90_000)
        await until(lambda: paused(server))
        LEAVE[way](client)
        await until(lambda: heard)
        await server.idle()


def paused(server: Serving) -> bool:
    return any(each.parser.unread() > 65_536 for each in server.service.connections)  # type: ignore[attr-defined]


@in_loop
async def test_an_upload_that_is_reset_is_no_error() -> None:
    heard: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while not heard or heard[-1]["type"] == "http.request":
            heard.append(await receive())

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request("POST", "/", ("Content-Length", "50000000")))
        for _ in range(20):
            await client.send(b"x" * 100_000)
        client.reset()
        await server.idle()
        assert heard[-1] == {"type": "http.disconnect"}


@in_loop
async def test_a_truncated_body_never_looks_complete() -> None:
    ways = (("Content-Length", "10"), CHUNKED)
    heard: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        heard.clear()
        while not heard or heard[-1]["type"] == "http.request":
            heard.append(await receive())

    for way in ways:
        async with serving(app) as server:
            client = await server.connect()
            await client.send(request("POST", "/", way) + b"5\r\nab")
            await until(lambda: heard)
            client.close()
            await server.idle()
            assert all(message.get("more_body", True) for message in heard)
            assert heard[-1] == {"type": "http.disconnect"}


@in_loop
async def test_a_half_close_after_the_request_still_gets_the_response() -> None:
    gate = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await gate.wait()
        await send(start())
        await send(body(b"a", more=True))
        await asyncio.sleep(0)
        await send(body(b"b"))

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request())
        client.end_sending()
        await until(lambda: server.service.running)
        gate.set()
        assert (await client.read_response()).body == b"ab"
        await client.assert_closed()


@in_loop
async def test_a_half_close_while_the_response_streams_does_not_cut_it_short() -> None:
    gate = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(start())
        await send(body(b"a", more=True))
        await gate.wait()
        await send(body(b"b" * 500_000, more=True))
        await send(body(b"c"))

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request())
        await client.read(10)
        client.unread[:0] = b"HTTP/1.1 2"
        client.end_sending()
        gate.set()
        assert len((await client.read_response()).body) == 500_002
        await client.assert_closed()


@leaving
@pytest.mark.parametrize(
    "sent",
    [b"", b"GET", request()[:-2], request("POST", "/", ("Content-Length", "5")) + b"ab"],
    ids=["nothing", "part of a line", "part of a head", "part of a body"],
)
@in_loop
async def test_a_client_may_leave_at_any_point(sent: bytes, way: str) -> None:
    async with serving(answer()) as server:
        for _ in range(10):
            client = await server.connect()
            await client.send(sent)
            LEAVE[way](client)
        await server.idle()
        assert server.messages(logging.WARNING) in ([], server.messages(logging.WARNING)[:1])


@leaving
@in_loop
async def test_the_application_may_end_in_any_way_after_the_client_has_left(way: str) -> None:
    class WrappedError(Exception):
        pass

    ends: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await receive()
        ends.append(scope["path"])
        if scope["path"] == "/sends":
            await send(start())
        elif scope["path"] == "/wraps":
            try:
                await send(start())
            except OSError as error:
                raise WrappedError from error
        elif scope["path"] == "/group":
            async with asyncio.TaskGroup() as group:
                group.create_task(send(start()))
        elif scope["path"] == "/ignores":
            for _ in range(3):
                with pytest.raises(OSError, match="left"):
                    await send(start())

    async with serving(app) as server:
        for path in ("/returns", "/sends", "/wraps", "/group", "/ignores"):
            client = await server.connect()
            await client.send(request("GET", path))
            await until(lambda: server.service.running)
            LEAVE[way](client)
            await until(lambda path=path: path in ends)  # type: ignore[misc]
            await server.idle()
        assert [each.getMessage() for each in server.errors] == []


@in_loop
async def test_nothing_leaks_when_many_clients_leave_in_every_way() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/stream":
            await send(start())
            while True:
                await send(body(b"x" * 65536, more=True))
        while (await receive())["type"] != "http.disconnect":
            pass

    async with serving(app) as server:
        await server.connect()
        await server.accepted(1)
        server.disconnect_clients()
        await server.idle()
        gc.collect()
        before = open_files()
        for number in range(60):
            client = await server.connect()
            match number % 4:
                case 0:
                    await client.send(request("GET", "/stream"))
                    await client.read(1000)
                case 1:
                    await client.send(request("GET", "/wait"))
                case 2:
                    await client.send(request("POST", "/", CHUNKED) + b"4\r\nab")
                case _:
                    await client.send(b"GET / HTTP/1.1\r\nHo")
            if number % 3:
                client.close()
            else:
                client.reset()
        await server.idle()
        await until(lambda: open_files() <= before, "as many open files as before")
        assert not server.service.running


@in_loop
async def test_other_clients_do_not_notice() -> None:
    gate = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await gate.wait()
        await answer(scope["path"].encode())(scope, receive, send)

    async with serving(app) as server:
        clients = [await server.connect() for _ in range(20)]
        for number, client in enumerate(clients):
            await client.send(request("GET", f"/{number}"))
        await until(lambda: server.service.in_flight == 20)
        for client in clients[::2]:
            client.reset()
        gate.set()
        for number, client in list(enumerate(clients))[1::2]:
            assert (await soon(client.read_response())).body == b"/%d" % number


@in_loop
async def test_an_application_that_goes_on_asking_after_the_disconnect_is_put_off() -> None:
    asked = 0
    enough = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal asked
        while not enough.is_set():
            await receive()
            asked += 1

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request())
        client.close()
        await until(lambda: asked > 100, "the application to ask for more")
        await asyncio.sleep(0.3)
        assert asked < 5_000, "it spins"
        enough.set()
        await server.idle()


@in_loop
async def test_an_application_that_goes_on_sending_after_the_disconnect_blocks_nobody() -> None:
    enough = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/other":
            await answer()(scope, receive, send)
            return
        await send(start())
        while not enough.is_set():
            with contextlib.suppress(OSError):
                await send(body(b"x", more=True))

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request())
        await client.read_head()
        client.reset()
        other = await server.connect()
        for _ in range(5):
            await other.send(request("GET", "/other"))
            assert (await other.read_response()).status == 200
        enough.set()


@leaving
@in_loop
async def test_a_client_that_leaves_before_its_websocket_is_accepted_is_nobodys_fault(
    way: str,
) -> None:
    begun, left = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "websocket.connect"
        begun.set()
        await left.wait()
        await asyncio.sleep(0.05)  # for the news to arrive
        await send({"type": "websocket.accept"})

    async with serving(app) as server:
        client = await server.connect()
        await client.send(
            request(
                "GET",
                "/",
                ("Connection", "Upgrade"),
                ("Upgrade", "websocket"),
                ("Sec-WebSocket-Version", "13"),
                ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            )
        )
        await soon(begun.wait())
        LEAVE[way](client)
        left.set()
        await server.idle()


@in_loop
async def test_writes_to_a_client_that_has_left_are_not_logged_one_by_one() -> None:
    left = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"x", more=True))
        await left.wait()
        while True:
            await send(body(b"x", more=True))

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request())
        await client.read_head()
        client.reset()
        left.set()
        await server.idle()
        assert not [text for text in server.messages(logging.WARNING) if "socket.send" in text]


@in_loop
async def test_an_application_that_ignores_what_its_sends_raise_blocks_nobody() -> None:
    enough = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/other":
            await answer()(scope, receive, send)
            return
        while not enough.is_set():
            with contextlib.suppress(RuntimeError):
                await send(body(b"out of order"))
        await answer()(scope, receive, send)

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request())
        other = await server.connect()
        for _ in range(5):
            await other.send(request("GET", "/other"))
            assert (await other.read_response()).status == 200
        enough.set()
        assert (await client.read_response()).status == 200
