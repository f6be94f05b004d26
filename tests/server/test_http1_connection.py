"""One HTTP/1 connection: pipelining, persistence, framing, 100 (Continue) and refusals."""

import asyncio

import pytest

from tests.server.harness import (
    CHUNKED,
    CLOSE,
    KEEP_ALIVE,
    Message,
    Receive,
    ResponseCutOffError,
    Scope,
    Send,
    answer,
    body,
    chunked,
    echo,
    in_loop,
    read_body,
    request,
    serving,
    soon,
    start,
    until,
)
from zonda.asgi.types import ASGIApp

# Pipelining


@in_loop
async def test_pipelined_requests_are_answered_in_order() -> None:
    async with serving(echo) as server:
        client = await server.connect()
        await client.send(b"".join(request("GET", f"/{number}") for number in range(300)))
        for number in range(300):
            assert (await client.read_response()).body == f"GET /{number} ".encode()


@in_loop
async def test_a_slow_first_request_holds_back_the_answers_behind_it() -> None:
    gate = asyncio.Event()
    begun: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        begun.append(scope["path"])
        if scope["path"] == "/slow":
            await gate.wait()
        await send(start())
        await send(body(scope["path"].encode()))

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request("GET", "/slow") + request("GET", "/fast") * 2)
        await until(lambda: begun)
        gate.set()
        answers = [(await client.read_response()).body for _ in range(3)]
        assert answers == [b"/slow", b"/fast", b"/fast"]
        assert begun == ["/slow", "/fast", "/fast"]


@in_loop
async def test_answers_from_another_task_keep_the_order() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def respond() -> None:
            await asyncio.sleep(0)
            await send(start())
            await send(body(scope["path"].encode(), more=True))
            await asyncio.sleep(0)
            await send(body(b"!"))

        await asyncio.create_task(respond())

    async with serving(app) as server:
        client = await server.connect()
        await client.send(b"".join(request("GET", f"/{number}") for number in range(50)))
        for number in range(50):
            assert (await client.read_response()).body == b"/%d!" % number


@in_loop
async def test_the_next_request_begins_although_the_application_has_not_returned() -> None:
    gate = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"done"))
        await gate.wait()

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request() * 2)
        assert (await client.read_response()).body == b"done"
        assert (await client.read_response()).body == b"done"
        assert server.service.in_flight == 2
        gate.set()


@in_loop
async def test_pipelined_bodies_reach_the_request_they_belong_to() -> None:
    async with serving(echo) as server:
        client = await server.connect()
        await client.send(
            request("POST", "/a", content=b"1" * 1000)
            + request("POST", "/b", CHUNKED)
            + chunked(b"22", b"333")
            + request("GET", "/c")
        )
        assert (await client.read_response()).body == b"POST /a " + b"1" * 1000
        assert (await client.read_response()).body == b"POST /b 22333"
        assert (await client.read_response()).body == b"GET /c "


@in_loop
async def test_a_request_may_come_octet_by_octet() -> None:
    async with serving(echo) as server:
        client = await server.connect()
        for octet in request("POST", "/", CHUNKED) + chunked(b"ab", b"c"):
            await client.send(bytes([octet]))
        assert (await client.read_response()).body == b"POST / abc"


@in_loop
async def test_pipelined_requests_before_a_half_close_are_all_answered() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.01)
        await send(start())
        await send(body(scope["path"].encode()))

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request("GET", "/1") + request("GET", "/2") + request("GET", "/3"))
        client.end_sending()
        assert [(await client.read_response()).body for _ in range(3)] == [b"/1", b"/2", b"/3"]
        await client.assert_closed()


@in_loop
async def test_a_request_behind_an_unread_body_is_answered() -> None:
    async with serving(answer()) as server:
        client = await server.connect()
        await client.send(request("POST", content=b"x" * 200_000) + request())
        assert (await client.read_response()).status == 200
        assert (await client.read_response()).status == 200


# Persistence


