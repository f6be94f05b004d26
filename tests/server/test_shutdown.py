"""A drain: nobody new, what runs ends, then the deadline."""

import asyncio
import logging
from typing import Any

import pytest

from tests.server.harness import (
    Receive,
    Scope,
    Send,
    answer,
    body,
    in_loop,
    open_files,
    read_body,
    request,
    serving,
    soon,
    start,
    until,
)
from zonda.server.worker import WorkerState


@in_loop
async def test_a_running_request_finishes_and_its_connection_closes() -> None:
    gate = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await gate.wait()
        await answer(b"finished")(scope, receive, send)

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request())
        await until(lambda: server.service.in_flight)
        server.server.drain()
        await until(lambda: server.worker.state is WorkerState.DRAINING)
        gate.set()
        response = await client.read_response()
        assert response.body == b"finished"
        assert response.closes
        await client.assert_closed()
        client.close()
        await soon(server.worker.wait())
        assert server.worker.state is WorkerState.GONE


@in_loop
async def test_new_clients_are_refused_at_once() -> None:
    async with serving(answer()) as server:
        client = await server.connect()
        address = server.sockets[0].getsockname()
        server.server.drain()
        await until(lambda: server.worker.state is WorkerState.DRAINING)
        await asyncio.sleep(0)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*address)
        client.close()


@in_loop
async def test_an_idle_connection_may_bring_one_more_request() -> None:
    async with serving(answer()) as server:
        client = await server.connect()
        await client.send(request())
        assert not (await client.read_response()).closes
        server.server.drain()
        await until(lambda: server.service.draining)
        await client.send(request() * 2)
        response = await client.read_response()
        assert response.status == 200
        assert response.closes
        await client.assert_closed()


@in_loop
async def test_idle_connections_are_closed_soon() -> None:
    async with serving(answer(), timeout_keep_alive=60, timeout_head=60) as server:
        used = await server.connect()
        await used.send(request())
        await used.read_response()
        fresh = await server.connect()
        await server.accepted(2)
        server.server.drain()
        await used.assert_closed()
        await fresh.assert_closed()


@in_loop
async def test_an_upload_in_progress_is_finished() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        content = await read_body(receive)
        await answer(content)(scope, receive, send)

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request("POST", "/", ("Content-Length", "6")) + b"abc")
        await until(lambda: server.service.in_flight)
        server.server.drain()
        await until(lambda: server.service.draining)
        await client.send(b"def")
        response = await client.read_response()
        assert response.body == b"abcdef"
        assert response.closes


@in_loop
async def test_a_stream_in_progress_is_finished() -> None:
    gate = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"a", more=True))
        await gate.wait()
        await send(body(b"b" * 200_000))

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request())
        await client.read_head()
        server.server.drain()
        await until(lambda: server.service.draining)
        gate.set()
        assert (await client.read_to_end()).endswith(b"b\r\n0\r\n\r\n")
        client.close()
        await soon(server.worker.wait())


@in_loop
async def test_pipelined_requests_behind_the_one_that_runs_are_not_begun() -> None:
    gate = asyncio.Event()
    begun: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        begun.append(scope["path"])
        await gate.wait()
        await answer()(scope, receive, send)

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request("GET", "/1") + request("GET", "/2"))
        await until(lambda: begun)
        server.server.drain()
        await until(lambda: server.service.draining)
        gate.set()
        assert (await client.read_response()).closes
        await client.assert_closed()
        assert begun == ["/1"]


@pytest.mark.parametrize("head_sent", [False, True])
@in_loop
async def test_the_deadline_cancels_what_still_runs(head_sent: bool) -> None:
    cancelled = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if head_sent:
            await send(start())
            await send(body(b"part", more=True))
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with serving(app, timeout_graceful_shutdown=0.2) as server:
        client = await server.connect()
        await client.send(request())
        await until(lambda: server.service.running)
        server.server.drain()
        await soon(cancelled.wait())
        received = await client.read_to_end()
        if head_sent:
            assert received.startswith(b"HTTP/1.1 200")
            assert not received.endswith(b"0\r\n\r\n")
        else:
            assert received == b"" or received.startswith(b"HTTP/1.1 50")
        client.close()
        await soon(server.worker.wait())
        warnings = server.messages(logging.WARNING)
        assert any("--timeout-graceful-shutdown" in text for text in warnings)


@in_loop
async def test_an_application_that_ignores_its_cancellation_is_left_behind() -> None:
    gate = asyncio.Event()
    asked = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal asked
        while not gate.is_set():
            try:
                await gate.wait()
            except asyncio.CancelledError:
                asked += 1

    async with serving(app, timeout_graceful_shutdown=0.1, ends_clean=False) as server:
        client = await server.connect()
        await client.send(request())
        await until(lambda: server.service.running)
        server.server.drain()
        await soon(server.worker.wait())
        assert asked == 1
        (error,) = server.take_errors()
        assert "left behind" in error
        gate.set()
        await server.idle()
        server.take_errors()


@in_loop
async def test_abort_cancels_at_once() -> None:
    cancelled = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await receive()
            await receive()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with serving(app, timeout_graceful_shutdown=3600) as server:
        client = await server.connect()
        await client.send(request())
        await until(lambda: server.service.running)
        server.server.drain()
        await until(lambda: server.service.draining)
        server.server.abort()
        await soon(cancelled.wait())
        await soon(server.worker.wait())


@in_loop
async def test_the_lifespan_shutdown_comes_after_the_last_request() -> None:
    events: list[str] = []
    gate = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            events.append("shutdown")
            await send({"type": "lifespan.shutdown.complete"})
            return
        await gate.wait()
        await answer()(scope, receive, send)
        events.append("request")

    async with serving(app, lifespan="on") as server:
        client = await server.connect()
        await client.send(request())
        await until(lambda: server.service.in_flight)
        server.server.drain()
        await until(lambda: server.service.draining)
        assert events == []
        gate.set()
        await client.read_response()
        client.close()
        await soon(server.worker.wait())
        assert events == ["request", "shutdown"]


@in_loop
async def test_work_after_the_response_is_waited_for() -> None:
    gate = asyncio.Event()
    done: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer()(scope, receive, send)
        await gate.wait()
        done.append(True)

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request())
        await client.read_response()
        client.close()
        server.server.drain()
        await until(lambda: server.service.draining)
        for _ in range(5):
            await asyncio.sleep(0)
        assert server.worker.state is WorkerState.DRAINING
        gate.set()
        await soon(server.worker.wait())
        assert done == [True]


@in_loop
async def test_the_states_of_a_worker_come_in_order() -> None:
    async with serving(answer()) as server:
        states: list[WorkerState] = [server.worker.state]
        original = server.worker._control

        def control(state: WorkerState) -> None:
            states.append(state)
            assert original is not None
            original(state)

        server.worker._control = control
        server.server.drain()
        server.server.drain()
        await soon(server.worker.wait())
        server.server.drain()
        server.server.abort()
        assert states == [WorkerState.READY, WorkerState.DRAINING, WorkerState.GONE]


@in_loop
async def test_nothing_is_left_of_a_server() -> None:
    async def once() -> None:
        async with serving(answer()) as server:
            clients: list[Any] = [await server.connect() for _ in range(10)]
            for client in clients[:5]:
                await client.send(request())
                await client.read_response()

    await once()
    tasks = len(asyncio.all_tasks())
    files = open_files()
    for _ in range(3):
        await once()
    await until(lambda: len(asyncio.all_tasks()) <= tasks)
    assert open_files() <= files
