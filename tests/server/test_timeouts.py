"""Time-outs: what they end, and what they leave alone."""

import asyncio
from typing import Any

import pytest

from tests.server.harness import (
    CHUNKED,
    CLOSE,
    PATIENCE,
    Client,
    Receive,
    Scope,
    Send,
    answer,
    body,
    echo,
    in_loop,
    request,
    serving,
    start,
    until,
)

SHORT = 0.2


@in_loop
async def test_a_head_that_trickles_in_is_answered_408() -> None:
    async with serving(answer(), timeout_head=SHORT) as server:
        client = await server.connect()
        reading = asyncio.ensure_future(client.read_response())
        for octet in request("GET", "/", ("X", "y" * 2000)):
            if reading.done() or not client.send_what_fits(bytes([octet])):
                break
            await asyncio.sleep(0.01)
        response = await reading
        assert response.status == 408
        assert response.closes
        await client.assert_closed()
        (line,) = server.refusals()
        assert "answered 408" in line


@in_loop
async def test_a_connection_without_a_request_is_closed() -> None:
    async with serving(answer(), timeout_head=SHORT) as server:
        client = await server.connect()
        await client.assert_closed()
        assert server.refusals() == []


@in_loop
async def test_an_idle_connection_is_closed_without_a_word() -> None:
    async with serving(answer(), timeout_keep_alive=SHORT) as server:
        client = await server.connect()
        for _ in range(2):
            await client.send(request())
            assert (await client.read_response()).status == 200
        await client.assert_closed()
        assert server.refusals() == []


@in_loop
async def test_keep_alive_0_closes_after_each_response() -> None:
    async with serving(answer(), timeout_keep_alive=0) as server:
        client = await server.connect()
        await client.send(request())
        await client.read_response()
        await client.assert_closed()


@in_loop
async def test_the_head_of_a_later_request_has_a_time_out_too() -> None:
    async with serving(answer(), timeout_head=SHORT, timeout_keep_alive=60) as server:
        client = await server.connect()
        await client.send(request())
        await client.read_response()
        await client.send(b"GET / HT")
        assert (await client.read_response()).status == 408


@in_loop
async def test_empty_lines_do_not_hold_a_connection() -> None:
    async with serving(answer(), timeout_head=SHORT) as server:
        client = await server.connect()
        await client.send(b"\r\n\r\n")
        assert (await client.read_to_end())[:12] in {b"", b"HTTP/1.1 408"}


@in_loop
async def test_a_body_that_stops_is_answered_408() -> None:
    async with serving(echo, timeout_body=SHORT) as server:
        client = await server.connect()
        await client.send(request("POST", "/", ("Content-Length", "10")) + b"abc")
        response = await client.read_response()
        assert response.status == 408
        assert response.closes
        await client.assert_closed()
        assert len(server.refusals()) == 1


@in_loop
async def test_a_body_that_goes_on_slowly_is_fine() -> None:
    async with serving(echo, timeout_body=0.3, limit_body_rate=10) as server:
        client = await server.connect()
        await client.send(request("POST", "/", ("Content-Length", "36")))
        for _ in range(12):
            await asyncio.sleep(0.05)
            await client.send(b"xxx")
        assert (await client.read_response()).body == b"POST / " + b"x" * 36


@in_loop
async def test_a_body_that_trickles_in_is_answered_408() -> None:
    async with serving(echo, timeout_body=2 * SHORT) as server:
        client = await server.connect()
        await client.send(request("POST", "/", ("Content-Length", "100000")))
        reading = asyncio.ensure_future(client.read_response())
        for _ in range(200):
            if reading.done() or not client.send_what_fits(b"x"):
                break
            await asyncio.sleep(0.02)
        assert (await reading).status == 408
        await client.assert_closed()
        assert len(server.refusals()) == 1