@in_loop
async def test_http_1_1_connections_persist() -> None:
    async with serving(answer()) as server:
        client = await server.connect()
        for _ in range(5):
            await client.send(request())
            response = await client.read_response()
            assert response.value(b"connection") is None
        assert len(server.service.connections) == 1


@in_loop
async def test_http_1_0_connections_end_with_the_response() -> None:
    async with serving(answer()) as server:
        client = await server.connect()
        await client.send(request(version="1.0"))
        response = await client.read_response()
        assert response.closes
        assert response.body == b"ok"
        await client.assert_closed()


@in_loop
async def test_http_1_0_connections_persist_if_asked_to() -> None:
    async with serving(answer()) as server:
        client = await server.connect()
        for _ in range(3):
            await client.send(request("GET", "/", KEEP_ALIVE, version="1.0"))
            response = await client.read_response()
            assert response.value(b"connection") == b"keep-alive"
            assert response.framing == "length"


@in_loop
async def test_a_client_that_asks_to_close_gets_a_close() -> None:
    async with serving(answer()) as server:
        client = await server.connect()
        await client.send(request("GET", "/", CLOSE) + request())
        assert (await client.read_response()).closes
        await client.assert_closed()


@pytest.mark.parametrize("value", [b"close", b"Close"])
@in_loop
async def test_an_application_can_close_the_connection(value: bytes) -> None:
    async with serving(answer(b"ok", 200, (b"connection", value))) as server:
        client = await server.connect()
        await client.send(request())
        assert (await client.read_response()).closes
        await client.assert_closed()


@in_loop
async def test_framing_fields_of_the_application_do_not_reach_the_wire() -> None:
    app = answer(b"ok", 200, (b"transfer-encoding", b"gzip"), (b"connection", b"keep-alive"))
    async with serving(app) as server:
        client = await server.connect()
        await client.send(request())
        response = await client.read_response()
        assert response.value(b"transfer-encoding") is None
        assert response.value(b"connection") is None
        assert response.framing == "length"


# Framing


def streaming(*pieces: bytes, status: int = 200) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start(status))
        for piece in pieces:
            await send(body(piece, more=True))
        await send(body())

    return app


@in_loop
async def test_a_body_that_comes_whole_gets_a_content_length() -> None:
    async with serving(answer(b"hello")) as server:
        client = await server.connect()
        await client.send(request())
        response = await client.read_response()
        assert (response.framing, response.body) == ("length", b"hello")
        assert response.value(b"content-length") == b"5"


@in_loop
async def test_an_empty_body_gets_content_length_zero() -> None:
    async with serving(answer(b"")) as server:
        client = await server.connect()
        await client.send(request())
        assert (await client.read_response()).value(b"content-length") == b"0"


@in_loop
async def test_a_body_in_pieces_is_chunked() -> None:
    async with serving(streaming(b"a", b"", b"bc")) as server:
        client = await server.connect()
        await client.send(request() * 2)
        for _ in range(2):
            response = await client.read_response()
            assert (response.framing, response.body) == ("chunked", b"abc")


@in_loop
async def test_http_1_0_clients_get_no_chunks_but_the_end_of_the_connection() -> None:
    async with serving(streaming(b"a", b"bc")) as server:
        client = await server.connect()
        await client.send(request("GET", "/", KEEP_ALIVE, version="1.0"))
        response = await client.read_response()
        assert (response.framing, response.body) == ("close", b"abc")


@in_loop
async def test_the_end_that_ends_a_body_comes_at_once() -> None:
    # Not only when the time to linger is over.
    content = b"x" * 100_000
    app = streaming(content)
    async with serving(app, timeout_linger=60) as server:
        client = await server.connect()
        await client.send(request(version="1.0"))
        assert (await client.read_response()).body == content


@in_loop
async def test_a_large_answer_that_closes_is_followed_by_the_end_at_once() -> None:
    content = b"x" * 100_000
    async with serving(answer(content), timeout_linger=60) as server:
        client = await server.connect()
        await client.send(request("GET", "/", CLOSE))
        assert (await client.read_response()).body == content
        await client.assert_closed()


