"""Counts and sizes that have an upper bound, and what happens at it."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from tests.server.harness import (
    CHUNKED,
    PATIENCE,
    Client,
    Receive,
    Scope,
    Send,
    answer,
    chunked,
    echo,
    in_loop,
    reactor_in_use,
    request,
    serving,
    until,
)
from zonda.server.service import REFUSALS_SHOWN


@in_loop
async def test_connections_above_the_limit_wait_and_are_served_later() -> None:
    async with serving(answer(), limit_connections=2) as server:
        clients = [await server.connect() for _ in range(6)]
        for client in clients:
            await client.send(request())
        await server.accepted(2)
        answered = 0
        while clients:
            done = await _first_answered(clients)
            answered += 1
            assert len(server.service.connections) <= 2
            clients.remove(done)
            done.close()
        assert answered == 6
        assert len(server.messages(logging.WARNING)) >= 1
        assert "--limit-connections" in server.messages(logging.WARNING)[-1]


async def _first_answered(clients: list[Client]) -> Client:
    async with asyncio.timeout(PATIENCE):
        while True:
            for client in clients:
                try:
                    data = client.sock.recv(65_536)
                except BlockingIOError:
                    continue
                assert data.startswith(b"HTTP/1.1 200")
                return client
            await asyncio.sleep(0.002)


@in_loop
async def test_a_connection_that_ends_lets_the_next_in() -> None:
    async with serving(answer(), limit_connections=1) as server:
        for _ in range(5):
            client = await server.connect()
            await client.send(request())
            assert (await client.read_response()).status == 200
            client.reset()


@in_loop
async def test_requests_above_the_limit_are_answered_503_with_retry_after() -> None:
    gate = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await gate.wait()
        await answer()(scope, receive, send)

    async with serving(app, limit_concurrency=2) as server:
        clients = [await server.connect() for _ in range(3)]
        for client in clients[:2]:
            await client.send(request())
        await until(lambda: server.service.in_flight == 2)
        await clients[2].send(request())
        response = await clients[2].read_response()
        assert response.status == 503
        assert response.value(b"retry-after") == b"1"
        assert response.closes
        await clients[2].assert_closed()
        (line,) = server.refusals()
        assert "--limit-concurrency" in line
        gate.set()
        for client in clients[:2]:
            assert (await client.read_response()).status == 200
        await server.idle_exchanges()
        again = await server.connect()
        await again.send(request())
        assert (await again.read_response()).status == 200


@in_loop
async def test_head_above_the_limit_is_answered_without_content() -> None:
    gate = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await gate.wait()
        await answer()(scope, receive, send)

    async with serving(app, limit_concurrency=1) as server:
        first = await server.connect()
        await first.send(request())
        await until(lambda: server.service.in_flight)
        second = await server.connect()
        await second.send(request("HEAD"))
        response = await second.read_response("HEAD")
        assert response.status == 503
        await second.assert_closed()
        gate.set()
        await first.read_response()


@in_loop
async def test_a_body_of_exactly_the_limit_is_taken() -> None:
    async with serving(echo, limit_request_body=1000) as server:
        client = await server.connect()
        await client.send(request("POST", "/", content=b"x" * 1000))
        assert (await client.read_response()).status == 200
        await client.send(request("POST", "/", CHUNKED) + chunked(b"x" * 400, b"x" * 600))
        assert (await client.read_response()).status == 200


@pytest.mark.parametrize("way", ["length", "chunked"])
@in_loop
async def test_a_body_above_the_limit_is_answered_413(way: str) -> None:
    async with serving(echo, limit_request_body=1000) as server:
        client = await server.connect()
        if way == "length":
            await client.send(request("POST", "/", content=b"x" * 1001))
        else:
            await client.send(request("POST", "/", CHUNKED) + chunked(b"x" * 500, b"x" * 501))
        response = await client.read_response()
        assert response.status == 413
        assert response.closes
        await client.assert_closed()
        (line,) = server.refusals()
        assert "answered 413" in line


@in_loop
async def test_a_body_that_grows_past_the_limit_is_answered_413_midway() -> None:
    heard = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal heard
        while (await receive())["type"] == "http.request":
            heard += 1

    async with serving(app, limit_request_body=1000) as server:
        client = await server.connect()
        await client.send(request("POST", "/", CHUNKED) + b"5\r\nabcde\r\n")
        await until(lambda: heard)
        await client.send(b"400\r\n")
        response = await client.read_response()
        assert response.status == 413
        await client.assert_closed()


@pytest.mark.parametrize(
    ("settings", "data", "status"),
    [
        ({"limit_request_line": 256}, request("GET", "/" + "x" * 300), 414),
        ({"limit_request_head": 1024}, request("GET", "/", ("X", "y" * 1024)), 431),
        ({"limit_request_head": 1024}, request("GET", "/", *[("X", "y" * 100)] * 12), 431),
        ({"limit_request_fields": 3}, request("GET", "/", *[("X", "y")] * 3), 431),
    ],
)
@in_loop
async def test_heads_have_limits(settings: dict[str, Any], data: bytes, status: int) -> None:
    async with serving(answer(), **settings) as server:
        fine = await server.connect()
        await fine.send(request("GET", "/", ("X", "y")))
        assert (await fine.read_response()).status == 200
        client = await server.connect()
        await client.send(data)
        assert (await client.read_response()).status == status
        await client.assert_closed()


@in_loop
async def test_an_endless_request_line_is_refused_before_it_ends() -> None:
    async with serving(answer()) as server:
        client = await server.connect()
        await client.send(b"GET /" + b"x" * 100_000)
        assert (await client.read_response()).status == 414


@in_loop
async def test_zero_means_no_limit() -> None:
    settings: dict[str, Any] = {
        "limit_concurrency": 0,
        "limit_connections": 0,
        "limit_request_body": 0,
    }
    async with serving(echo, **settings) as server:
        clients = [await server.connect() for _ in range(20)]
        for client in clients:
            await client.send(request("POST", "/", content=b"x" * 100_000))
        for client in clients:
            assert len((await client.read_response()).body) == len("POST / ") + 100_000


@in_loop
async def test_a_body_that_nobody_wants_is_read_to_a_limit_only() -> None:
    async with serving(answer()) as server:
        client = await server.connect()
        await client.send(request("POST", "/", CHUNKED))
        assert (await client.read_response()).status == 200
        rest = asyncio.ensure_future(client.read_to_end())
        for _ in range(100):
            if rest.done():
                break
            client.send_what_fits(b"2710\r\n" + b"x" * 10_000 + b"\r\n")
            await asyncio.sleep(0.001)
        assert await asyncio.wait_for(rest, PATIENCE) == b""


@in_loop
async def test_a_long_body_in_chunks_that_nobody_wants_ends_the_connection() -> None:
    gate = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await gate.wait()
        await answer()(scope, receive, send)

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request("POST", "/", CHUNKED))
        sending = asyncio.ensure_future(client.send(chunked(*[b"x" * 50_000] * 40)))
        await until(lambda: server.service.in_flight)
        gate.set()
        assert (await client.read_response()).status == 200
        await sending
        await client.assert_closed()


FEW_FILES = """
    import asyncio, os, resource, sys
    from zonda.server.server import Server
    from zonda.server.settings import Settings

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    async def main():
        server = Server(app, Settings(port=0, lifespan="off", access_log=False))
        await server.start()
        used = len(os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 8, used + 8))
        print(server.urls[0].rpartition(":")[2], flush=True)
        await asyncio.to_thread(sys.stdin.read)
        print(sum(os.times()[:2]), flush=True)
        server.drain()
        await server.wait()

    asyncio.run(main())
