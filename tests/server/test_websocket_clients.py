"""The same script of messages by clients of the field, with and without compression."""

import asyncio
import os
import socket
import threading
from collections.abc import Iterator

import pytest
import websockets
from websockets.asyncio.client import connect
from websockets.sync.client import connect as connect_and_block
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Message,
    Ping,
    Pong,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)
from wsproto.extensions import PerMessageDeflate

from tests.server.harness import Receive, Scope, Send, in_loop, serving, soon
from tests.server.tls_client import Certificates, certificates
from tests.server.websocket_client import Recorder, echo, say, websocket

__all__ = ["certificates"]  # a fixture

SCRIPT: list[str | bytes] = [
    "",
    b"",
    "a",
    "Zürich 🏔 " * 40,
    b"\0" * 125,
    b"\1" * 126,
    "x" * 65_535,
    bytes(range(256)) * 300,
    os.urandom(5000),
    "again and again " * 5000,
    "again and again " * 5000,
]

COMPRESSION = pytest.mark.parametrize("compression", [None, "deflate"], ids=["plain", "deflate"])


def url(address: tuple[str, int]) -> str:
    return f"ws://{address[0]}:{address[1]}/"


# websockets


@COMPRESSION
@in_loop
async def test_websockets(compression: str | None) -> None:
    async with serving(echo) as server:
        address = server.sockets[0].getsockname()
        async with connect(url(address), compression=compression) as client:
            for message in SCRIPT:
                await client.send(message)
                assert await client.recv() == message
            # All at once, and read later.
            sending = asyncio.gather(*(client.send(message) for message in SCRIPT))
            assert [await client.recv() for _ in SCRIPT] == SCRIPT
            await sending
            # In fragments, with a ping between.
            await client.send(["frag", "ments ", "🏔"])
            await (await client.ping(b"payload"))
            assert await client.recv() == "fragments 🏔"
        assert (client.close_code, client.close_reason) == (1000, "")


@COMPRESSION
@in_loop
async def test_websockets_without_asyncio(compression: str | None) -> None:
    def run(address: tuple[str, int]) -> tuple[list[str | bytes], int | None]:
        with connect_and_block(url(address), compression=compression) as client:
            found: list[str | bytes] = []
            for message in SCRIPT:
                client.send(message)
                found.append(client.recv())
            client.send(iter(["frag", "ments"]))
            found.append(client.recv())
            assert client.ping().wait(10)
        return found, client.close_code

    async with serving(echo) as server:
        address = server.sockets[0].getsockname()
        found, code = await soon(asyncio.to_thread(run, address))
        assert found == [*SCRIPT, "fragments"]
        assert code == 1000


@in_loop
async def test_websockets_is_told_how_it_ended() -> None:
    @websocket
    async def app(receive: Receive, send: Send) -> None:
        await send(say("bye"))
        await send({"type": "websocket.close", "code": 4001, "reason": "für heute"})

    async with serving(app) as server:
        async with connect(url(server.sockets[0].getsockname())) as client:
            assert await client.recv() == "bye"
            with pytest.raises(websockets.ConnectionClosedError) as caught:
                await client.recv()
        assert caught.value.rcvd is not None
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4001, "für heute")


@in_loop
async def test_websockets_tells_how_it_ended() -> None:
    recorder = Recorder()
    async with serving(recorder) as server:
        client = await connect(url(server.sockets[0].getsockname()))
        await client.close(4002, "enough")
        await server.idle()
        assert recorder.end == (4002, "enough")


@in_loop
async def test_websockets_chooses_a_subprotocol_and_is_denied_without() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        if "v2" in scope["subprotocols"]:
            await send({"type": "websocket.accept", "subprotocol": "v2"})
            await receive()
        else:
            await send({"type": "websocket.http.response.start", "status": 402})
            await send({"type": "websocket.http.response.body", "body": b"pay"})

    async with serving(app) as server:
        where = url(server.sockets[0].getsockname())
        async with connect(where, subprotocols=["v1", "v2"]) as client:  # type: ignore[list-item] # plain text does
            assert client.subprotocol == "v2"
        with pytest.raises(websockets.InvalidStatus) as caught:
            await connect(where)
        assert caught.value.response.status_code == 402
        assert caught.value.response.body == b"pay"


@COMPRESSION
@in_loop
async def test_websockets_over_tls(certificates: Certificates, compression: str | None) -> None:
    schemes: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        schemes.append(scope["scheme"])
        await echo(scope, receive, send)

    async with serving(app, **certificates.settings) as server:
        host, port = server.sockets[0].getsockname()
        where = f"wss://{host}:{port}/"
        async with connect(where, ssl=certificates.client(), compression=compression) as client:
            for message in SCRIPT:
                await client.send(message)
                assert await client.recv() == message
        assert client.close_code == 1000
        assert schemes == ["wss"]


