"""What ``receive`` and ``send`` return: coroutines to whoever looks, and fair to other tasks."""

import asyncio
import collections.abc
import contextlib
import gc
import inspect
from collections.abc import Coroutine
from typing import Any

import anyio
import pytest

from tests.server.harness import (
    CHUNKED,
    Client,
    Message,
    Receive,
    Scope,
    Send,
    Serving,
    body,
    in_loop,
    read_body,
    request,
    serving,
    soon,
    start,
    until,
)


async def respond(send: Send, content: bytes = b"ok") -> None:
    await send(start())
    await send(body(content))


@in_loop
async def test_they_are_coroutines() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for operation in (receive(), send(start())):
            assert isinstance(operation, collections.abc.Coroutine)
            assert isinstance(operation, collections.abc.Awaitable)
            assert asyncio.iscoroutine(operation)
            assert inspect.isawaitable(operation)
            iterator = operation.__await__()
            assert iter(iterator) is iterator
            operation.close()
        await respond(send)

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request())
        assert (await client.read_response()).status == 200


async def by_create_task(operation: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401
    return await asyncio.create_task(operation)


async def by_wait_for(operation: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401
    return await asyncio.wait_for(operation, 5)


async def by_gather(operation: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401
    (result,) = await asyncio.gather(operation)
    return result


async def by_shield(operation: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401
    return await asyncio.shield(operation)


async def by_wait(operation: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401
    done, _ = await asyncio.wait([asyncio.ensure_future(operation)])
    return done.pop().result()


async def by_task_group(operation: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401
    async with asyncio.TaskGroup() as group:
        task = group.create_task(operation)
    return task.result()


async def by_timeout(operation: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401
    async with asyncio.timeout(5):
        return await operation


async def by_exit_stack(operation: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401
    async with contextlib.AsyncExitStack():
        return await operation


@pytest.mark.parametrize(
    "way",
    [
        by_create_task,
        by_wait_for,
        by_gather,
        by_shield,
        by_wait,
        by_task_group,
        by_timeout,
        by_exit_stack,
    ],
    ids=lambda way: way.__name__,
)
@in_loop
async def test_they_run_in_whatever_runs_a_coroutine(way: Any) -> None:  # noqa: ANN401
    heard: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        more = True
        while more:
            message = await way(receive())
            heard.append(message)
            more = message["more_body"]
        await way(send(start()))
        await way(send(body(b"o", more=True)))
        await way(send(body(b"k")))
        heard.append(await way(receive()))

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request("POST", "/", ("Content-Length", "2")) + b"a")
        await until(lambda: heard)
        await client.send(b"b")
        assert (await client.read_response()).body == b"ok"
        await server.idle_exchanges()
        assert b"".join(message.get("body", b"") for message in heard) == b"ab"
        assert heard[-1] == {"type": "http.disconnect"}


@in_loop
async def test_they_run_in_anyio_task_groups() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(receive)
        await send(start())
        async with anyio.create_task_group() as group:
            group.start_soon(send, body(b"ok"))

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request())
        assert (await client.read_response()).body == b"ok"


@in_loop
async def test_an_anyio_scope_cancels_a_waiting_receive() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        with anyio.move_on_after(0.01) as limit:
            await receive()
        await respond(send, b"cancelled" if limit.cancelled_caught else b"not cancelled")

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request())
        assert (await client.read_response()).body == b"cancelled"


async def _upload_in_parts(server: Serving, heard: list[Message]) -> Client:
    client = await server.connect()
    await client.send(request("POST", "/", CHUNKED))
    for number in range(10):
        await client.send(b"1\r\n%d\r\n" % number)
        await until(lambda expected=number + 1: len(heard) >= expected)  # type: ignore[misc]
    await client.send(b"0\r\n\r\n")
    return client


@in_loop
async def test_a_cancelled_wait_for_receive_loses_no_message() -> None:
    heard: list[Message] = []
    given_up = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal given_up
        while not heard or heard[-1]["more_body"]:
            try:
                heard.append(await asyncio.wait_for(receive(), 0.001))
            except TimeoutError:
                given_up += 1
        await respond(send)

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request("POST", "/", CHUNKED))
        for number in range(10):
            seen = given_up
            await until(lambda seen=seen: given_up > seen)  # type: ignore[misc]
            await client.send(b"1\r\n%d\r\n" % number)
        await client.send(b"0\r\n\r\n")
        assert (await client.read_response()).status == 200
        assert b"".join(message["body"] for message in heard) == b"0123456789"


@in_loop
async def test_a_receive_cancelled_as_its_message_comes_loses_nothing() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        task = asyncio.create_task(receive())
        await client_has_sent.wait()
        task.cancel()
        first = (await asyncio.gather(task, return_exceptions=True))[0]
        content = b"" if isinstance(first, BaseException) else first["body"]
        while content != b"hello":
            content += (await receive())["body"]
        await respond(send, content)

    client_has_sent = asyncio.Event()
    async with serving(app) as server:
        client = await server.connect()
        await client.send(request("POST", "/", ("Content-Length", "5")))
        await until(lambda: server.service.running)
        await client.send(b"hello")
        client_has_sent.set()
        assert (await client.read_response()).body == b"hello"


@in_loop
async def test_two_receivers_get_each_message_once() -> None:
    heard: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def listen() -> None:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return
                heard.append(message)

        listeners = [asyncio.create_task(listen()) for _ in range(2)]
        await until(lambda: heard and not heard[-1]["more_body"])
        await respond(send)
        await asyncio.gather(*listeners)

    async with serving(app) as server:
        client = await _upload_in_parts(server, heard)
        assert (await client.read_response()).status == 200
        await server.idle_exchanges()
        assert b"".join(message["body"] for message in heard) == b"0123456789"
        assert [message["more_body"] for message in heard].count(False) == 1


@in_loop
async def test_all_receivers_hear_that_the_client_has_left() -> None:
    told: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        told.extend(await asyncio.gather(*(receive() for _ in range(5))))

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request())
        await until(lambda: server.service.running)
        client.close()
        await until(lambda: told)
        assert told == [{"type": "http.disconnect"}] * 5


@in_loop
async def test_receive_after_the_response_gives_disconnect_every_time() -> None:
    heard: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(send)
        heard.extend([await receive() for _ in range(3)])

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request())
        await client.read_response()
        await until(lambda: len(heard) == 3)
        assert heard == [{"type": "http.disconnect"}] * 3
        await client.send(request())
        assert (await client.read_response()).status == 200


@in_loop
async def test_a_waiting_receive_hears_that_the_response_is_complete() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        listener = asyncio.create_task(receive())
        await asyncio.sleep(0)
        await respond(send)
        assert await soon(listener) == {"type": "http.disconnect"}

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request())
        assert (await client.read_response()).status == 200


def _futures() -> int:
    """How many futures there are, in whoever's hands."""
    gc.collect()
    return sum(isinstance(each, asyncio.Future) for each in gc.get_objects())


@pytest.mark.parametrize("what", ["receive", "send"])
@in_loop
async def test_waits_that_were_given_up_leave_nothing_behind(what: str) -> None:
    counted = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(start())
        filling = asyncio.create_task(fill(send))
        if what == "send":
            await asyncio.wait([filling], timeout=0.2)
        else:
            filling.cancel()
        before = _futures()
        given_up = 0
        while given_up < 100:
            waiting = asyncio.ensure_future(
                receive() if what == "receive" else send(body(bytes(70_000), more=True))
            )
            await asyncio.sleep(0)
            given_up += waiting.cancel()
            await asyncio.wait([waiting])
        assert _futures() < before + 50
        filling.cancel()
        counted.set()
        await send(body(b"end"))

    async def fill(send: Send) -> None:
        while True:
            await send(body(b"x" * 65_536, more=True))

    async with serving(app) as server:
        client = await server.connect(receive_buffer=4096)
        await client.send(request())
        await soon(counted.wait())
        assert (await client.read_response()).body.endswith(b"end")


# Fairness


@pytest.mark.parametrize("what", ["receive", "send", "receive in tasks"])
@in_loop
async def test_awaits_that_never_wait_let_others_run(what: str) -> None:
    turns = 0
    done = False

    async def count() -> None:
        nonlocal turns
        while not done:
            turns += 1
            await asyncio.sleep(0)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal done
        counting = asyncio.create_task(count())
        await asyncio.sleep(0)
        before = turns
        if what == "send":
            await send(start())
            for _ in range(2000):
                await send(body(b"", more=True))
            await send(body())
        else:
            await respond(send)
            for _ in range(2000):
                await receive()
        assert turns - before > 5
        done = True
        await counting

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request())
        assert (await client.read_response()).status == 200


@in_loop
async def test_pipelined_requests_let_other_connections_run() -> None:
    answered: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        answered.append(scope["path"])
        await respond(send)

    async with serving(app) as server:
        greedy = await server.connect()
        modest = await server.connect()
        await server.accepted(2)
        # Both are there when the server next looks; the greedy one came first.
        greedy.send_what_fits(request("GET", "/greedy") * 1000)
        modest.send_what_fits(request("GET", "/modest"))
        await modest.read_response()
        assert answered.index("/modest") < 300
        for _ in range(1000):
            await greedy.read_response()


@in_loop
async def test_an_operation_does_nothing_before_it_is_awaited() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        first, second = send(start()), send(body(await read_body(receive)))
        await asyncio.sleep(0)
        await first
        await second

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request("POST", "/", content=b"abc"))
        assert (await client.read_response()).body == b"abc"