@in_loop
async def test_a_body_may_trickle_in_where_no_rate_is_asked_for() -> None:
    async with serving(echo, timeout_body=2 * SHORT, limit_body_rate=0) as server:
        client = await server.connect()
        await client.send(request("POST", "/", ("Content-Length", "15")))
        for _ in range(15):
            await asyncio.sleep(0.05)
            await client.send(b"x")
        assert (await client.read_response()).body == b"POST / " + b"x" * 15


@in_loop
async def test_a_body_trickles_only_while_the_application_waits() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(6):
            await receive()
            await asyncio.sleep(SHORT)
        await answer(b"late")(scope, receive, send)

    async with serving(app, timeout_body=2 * SHORT) as server:
        client = await server.connect()
        await client.send(request("POST", "/", ("Content-Length", "100000")))
        for _ in range(30):
            client.send_what_fits(b"x")
            await asyncio.sleep(SHORT / 5)
        assert (await client.read_response()).body == b"late"


@in_loop
async def test_a_body_may_stop_while_the_application_does_not_want_it() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await asyncio.sleep(4 * SHORT)
        await echo(scope, receive, send)

    async with serving(app, timeout_body=SHORT, timeout_head=SHORT) as server:
        client = await server.connect()
        await client.send(request("POST", "/", ("Content-Length", "6")) + b"abc")
        await asyncio.sleep(3 * SHORT)
        await client.send(b"def")
        assert (await client.read_response()).body == b"POST / def"


@in_loop
async def test_an_application_may_take_its_time() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await asyncio.sleep(3 * SHORT)
        await answer(b"late")(scope, receive, send)

    times: dict[str, Any] = dict.fromkeys(
        ("timeout_head", "timeout_body", "timeout_keep_alive", "timeout_write"), SHORT
    )
    async with serving(app, **times) as server:
        client = await server.connect()
        await client.send(request())
        assert (await client.read_response()).body == b"late"


@in_loop
async def test_waiting_for_the_disconnect_has_no_time_out() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await asyncio.wait_for(receive(), 4 * SHORT)
        except TimeoutError:
            await answer(b"undisturbed")(scope, receive, send)

    async with serving(app, timeout_body=SHORT, timeout_head=SHORT) as server:
        client = await server.connect()
        await client.send(request())
        assert (await client.read_response()).body == b"undisturbed"


@pytest.mark.parametrize("fields", [("Content-Length", "10"), CHUNKED], ids=["length", "chunked"])
@in_loop
async def test_a_body_that_nobody_reads_does_not_hold_the_connection_for_ever(
    fields: tuple[str, str],
) -> None:
    times: dict[str, Any] = dict.fromkeys(
        ("timeout_body", "timeout_keep_alive", "timeout_head"), SHORT
    )
    async with serving(answer(), timeout_linger=SHORT, **times) as server:
        client = await server.connect()
        await client.send(request("POST", "/", fields))
        assert (await client.read_response()).status == 200
        await client.read_to_end()


@in_loop
async def test_a_client_that_stops_reading_is_given_up() -> None:
    raised: list[BaseException] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        try:
            while True:
                await send(body(b"x" * 65_536, more=True))
        except OSError as error:
            raised.append(error)
            raise

    async with serving(app, timeout_write=SHORT) as server:
        client = await server.connect(receive_buffer=4096)
        await client.send(request())
        await until(lambda: raised)
        await server.idle()
        (line,) = server.refusals()
        assert "stopped reading" in line


@in_loop
async def test_a_complete_response_that_is_not_read_is_given_up() -> None:
    async with serving(answer(b"x" * 16_000_000), timeout_write=SHORT) as server:
        client = await server.connect(receive_buffer=4096)
        await client.send(request())
        await server.accepted(1)
        await server.idle()
        assert len(server.refusals()) == 1