@pytest.mark.parametrize("pieces", [(b"hello",), (b"he", b"llo")], ids=["whole", "in pieces"])
@in_loop
async def test_a_response_to_head_has_no_content(pieces: tuple[bytes, ...]) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        for piece in pieces[:-1]:
            await send(body(piece, more=True))
        await send(body(pieces[-1]))

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request("HEAD") + request("GET"))
        head = await client.read_response("HEAD")
        assert head.value(b"content-length") in {b"5", None}
        assert (await client.read_response()).body == b"hello"


@pytest.mark.parametrize("status", [204, 205, 304])
@in_loop
async def test_statuses_without_content_have_none(status: int) -> None:
    async with serving(answer(b"never sent", status)) as server:
        client = await server.connect()
        await client.send(request() * 2)
        for _ in range(2):
            response = await client.read_response()
            assert response.status == status
            assert response.body == b""
            assert response.value(b"transfer-encoding") is None
            if status == 204:
                assert response.value(b"content-length") is None


@in_loop
async def test_date_and_server_are_sent_once() -> None:
    app = answer(b"ok", 200, (b"Server", b"mine"), (b"X-Case", b"Kept"))
    async with serving(app) as server:
        client = await server.connect()
        await client.send(request())
        response = await client.read_response()
        assert response.value(b"server") == b"mine"
        assert response.value(b"date") is not None
        assert (b"X-Case", b"Kept") in response.fields


# The 100 (Continue) response

EXPECT = ("Expect", "100-continue")


@in_loop
async def test_100_is_sent_when_the_application_first_awaits_the_body() -> None:
    gate = asyncio.Event()
    waiting = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        waiting.set()
        await gate.wait()
        await echo(scope, receive, send)

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request("POST", "/", EXPECT, ("Content-Length", "5")))
        await soon(waiting.wait())
        assert client.unread == b""
        gate.set()
        assert (await client.read_interim()).status == 100
        await client.send(b"hello")
        response = await client.read_response()
        assert response.interim == []
        assert response.body == b"POST / hello"
        assert response.value(b"connection") is None
        await client.send(request())
        assert (await client.read_response()).body == b"GET / "


@in_loop
async def test_100_is_not_sent_when_the_body_is_there_already() -> None:
    async with serving(echo) as server:
        client = await server.connect()
        await client.send(request("POST", "/", EXPECT, content=b"hello"))
        response = await client.read_response()
        assert response.interim == []
        assert response.body == b"POST / hello"


@in_loop
async def test_a_final_answer_in_place_of_100_closes_the_connection() -> None:
    async with serving(answer(b"no", 403), timeout_linger=60) as server:
        client = await server.connect()
        await client.send(request("POST", "/", EXPECT, ("Content-Length", "5")))
        response = await client.read_response()
        assert (response.status, response.interim) == (403, [])
        assert response.closes
        await client.assert_closed()


@in_loop
async def test_http_1_0_clients_get_no_100() -> None:
    async with serving(echo) as server:
        client = await server.connect()
        await client.send(request("POST", "/", EXPECT, ("Content-Length", "5"), version="1.0"))
        await until(lambda: server.service.in_flight)
        await client.send(b"hello")
        response = await client.read_response()
        assert response.interim == []
        assert response.body == b"POST / hello"


@in_loop
async def test_100_is_not_sent_within_a_response() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"begun ", more=True))
        await send(body(b"read " + await read_body(receive)))

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request("POST", "/", EXPECT, ("Content-Length", "5")))
        await until(lambda: server.service.running)
        await client.send(b"hello")
        response = await client.read_response()
        assert response.body == b"begun read hello"


# What the application sends and must not