"""


@in_loop
async def test_running_out_of_descriptors_neither_spins_nor_lasts(tmp_path: Path) -> None:
    program = tmp_path / "few_files.py"
    program.write_text(textwrap.dedent(FEW_FILES))
    child = subprocess.Popen(  # noqa: ASYNC220 (starting it does not take long)
        [sys.executable, program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        assert child.stdin is not None
        assert child.stdout is not None
        port = int(await asyncio.to_thread(child.stdout.readline))
        streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
        before = _cpu_seconds(child.pid)
        begun = time.monotonic()
        for _, writer in streams[:5]:
            writer.write(request())
        for reader, _ in streams[:5]:
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        # A server that spins uses all of this time; one that waits, next to nothing.
        await asyncio.sleep(0.5)
        spent = _cpu_seconds(child.pid) - before
        assert spent < (time.monotonic() - begun) / 2
        for _, writer in streams[:12]:
            writer.close()
        reader, writer = streams[-1]
        writer.write(request())
        async with asyncio.timeout(PATIENCE):
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        for _, writer in streams[12:]:
            writer.close()
    finally:
        output, errors = await asyncio.to_thread(child.communicate, "")
        if child.poll() is None:
            child.send_signal(signal.SIGKILL)
    assert child.returncode == 0, output + errors
    assert "Cannot accept connections" in errors
    assert "Traceback" not in errors
    assert errors.count("Cannot accept connections") < 20


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@in_loop
async def test_the_reactor_in_use_is_the_one_that_was_asked_for() -> None:
    async with serving(answer()) as server:
        assert server.service.reactor.name == reactor_in_use()
        client = await server.connect()
        await client.send(request())
        await client.read_response()


@in_loop
async def test_a_flood_of_refusals_is_counted_in_the_log_instead_of_listed() -> None:
    async with serving(answer()) as server:
        for _ in range(REFUSALS_SHOWN + 50):
            client = await server.connect()
            await client.send(b"nonsense\r\n\r\n")
            assert (await client.read_response()).status == 400
            client.close()
        await until(lambda: "not shown" in "".join(server.messages()), "a line that sums up")
        told = sum(int(text.split()[0]) for text in server.messages() if text.endswith("not shown"))
        # Those of a later second, on a slow machine, count anew.
        assert REFUSALS_SHOWN <= len(server.refusals()) == REFUSALS_SHOWN + 50 - told