@in_loop
async def test_a_client_that_reads_slowly_is_not_given_up() -> None:
    async with serving(answer(b"x" * 3_000_000), timeout_write=2 * SHORT) as server:
        client = await server.connect(receive_buffer=4096)
        await client.send(request())
        received = bytearray()
        # Longer than the time-out in all, never as long without taking something.
        for _ in range(12):
            await asyncio.sleep(SHORT / 2)
            received += client.sock.recv(65_536)
        client.unread[:0] = received
        assert len((await client.read_response()).body) == 3_000_000


@pytest.mark.parametrize("how", ["asked to close", "refused"])
@in_loop
async def test_a_client_that_stays_after_the_last_answer_is_left(how: str) -> None:
    async with serving(answer(), timeout_linger=SHORT) as server:
        client = await server.connect()
        await client.send(request("GET", "/", CLOSE) if how == "asked to close" else b"x\r\n")
        await client.read_response()
        await client.assert_closed()
        await server.idle()


@in_loop
async def test_the_time_to_linger_begins_when_the_answer_has_been_taken() -> None:
    # Else a slow reader's last answer would be cut off.
    content = b"x" * 4_000_000
    async with serving(answer(content), timeout_linger=SHORT) as server:
        client = await server.connect(receive_buffer=4096)
        await client.send(request("GET", "/", CLOSE))
        await server.accepted(1)
        left = asyncio.ensure_future(server.idle())
        await asyncio.wait([left], timeout=4 * SHORT)
        response = await client.read_response()
        assert response.body == content
        client.close()
        await left


@in_loop
async def test_the_time_to_linger_does_not_cut_off_a_short_answer_either() -> None:
    # What is left of an answer to a pipelined request when the socket is full.
    content = b"x" * 60_000
    async with serving(answer(content), timeout_linger=SHORT) as server:
        client = await server.connect(receive_buffer=2048)
        number = 200
        await client.send(request() * number + request("GET", "/", CLOSE))
        total = 0
        for _ in range(number - 3):
            total += len((await client.read_response()).body)
        left = asyncio.ensure_future(server.idle())
        await asyncio.wait([left], timeout=4 * SHORT)
        for _ in range(4):
            total += len((await client.read_response()).body)
        assert total == (number + 1) * len(content)
        client.close()
        await left


@in_loop
async def test_a_refused_client_that_goes_on_sending_is_reset_in_the_end() -> None:
    async with serving(answer(), timeout_linger=SHORT, limit_request_body=10) as server:
        client = await server.connect()
        await client.send(request("POST", "/", ("Content-Length", "1000000000")))
        assert (await client.read_response()).status == 413
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(_send_for_ever(client), PATIENCE)
        await server.idle()


async def _send_for_ever(client: Client) -> None:
    while True:
        client.sock.send(b"x" * 1000)
        await asyncio.sleep(0.01)


@in_loop
async def test_zero_means_no_time_out() -> None:
    times: dict[str, Any] = dict.fromkeys(("timeout_head", "timeout_body", "timeout_write"), 0)
    async with serving(echo, **times) as server:
        client = await server.connect()
        await client.send(request("POST", "/", ("Content-Length", "3"))[:-4])
        await asyncio.sleep(SHORT)
        await client.send(b"\r\n\r\n")
        await asyncio.sleep(SHORT)
        await client.send(b"abc")
        assert (await client.read_response()).body == b"POST / abc"


@in_loop
async def test_a_loop_that_was_blocked_makes_no_time_out_early() -> None:
    import time  # noqa: PLC0415

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        time.sleep(0.8)  # noqa: ASYNC251 (an application that blocks the loop)
        await echo(scope, receive, send)

    async with serving(app, timeout_body=0.5) as server:
        client = await server.connect()
        await client.send(request("POST", "/", ("Content-Length", "2")) + b"a")
        reading = asyncio.ensure_future(client.read_response())
        await until(lambda: server.service.running)
        await asyncio.sleep(0.2)
        await client.send(b"b")
        assert (await reading).status == 200