@pytest.mark.parametrize(
    "field",
    [
        (b"x-evil", b"a\r\nset-cookie: stolen"),
        (b"x-evil", b"a\nb"),
        (b"x-evil", b"a\0b"),
        (b"x evil", b"a"),
        (b"x\r\nevil", b"a"),
        (b"", b"a"),
        ("x-text", "str"),
    ],
    ids=repr,
)
@in_loop
async def test_header_injection_is_answered_500(field: tuple[bytes, bytes]) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        fields = [field] if scope["path"] == "/evil" else []
        await send(start(200, *fields))
        await send(body(b"ok"))

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request("GET", "/evil"))
        response = await client.read_response()
        assert response.status == 500
        assert b"x-evil" not in dict(response.fields)
        (error,) = server.take_errors()
        assert "header" in error
        other = await server.connect()
        await other.send(request("GET", "/good"))
        assert (await other.read_response()).body == b"ok"


@in_loop
async def test_a_body_unlike_its_content_length_at_once_is_answered_500() -> None:
    for length in (b"1", b"3", b"x", b"-2"):
        async with serving(answer(b"ok", 200, (b"content-length", length))) as server:
            client = await server.connect()
            await client.send(request())
            assert (await client.read_response()).status == 500
            (error,) = server.take_errors()
            assert "content-length" in error


def declaring(length: int, *pieces: bytes) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/next":
            await answer(b"next")(scope, receive, send)
            return
        await send(start(200, (b"content-length", b"%d" % length)))
        for piece in pieces[:-1]:
            await send(body(piece, more=True))
        await send(body(pieces[-1]))

    return app


@pytest.mark.parametrize(
    ("length", "pieces"),
    [
        (10, (b"abc", b"")),
        (10, (b"abc", b"de")),
        (10, (b"", b"abc")),
        (4, (b"abc", b"de")),
        (4, (b"abc", b"d", b"e", b"")),
    ],
)
@in_loop
async def test_a_body_unlike_its_content_length_is_cut_off(
    length: int, pieces: tuple[bytes, ...]
) -> None:
    app = declaring(length, *pieces)
    async with serving(app, timeout_linger=60) as server:
        client = await server.connect()
        await client.send(request() + request("GET", "/next"))
        received = await client.read_to_end()
        head, _, content = received.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert len(content) <= length
        assert b"".join(pieces).startswith(content)
        (error,) = server.take_errors()
        assert "content-length" in error


@in_loop
async def test_a_surplus_never_reaches_the_next_response() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start(200, (b"content-length", b"2")))
        await send(body(b"ok"))
        with pytest.raises(RuntimeError, match="complete"):
            await send(body(b"surplus"))

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request() * 3)
        for _ in range(3):
            assert (await client.read_response()).body == b"ok"


@in_loop
async def test_an_unfinished_chunked_response_is_cut_off() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"part", more=True))

    async with serving(app, timeout_linger=60) as server:
        client = await server.connect()
        await client.send(request() + request())
        with pytest.raises(ResponseCutOffError):
            await client.read_response()
        assert len(server.take_errors()) == 1


@in_loop
async def test_an_unfinished_response_to_http_1_0_does_not_look_complete() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"part", more=True))
        raise ValueError("midway")

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request(version="1.0"))
        await client.read_to_reset()
        assert len(server.take_errors()) == 1


# Refusals

