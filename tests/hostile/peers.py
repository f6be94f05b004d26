"""The clients' side: connections that do exactly what they are told, and the kinds there are.

A ``Peer`` is a socket: it sends and reads when it is told to and never otherwise, so that a reader
can be slow and a sender stop in the middle. A ``Kind`` is how a client of one protocol connects
and asks; scenarios take it as a parameter.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tests.server.tls_client import HOST, make_certificates

if TYPE_CHECKING:
    from tests.hostile.child import Child

_T = TypeVar("_T")

PATIENCE = 20.0
"""Seconds after which what a test waits for will not come."""


async def soon(awaitable: Awaitable[_T], what: str) -> _T:
    """The result of ``awaitable``, which must not take for ever."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await awaitable
    except TimeoutError:
        raise AssertionError(f"waited in vain for {what}") from None


@dataclass
class Response:
    """A response with a counted body."""

    status: int
    fields: dict[bytes, bytes]
    content: bytes


class GoneError(Exception):
    """The server has closed the connection."""


class Peer:
    """One connection, seen from the client."""

    def __init__(self, sock: socket.socket, siblings: set[Peer]) -> None:
        self.sock = sock
        self.unread = bytearray()
        self._siblings = siblings
        siblings.add(self)

    # At once or not at all

    def send_now(self, data: bytes | memoryview) -> int:
        """How much of ``data`` the system takes now; ConnectionError once the server has closed."""
        try:
            return self.sock.send(data)
        except BlockingIOError:
            return 0

    def recv_now(self, size: int = 65_536) -> bytes | None:
        """What has come, ``b""`` at the end, None if there is nothing yet."""
        try:
            return self.sock.recv(size)
        except BlockingIOError:
            return None
        except ConnectionError:
            return b""

    # With patience

    async def send(self, data: bytes) -> None:
        """Send all of ``data``."""
        view = memoryview(data)
        while view:
            sent = self.send_now(view)
            view = view[sent:]
            if not sent:
                await self.writable()

    async def recv(self, size: int = 65_536) -> bytes:
        """What comes next, ``b""`` at the end."""
        while (data := self.recv_now(size)) is None:
            await self.readable()
        return data

    async def readable(self) -> None:
        """Return once there may be something to read."""
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        loop.add_reader(self.sock, _set, ready)
        try:
            await soon(ready, f"more after {bytes(self.unread[-200:])!r}")
        finally:
            loop.remove_reader(self.sock)

    async def writable(self) -> None:
        """Return once the system may take more."""
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        loop.add_writer(self.sock, _set, ready)
        try:
            await soon(ready, "the server to take more")
        finally:
            loop.remove_writer(self.sock)

    async def read_until(self, end: bytes) -> bytes:
        """What comes up to and with ``end``."""
        while end not in self.unread:
            data = await self.recv()
            if not data:
                raise GoneError(bytes(self.unread))
            self.unread += data
        size = self.unread.index(end) + len(end)
        found = bytes(self.unread[:size])
        del self.unread[:size]
        return found

    async def read(self, size: int) -> bytes:
        """Exactly ``size`` octets."""
        while len(self.unread) < size:
            data = await self.recv()
            if not data:
                raise GoneError(bytes(self.unread))
            self.unread += data
        found = bytes(self.unread[:size])
        del self.unread[:size]
        return found

    async def read_to_end(self) -> bytes:
        """What comes until the server closes."""
        while data := await self.recv():
            self.unread += data
        return bytes(self.unread)

    async def read_response(self) -> Response:
        """A response whose head says how long it is."""
        line, *lines = (await self.read_until(b"\r\n\r\n"))[:-4].split(b"\r\n")
        assert line.startswith(b"HTTP/1.1 "), line
        fields = dict(field.lower().split(b": ", 1) for field in lines)
        content = await self.read(int(fields[b"content-length"]))
        return Response(int(line[9:12]), fields, content)

    # The end

    def close(self) -> None:
        """Leave in order, as far as there is nothing unread."""
        self._siblings.discard(self)
        self.sock.close()

    def reset(self) -> None:
        """Leave with a reset."""
        with contextlib.suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


