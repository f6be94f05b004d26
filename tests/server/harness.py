"""Servers and clients in the test's own event loop, with real sockets between them.

    @in_loop
    async def test_it_says_hello() -> None:
        async with serving(answer(b"hello")) as server:
            client = await server.connect()
            await client.send(request())
            assert (await client.read_response()).body == b"hello"

``serving`` ends with what every test takes for granted: all connections and exchanges are gone, and
nothing was logged as an error unless the test took it with ``take_errors``.

The client is a socket and a strict reader of responses: it sends what no HTTP library would, and
accepts nothing that a sloppy one might. Nothing here waits for longer than PATIENCE.
"""

import asyncio
import contextlib
import functools
import importlib
import logging
import os
import re
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterable
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeAlias

from zonda.asgi.types import Application, ASGIApp
from zonda.server.reactor import available
from zonda.server.server import Server
from zonda.server.service import Service
from zonda.server.settings import Settings
from zonda.server.worker import Worker

PATIENCE = 10.0
"""Seconds after which what a test waits for will not come."""

Scope: TypeAlias = dict[str, Any]
Message: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Coroutine[Any, Any, Message]]
Send: TypeAlias = Callable[[Message], Coroutine[Any, Any, None]]
Fields: TypeAlias = Iterable[tuple[bytes, bytes]]

_P = ParamSpec("_P")


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes the event loop of this run: ZONDA_LOOP is asyncio, the default, or uvloop."""
    if os.environ.get("ZONDA_LOOP") == "uvloop":
        factory: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module(
            "uvloop"
        ).new_event_loop
        return factory
    return None


def in_loop(test: Callable[_P, Coroutine[Any, Any, None]]) -> Callable[_P, None]:
    """Run an ``async def`` test in an event loop of its own."""

    @functools.wraps(test)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(4 * PATIENCE):
                await test(*args, **kwargs)

        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(bounded())

    return run


def reactor_in_use() -> str:
    """The reactor that servers of this run have: epoll or asyncio."""
    chosen = Settings().reactor
    return available()[0] if chosen == "auto" else chosen


async def until(condition: Callable[[], object], what: str = "") -> None:
    """Return once ``condition()`` is true: for what announces itself by no event."""
    try:
        async with asyncio.timeout(PATIENCE):
            while not condition():  # noqa: ASYNC110 (some conditions have no event)
                await asyncio.sleep(0.002)
    except TimeoutError:
        raise AssertionError(f"it never came about: {what or condition}") from None


async def soon(awaitable: Awaitable[Any], what: str = "") -> Any:  # noqa: ANN401
    """The result of ``awaitable``, which must not take long."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await awaitable
    except TimeoutError:
        raise AssertionError(f"waited in vain: {what or awaitable}") from None


