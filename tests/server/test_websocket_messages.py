"""Messages over the wire, both ways: frames and fragments, and what the application may send."""

import asyncio
import contextvars
import enum
import sys
import zlib
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import pytest

from tests.server.harness import Message, Receive, Send, in_loop, serving, until
from tests.server.websocket_client import (
    DEFLATE,
    Recorder,
    WebSocketPeer,
    binary,
    echo,
    open_websocket,
    ping,
    say,
    text,
    websocket,
)
from tests.wire.websocket.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    KEY,
    PING,
    PONG,
    TEXT,
    close_frame,
    frame,
)

# What the client sends


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 1024, 1025, 65_535, 65_536, 1_000_000])
@in_loop
async def test_a_message_of_any_size_comes_back(size: int) -> None:
    async with serving(echo) as server:
        peer = await open_websocket(server)
        for data in (binary(bytes(size)), text("x" * size)):
            sending = asyncio.create_task(peer.send(data))
            assert len(await peer.message()) == size
            await sending


@in_loop
async def test_text_and_bytes_stay_what_they_are() -> None:
    recorder = Recorder()
    async with serving(recorder) as server:
        peer = await open_websocket(server)
        await peer.send(text("Zürich 🏔"), binary(b"\xff\x00"), text(""), binary(b""))
        await peer.close()
        await server.idle()
        assert recorder.received[:-1] == [
            {"type": "websocket.receive", "text": "Zürich 🏔"},
            {"type": "websocket.receive", "bytes": b"\xff\x00"},
            {"type": "websocket.receive", "text": ""},
            {"type": "websocket.receive", "bytes": b""},
        ]


@in_loop
async def test_fragments_are_put_together_and_control_frames_stand_between() -> None:
    async with serving(echo) as server:
        peer = await open_websocket(server)
        await peer.send(
            frame(TEXT, "Zü".encode()[:2], fin=False),
            ping(b"between"),
            frame(CONTINUATION, "Zü".encode()[2:], fin=False),
            frame(PONG, b"unasked"),
            frame(CONTINUATION, b"", fin=False),
            frame(CONTINUATION, b"rich"),
        )
        assert await peer.pong() == b"between"
        assert await peer.message() == "Zürich"


@in_loop
async def test_frames_may_come_octet_by_octet() -> None:
    async with serving(echo) as server:
        peer = await open_websocket(server)
        data = frame(TEXT, b"a", fin=False) + ping(b"p") + frame(CONTINUATION, "é".encode())
        for index in range(len(data)):
            await peer.send(data[index : index + 1])
            await asyncio.sleep(0)
        assert await peer.pong() == b"p"
        assert await peer.message() == "aé"


@in_loop
async def test_every_ping_is_answered_with_what_it_carries() -> None:
    async with serving(echo) as server:
        peer = await open_websocket(server)
        payloads = [b"", b"x" * 125, *(b"%d" % number for number in range(100))]
        await peer.send(*map(ping, payloads))
        assert [await peer.pong() for _ in payloads] == payloads


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(TEXT, b"x", key=None), 1002),
        (frame(TEXT, b"x", rsv=4), 1002),
        (frame(TEXT, b"x", rsv=2), 1002),
        (frame(TEXT, b"x", rsv=1), 1002),
        (frame(3, b"x"), 1002),
        (frame(11, b"x"), 1002),
        (frame(PING, b"x" * 126), 1002),
        (frame(PING, b"x", fin=False), 1002),
        (frame(CONTINUATION, b"x"), 1002),
        (frame(TEXT, b"x", fin=False) + frame(TEXT, b"y"), 1002),
        (frame(BINARY, b"x", width=2), 1002),
        (frame(BINARY, b"x", width=8), 1002),
        (frame(BINARY, length=1 << 63, width=8), 1002),
        (frame(CLOSE, b"\x03"), 1002),
        (close_frame(1005), 1002),
        (close_frame(999), 1002),
        (close_frame(2999), 1002),
        (close_frame(5000), 1002),
        (close_frame(1000, b"\xff"), 1007),
        (frame(TEXT, b"\xff"), 1007),
        (frame(TEXT, b"\xed\xa0\x80"), 1007),
        (frame(TEXT, b"\xc3"), 1007),
        (frame(TEXT, b"\xf8", fin=False), 1007),
        (frame(TEXT, b"ok\xff", length=1000), 1007),
        (frame(BINARY, length=1_000_001, width=8), 1009),
        (frame(BINARY, b"x", fin=False) + frame(CONTINUATION, length=1_000_000, width=8), 1009),
        (frame(TEXT, fin=False) + frame(CONTINUATION, fin=False) * 100, 1008),
    ],
    ids=lambda value: value[:14].hex() + f"-{len(value)}" if isinstance(value, bytes) else None,
)
@in_loop
async def test_a_broken_rule_closes_with_its_code(data: bytes, code: int) -> None:
    recorder = Recorder()
    async with serving(recorder, ws_max_size=1_000_000, ws_max_fragments=100) as server:
        peer = await open_websocket(server)
        await peer.send(text("before"), data)
        found, reason = await peer.closed()
        assert found == code
        assert reason
        await server.idle()
        assert recorder.messages == ["before"]
        assert recorder.end == (code, reason)
        (line,) = server.refusals()
        assert f"WebSocket failed with {code}" in line