class Kind:
    """How clients of one protocol connect and ask."""

    name = ""
    memory = 0
    """Octets of memory that a connection may cost the server beyond what it costs in the clear."""

    def arguments(self, folder: Path) -> list[str]:  # noqa: ARG002 (others need it)
        """What the server needs for it, as options; ``folder`` may be written to."""
        return []

    async def dial(self, child: Child, *, receive_buffer: int | None = None) -> Peer:
        """A connection on which a request can be sent as octets.

        With ``receive_buffer`` the client's system takes only about as many octets unread.
        """
        raise NotImplementedError

    async def connect(self, child: Child) -> Peer:
        """A connection on which ``ask`` works."""
        raise NotImplementedError

    async def ask(self, peer: Peer, identity: str) -> None:
        """Ask once in a good client's manner, and check that the answer is that of ``identity``."""
        raise NotImplementedError


def connected(child: Child, receive_buffer: int | None = None) -> socket.socket:
    """A non-blocking socket that is connected, or about to be."""
    sock = socket.socket()
    sock.setblocking(False)
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        with contextlib.suppress(BlockingIOError):
            sock.connect(child.address)
    except BaseException:
        sock.close()
        raise
    return sock


class HTTP(Kind):
    """HTTP/1.1, in the clear."""

    name = "http"

    async def dial(self, child: Child, *, receive_buffer: int | None = None) -> Peer:
        return Peer(connected(child, receive_buffer), child.peers)

    async def connect(self, child: Child) -> Peer:
        return await self.dial(child)

    async def ask(self, peer: Peer, identity: str) -> None:
        head = f"POST /good HTTP/1.1\r\nHost: h\r\nX-Id: {identity}\r\nContent-Length: "
        content = identity.encode()
        await peer.send(f"{head}{len(content)}\r\n\r\n".encode() + content)
        response = await peer.read_response()
        assert response.status == 200, response
        assert response.fields[b"x-id"] == content == response.content, response


class HTTPS(HTTP):
    """HTTP/1.1 over TLS."""

    name = "https"
    memory = 100_000

    def __init__(self) -> None:
        self._context: ssl.SSLContext | None = None

    def arguments(self, folder: Path) -> list[str]:
        certificates = make_certificates(folder)
        self._context = certificates.client()
        return ["--ssl-certfile", certificates.certfile, "--ssl-keyfile", certificates.keyfile]

    async def dial(self, child: Child, *, receive_buffer: int | None = None) -> Peer:
        assert self._context is not None
        plain = Peer(connected(child, receive_buffer), child.peers)
        await plain.writable()  # connected
        child.peers.discard(plain)
        sock = self._context.wrap_socket(
            plain.sock, server_hostname=HOST, do_handshake_on_connect=False
        )
        peer = TLSPeer(sock, child.peers)
        await peer.shake_hands()
        return peer


class TLSPeer(Peer):
    """A connection with TLS. What is sent and not taken must be sent again."""

    sock: ssl.SSLSocket

    async def shake_hands(self) -> None:
        """Do the handshake."""
        while True:
            try:
                self.sock.do_handshake()
            except ssl.SSLWantReadError:
                await self.readable()
            except ssl.SSLWantWriteError:
                await self.writable()
            else:
                return

    def send_now(self, data: bytes | memoryview) -> int:
        """How much of ``data`` the system takes now; ConnectionError once the server has closed."""
        try:
            return self.sock.send(data)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 0
        except ssl.SSLError as error:
            raise ConnectionError(str(error)) from error

    def recv_now(self, size: int = 65_536) -> bytes | None:
        """What has come, ``b""`` at the end, None if there is nothing yet."""
        try:
            return self.sock.recv(size)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None
        except (ssl.SSLError, ConnectionError):
            return b""


TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
"""Opcodes of frames (RFC 6455 section 5.2)."""


def frame(opcode: int, payload: bytes = b"", *, size: int | None = None) -> bytes:
    """A frame of a client's, masked with zeros; ``size`` is the length that it claims to have."""
    length = len(payload) if size is None else size
    if length < 126:
        head = struct.pack("!BB", 0x80 | opcode, 0x80 | length)
    elif length < 65_536:
        head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, length)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, length)
    return head + bytes(4) + payload


