"""A server inside a program: started, found, drained and aborted from code."""

import asyncio
import os
import signal
import socket
import sys
import threading
from typing import Any

import pytest

from tests.cli.command import PATIENCE, get
from zonda import serve
from zonda.asgi.types import Receive, Scope, Send
from zonda.server.lifespan import LifespanFailed
from zonda.server.listeners import ListenError
from zonda.server.loading import LoadError
from zonda.server.reactor import available
from zonda.server.server import Server, loop_factory
from zonda.server.settings import Settings, SettingsError


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})


class Application:
    """Says when a request has begun, and ends it when told to, or when it is cancelled."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.go = asyncio.Event()
        self.cancelled = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        self.begun.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        await hello(scope, receive, send)


def port_of(server: Server) -> int:
    return int(server.urls[0].rpartition(":")[2])


def test_a_block_is_served_for_as_long_as_it_runs() -> None:
    async def main() -> int:
        async with Server(hello, Settings(port=0)) as server:
            port = port_of(server)
            assert server.urls == [f"http://127.0.0.1:{port}"]
            assert await asyncio.to_thread(get, port) == "hello"
        assert server.urls == []
        return port

    port = asyncio.run(main())
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_what_is_served_has_a_name() -> None:
    assert Server("shop:app").name == "shop:app"
    assert Server(hello).name == f"{__name__}:hello"
    assert Server(Application()).name == f"{__name__}:Application"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_returns_after_a_signal_and_puts_the_handlers_back(number: signal.Signals) -> None:
    def before(*_: object) -> None: ...

    async def main() -> None:
        kept = signal.signal(number, before)
        server = Server(hello, Settings(port=0))
        serving = asyncio.ensure_future(server.serve())
        while not server.urls or server._starting is not None:  # noqa: ASYNC110 (no event for it)
            await asyncio.sleep(0)
        os.kill(os.getpid(), number)
        await serving
        assert signal.getsignal(number) is before
        signal.signal(number, kept)

    asyncio.run(main())


def test_cancelling_serve_closes_its_sockets() -> None:
    async def main() -> None:
        server = Server(hello, Settings(port=0))
        serving = asyncio.ensure_future(server.serve())
        while not server.urls:  # noqa: ASYNC110 (no event for it)
            await asyncio.sleep(0)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert server.urls == []

    asyncio.run(main())


def test_it_can_be_drained_from_another_thread() -> None:
    ready = threading.Event()
    server = Server(hello, Settings(port=0))

    async def main() -> None:
        await server.start()
        ready.set()
        await server.wait()

    def run() -> None:
        asyncio.run(main())

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(PATIENCE)
    assert get(port_of(server)) == "hello"
    server.drain()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    server.drain()  # it is gone: nothing to do
    server.abort()


async def begin(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    return reader, writer


def test_draining_finishes_what_runs() -> None:
    async def main() -> None:
        app = Application()
        server = Server(app, Settings(port=0))
        await server.start()
        reader, writer = await begin(port_of(server))
        await app.begun.wait()
        server.drain()
        ending = asyncio.ensure_future(server.wait())
        while server.urls:  # noqa: ASYNC110 (no event for it)
            await asyncio.sleep(0)
        assert not ending.done()
        app.go.set()
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert answer.endswith(b"hello")
        writer.close()
        await ending
        assert not app.cancelled

    asyncio.run(main())


def test_aborting_cancels_what_runs() -> None:
    async def main() -> None:
        app = Application()
        server = Server(app, Settings(port=0))
        await server.start()
        _, writer = await begin(port_of(server))
        await app.begun.wait()
        server.drain()
        server.abort()
        await server.wait()
        assert app.cancelled
        writer.close()

    asyncio.run(main())


async def fails(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})


@pytest.mark.parametrize(
    ("app", "settings", "error"),
    [
        ("no_such_module:app", {}, LoadError),
        (lambda: None, {}, LoadError),
        (fails, {}, LifespanFailed),
        (hello, {"host": "192.0.2.1"}, ListenError),
        (hello, {"env_file": "/no/such/file"}, LoadError),
    ],
)
def test_what_goes_wrong_before_it_serves_is_raised(
    app: Any,  # noqa: ANN401 (some are no applications)
    settings: dict[str, Any],
    error: type[Exception],
) -> None:
    async def main() -> None:
        server = Server(app, Settings(port=0, **settings))
        with pytest.raises(error):
            await server.serve()
        assert server.urls == []

    asyncio.run(main())


def test_serve_takes_settings_by_name() -> None:
    with pytest.raises(SettingsError, match="did you mean port"):
        asyncio.run(serve(hello, prot=0))


def test_only_an_application_with_a_name_can_be_reloaded() -> None:
    with pytest.raises(SettingsError, match="reload: the application has to be given by name"):
        Server(hello, Settings(port=0, reload=True)).run()


def test_a_reactor_that_is_not_there_is_refused() -> None:
    if "epoll" in available():
        return  # every reactor is there
    with pytest.raises(SettingsError, match="reactor='epoll': it needs Linux and the compiled"):
        asyncio.run(serve(hello, port=0, reactor="epoll"))


@pytest.mark.parametrize(("name", "module"), [("asyncio", "asyncio"), ("uvloop", "uvloop")])
def test_the_event_loop_is_the_one_asked_for(name: str, module: str) -> None:
    loop = loop_factory(Settings(loop=name))()
    assert type(loop).__module__.partition(".")[0] == module
    loop.close()


def test_uvloop_that_is_missing_is_an_error_only_if_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    loop_factory(Settings(loop="auto"))().close()
    with pytest.raises(SettingsError, match="pip install uvloop"):
        loop_factory(Settings(loop="uvloop"))


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_parent_that_closes_its_pipe_ends_the_server(loop: str) -> None:
    reading, writing = os.pipe()
    server = Server(hello, Settings(port=0), parent=reading)

    async def main() -> None:
        serving = asyncio.ensure_future(server.serve())
        while not server.urls or server._starting is not None:  # noqa: ASYNC110 (no event for it)
            await asyncio.sleep(0)
        assert await asyncio.to_thread(get, port_of(server)) == "hello"
        os.kill(os.getpid(), signal.SIGINT)  # the parent's to handle
        os.write(writing, b"noise")
        assert await asyncio.to_thread(get, port_of(server)) == "hello"
        os.close(writing)
        await serving

    with asyncio.Runner(loop_factory=loop_factory(Settings(loop=loop))) as runner:
        runner.run(main())
    os.close(reading)