# wsproto, driven by hand


class Wsproto:
    """A blocking client: the codec of wsproto on a socket."""

    def __init__(self, address: tuple[str, int], *, compressed: bool) -> None:
        self.sock = socket.create_connection(address, timeout=10)
        self.codec = WSConnection(ConnectionType.CLIENT)
        extensions = [PerMessageDeflate()] if compressed else []
        self.send(Request(host="test", target="/", extensions=extensions))
        self.events = self._events()
        self.answer = next(self.events)

    def send(self, event: Event) -> None:
        self.sock.sendall(self.codec.send(event))

    def _events(self) -> Iterator[Event]:
        while True:
            data = self.sock.recv(65_536)
            self.codec.receive_data(data or None)
            yield from self.codec.events()
            if not data:
                return

    def message(self) -> str | bytes:
        parts: list[str | bytes] = []
        for event in self.events:
            assert isinstance(event, Message), event
            parts.append(event.data if isinstance(event.data, str) else bytes(event.data))
            if event.message_finished:
                break
        if isinstance(parts[0], str):
            return "".join(part for part in parts if isinstance(part, str))
        return b"".join(part for part in parts if isinstance(part, bytes))


def message_event(content: str | bytes, *, finished: bool = True) -> Event:
    if isinstance(content, str):
        return TextMessage(data=content, message_finished=finished)
    return BytesMessage(data=content, message_finished=finished)


@COMPRESSION
@in_loop
async def test_wsproto(compression: str | None) -> None:
    def run(address: tuple[str, int]) -> None:
        client = Wsproto(address, compressed=compression is not None)
        assert isinstance(client.answer, AcceptConnection)
        assert bool(client.answer.extensions) == (compression is not None)
        for message in SCRIPT:
            client.send(message_event(message))
            assert client.message() == message
            # And in three fragments, with a ping between.
            third = len(message) // 3
            client.send(message_event(message[:third], finished=False))
            client.send(Ping(b"between"))
            client.send(message_event(message[third : 2 * third], finished=False))
            client.send(message_event(message[2 * third :]))
            pong = next(client.events)
            assert isinstance(pong, Pong)
            assert pong.payload == b"between"
            assert client.message() == message
        client.send(CloseConnection(code=1001, reason="enough"))
        closed = next(client.events)
        assert isinstance(closed, CloseConnection)
        assert closed.code == 1001
        client.sock.close()

    async with serving(echo) as server:
        await soon(asyncio.to_thread(run, server.sockets[0].getsockname()))


@in_loop
async def test_wsproto_is_denied() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.close"})

    def run(address: tuple[str, int]) -> tuple[Event, bytes]:
        client = Wsproto(address, compressed=False)
        data = next(client.events)
        client.sock.close()
        assert isinstance(data, RejectData)
        return client.answer, bytes(data.data)

    async with serving(app) as server:
        answer, content = await soon(asyncio.to_thread(run, server.sockets[0].getsockname()))
        assert isinstance(answer, RejectConnection)
        assert answer.status_code == 403
        assert content == b"Forbidden"


# Many at once


@in_loop
async def test_many_clients_at_once_get_each_their_own() -> None:
    async def client(where: str, name: str) -> None:
        async with connect(where) as mine:
            for number in range(30):
                await mine.send(f"{name} {number}")
                assert await mine.recv() == f"{name} {number}"

    async with serving(echo) as server:
        where = url(server.sockets[0].getsockname())
        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(client(where, f"client {number}"))


@in_loop
async def test_a_message_goes_from_one_client_to_all() -> None:
    sends: set[Send] = set()

    @websocket
    async def app(receive: Receive, send: Send) -> None:
        sends.add(send)
        while (message := await receive())["type"] == "websocket.receive":
            await asyncio.gather(*(other(say(message["text"])) for other in sends))
        sends.discard(send)

    async with serving(app) as server:
        where = url(server.sockets[0].getsockname())
        clients = [await connect(where) for _ in range(10)]
        for number, client in enumerate(clients):
            await client.send(f"from {number}")
            assert [await each.recv() for each in clients] == [f"from {number}"] * 10
        for client in clients:
            await client.close()


@in_loop
async def test_another_thread_may_send_through_the_loop() -> None:
    loop = asyncio.get_running_loop()

    @websocket
    async def app(receive: Receive, send: Send) -> None:
        def work() -> None:
            for number in range(5):
                asyncio.run_coroutine_threadsafe(send(say(str(number))), loop).result(10)

        worker = threading.Thread(target=work)
        worker.start()
        assert (await receive())["type"] == "websocket.disconnect"
        worker.join()

    async with serving(app) as server, connect(url(server.sockets[0].getsockname())) as client:
        assert [await client.recv() for _ in range(5)] == list("01234")
