"""Several workers under a supervisor, for tests: real processes, real signals, real load."""

import contextlib
import http.client
import os
import re
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Self

from tests.cli.command import PATIENCE, ZondaCommand

APP = """
import asyncio, os, signal, socket, sys, time
from pathlib import Path
from typing import Self

if Path("broken").exists():
    raise RuntimeError("the new code is broken")

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await asyncio.sleep(float(os.environ.get("START_UP", "0")))
        if Path("fails").exists():
            await send({"type": "lifespan.startup.failed", "message": "no database"})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": str(os.getpid())})
        return
    path, query = scope["path"], scope["query_string"].decode()
    body = str(os.getpid())
    if path == "/kill":
        os.kill(os.getpid(), int(query))
    elif path == "/exit":
        os._exit(int(query))
    elif path == "/block":
        with open("blocked", "a") as file:
            file.write(f"{os.getpid()}\\n")
        while not Path("go").exists():
            time.sleep(0.01)
    elif path == "/wait":
        with open("waiting", "a") as file:
            file.write(f"{os.getpid()}\\n")
        while not Path("go").exists():
            await asyncio.sleep(0.01)
    elif path == "/orphan":
        child = os.fork()
        if not child:
            if os.fork():
                os._exit(0)
            while not Path("go").exists():
                time.sleep(0.01)
            os._exit(0)
        os.waitpid(child, 0)
    elif path == "/babble":
        for name in os.listdir("/proc/self/fd"):
            try:
                if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                    continue
                with socket.socket(fileno=os.dup(int(name))) as found:
                    if found.family == socket.AF_UNIX:
                        found.send(b'nonsense\\n[1]\\n{"state": [5]}\\n{"state": "gone?"}\\n')
            except OSError:
                pass
    elif path == "/eat":
        app.eaten = b"x" * int(query)
    elif path == "/environment":
        body = os.environ.get(query, "-")
    elif path == "/argv":
        body = repr(sys.argv)
    elif path == "/id":
        body = query
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if path == "/stream":
        for _ in range(10):
            await send({"type": "http.response.body", "body": b".", "more_body": True})
            await asyncio.sleep(0.02)
    if path == "/id":
        with open("served", "a") as file:
            file.write(query + "\\n")
    await send({"type": "http.response.body", "body": body.encode()})
"""


class Supervised(ZondaCommand):
    """`zonda run` with several workers."""

    port = 0

    def __init__(
        self,
        project: Path,
        *arguments: str,
        env: dict[str, str] | None = None,
        pass_fds: tuple[int, ...] = (),
        port: tuple[str, ...] = ("--port", "0"),
    ) -> None:
        super().__init__(
            *("run", "shop:app", *port, *arguments),
            cwd=project,
            env={"PYTHONDEVMODE": "0", **(env or {})},
            pass_fds=pass_fds,
        )

    def begin(self) -> int:
        """Wait until all serve; the port."""
        self.port = self.wait_for_port()
        return self.port

    @property
    def supervisor(self) -> int:
        """The process number of the supervisor."""
        return self.process.pid

    def workers(self) -> list[int]:
        """The processes that the supervisor has started and that have not been reaped."""
        return children(self.supervisor)

    def settled(self, count: int) -> list[int]:
        """The workers, once there are as many."""
        until(lambda: len(self.workers()) == count, f"{count} workers")
        return self.workers()

    def end(self) -> str:
        """Stop it as an operator does; everything that it has written."""
        self.signal(signal.SIGTERM)
        assert self.wait() == 0
        assert "ResourceWarning" not in self.output
        return self.output


def children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return sorted(int(word) for word in text.split())


def is_alive(pid: int) -> bool:
    """Whether the process runs, and is not only waiting to be reaped."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return text.rpartition(") ")[2][0] != "Z"


def descriptors(pid: int) -> int:
    """How many files the process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208


def until(condition: Callable[[], object], what: str) -> None:
    """Return once ``condition()`` is true: for what announces itself by no event."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"it never came about: {what}"
        time.sleep(0.01)


def ask(port: int, path: str = "/") -> str:
    """The answer to one request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    with contextlib.closing(connection):
        connection.request("GET", path)
        response = connection.getresponse()
        assert response.status == 200
        return response.read().decode()


class Client:
    """One connection that is kept, and says which worker has it."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        self._connection.connect()

    def send(self, path: str = "/") -> None:
        self._connection.request("GET", path)

    def receive(self) -> str:
        response = self._connection.getresponse()
        assert response.status == 200
        return response.read().decode()

    def ask(self, path: str = "/") -> str:
        self.send(path)
        return self.receive()

    def close(self) -> None:
        self._connection.close()


class Load:
    """Clients that ask without pause; each request has an id that client and application note.

    A kept connection may be closed by the server between two requests, as HTTP allows: the request
    is then sent again on a new one, unless any part of its answer had come. A request that gets no
    answer on a new connection has failed.
    """

    def __init__(self, port: int, clients: int = 4) -> None:
        self._port = port
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(i,)) for i in range(clients)]
        self.answered: list[str] = []
        self.failed: list[str] = []

    def _run(self, number: int) -> None:
        connection: http.client.HTTPConnection | None = None
        while not self._stop.is_set():
            name = uuid.uuid4().hex
            try:
                fresh = connection is None
                if connection is None:
                    connection = http.client.HTTPConnection(
                        "127.0.0.1", self._port, timeout=PATIENCE
                    )
                try:
                    connection.request("GET", f"/id?{name}")
                    response = connection.getresponse()
                except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                    if fresh:
                        raise
                    connection.close()
                    connection = None
                    continue
                assert response.status == 200, response.status
                assert response.read().decode() == name
                self.answered.append(name)
                if response.will_close or number % 2:  # half of them connect each time
                    connection.close()
                    connection = None
            except Exception as error:  # noqa: BLE001 (each is counted)
                self.failed.append(f"{name}: {error!r}")
                if connection is not None:
                    connection.close()
                connection = None
        if connection is not None:
            connection.close()

    def reaches(self, more: int) -> None:
        """Return once so many more requests have been answered."""
        goal = len(self.answered) + more
        until(lambda: len(self.answered) >= goal or self.failed, f"{more} more requests")

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Return once every client has the answer to its last request."""
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)


@contextlib.contextmanager
def connections(port: int, count: int) -> Generator[list[socket.socket]]:
    """So many connections, begun at once."""
    with contextlib.ExitStack() as closing:
        opened = [closing.enter_context(socket.socket()) for _ in range(count)]
        for each in opened:
            each.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                each.connect(("127.0.0.1", port))
        yield opened


def served_by(opened: list[socket.socket]) -> list[str]:
    """The worker of each connection."""
    for each in opened:
        each.settimeout(PATIENCE)
        each.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    workers: list[str] = []
    for each in opened:
        answer = b""
        while (found := re.search(rb"\r\n\r\n(\d+)$", answer)) is None or not _whole(answer):
            part = each.recv(4096)
            assert part, answer
            answer += part
        workers.append(found[1].decode())
    return workers


def _whole(answer: bytes) -> bool:
    head, _, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    assert length is not None
    return len(body) == int(length[1])
