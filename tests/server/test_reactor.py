"""Where the server listens, and what all its sockets have in common."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.server.harness import (
    KEEP_ALIVE,
    Client,
    Receive,
    Response,
    Scope,
    Send,
    answer,
    body,
    in_loop,
    reactor_in_use,
    request,
    serving,
    start,
    until,
)
from zonda.asgi.types import ASGIApp
from zonda.server.reactor import available, make_reactor


def showing(seen: list[Scope]) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        await answer()(scope, receive, send)

    return app


@in_loop
async def test_a_unix_socket(tmp_path: Path) -> None:
    seen: list[Scope] = []
    path = str(tmp_path / "socket")
    async with serving(showing(seen), uds=path) as server:
        client = await server.connect()
        await client.send(request() * 2)
        for _ in range(2):
            assert (await client.read_response()).status == 200
        assert seen[0]["client"] is None
        assert seen[0]["server"] == (path, None)


@in_loop
async def test_ipv6() -> None:
    seen: list[Scope] = []
    with contextlib.closing(socket.socket(socket.AF_INET6)) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("there is no IPv6 here")
    async with serving(showing(seen), host="::1", port=0) as server:
        client = await server.connect()
        await client.send(request())
        assert (await client.read_response()).status == 200
        assert seen[0]["client"] == client.sock.getsockname()[:2]
        assert seen[0]["server"] == client.sock.getpeername()[:2]


@in_loop
async def test_an_inherited_descriptor() -> None:
    # The server takes it over, as from a process that is replaced.
    listening = socket.create_server(("127.0.0.1", 0)).detach()
    async with serving(answer(), fd=listening) as server:
        client = await server.connect()
        await client.send(request())
        assert (await client.read_response()).status == 200


@in_loop
async def test_several_addresses_at_once(tmp_path: Path) -> None:
    seen: list[Scope] = []
    path = str(tmp_path / "socket")
    bind = ("127.0.0.1:0", "127.0.0.1:0", f"unix:{path}")
    async with serving(showing(seen), bind=bind) as server:
        clients = [await server.connect(listener=number) for number in range(3)]
        for client in clients:
            await client.send(request())
        for client in clients:
            assert (await client.read_response()).status == 200
        servers = [scope["server"] for scope in seen]
        assert (path, None) in servers
        assert len(set(servers)) == 3


@in_loop
async def test_the_server_of_a_scope_is_the_address_the_client_came_to() -> None:
    seen: list[Scope] = []
    async with serving(showing(seen), host="0.0.0.0", port=0) as server:
        port = server.sockets[0].getsockname()[1]
        for host in ("127.0.0.1", "127.0.0.2", "127.0.0.1"):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(request("GET", "/", ("Connection", "close")))
            await reader.read()
            writer.close()
            assert seen[-1]["server"] == (host, port)


def _sockets() -> set[str]:
    """The sockets that this process has."""
    found = set()
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        with contextlib.suppress(OSError):
            found.add(os.readlink(f"/proc/self/fd/{name}"))  # noqa: PTH115
    return {each for each in found if each.startswith(("socket:", "anon_inode:"))}


@in_loop
async def test_sockets_are_not_inherited_by_child_processes() -> None:
    before = _sockets()
    async with serving(answer()) as server:
        client = await server.connect()
        await client.send(request())
        await client.read_response()
        ours = _sockets() - before
        assert len(ours) >= 3
        program = "import os; print(*(os.readlink(f'/proc/self/fd/{n}') for n in range(100) "
        program += "if os.path.exists(f'/proc/self/fd/{n}')))"
        child = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            close_fds=False,
            check=True,
        )
        assert ours.isdisjoint(child.stdout.split())


@in_loop
async def test_a_forked_child_does_not_keep_connections_alive() -> None:
    # It holds the same open sockets, and epoll would go on to report them.
    async with serving(answer()) as server:
        client = await server.connect()
        await client.send(request())
        await client.read_response()
        child = os.fork() if sys.version_info < (3, 12) else _quiet_fork()
        if child == 0:
            signal.pause()
            os._exit(0)
        try:
            client.sock.shutdown(socket.SHUT_RDWR)
            await server.idle()
            other = await server.connect()
            await other.send(request())
            assert (await other.read_response()).status == 200
        finally:
            os.kill(child, signal.SIGKILL)
            await asyncio.to_thread(os.waitpid, child, 0)


def _quiet_fork() -> int:
    import warnings  # noqa: PLC0415

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


@in_loop
async def test_descriptors_are_reused_without_confusion() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0)
        await answer(scope["path"].encode())(scope, receive, send)

    async with serving(app) as server:
        for turn in range(20):
            clients = [await server.connect() for _ in range(10)]
            for number, client in enumerate(clients):
                await client.send(request("GET", f"/{turn}/{number}"))
            for client in clients[::2]:
                client.reset()
            for number, client in list(enumerate(clients))[1::2]:
                assert (await client.read_response()).body == b"/%d/%d" % (turn, number)
                client.close()


@in_loop
async def test_a_batch_in_which_one_application_closes_anothers_connection() -> None:
    # Both have sent something when the server looks; the first one's application aborts the second.
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/killer":
            for each in list(server.service.connections):
                if each.transport.client == victim_address:
                    each.transport.abort()
        await answer()(scope, receive, send)

    async with serving(app) as server:
        killer = await server.connect()
        victim = await server.connect()
        victim_address = victim.sock.getsockname()
        await server.accepted(2)
        killer.send_what_fits(request("GET", "/killer"))
        victim.send_what_fits(request("GET", "/victim"))
        assert (await killer.read_response()).status == 200
        with contextlib.suppress(ConnectionResetError):
            await victim.read_to_end()
        third = await server.connect()
        await third.send(request())
        assert (await third.read_response()).status == 200


@in_loop
async def test_a_fault_of_a_connection_closes_that_one_only() -> None:
    async with serving(answer()) as server:
        client = await server.connect()
        other = await server.connect()
        await server.accepted(2)
        (faulty,) = [
            each
            for each in server.service.connections
            if each.transport.client == client.sock.getsockname()
        ]
        faulty.transport.connection = Faulty()
        await client.send(request())
        with contextlib.suppress(ConnectionResetError):
            assert await client.read_to_end() == b""
        await other.send(request())
        assert (await other.read_response()).status == 200
        (error,) = server.take_errors()
        assert "odd fault" in error
        server.service.connections.discard(faulty)


def _faulty_class() -> type[Any]:
    from zonda.server.reactor.interface import Connection  # noqa: PLC0415

    class Faulty(Connection):
        def data_received(self, data: bytes) -> None:  # noqa: ARG002
            raise ZeroDivisionError("odd fault")

        def lost(self, error: OSError | None) -> None:
            pass

    return Faulty


Faulty = _faulty_class()


@in_loop
async def test_many_clients_at_once() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].endswith("7"):
            await asyncio.sleep(0)
        await send(start())
        await send(body(scope["path"].encode()))

    async def talk(client: Client, number: int) -> list[Response]:
        answers = []
        for turn in range(10):
            await client.send(request("GET", f"/{number}/{turn}"))
            answers.append(await client.read_response())
        return answers

    async with serving(app) as server:
        clients = [await server.connect() for _ in range(200)]
        results = await asyncio.gather(*(talk(each, i) for i, each in enumerate(clients)))
        for number, answers in enumerate(results):
            expected = [b"/%d/%d" % (number, turn) for turn in range(10)]
            assert [each.body for each in answers] == expected


@in_loop
async def test_an_idle_server_sleeps() -> None:
    async with serving(answer()) as server:
        clients = [await server.connect() for _ in range(20)]
        for client in clients[:10]:
            await client.send(request("GET", "/", KEEP_ALIVE))
            await client.read_response()
        clients[0].end_sending()
        clients[1].sock.send(b"GET / HT")
        await until(lambda: len(server.service.connections) == 19)
        calls = _count_callbacks(server.service.reactor.loop)
        before = calls()
        await asyncio.sleep(0.5)
        assert calls() - before < 50


def _count_callbacks(loop: asyncio.AbstractEventLoop) -> Any:  # noqa: ANN401
    """How often this thread has left a wait: a server that polls or spins does so a lot."""
    path = Path(f"/proc/self/task/{_thread_id()}/status")

    def count() -> int:
        lines = path.read_text(encoding="ascii").splitlines()
        return sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line)

    return count


def _thread_id() -> int:
    import threading  # noqa: PLC0415

    return threading.get_native_id()


@in_loop
async def test_half_closed_clients_do_not_make_the_server_spin() -> None:
    gate = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await gate.wait()
        await answer()(scope, receive, send)

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request())
        client.end_sending()
        await until(lambda: server.service.in_flight)
        before = time.process_time()
        await asyncio.sleep(0.5)
        assert time.process_time() - before < 0.3
        gate.set()
        assert (await client.read_response()).status == 200


def test_epoll_is_refused_where_it_cannot_run() -> None:
    async def ask(name: str) -> None:
        make_reactor(name, asyncio.get_running_loop()).close()

    asyncio.run(ask("auto"))
    asyncio.run(ask("asyncio"))
    if "epoll" in available():
        asyncio.run(ask("epoll"))
    else:
        assert reactor_in_use() == "asyncio"
        with pytest.raises(RuntimeError, match="--reactor auto"):
            asyncio.run(ask("epoll"))