async def read_frame(peer: Peer) -> tuple[int, bytes]:
    """The opcode and the payload of the next frame, which is whole and not compressed."""
    first, length = await peer.read(2)
    assert first & 0xF0 == 0x80, f"fragmented or extended: {first:#x}"
    if length == 126:
        (length,) = struct.unpack("!H", await peer.read(2))
    elif length == 127:
        (length,) = struct.unpack("!Q", await peer.read(8))
    return first & 0x0F, await peer.read(length)


class WebSocket(Kind):
    """WebSocket after a handshake on a connection of another kind."""

    def __init__(self, carrier: Kind) -> None:
        self.carrier = carrier
        self.name = carrier.name.replace("http", "ws")
        self.memory = carrier.memory

    def arguments(self, folder: Path) -> list[str]:
        return self.carrier.arguments(folder)

    async def dial(self, child: Child, *, receive_buffer: int | None = None) -> Peer:
        return await self.carrier.dial(child, receive_buffer=receive_buffer)

    async def connect(self, child: Child) -> Peer:
        return await self.open(child, "/echo")

    @staticmethod
    def handshake(path: str) -> bytes:
        """The request for a WebSocket, as octets."""
        return (
            f"GET {path} HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ).encode()

    async def open(self, child: Child, path: str, *, receive_buffer: int | None = None) -> Peer:
        """A WebSocket, accepted."""
        peer = await self.dial(child, receive_buffer=receive_buffer)
        await peer.send(self.handshake(path))
        head = await peer.read_until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        return peer

    async def ask(self, peer: Peer, identity: str) -> None:
        await peer.send(frame(TEXT, identity.encode()))
        while True:
            opcode, payload = await read_frame(peer)
            if opcode != PING:
                break
            await peer.send(frame(PONG, payload))
        assert (opcode, payload) == (TEXT, identity.encode())


CLEAR = HTTP()
CARRIERS: list[Kind] = [CLEAR, HTTPS()]
"""What carries requests. Scenarios that TLS makes another matter run with each."""


class GoodClients:
    """Clients that ask one thing after another, each with an id of its own, while others attack."""

    def __init__(self, child: Child, kind: Kind) -> None:
        self._child = child
        self._kind = kind
        self._numbers = itertools.count(1)
        self._stop = asyncio.Event()
        self._progress = asyncio.Condition()
        self.answered: list[str] = []

    async def run(self) -> None:
        """Ask until told to stop. A connection lives for twenty questions."""
        while not self._stop.is_set():
            peer = await self._kind.connect(self._child)
            try:
                for _ in range(20):
                    identity = f"good-{next(self._numbers)}"
                    await self._kind.ask(peer, identity)
                    async with self._progress:
                        self.answered.append(identity)
                        self._progress.notify_all()
                    if self._stop.is_set():
                        return
                    await asyncio.sleep(0.005)  # they are not the load
            finally:
                peer.close()

    async def complete(self, number: int) -> None:
        """Return once so many more have been answered."""
        wanted = len(self.answered) + number
        async with self._progress:
            await soon(
                self._progress.wait_for(lambda: len(self.answered) >= wanted),
                f"good clients, of whom {len(self.answered)} of {wanted} were answered",
            )

    def stop(self) -> None:
        """Let each have its answer, and leave."""
        self._stop.set()


@contextlib.asynccontextmanager
async def good_clients(child: Child, number: int = 4) -> AsyncIterator[GoodClients]:
    """Good clients while the block runs. In the end every one of their requests has been answered,
    and the application has seen each once, from its beginning to its end.
    """
    good = GoodClients(child, child.kind)
    async with asyncio.TaskGroup() as group:
        for _ in range(number):
            group.create_task(good.run())
        try:
            yield good
        finally:
            good.stop()
    book: dict[str, Any] = await child.book()
    for entries in (book["begun"], book["ended"]):
        mine = {name: times for name, times in entries.items() if name.startswith("good-")}
        assert mine == dict.fromkeys(good.answered, 1)
