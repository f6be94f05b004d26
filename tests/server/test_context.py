"""Context variables, the current task, time-outs and cancellation within a request."""

import asyncio
import contextvars
from typing import Any

import pytest

from tests.server.harness import (
    Receive,
    Scope,
    Send,
    answer,
    body,
    in_loop,
    request,
    serving,
    soon,
    start,
    until,
)
from zonda.server.reactor.interface import HIGH_WATER

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="unset")

both = pytest.mark.parametrize("eager_tasks", [True, False], ids=["eager", "not eager"])


async def startup(scope: Scope, receive: Receive, send: Send) -> None:
    assert (await receive())["type"] == "lifespan.startup"
    VARIABLE.set("from lifespan")
    scope["state"]["shared"] = ["state"]
    await send({"type": "lifespan.startup.complete"})
    assert (await receive())["type"] == "lifespan.shutdown"
    await send({"type": "lifespan.shutdown.complete"})


@both
@in_loop
async def test_what_lifespan_sets_is_seen_in_each_request(eager_tasks: bool) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await startup(scope, receive, send)
            return
        seen = f"{VARIABLE.get()}, {scope['state']}"
        VARIABLE.set("from a request")
        await asyncio.sleep(0)
        assert VARIABLE.get() == "from a request"
        await answer(seen.encode())(scope, receive, send)

    async with serving(app, lifespan="on", eager_tasks=eager_tasks) as server:
        client = await server.connect()
        other = await server.connect()
        for each in (client, client, other):
            await each.send(request() * 2)
            for _ in range(2):
                response = await each.read_response()
                assert response.body == b"from lifespan, {'shared': ['state']}"


@both
@pytest.mark.parametrize("waits", [True, False], ids=["waits", "does not wait"])
@in_loop
async def test_what_a_request_sets_is_not_seen_by_the_next(eager_tasks: bool, waits: bool) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen = VARIABLE.get()
        VARIABLE.set(scope["path"])
        if waits:
            await asyncio.sleep(0)
        assert VARIABLE.get() == scope["path"]
        await answer(seen.encode())(scope, receive, send)

    async with serving(app, eager_tasks=eager_tasks) as server:
        client = await server.connect()
        await client.send(b"".join(request("GET", f"/{number}") for number in range(20)))
        for _ in range(20):
            assert (await client.read_response()).body == b"unset"
        await client.send(request())
        assert (await client.read_response()).body == b"unset"
    assert VARIABLE.get() == "unset"


@both
@in_loop
async def test_a_body_that_arrives_later_does_not_change_the_context(eager_tasks: bool) -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        VARIABLE.set(scope["path"])
        more = True
        while more:
            more = (await receive())["more_body"]
            seen.append(VARIABLE.get())
        await answer()(scope, receive, send)

    async with serving(app, eager_tasks=eager_tasks) as server:
        first = await server.connect()
        second = await server.connect()
        await first.send(request("POST", "/1", ("Content-Length", "2")) + b"a")
        await until(lambda: len(seen) == 1)
        await second.send(request("POST", "/2", ("Content-Length", "2")) + b"a")
        await until(lambda: len(seen) == 2)
        await first.send(b"b")
        await first.read_response()
        await second.send(b"b")
        await second.read_response()
        assert seen == ["/1", "/2", "/1", "/2"]


@both
@in_loop
async def test_a_request_runs_in_a_real_task_of_its_own(eager_tasks: bool) -> None:
    tasks: list[asyncio.Task[Any] | None] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        task = asyncio.current_task()
        tasks.append(task)
        await answer()(scope, receive, send)
        assert asyncio.current_task() is task
        await asyncio.sleep(0)
        assert asyncio.current_task() is task

    async with serving(app, eager_tasks=eager_tasks) as server:
        client = await server.connect()
        await client.send(request() * 2)
        for _ in range(2):
            await client.read_response()
        assert len(set(tasks)) == 2
        assert all(isinstance(task, asyncio.Task) for task in tasks)
        assert asyncio.current_task() not in tasks


@both
@in_loop
async def test_asyncio_timeout_works(eager_tasks: bool) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        try:
            async with asyncio.timeout(0.01):
                await receive()
        except TimeoutError:
            await answer(b"timed out")(scope, receive, send)

    async with serving(app, eager_tasks=eager_tasks) as server:
        client = await server.connect()
        await client.send(request())
        assert (await client.read_response()).body == b"timed out"


@both
@pytest.mark.parametrize("where", ["receive", "send", "sleep"])
@in_loop
async def test_a_request_can_be_cancelled_wherever_it_waits(eager_tasks: bool, where: str) -> None:
    tasks: list[asyncio.Task[Any]] = []
    cancelled: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        try:
            if where == "receive":
                await receive()
                await receive()
            elif where == "send":
                await send(start())
                while True:
                    await send(body(b"x" * 65536, more=True))
            else:
                await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(where)
            raise

    async with serving(app, eager_tasks=eager_tasks) as server:
        client = await server.connect(receive_buffer=4096)
        await client.send(request())
        await until(lambda: tasks and server.service.running)
        if where == "send":
            await until(lambda: _queued(server) > HIGH_WATER)
        tasks[0].cancel()
        await soon(asyncio.wait(tasks))
        assert cancelled == [where]
        if where == "send":
            client.close()
        else:
            assert (await client.read_response()).status == 500
        (error,) = server.take_errors()
        assert "cancelled" in error


def _queued(server: Any) -> int:  # noqa: ANN401
    return sum(each.transport.queued for each in server.service.connections)


@both
@in_loop
async def test_an_application_that_cancels_itself_and_recovers_is_fine(eager_tasks: bool) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        task = asyncio.current_task()
        assert task is not None
        await receive()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await receive()
        task.uncancel()
        await answer(b"recovered")(scope, receive, send)

    async with serving(app, eager_tasks=eager_tasks) as server:
        client = await server.connect()
        await client.send(request())
        assert (await client.read_response()).body == b"recovered"


@both
@in_loop
async def test_tasks_of_a_request_may_outlive_it(eager_tasks: bool) -> None:
    gate = asyncio.Event()
    seen: list[str] = []
    background: set[asyncio.Task[None]] = set()

    async def later() -> None:
        await gate.wait()
        seen.append(VARIABLE.get())

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        VARIABLE.set(scope["path"])
        background.add(asyncio.create_task(later()))
        await answer()(scope, receive, send)

    async with serving(app, eager_tasks=eager_tasks) as server:
        client = await server.connect()
        await client.send(request("GET", "/1") + request("GET", "/2"))
        for _ in range(2):
            await client.read_response()
        gate.set()
        await asyncio.wait(background)
        assert sorted(seen) == ["/1", "/2"]


@both
@in_loop
async def test_an_application_may_use_the_task_factory_of_the_loop(eager_tasks: bool) -> None:
    made: list[str] = []

    def factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **more: Any) -> Any:  # noqa: ANN401
        made.append(getattr(coroutine, "__qualname__", ""))
        return asyncio.Task(coroutine, loop=loop, **more)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        asyncio.get_running_loop().set_task_factory(factory)
        try:
            await asyncio.create_task(asyncio.sleep(0))
        finally:
            asyncio.get_running_loop().set_task_factory(None)
        await answer()(scope, receive, send)

    async with serving(app, eager_tasks=eager_tasks) as server:
        client = await server.connect()
        await client.send(request())
        assert (await client.read_response()).status == 200
        assert made == ["sleep"]