LONG = "x" * 70_000
REFUSED: list[tuple[str, bytes, int]] = [
    ("no host", b"GET / HTTP/1.1\r\n\r\n", 400),
    ("two hosts", b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    ("bad host", b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    ("bare lf", b"GET / HTTP/1.1\nHost: a\n\n", 400),
    ("bare cr", b"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", 400),
    ("nul", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 400),
    ("obs-fold", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400),
    ("space before colon", b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    ("no method", b" / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("bad target", b"GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("no version", b"GET /\r\nHost: a\r\n\r\n", 400),
    ("http/2", b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    ("tls hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 200, 400),
    ("cl and te", request("POST", "/", CHUNKED, ("Content-Length", "3")) + b"abc", 400),
    ("two lengths", request("POST", "/", ("Content-Length", "3"), content=b"abc"), 400),
    ("bad length", request("POST", "/", ("Content-Length", "+3")) + b"abc", 400),
    ("te in 1.0", request("POST", "/", CHUNKED, version="1.0"), 400),
    ("unknown coding", request("POST", "/", ("Transfer-Encoding", "gzip, chunked")), 501),
    ("chunked not last", request("POST", "/", ("Transfer-Encoding", "chunked, gzip")), 400),
    ("bad chunk size", request("POST", "/", CHUNKED) + b"z\r\n", 400),
    ("chunk too long", request("POST", "/", CHUNKED) + b"1\r\nab\r\n", 400),
    ("chunk extension", request("POST", "/", CHUNKED) + b"1;" + b"e" * 500 + b"\r\n", 400),
    ("trailer", request("POST", "/", CHUNKED) + b"0\r\nHost: b\r\n\r\n", 400),
    ("long method", request("M" * 40), 501),
    ("connect", b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 501),
    ("long target", request("GET", "/" + LONG), 414),
    ("long head", request("GET", "/", ("X", LONG)), 431),
    ("many fields", request("GET", "/", *[("X", "y")] * 120), 431),
    ("expectation", request("GET", "/", ("Expect", "miracles")), 417),
    ("long body", request("POST", "/", ("Content-Length", "2000000000")), 413),
]


@pytest.mark.parametrize(
    ("data", "status"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
@in_loop
async def test_what_is_refused_gets_its_status_a_log_line_and_a_close(
    data: bytes, status: int
) -> None:
    called: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        called.append(scope)
        await answer()(scope, receive, send)

    async with serving(app, timeout_linger=60) as server:
        client = await server.connect()
        await client.send(data)
        response = await client.read_response()
        assert response.status == status
        assert response.closes
        assert response.framing == "length"
        await client.assert_closed()
        assert called == []
        (line,) = server.refusals()
        assert f": answered {status}: " in line
        client.close()
        await server.idle()


@in_loop
async def test_the_answer_can_be_read_while_the_client_still_sends() -> None:
    async with serving(answer(), limit_request_body=1000) as server:
        client = await server.connect()
        await client.send(request("POST", "/", ("Content-Length", "50000000")))
        for _ in range(20):
            await client.send(b"x" * 100_000)
        response = await client.read_response()
        assert response.status == 413
        await client.assert_closed()


@in_loop
async def test_what_is_refused_comes_after_the_answers_before_it() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0)
        await answer(b"good")(scope, receive, send)

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request() * 2 + b"BAD\r\n\r\n" + request())
        assert (await client.read_response()).body == b"good"
        assert (await client.read_response()).body == b"good"
        assert (await client.read_response()).status == 400
        await client.assert_closed()


@in_loop
async def test_a_refusal_after_a_head_request_has_content() -> None:
    async with serving(answer()) as server:
        client = await server.connect()
        await client.send(request("HEAD"))
        await client.read_response("HEAD")
        await client.send(b"BAD\r\n\r\n")
        response = await client.read_response()
        assert response.status == 400
        assert response.body != b""


@in_loop
async def test_a_body_that_turns_bad_ends_the_request_it_belongs_to() -> None:
    heard: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        heard.append(await receive())
        heard.append(await receive())

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request("POST", "/", CHUNKED) + b"3\r\nabc\r\n")
        await until(lambda: heard)
        await client.send(b"nonsense\r\n")
        response = await client.read_response()
        assert response.status == 400
        await client.assert_closed()
        await until(lambda: len(heard) == 2)
        assert heard == [
            {"type": "http.request", "body": b"abc", "more_body": True},
            {"type": "http.disconnect"},
        ]


@in_loop
async def test_a_body_that_turns_bad_after_the_head_cuts_the_response_off() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"begun", more=True))
        while (await receive())["type"] != "http.disconnect":
            pass

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request("POST", "/", CHUNKED))
        head = await client.read_head()
        assert head.status == 200
        await client.send(b"nonsense\r\n")
        rest = await client.read_to_end()
        assert rest == b"5\r\nbegun\r\n"
