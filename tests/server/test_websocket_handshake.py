"""The opening handshake over the wire: what is refused, what the application sees and answers."""

import asyncio
import gc
from typing import Any

import pytest

from tests.server.harness import (
    Message,
    Receive,
    Scope,
    Send,
    body,
    in_loop,
    request,
    serving,
    start,
    until,
)
from tests.server.websocket_client import (
    DEFLATE,
    Recorder,
    accepted,
    echo,
    handshake,
    open_websocket,
    ping,
    say,
    text,
    websocket,
)
from tests.wire.websocket.frames import close_frame
from zonda.server.exchange import Exchange, Runner, Stream
from zonda.server.service import Service
from zonda.wire.events import Request


async def both(scope: Scope, receive: Receive, send: Send) -> None:
    """Echo WebSockets; answer requests with what they are."""
    if scope["type"] == "websocket":
        await echo(scope, receive, send)
        return
    await send(start())
    await send(body(f"{scope['type']} {scope['method']} {scope['path']}".encode()))


async def unreached(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("the application was called")


# What is refused


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (handshake(without="key"), "not exactly one Sec-WebSocket-Key"),
        (handshake(key="dGhlIHNhbXBsZQ=="), "not 16 octets"),
        (handshake("/", ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==")), "not exactly one"),
        (handshake("/", ("Sec-WebSocket-Version", "13")), "more than one Sec-WebSocket-Version"),
        (handshake(method="POST"), "method other than GET"),
        (handshake(without="connection"), "no Connection field"),
        (handshake(connection="keep-alive"), "no Connection field"),
        (handshake("/", ("Sec-WebSocket-Protocol", "a b")), "not a token"),
        (handshake("/", ("Sec-WebSocket-Protocol", "a, a")), "offered twice"),
        (handshake("/", ("Sec-WebSocket-Extensions", "a; =")), "Sec-WebSocket-Extensions"),
        (handshake("/", ("Content-Length", "2")) + b"hi", "with a body"),
        (handshake("/", ("Transfer-Encoding", "chunked")) + b"0\r\n\r\n", "with a body"),
    ],
    ids=[
        "no key",
        "short key",
        "two keys",
        "two versions",
        "POST",
        "no Connection",
        "another Connection",
        "a subprotocol that is no token",
        "a subprotocol twice",
        "extensions",
        "a length",
        "a coding",
    ],
)
@in_loop
async def test_a_handshake_that_does_not_match_is_answered_400(data: bytes, reason: str) -> None:
    async with serving(unreached) as server:
        client = await server.connect()
        await client.send(data)
        response = await client.read_response()
        assert response.status == 400
        assert response.closes
        await client.assert_closed()
        (line,) = server.refusals()
        assert reason in line


@pytest.mark.parametrize("version", ["12", "8", "", "14", "13, 8"])
@in_loop
async def test_another_version_is_answered_426_which_names_13(version: str) -> None:
    async with serving(unreached) as server:
        client = await server.connect()
        await client.send(handshake(version_field=version))
        response = await client.read_response()
        assert response.status == 426
        assert response.value(b"sec-websocket-version") == b"13"
        assert response.value(b"upgrade") == b"websocket"
        connection = (response.value(b"connection") or b"").lower()
        assert {option.strip() for option in connection.split(b",")} == {b"upgrade", b"close"}
        await client.assert_closed()


@in_loop
async def test_no_version_is_answered_426() -> None:
    async with serving(unreached) as server:
        client = await server.connect()
        await client.send(handshake(without="version_field"))
        assert (await client.read_response()).status == 426


@in_loop
async def test_http_1_0_cannot_upgrade() -> None:
    """An Upgrade field of HTTP/1.0 says nothing (RFC 9110 section 7.8)."""
    async with serving(both) as server:
        client = await server.connect()
        await client.send(handshake(version="1.0"))
        response = await client.read_response()
        assert (response.status, response.body) == (200, b"http GET /")


@in_loop
async def test_an_upgrade_to_something_else_is_a_request() -> None:
    async with serving(both) as server:
        client = await server.connect()
        await client.send(handshake(upgrade="h2c"))
        assert (await client.read_response()).body == b"http GET /"


@pytest.mark.parametrize("value", ["h2c, websocket", "WebSocket", "websocket , h2c"])
@in_loop
async def test_upgrade_names_websocket_among_others(value: str) -> None:
    async with serving(echo) as server:
        client = await server.connect()
        await client.send(handshake(upgrade=value))
        await accepted(client)


@pytest.mark.parametrize("other", ["h2c", "websocket"])
@in_loop
async def test_upgrade_may_have_several_lines(other: str) -> None:
    async with serving(echo) as server:
        for data in (handshake("/", ("Upgrade", other)), handshake("/", upgrade="h2c, websocket")):
            client = await server.connect()
            await client.send(data)
            await accepted(client)


@in_loop
async def test_without_websockets_the_handshake_is_a_request() -> None:
    async with serving(both, ws="none") as server:
        client = await server.connect()
        for _ in range(2):
            await client.send(handshake("/x"))
            assert (await client.read_response()).body == b"http GET /x"


@in_loop
async def test_a_runner_without_websockets_gets_a_request() -> None:
    class Plain(Runner):
        """As a WSGI runner is: it knows requests only."""

        def __init__(self, runner: Runner) -> None:
            self.runner = runner

        def open(self, service: Service, stream: Stream, request: Request) -> Exchange:
            return self.runner.open(service, stream, request)

    async with serving(both) as server:
        server.worker._runner = Plain(server.worker._runner)  # typed as ASGI's
        client = await server.connect()
        await client.send(handshake())
        assert (await client.read_response()).body == b"http GET /"


# What the application sees


@in_loop
async def test_the_scope_says_what_the_client_asks_for() -> None:
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await echo(scope, receive, send)

    async with serving(app) as server:
        client = await server.connect()
        fields = [
            ("Sec-WebSocket-Protocol", "v2.chat, v1.chat"),
            ("Origin", "http://test"),
            ("Sec-WebSocket-Protocol", "raw"),
        ]
        await client.send(handshake("/caf%C3%A9/a?q=%20", *fields))
        await accepted(client)
        (scope,) = scopes
        headers = scope.pop("headers")
        assert scope == {
            "type": "websocket",
            "asgi": {"version": "3.0", "spec_version": "2.5"},
            "http_version": "1.1",
            "scheme": "ws",
            "path": "/caf\u00e9/a",
            "raw_path": b"/caf%C3%A9/a",
            "query_string": b"q=%20",
            "root_path": "",
            "client": client.sock.getsockname(),
            "server": client.sock.getpeername(),
            "subprotocols": ["v2.chat", "v1.chat", "raw"],
            "state": {},
            "extensions": {"websocket.http.response": {}},
        }
        assert isinstance(headers, list)
        assert (b"origin", b"http://test") in headers
        assert [value for name, value in headers if name == b"sec-websocket-protocol"] == [
            b"v2.chat, v1.chat",
            b"raw",
        ]


@in_loop
async def test_the_root_path_and_the_state_are_in_the_scope() -> None:
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            scope["state"]["shared"] = []
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        scopes.append(scope)
        scope["state"]["mine"] = len(scopes)
        await echo(scope, receive, send)

    async with serving(app, root_path="/api", lifespan="on") as server:
        for _ in range(2):
            await open_websocket(server, target="/live")
        first, second = scopes
        assert (first["root_path"], first["path"]) == ("/api", "/api/live")
        assert first["raw_path"] == b"/api/live"
        assert first["state"] == {"shared": [], "mine": 1}
        assert second["state"]["mine"] == 2
        assert first["state"]["shared"] is second["state"]["shared"]


@in_loop
async def test_scopes_share_nothing_that_can_be_changed() -> None:
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        scope["subprotocols"].append("mine")
        scope["extensions"]["mine"] = {}
        await echo(scope, receive, send)

    async with serving(app) as server:
        for _ in range(2):
            await open_websocket(server)
        assert scopes[1]["subprotocols"] == ["mine"]
        assert scopes[0]["extensions"] is not scopes[1]["extensions"]


# What it answers


def answering(*messages: Message) -> Any:  # noqa: ANN401 (an application)
    """Send ``messages`` to every client, then wait until it leaves."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "websocket"
        assert await receive() == {"type": "websocket.connect"}
        for message in messages:
            await send(message)
        while (await receive())["type"] != "websocket.disconnect":
            pass

    return app


@in_loop
async def test_headers_and_subprotocol_of_the_accept_reach_the_client() -> None:
    accept = {
        "type": "websocket.accept",
        "subprotocol": "v1.chat",
        "headers": [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"x-one", b"1")],
    }
    async with serving(answering(accept)) as server:
        peer = await open_websocket(server, ("Sec-WebSocket-Protocol", "v2.chat, v1.chat"))
        response = peer.response
        assert response.value(b"sec-websocket-protocol") == b"v1.chat"
        assert response.values(b"set-cookie") == [b"a=1", b"b=2"]
        assert response.value(b"x-one") == b"1"
        assert response.value(b"server") == b"zonda"
        assert response.value(b"date") is not None
        assert response.value(b"sec-websocket-extensions") is None


@in_loop
async def test_without_a_subprotocol_none_is_named() -> None:
    async with serving(answering({"type": "websocket.accept", "subprotocol": None})) as server:
        peer = await open_websocket(server, ("Sec-WebSocket-Protocol", "chat"))
        assert peer.response.value(b"sec-websocket-protocol") is None


@pytest.mark.parametrize(
    ("accept", "reason"),
    [
        ({"subprotocol": "other"}, "did not offer the subprotocol"),
        ({"headers": [(b"Sec-WebSocket-Protocol", b"chat")]}, "the handshake's own"),
        ({"headers": [(b"content-length", b"0")]}, "the handshake's own"),
        ({"headers": [(b"x\n", b"1")]}, ""),
        ({"headers": [(b"x", b"1\r\ny: 2")]}, ""),
    ],
    ids=["subprotocol", "field", "length", "name", "value"],
)
@in_loop
async def test_an_accept_that_cannot_be_sent_is_refused_and_another_may_follow(
    accept: Message, reason: str
) -> None:
    errors: list[Exception] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await send({"type": "websocket.accept", **accept})
        except (RuntimeError, ValueError) as error:
            errors.append(error)
        await send({"type": "websocket.accept"})
        await receive()

    async with serving(app) as server:
        await open_websocket(server, ("Sec-WebSocket-Protocol", "chat"))
        (error,) = errors
        assert reason in str(error)


@in_loop
async def test_close_before_accept_is_403() -> None:
    async with serving(answering({"type": "websocket.close"})) as server:
        client = await server.connect()
        for _ in range(2):
            await client.send(handshake())
            response = await client.read_response()
            assert (response.status, response.body) == (403, b"Forbidden")
        await server.idle_exchanges()


@in_loop
async def test_a_denial_is_a_response_and_the_connection_goes_on() -> None:
    app = answering(
        {
            "type": "websocket.http.response.start",
            "status": 401,
            "headers": [(b"www-authenticate", b"Basic"), (b"content-length", b"9")],
        },
        {"type": "websocket.http.response.body", "body": b"who are y"},
    )
    async with serving(app) as server:
        client = await server.connect()
        for _ in range(3):
            await client.send(handshake())
            response = await client.read_response()
            assert (response.status, response.body) == (401, b"who are y")
            assert response.value(b"www-authenticate") == b"Basic"
            assert not response.closes


@in_loop
async def test_a_denial_may_be_streamed() -> None:
    part = "websocket.http.response.body"
    app = answering(
        {"type": "websocket.http.response.start", "status": 404},
        {"type": part, "body": b"no", "more_body": True},
        {"type": part, "more_body": True},
        {"type": part, "body": b"thing"},
    )
    async with serving(app) as server:
        client = await server.connect()
        await client.send(handshake())
        response = await client.read_response()
        assert (response.status, response.body, response.framing) == (404, b"nothing", "chunked")


@in_loop
async def test_what_follows_a_denial_is_a_request_and_not_a_frame() -> None:
    async with serving(answering({"type": "websocket.close"})) as server:
        client = await server.connect()
        await client.send(handshake() + text("early"))
        assert (await client.read_response()).status == 403
        assert (await client.read_response()).status == 400


@in_loop
async def test_a_slow_reader_of_a_denial_stops_the_application() -> None:
    sent = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        await receive()
        await send({"type": "websocket.http.response.start", "status": 403})
        for _ in range(1000):
            piece = bytes(65_536)
            await send({"type": "websocket.http.response.body", "body": piece, "more_body": True})
            sent += len(piece)

    async with serving(app) as server:
        client = await server.connect(receive_buffer=4096)
        await client.send(handshake())
        before = -1

        def stalled() -> bool:
            nonlocal before
            before, same = sent, sent == before
            return same and sent > 0

        await until(stalled)
        assert sent < 32 * 1024 * 1024
        client.reset()
        await server.idle()


ACCEPT = {"type": "websocket.accept"}
DENY = {"type": "websocket.http.response.start", "status": 400}


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([say("x")], "the WebSocket is not accepted"),
        ([{"type": "websocket.http.response.body"}], "websocket.http.response.start first"),
        ([{"type": "http.response.start", "status": 200}], "the WebSocket is not accepted"),
        ([{"type": "websocket.receive"}], "the WebSocket is not accepted"),
        ([{"type": "nonsense"}], "'nonsense' was not expected"),
        ([DENY, ACCEPT], "websocket.accept was not expected"),
        ([DENY, DENY], "was not expected"),
        ([DENY, {"type": "websocket.close"}], "was not expected"),
        ([{"type": "websocket.close"}, ACCEPT], "websocket.accept was not expected"),
        ([{"type": "websocket.close"}, {"type": "websocket.close"}], "was not expected"),
    ],
    ids=lambda value: " ".join(each["type"] for each in value) if isinstance(value, list) else "",
)
@in_loop
async def test_a_message_out_of_order_is_refused(messages: list[Message], reason: str) -> None:
    errors: list[Exception] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        for message in messages[:-1]:
            await send(message)
        with pytest.raises(RuntimeError) as caught:
            await send(messages[-1])
        errors.append(caught.value)
        if messages[0] is DENY:
            await send({"type": "websocket.http.response.body"})
        elif len(messages) == 1:
            await send({"type": "websocket.close"})

    async with serving(app) as server:
        client = await server.connect()
        await client.send(handshake())
        assert (await client.read_response()).status in (400, 403)
        await server.idle_exchanges()
        assert reason in str(errors[0])


@in_loop
async def test_a_second_accept_is_refused() -> None:
    errors: list[str] = []

    @websocket
    async def app(receive: Receive, send: Send) -> None:
        for kind in ("websocket.accept", "websocket.http.response.start", "nonsense"):
            with pytest.raises(RuntimeError) as caught:
                await send({"type": kind})
            errors.append(str(caught.value))
        await send(say("still here"))
        await receive()

    async with serving(app) as server:
        peer = await open_websocket(server)
        assert await peer.message() == "still here"
        assert all("the WebSocket is accepted" in each for each in errors)


@pytest.mark.parametrize("ending", ["returns", "raises"])
@in_loop
async def test_an_application_that_ends_without_an_answer_gives_500(ending: str) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if ending == "raises":
            raise ValueError("my fault")

    async with serving(app) as server:
        client = await server.connect()
        await client.send(handshake("/lost"))
        assert (await client.read_response()).status == 500
        await server.idle_exchanges()
        (error,) = server.take_errors()
        assert "/lost" in error
        assert ("my fault" if ending == "raises" else "returned before it had accepted") in error


# The client leaves, or the application takes its time


@pytest.mark.parametrize("how", ["close", "reset"])
@in_loop
async def test_a_client_that_leaves_before_the_accept(how: str) -> None:
    events: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert await receive() == {"type": "websocket.connect"}
        events.extend([await receive() for _ in range(3)])
        try:
            await send({"type": "websocket.accept"})
        except OSError as error:
            events.append(error)
            raise

    async with serving(app) as server:
        client = await server.connect()
        await client.send(handshake())
        await until(lambda: server.service.running)
        getattr(client, how)()
        await server.idle()
        gone = {"type": "websocket.disconnect", "code": 1006, "reason": ""}
        assert events[:3] == [gone] * 3
        assert isinstance(events[3], OSError)


@pytest.mark.parametrize("how", ["close", "reset", "end_sending"])
@pytest.mark.parametrize("caught", [False, True], ids=["raises", "returns"])
@in_loop
async def test_an_accept_for_a_client_that_has_left_logs_nothing(how: str, caught: bool) -> None:
    may_accept = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await may_accept.wait()
        try:
            await send({"type": "websocket.accept"})
        except OSError:
            if not caught:
                raise

    async with serving(app) as server:
        client = await server.connect()
        await client.send(handshake())
        await until(lambda: server.service.running)
        (exchange,) = server.service.running
        getattr(client, how)()
        # A reset ends the connection, an end of the client's side only says that it has left.
        await until(lambda: exchange.gone or how != "reset")
        await asyncio.sleep(0.02)  # no synchronisation: either way nothing is logged
        may_accept.set()
        await server.idle_exchanges()
        assert server.errors == []


@in_loop
async def test_an_accept_that_does_not_come_in_time_is_503() -> None:
    events: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        events.extend([await receive(), await receive()])

    async with serving(app, ws_timeout_handshake=0.1, timeout_linger=0.1) as server:
        client = await server.connect()
        await client.send(handshake())
        response = await client.read_response()
        assert response.status == 503
        await client.assert_closed()
        await server.idle()
        assert events[1] == {"type": "websocket.disconnect", "code": 1006, "reason": ""}
        assert "did not accept a WebSocket in time" in server.refusals()[0]


@in_loop
async def test_a_session_is_not_bound_by_the_time_of_the_handshake() -> None:
    async with serving(echo, ws_timeout_handshake=0.1, timeout_head=0.1) as server:
        peer = await open_websocket(server)
        ticks = 0

        def later() -> bool:
            nonlocal ticks
            ticks += 1
            return ticks > 300

        await until(later)  # several turns of the wheel
        await peer.send(text("still here"))
        assert await peer.message() == "still here"


# How the octets come


@in_loop
async def test_frames_that_come_with_the_handshake_are_messages() -> None:
    async with serving(echo) as server:
        client = await server.connect()
        await client.send(handshake() + text("one") + ping(b"2") + text("three"))
        peer = await accepted(client)
        found = [await peer.frame() for _ in range(3)]
        assert {(each.opcode, each.payload) for each in found} == {
            (1, b"one"),
            (10, b"2"),
            (1, b"three"),
        }


@in_loop
async def test_frames_that_come_before_the_accept_wait_for_it() -> None:
    may_accept = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await may_accept.wait()
        await echo(scope, receive, send)

    async with serving(app) as server:
        client = await server.connect()
        await client.send(handshake())
        await until(lambda: server.service.running)
        await client.send(text("early"))
        may_accept.set()
        peer = await accepted(client)
        assert await peer.message() == "early"


@in_loop
async def test_a_flood_before_the_accept_is_held_by_tcp() -> None:
    may_accept = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await may_accept.wait()
        await echo(scope, receive, send)

    async with serving(app) as server:
        client = await server.connect()
        flood = text("x" * 50_000) * 1000
        await client.send(handshake())
        await until(lambda: server.service.running)
        taken = 0
        stalls = 0

        def stalled() -> bool:
            nonlocal taken, stalls
            more = client.send_what_fits(flood[taken:])
            taken += more
            stalls = 0 if more else stalls + 1
            return stalls > 20

        await until(stalled)
        assert taken < len(flood)
        may_accept.set()
        peer = await accepted(client)
        rest = asyncio.create_task(peer.send(flood[taken:]))
        for _ in range(1000):
            assert await peer.message() == "x" * 50_000
        await rest


@in_loop
async def test_a_receive_that_waits_across_the_accept_gets_the_early_frames() -> None:
    received: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        waiting = asyncio.create_task(receive())
        await asyncio.sleep(0)
        await until(lambda: early)
        await send({"type": "websocket.accept"})
        received.append(await waiting)

    early = False
    async with serving(app) as server:
        client = await server.connect()
        await client.send(handshake() + text("early"))
        await until(lambda: server.service.running)
        early = True
        peer = await accepted(client)
        assert await peer.answer_close() == (1000, "")
        assert received == [{"type": "websocket.receive", "text": "early"}]


@in_loop
async def test_a_handshake_may_come_octet_by_octet() -> None:
    async with serving(echo) as server:
        client = await server.connect()
        data = handshake("/", DEFLATE) + text("hello")
        for index in range(len(data)):
            await client.send(data[index : index + 1])
            await asyncio.sleep(0)
        peer = await accepted(client)
        assert await peer.message() == "hello"


@in_loop
async def test_a_request_may_come_ahead_of_the_handshake() -> None:
    async with serving(both) as server:
        client = await server.connect()
        await client.send(request("GET", "/first") + handshake() + text("hello"))
        assert (await client.read_response()).body == b"http GET /first"
        peer = await accepted(client)
        assert await peer.message() == "hello"
        assert await peer.close() == (1000, "")


@in_loop
async def test_the_request_ahead_of_the_handshake_may_take_its_time() -> None:
    go_on = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await go_on.wait()
        await both(scope, receive, send)

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request() + handshake() + text("hello"))
        await until(lambda: server.service.running)
        go_on.set()
        assert (await client.read_response()).status == 200
        assert await (await accepted(client)).message() == "hello"


@in_loop
async def test_a_client_that_ends_its_side_with_the_handshake_leaves() -> None:
    recorder = Recorder()
    async with serving(recorder) as server:
        client = await server.connect()
        await client.send(handshake() + text("last words") + close_frame(1001))
        client.end_sending()
        await client.read_to_end()
        await server.idle()


@in_loop
async def test_the_connection_of_the_handshake_may_be_collected_while_it_begins_the_session() -> (
    None
):
    """The application runs within the reading of HTTP/1, which a session takes the place of."""

    @websocket
    async def app(receive: Receive, send: Send) -> None:
        gc.collect()
        await send(say("collected"))
        await receive()

    async with serving(app) as server:
        for _ in range(3):
            client = await server.connect()
            await client.send(handshake() + text("early"))
            peer = await accepted(client)
            assert await peer.message() == "collected"
            client.close()
            await server.idle()