@in_loop
async def test_wrong_text_is_refused_before_its_end_has_come() -> None:
    async with serving(Recorder()) as server:
        peer = await open_websocket(server)
        await peer.send(frame(TEXT, b"a" * 100, fin=False))
        await peer.send(frame(CONTINUATION, b"b\xff", length=5000))
        assert (await peer.closed())[0] == 1007


@in_loop
async def test_what_follows_a_broken_rule_is_dropped() -> None:
    recorder = Recorder()
    async with serving(recorder) as server:
        peer = await open_websocket(server)
        await peer.send(frame(3), text("after"), ping(b"after"))
        await peer.closed()
        await server.idle_exchanges()
        assert recorder.messages == []


# permessage-deflate


@in_loop
async def test_messages_are_compressed_where_the_client_offers_it() -> None:
    async with serving(echo) as server:
        peer = await open_websocket(server, DEFLATE)
        agreed = peer.response.value(b"sec-websocket-extensions") or b""
        assert agreed.startswith(b"permessage-deflate")
        await peer.send(text("a" * 1000))
        found = await peer.frame()
        assert found.compressed
        assert len(found.payload) < 50
        await peer.send(ping(b"never compressed"))
        assert await peer.pong() == b"never compressed"


@in_loop
async def test_without_the_setting_nothing_is_agreed_on() -> None:
    async with serving(echo, ws_per_message_deflate=False) as server:
        peer = await open_websocket(server, DEFLATE)
        assert peer.response.value(b"sec-websocket-extensions") is None
        await peer.send(text("a" * 1000))
        assert await peer.message() == "a" * 1000
        await peer.send(frame(TEXT, b"x", rsv=4))
        assert (await peer.closed())[0] == 1002


@in_loop
async def test_the_settings_of_the_window_are_what_is_agreed_on() -> None:
    async with serving(echo, ws_deflate_window=10, ws_deflate_takeover=False) as server:
        peer = await open_websocket(server, DEFLATE)
        parts = (peer.response.value(b"sec-websocket-extensions") or b"").split(b"; ")
        assert set(parts) == {
            b"permessage-deflate",
            b"server_no_context_takeover",
            b"client_no_context_takeover",
            b"server_max_window_bits=10",
            b"client_max_window_bits=10",
        }


@in_loop
async def test_a_bomb_is_not_inflated() -> None:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -12)
    bomb = deflate.compress(bytes(50_000_000)) + deflate.flush(zlib.Z_SYNC_FLUSH)
    async with serving(Recorder(), ws_max_size=100_000) as server:
        peer = await open_websocket(server, DEFLATE)
        await peer.send(frame(BINARY, bomb[:-4], rsv=4))
        assert (await peer.closed())[0] == 1009


@in_loop
async def test_what_is_no_deflate_closes_with_1007() -> None:
    async with serving(Recorder()) as server:
        peer = await open_websocket(server, DEFLATE)
        await peer.send(frame(BINARY, b"\xff\xff\xff", rsv=4))
        assert (await peer.closed())[0] == 1007


# What the application sends


class _Safe(str):
    """As the text of a template engine is."""

    __slots__ = ()

    def __str__(self) -> str:
        return self


class _Word(enum.StrEnum):
    HELLO = "hello"


