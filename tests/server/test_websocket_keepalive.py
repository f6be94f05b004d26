"""Keep-alive: who is pinged, and who is given up."""

import asyncio

from tests.server.harness import Receive, Send, in_loop, serving, until
from tests.server.websocket_client import (
    Recorder,
    echo,
    open_websocket,
    say,
    text,
    websocket,
)
from tests.wire.websocket.frames import PING, PONG, TEXT, frame


async def turns(number: int) -> None:
    """Let that many 2 ms looks go by: no synchronisation, but time for what must not happen."""
    passed = 0

    def later() -> bool:
        nonlocal passed
        passed += 1
        return passed > number

    await until(later)


@in_loop
async def test_a_silent_peer_is_pinged_and_a_pong_keeps_it() -> None:
    async with serving(echo, ws_ping_interval=0.1, ws_ping_timeout=5) as server:
        peer = await open_websocket(server)
        for _ in range(4):
            await peer.send(frame(PONG, await peer.ping()))
        await peer.send(text("still here"))
        assert await peer.message() == "still here"


@in_loop
async def test_any_octet_is_a_sign_of_life() -> None:
    async with serving(echo, ws_ping_interval=0.1, ws_ping_timeout=5) as server:
        peer = await open_websocket(server)
        await peer.ping()
        await peer.send(frame(TEXT, b"slow", fin=False)[:3])
        await peer.ping()
        await peer.send(frame(TEXT, b"slow", fin=False)[3:])
        await peer.ping()


@in_loop
async def test_a_peer_that_does_not_answer_is_closed_with_1011() -> None:
    recorder = Recorder()
    async with serving(recorder, ws_ping_interval=0.1, ws_ping_timeout=0.1) as server:
        peer = await open_websocket(server)
        await peer.ping()
        code, reason = await peer.closed()
        assert code == 1011
        assert reason == "no answer to a ping"
        await server.idle()
        assert recorder.end == (1006, "no answer to a ping")
        assert "no answer to a ping" in server.refusals()[0]


@in_loop
async def test_without_an_interval_nobody_is_pinged() -> None:
    async with serving(echo, ws_ping_interval=0, ws_ping_timeout=0.1) as server:
        peer = await open_websocket(server)
        await turns(300)
        await peer.send(text("first"))
        assert await peer.message() == "first"


@in_loop
async def test_without_a_time_out_a_silent_peer_is_pinged_again_and_again() -> None:
    async with serving(echo, ws_ping_interval=0.1, ws_ping_timeout=0) as server:
        peer = await open_websocket(server)
        for _ in range(3):
            await peer.ping()
        await peer.send(text("at last"))
        assert await peer.message() == "at last"


@in_loop
async def test_a_peer_that_is_not_read_from_is_not_given_up() -> None:
    go_on = asyncio.Event()

    @websocket
    async def app(receive: Receive, send: Send) -> None:
        await go_on.wait()
        while (message := await receive())["type"] == "websocket.receive":
            await send(say(message["text"]))

    async with serving(app, ws_max_queue=1, ws_ping_interval=0.1, ws_ping_timeout=0.1) as server:
        peer = await open_websocket(server)
        await peer.send(text("1"), text("2"))
        await turns(400)
        go_on.set()
        assert [await peer.message(), await peer.message()] == ["1", "2"]


@in_loop
async def test_a_peer_that_reads_slowly_is_not_given_up() -> None:
    @websocket
    async def app(receive: Receive, send: Send) -> None:
        await send(say(bytes(16_000_000)))
        message = await receive()
        await send(say(message["text"]))

    async with serving(app, ws_ping_interval=0.1, ws_ping_timeout=0.1) as server:
        peer = await open_websocket(server, receive_buffer=4096)
        await turns(400)
        assert len(await peer.message()) == 16_000_000
        await peer.send(text("still here"))
        found = await peer.frame()
        while found.opcode == PING:
            found = await peer.frame()
        assert found.payload == b"still here"


@in_loop
async def test_a_session_of_a_keep_alive_is_not_closed_by_the_time_outs_of_http() -> None:
    async with serving(echo, timeout_keep_alive=0.1, timeout_head=0.1, timeout_body=0.1) as server:
        peer = await open_websocket(server)
        await turns(300)
        await peer.send(text("still here"))
        assert await peer.message() == "still here"