def open_files() -> int:
    """How many descriptors this process has."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


# Applications


def start(status: int = 200, *fields: tuple[bytes, bytes], **more: object) -> Message:
    """http.response.start."""
    return {"type": "http.response.start", "status": status, "headers": list(fields), **more}


def body(content: object = b"", *, more: bool = False) -> Message:
    """http.response.body."""
    return {"type": "http.response.body", "body": content, "more_body": more}


def answer(content: bytes = b"ok", status: int = 200, *fields: tuple[bytes, bytes]) -> ASGIApp:
    """An application that gives every request the same answer, without reading its body."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start(status, *fields))
        await send(body(content))

    return app


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the method, the path and the body of the request."""
    try:
        content = await read_body(receive)
    except EOFError:
        return
    await send(start())
    await send(body(f"{scope['method']} {scope['path']} ".encode() + content))


async def read_body(receive: Receive) -> bytes:
    """The whole body of a request; EOFError if the client leaves before its end."""
    content = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise EOFError
        content += message["body"]
        if not message["more_body"]:
            return bytes(content)


# The server


class Serving:
    """A running server, and what it has logged."""

    def __init__(self, server: Server, records: list[logging.LogRecord]) -> None:
        self.server = server
        self._records = records
        self._clients: list[Client] = []
        worker = server._worker
        assert worker is not None
        self.worker: Worker = worker
        self.service: Service = worker.service

    @property
    def sockets(self) -> list[socket.socket]:
        return self.server._listeners.sockets

    async def connect(
        self, *, receive_buffer: int | None = None, listener: int = 0, host: str | None = None
    ) -> "Client":
        """A client; with ``receive_buffer`` its system takes only about as many bytes unread.

        ``host`` is the address to connect to, where that is not the one listened at.
        """
        listening = self.sockets[listener]
        sock = socket.socket(listening.family, socket.SOCK_STREAM)
        sock.setblocking(False)
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        address = listening.getsockname()
        if host is not None:
            address = (host, *address[1:])
        if listening.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await soon(asyncio.get_running_loop().sock_connect(sock, address), "a connection")
        client = Client(sock)
        self._clients.append(client)
        return client

    async def accepted(self, number: int) -> None:
        """Return once the server has ``number`` connections."""
        await until(lambda: len(self.service.connections) == number, f"{number} connections")

    async def idle(self) -> None:
        """Return once nothing is left of any connection or exchange."""
        service = self.service
        await until(
            lambda: not (service.connections or service.running or service.in_flight),
            "an end of all connections and requests",
        )

    async def idle_exchanges(self) -> None:
        """Return once no application runs; connections may still be open."""
        await until(lambda: not self.service.in_flight, "an end of the application")

    def messages(self, level: int = logging.INFO) -> list[str]:
        """What was logged at ``level``."""
        return [each.getMessage() for each in self._records if each.levelno == level]

    def refusals(self) -> list[str]:
        """The lines about refused requests and connections that were given up."""
        return [text for text in self.messages() if ": answered " in text or ": closed: " in text]

    @property
    def errors(self) -> list[logging.LogRecord]:
        return [each for each in self._records if each.levelno >= logging.ERROR]

    def take_errors(self) -> list[str]:
        """The errors logged so far, as text with their tracebacks: they were expected."""
        errors = self.errors
        for each in errors:
            self._records.remove(each)
        formatter = logging.Formatter()
        return [formatter.format(each) for each in errors]

    def disconnect_clients(self) -> None:
        for client in self._clients:
            client.close()


class _Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@contextlib.contextmanager
def _logged() -> Generator[list[logging.LogRecord]]:
    handler = _Records()
    loggers = [logging.getLogger("zonda"), logging.getLogger("asyncio")]
    levels = [each.level for each in loggers]
    for each in loggers:
        each.addHandler(handler)
    loggers[0].setLevel(logging.INFO)
    try:
        yield handler.records
    finally:
        for each, level in zip(loggers, levels, strict=True):
            each.removeHandler(handler)
            each.setLevel(level)


@contextlib.asynccontextmanager
async def serving(
    app: Application,
    *,
    ends_clean: bool = True,
    **settings: Any,  # noqa: ANN401
) -> AsyncIterator[Serving]:
    """Serve ``app`` at a free port, or where ``settings`` say, while the block runs."""
    if not settings.keys() & {"bind", "uds", "fd"}:
        settings.setdefault("port", 0)
    settings.setdefault("lifespan", "off")
    settings.setdefault("access_log", False)
    settings.setdefault("timeout_graceful_shutdown", PATIENCE)
    with _logged() as records:
        server = Server(app, Settings(**settings))
        await server.start()
        running = Serving(server, records)
        try:
            yield running
            running.disconnect_clients()
            if ends_clean:
                await running.idle()
        except BaseException:
            running.disconnect_clients()
            server.abort()
            raise
        finally:
            server.drain()
            await soon(server.wait(), "the end of the server")
        assert not running.errors, "\n".join(running.take_errors())


# The client


@dataclass
class Response:
    """A response, read by the book."""

    status: int
    version: str
    fields: list[tuple[bytes, bytes]]
    framing: str
    """What ended it: length, chunked, close, or none for a response without content."""
    body: bytes = b""
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)
    interim: list["Response"] = field(default_factory=list)

    def values(self, name: bytes) -> list[bytes]:
        """The values of all fields of that name."""
        return [value for other, value in self.fields if other.lower() == name]

    def value(self, name: bytes) -> bytes | None:
        """The value of the only field of that name, or None."""
        values = self.values(name)
        assert len(values) <= 1, f"{name!r} more than once: {values}"
        return values[0] if values else None

    @property
    def closes(self) -> bool:
        """Whether it says that the connection ends with it."""
        return self.value(b"connection") == b"close"


class ResponseCutOffError(AssertionError):
    """The connection ended within a response."""


class Client:
    """One connection to the server, seen from the other side."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.unread = bytearray()
        self._loop = asyncio.get_running_loop()
        self._ended = False

    async def send(self, data: bytes) -> None:
        """Send all of ``data``."""
        await soon(self._loop.sock_sendall(self.sock, data), "the server to take what is sent")

    def send_what_fits(self, data: bytes) -> int:
        """Send until the system takes no more; the number of bytes that it took."""
        sent = 0
        view = memoryview(data)
        with contextlib.suppress(BlockingIOError):
            while sent < len(data):
                sent += self.sock.send(view[sent:])
        return sent

    async def read_response(self, method: str = "GET") -> Response:
        """The next final response, and the informational ones ahead of it."""
        interim = []
        while True:
            response = await self._read_head()
            if response.status >= 200:
                break
            assert response.status != 101
            interim.append(response)
        response.interim = interim
        await self._read_content(response, method)
        return response

    async def read_interim(self) -> Response:
        """The next response, which is an informational one."""
        response = await self._read_head()
        assert response.status < 200, response
        return response

    async def read_head(self) -> Response:
        """The head of the next response; its content stays to be read."""
        return await self._read_head()

    async def read(self, size: int) -> bytes:
        """Exactly ``size`` bytes."""
        while len(self.unread) < size:
            await self._read_more()
        data = bytes(self.unread[:size])
        del self.unread[:size]
        return data

    async def read_to_end(self) -> bytes:
        """What comes until the server closes the connection, in order."""
        while not self._ended:
            with contextlib.suppress(ResponseCutOffError):
                await self._read_more()
        data = bytes(self.unread)
        self.unread.clear()
        return data

    async def read_to_reset(self) -> bytes:
        """What comes until the server breaks the connection off, which must not look orderly."""
        try:
            await self.read_to_end()
        except ConnectionResetError:
            return bytes(self.unread)
        raise AssertionError("the connection ended in order")

    async def assert_closed(self) -> None:
        """The server sends nothing more and closes the connection, in order."""
        rest = await self.read_to_end()
        assert rest == b""

    def end_sending(self) -> None:
        """Close our half: the server sees the end of the input."""
        self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Leave, in order."""
        self.sock.close()

    def reset(self) -> None:
        """Leave with a reset, as a killed process with unread input does."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    async def _read_more(self) -> None:
        if self._ended:
            raise ResponseCutOffError(f"the connection has ended after {bytes(self.unread)!r}")
        data = await soon(
            self._loop.sock_recv(self.sock, 262_144), f"more after {bytes(self.unread[:200])!r}"
        )
        if not data:
            self._ended = True
            raise ResponseCutOffError(f"the connection has ended after {bytes(self.unread)!r}")
        self.unread += data

    async def _read_line(self) -> bytes:
        while True:
            end = self.unread.find(b"\n")
            if end >= 0:
                line = bytes(self.unread[: end + 1])
                del self.unread[: end + 1]
                assert line.endswith(b"\r\n"), line
                return line[:-2]
            await self._read_more()

    async def _read_fields(self) -> list[tuple[bytes, bytes]]:
        fields = []
        while line := await self._read_line():
            match = re.fullmatch(
                rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([\t\x20-\x7e\x80-\xff]*)", line
            )
            assert match is not None, f"not a field line: {line!r}"
            fields.append((match[1], match[2]))
        return fields

    async def _read_head(self) -> Response:
        line = await self._read_line()
        match = re.fullmatch(rb"HTTP/(1\.1) ([0-9]{3}) ([\x20-\x7e]*)", line)
        assert match is not None, f"not a status line: {line!r}"
        return Response(int(match[2]), match[1].decode(), await self._read_fields(), "none")

    async def _read_content(self, response: Response, method: str) -> None:
        length = response.value(b"content-length")
        coding = response.value(b"transfer-encoding")
        assert length is None or coding is None, "both Content-Length and Transfer-Encoding"
        if method == "HEAD" or response.status in (204, 304):
            return
        if coding is not None:
            assert coding == b"chunked", coding
            response.framing = "chunked"
            content = bytearray()
            while size := int(await self._read_line(), 16):
                content += await self.read(size)
                assert await self.read(2) == b"\r\n"
            response.body = bytes(content)
            response.trailers = await self._read_fields()
        elif length is not None:
            response.framing = "length"
            response.body = await self.read(int(length))
        else:
            assert response.closes, "nothing says where the content ends"
            response.framing = "close"
            response.body = await self.read_to_end()


def request(
    method: str = "GET",
    target: str = "/",
    *fields: tuple[str, str],
    content: bytes | None = None,
    version: str = "1.1",
) -> bytes:
    """The bytes of a request; with ``content`` it has a Content-Length."""
    lines = [f"{method} {target} HTTP/{version}", "Host: test"]
    lines += [f"{name}: {value}" for name, value in fields]
    if content is not None:
        lines.append(f"Content-Length: {len(content)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + (content or b"")


def chunked(*pieces: bytes) -> bytes:
    """A body in the chunked coding."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


CHUNKED = ("Transfer-Encoding", "chunked")
CLOSE = ("Connection", "close")
KEEP_ALIVE = ("Connection", "keep-alive")