@pytest.mark.parametrize(
    ("message", "content"),
    [
        ({"text": "a"}, "a"),
        ({"text": "a", "bytes": None}, "a"),
        ({"text": ""}, ""),
        ({"bytes": b"a"}, b"a"),
        ({"text": None, "bytes": b""}, b""),
        ({"bytes": bytearray(b"a")}, b"a"),
        ({"bytes": memoryview(b"abc")[1:]}, b"bc"),
        ({"text": _Safe("<i>")}, "<i>"),
        ({"text": _Word.HELLO}, "hello"),
    ],
    ids=repr,
)
@in_loop
async def test_what_websocket_send_takes(message: Message, content: str | bytes) -> None:
    @websocket
    async def app(receive: Receive, send: Send) -> None:
        await send({"type": "websocket.send", **message})
        await receive()

    async with serving(app) as server:
        peer = await open_websocket(server)
        assert await peer.message() == content


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({}, "neither text nor bytes"),
        ({"text": None, "bytes": None}, "neither text nor bytes"),
        ({"text": "a", "bytes": b"b"}, "both text and bytes"),
        ({"text": _Safe("s"), "bytes": b"b"}, "both text and bytes"),
        ({"text": b"a"}, "is a str, not bytes"),
        ({"bytes": "a"}, "is bytes, not str"),
        ({"bytes": 5}, "is bytes, not int"),
        ({"text": "\ud800"}, "lone surrogate"),
    ],
    ids=repr,
)
@in_loop
async def test_what_it_does_not_take_is_refused_and_the_session_goes_on(
    message: Message, reason: str
) -> None:
    errors: list[str] = []

    @websocket
    async def app(receive: Receive, send: Send) -> None:
        with pytest.raises(RuntimeError) as caught:
            await send({"type": "websocket.send", **message})
        errors.append(str(caught.value))
        await send(say("still here"))
        await receive()

    async with serving(app) as server:
        peer = await open_websocket(server, DEFLATE)
        assert await peer.message() == "still here"
        assert reason in errors[0]


@in_loop
async def test_sending_needs_no_receiving() -> None:
    @websocket
    async def app(receive: Receive, send: Send) -> None:
        for number in range(1000):
            await send(say(str(number)))

    async with serving(app) as server:
        peer = await open_websocket(server)
        assert [await peer.message() for _ in range(1000)] == [str(n) for n in range(1000)]
        assert await peer.answer_close() == (1000, "")


@in_loop
async def test_sends_of_several_tasks_do_not_mix() -> None:
    @websocket
    async def app(receive: Receive, send: Send) -> None:
        async def many(letter: str) -> None:
            for size in range(1, 60):
                await send(say(letter * size * 1000))

        async with asyncio.TaskGroup() as group:
            for letter in "abcd":
                group.create_task(many(letter))

    async with serving(app) as server:
        peer = await open_websocket(server)
        found = [await peer.message() for _ in range(4 * 59)]
        assert all(len(set(each)) == 1 for each in found)
        for letter in "abcd":
            sizes = [len(each) for each in found if each[0] == letter]
            assert sizes == [size * 1000 for size in range(1, 60)]
        await peer.answer_close()


# Waiting for messages


Way = Callable[[Receive], Coroutine[Any, Any, Message]]


async def _asyncio_wait_for(receive: Receive) -> Message:
    return await asyncio.wait_for(receive(), 100)


async def _asyncio_timeout(receive: Receive) -> Message:
    async with asyncio.timeout(100):
        return await receive()


async def _asyncio_task(receive: Receive) -> Message:
    return await asyncio.create_task(receive())


async def _asyncio_gather(receive: Receive) -> Message:
    (message,) = await asyncio.gather(receive())
    return message


async def _asyncio_shield(receive: Receive) -> Message:
    return await asyncio.shield(receive())


async def _asyncio_wait(receive: Receive) -> Message:
    task = asyncio.create_task(receive())
    await asyncio.wait([task])
    return task.result()


async def _pure_python_task(receive: Receive) -> Message:
    loop = asyncio.get_running_loop()
    task: Any = asyncio.tasks._PyTask(receive(), loop=loop)  # type: ignore[attr-defined]
    message: Message = await task
    return message


async def _anyio_fail_after(receive: Receive) -> Message:
    with anyio.fail_after(100):
        return await receive()


async def _anyio_group(receive: Receive) -> Message:
    found: list[Message] = []

    async def take() -> None:
        found.append(await receive())

    async with anyio.create_task_group() as group:
        group.start_soon(take)
    return found[0]


WAYS = [
    _asyncio_wait_for,
    _asyncio_timeout,
    _asyncio_task,
    _asyncio_gather,
    _asyncio_shield,
    _asyncio_wait,
    _pure_python_task,
    _anyio_fail_after,
    _anyio_group,
]


@pytest.mark.parametrize("debug", [False, True], ids=["", "debug"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__[1:])
@in_loop
async def test_receive_is_awaited_in_any_way(way: Way, debug: bool) -> None:
    asyncio.get_running_loop().set_debug(debug)
    waiting = asyncio.Event()

    @websocket
    async def app(receive: Receive, send: Send) -> None:
        while True:
            asyncio.get_running_loop().call_soon(waiting.set)
            message = await way(receive)
            if message["type"] != "websocket.receive":
                return
            await send(say(message["text"]))

    async with serving(app) as server:
        peer = await open_websocket(server)
        for word in ("one", "two"):
            await waiting.wait()
            waiting.clear()
            await peer.send(text(word))
            assert await peer.message() == word
        await peer.send(text("three"), text("four"))
        assert [await peer.message(), await peer.message()] == ["three", "four"]
        await peer.close()
        await server.idle()


async def _cancelled_wait_for(receive: Receive) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(receive(), 0.0001)


async def _cancelled_timeout(receive: Receive) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.0001):
            await receive()


async def _cancelled_task(receive: Receive) -> None:
    task = asyncio.create_task(receive())
    await asyncio.sleep(0)
    assert "Waiter" in repr(task)
    task.cancel("enough")
    with pytest.raises(asyncio.CancelledError):
        await task


async def _cancelled_before_it_ran(receive: Receive) -> None:
    task = asyncio.create_task(receive())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def _cancelled_pure_python_task(receive: Receive) -> None:
    loop = asyncio.get_running_loop()
    task: Any = asyncio.tasks._PyTask(receive(), loop=loop)  # type: ignore[attr-defined]
    await asyncio.sleep(0)
    task.cancel("enough")
    with pytest.raises(asyncio.CancelledError):
        await task


async def _cancelled_scope(receive: Receive) -> None:
    with anyio.move_on_after(0.0001) as scope:
        await receive()
    assert scope.cancelled_caught


async def _cancelled_group(receive: Receive) -> None:
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(receive)
        await asyncio.sleep(0)
        group.cancel_scope.cancel()


CANCELLED = [
    _cancelled_wait_for,
    _cancelled_timeout,
    _cancelled_task,
    _cancelled_before_it_ran,
    _cancelled_pure_python_task,
    _cancelled_scope,
    _cancelled_group,
]


@pytest.mark.parametrize("way", CANCELLED, ids=lambda way: way.__name__[1:])
@in_loop
async def test_a_cancelled_receive_loses_nothing_and_leaves_nothing(
    way: Callable[[Receive], Coroutine[Any, Any, None]],
) -> None:
    exchanges: list[Any] = []

    @websocket
    async def app(receive: Receive, send: Send) -> None:
        exchanges.append(receive.__self__)  # type: ignore[attr-defined] # a bound method
        for _ in range(50):
            await way(receive)
        await send(say("ready"))
        while (message := await receive())["type"] == "websocket.receive":
            await send(say(message["text"]))

    async with serving(app) as server:
        peer = await open_websocket(server)
        assert await peer.message() == "ready"
        # One waits. The others would all be woken by every message, if they had been kept.
        waiters = getattr(exchanges[0], "_receivers", None)
        assert waiters is None or len(waiters) <= 3
        await peer.send(text("one"), text("two"))
        assert [await peer.message(), await peer.message()] == ["one", "two"]


@in_loop
async def test_messages_race_with_cancellation_and_none_is_lost() -> None:
    recorded: list[str] = []

    @websocket
    async def app(receive: Receive, send: Send) -> None:
        while True:
            try:
                async with asyncio.timeout(0.0005):
                    message = await receive()
            except TimeoutError:
                continue
            if message["type"] != "websocket.receive":
                return
            recorded.append(message["text"])

    async with serving(app) as server:
        peer = await open_websocket(server)
        for number in range(400):
            await peer.send(text(str(number)))
            if number % 3 == 0:
                await asyncio.sleep(0.0005)  # no synchronisation: to meet the time-out
        await peer.close()
        await server.idle()
        assert recorded == [str(number) for number in range(400)]


@in_loop
async def test_several_tasks_may_receive() -> None:
    recorded: list[str] = []

    @websocket
    async def app(receive: Receive, send: Send) -> None:
        async def take() -> None:
            while (message := await receive())["type"] == "websocket.receive":
                recorded.append(message["text"])
                await send(say(message["text"]))

        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(take())

    async with serving(app, ws_max_queue=2) as server:
        peer = await open_websocket(server)
        for number in range(50):
            await peer.send(text(str(number)))
            assert await peer.message() == str(number)
        await peer.send(*(text(str(number)) for number in range(50, 300)))
        assert sorted([int(await peer.message()) for _ in range(250)]) == list(range(50, 300))
        await peer.close()
        await server.idle()
        assert sorted(map(int, recorded)) == list(range(300))


@in_loop
async def test_each_session_keeps_its_own_context() -> None:
    number: contextvars.ContextVar[int] = contextvars.ContextVar("number", default=0)

    @websocket
    async def app(receive: Receive, send: Send) -> None:
        task = asyncio.current_task()
        while (await receive())["type"] == "websocket.receive":
            number.set(number.get() + 1)
            assert asyncio.current_task() is task
            await send(say(str(number.get())))

    async with serving(app) as server:
        first, second = await open_websocket(server), await open_websocket(server)
        for turn in range(1, 4):
            await first.send(text("x"))
            assert await first.message() == str(turn)
        await second.send(text("x"))
        assert await second.message() == "1"
        assert number.get() == 0


@in_loop
async def test_an_application_that_never_waits_lets_others_run() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    @websocket
    async def app(receive: Receive, send: Send) -> None:
        before = turns
        for _ in range(2000):
            await send(say(""))
        await send(say(str(turns - before)))

    counting = asyncio.create_task(count())
    async with serving(app) as server:
        peer = await open_websocket(server)
        for _ in range(2000):
            await peer.message()
        assert int(await peer.message()) >= 10
        await peer.answer_close()
    counting.cancel()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="this Python has no eager tasks")
@in_loop
async def test_a_task_that_receives_may_be_eager() -> None:
    eager: dict[str, Any] = {"eager_start": True}

    @websocket
    async def app(receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()
        while True:
            message = await asyncio.Task(receive(), loop=loop, **eager)
            if message["type"] != "websocket.receive":
                return
            await asyncio.Task(send(say(message["text"])), loop=loop, **eager)

    async with serving(app) as server:
        peer = await open_websocket(server)
        for word in ("one", "two"):
            await peer.send(text(word))
            assert await peer.message() == word
        await peer.send(text("three"), text("four"))
        assert [await peer.message(), await peer.message()] == ["three", "four"]


@in_loop
async def test_the_disconnect_is_told_as_often_as_it_is_asked_for() -> None:
    events: list[Message] = []

    @websocket
    async def app(receive: Receive, send: Send) -> None:
        events.extend([await receive() for _ in range(300)])

    async with serving(app) as server:
        peer = await open_websocket(server)
        await peer.close(4001, "bye")
        await server.idle()
        assert events == [{"type": "websocket.disconnect", "code": 4001, "reason": "bye"}] * 300


@in_loop
async def test_a_receive_of_each_task_learns_of_the_disconnect() -> None:
    events: list[Message] = []

    @websocket
    async def app(receive: Receive, send: Send) -> None:
        events.extend(await asyncio.gather(receive(), receive(), receive()))

    async with serving(app) as server:
        peer = await open_websocket(server)
        await until(lambda: server.service.running)
        await peer.close(1000)
        await server.idle()
        assert [event["type"] for event in events] == ["websocket.disconnect"] * 3


@in_loop
async def test_masks_of_any_key_are_taken_off() -> None:
    async with serving(echo) as server:
        peer: WebSocketPeer = await open_websocket(server)
        for key in (KEY, b"\0\0\0\0", b"\xff\xff\xff\xff", b"\1\2\3\4"):
            for size in (1, 3, 4, 5, 17, 200):
                await peer.send(frame(BINARY, bytes(range(size)), key=key))
                assert await peer.message() == bytes(range(size))
