"""The ASGI extensions: trailers, early hints, and files sent by the server."""

import asyncio
import contextlib
import os
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.server.harness import (
    KEEP_ALIVE,
    Message,
    Receive,
    Response,
    ResponseCutOffError,
    Scope,
    Send,
    answer,
    body,
    in_loop,
    open_files,
    request,
    serving,
    start,
    until,
)
from zonda.asgi.types import ASGIApp

TE = ("TE", "trailers")
CONTENT = bytes(range(256)) * 400  # 102,400 bytes


def sending(*messages: Message) -> ASGIApp:
    """An application that sends these messages."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    return app


async def ask(app: ASGIApp, data: bytes, method: str = "GET") -> Response:
    """The response to a request, with another one pipelined behind it where that is possible."""
    async with serving(app) as server:
        client = await server.connect()
        await client.send(data * 2)
        response = await client.read_response(method)
        if not response.closes:
            again = await client.read_response(method)
            assert again.body == response.body
        return response


@in_loop
async def test_the_scope_names_the_extensions() -> None:
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["extensions"])
        await answer()(scope, receive, send)

    await ask(app, request())
    for name in ("trailers", "early_hint", "pathsend", "zerocopysend"):
        assert seen[0][f"http.response.{name}"] == {}


# Trailers


def trailers(*fields: tuple[bytes, bytes], more: bool = False) -> Message:
    return {"type": "http.response.trailers", "headers": list(fields), "more_trailers": more}


WITH_TRAILERS = sending(
    start(200, trailers=True),
    body(b"a", more=True),
    body(b"b"),
    trailers((b"x-sum", b"1"), more=True),
    trailers((b"x-more", b"2")),
)


@pytest.mark.parametrize("te", ["trailers", "gzip;q=0.5, Trailers"])
@in_loop
async def test_trailers_are_sent_to_clients_that_want_them(te: str) -> None:
    response = await ask(WITH_TRAILERS, request("GET", "/", ("TE", te)))
    assert (response.framing, response.body) == ("chunked", b"ab")
    assert response.trailers == [(b"x-sum", b"1"), (b"x-more", b"2")]


@in_loop
async def test_trailers_are_kept_from_other_clients() -> None:
    response = await ask(WITH_TRAILERS, request())
    assert (response.framing, response.body, response.trailers) == ("chunked", b"ab", [])
    response = await ask(WITH_TRAILERS, request("GET", "/", TE, KEEP_ALIVE, version="1.0"))
    assert (response.framing, response.body) == ("close", b"ab")
    response = await ask(WITH_TRAILERS, request("HEAD", "/", TE), "HEAD")
    assert (response.body, response.trailers) == (b"", [])


@in_loop
async def test_trailers_follow_a_body_that_came_whole() -> None:
    app = sending(start(200, trailers=True), body(b"whole"), trailers((b"x", b"y")))
    response = await ask(app, request("GET", "/", TE))
    assert (response.body, response.trailers) == (b"whole", [(b"x", b"y")])


@in_loop
async def test_trailers_after_a_declared_length_are_left_out() -> None:
    head = start(200, (b"content-length", b"2"), trailers=True)
    app = sending(head, body(b"ab"), trailers((b"x", b"y")))
    response = await ask(app, request("GET", "/", TE))
    assert (response.framing, response.body) == ("length", b"ab")


@pytest.mark.parametrize(
    "field", [(b"x", b"a\r\nb"), (b"content-length", b"3"), (b"bad name", b"x")], ids=repr
)
@in_loop
async def test_a_bad_trailer_cuts_the_response_off(field: tuple[bytes, bytes]) -> None:
    app = sending(start(200, trailers=True), body(b"ab"), trailers(field))
    async with serving(app, timeout_linger=60) as server:
        client = await server.connect()
        await client.send(request("GET", "/", TE))
        with pytest.raises(ResponseCutOffError):
            await client.read_response()
        assert len(server.take_errors()) == 1


@in_loop
async def test_missing_trailers_are_a_fault() -> None:
    async with serving(sending(start(200, trailers=True), body(b"ab"))) as server:
        client = await server.connect()
        await client.send(request("GET", "/", TE))
        with pytest.raises(ResponseCutOffError):
            await client.read_response()
        assert len(server.take_errors()) == 1


# Early hints


def hint(*links: bytes) -> Message:
    return {"type": "http.response.early_hint", "links": list(links)}


@pytest.mark.parametrize("first", ["hint", "start"])
@in_loop
async def test_early_hints_come_ahead_of_the_head(first: str) -> None:
    link = b"</style.css>; rel=preload; as=style"
    if first == "hint":
        app = sending(hint(link), hint(b"<a>", b"<b>"), start(), body(b"ok"))
    else:
        app = sending(start(), hint(link), hint(b"<a>", b"<b>"), body(b"ok"))
    response = await ask(app, request())
    assert [each.status for each in response.interim] == [103, 103]
    assert response.interim[0].fields == [(b"link", link)]
    assert response.interim[1].fields == [(b"link", b"<a>"), (b"link", b"<b>")]
    assert response.body == b"ok"


@in_loop
async def test_early_hints_are_sent_at_once() -> None:
    gate = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(hint(b"<a>"))
        await gate.wait()
        await answer()(scope, receive, send)

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request())
        assert (await client.read_interim()).status == 103
        gate.set()
        assert (await client.read_response()).status == 200


@in_loop
async def test_http_1_0_clients_get_no_early_hints() -> None:
    response = await ask(sending(hint(b"<a>"), start(), body(b"ok")), request(version="1.0"))
    assert response.interim == []
    assert response.body == b"ok"


@in_loop
async def test_early_hints_that_come_late_do_no_harm() -> None:
    app = sending(start(), body(b"a", more=True), hint(b"<a>"), body(b"b"))
    response = await ask(app, request())
    assert response.body == b"ab"


@in_loop
async def test_early_hints_cannot_be_used_for_injection() -> None:
    async with serving(sending(hint(b"<a>\r\nset-cookie: x"))) as server:
        client = await server.connect()
        await client.send(request())
        response = await client.read_response()
        assert (response.status, response.interim) == (500, [])
        assert len(server.take_errors()) == 1


# Whole files


def pathsend(path: Path | str) -> Message:
    return {"type": "http.response.pathsend", "path": str(path)}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "content.bin"
    path.write_bytes(CONTENT)
    return path


@in_loop
async def test_pathsend_sends_a_whole_file(file: Path) -> None:
    response = await ask(sending(start(), pathsend(file)), request())
    assert (response.framing, response.body) == ("length", CONTENT)


@in_loop
async def test_pathsend_keeps_the_length_the_application_gave(file: Path) -> None:
    head = start(200, (b"content-length", b"%d" % len(CONTENT)))
    response = await ask(sending(head, pathsend(file)), request())
    assert response.values(b"content-length") == [b"102400"]
    assert response.body == CONTENT


@in_loop
async def test_pathsend_answers_head_without_content(file: Path) -> None:
    response = await ask(sending(start(), pathsend(file)), request("HEAD"), "HEAD")
    assert response.value(b"content-length") == b"102400"


@in_loop
async def test_pathsend_answers_http_1_0(file: Path) -> None:
    response = await ask(sending(start(), pathsend(file)), request(version="1.0"))
    assert (response.framing, response.body) == ("length", CONTENT)


@in_loop
async def test_pathsend_sends_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    response = await ask(sending(start(), pathsend(tmp_path / "empty")), request())
    assert (response.framing, response.body) == ("length", b"")


@pytest.mark.parametrize("status", [204, 304])
@in_loop
async def test_pathsend_with_a_status_without_content_sends_none(file: Path, status: int) -> None:
    response = await ask(sending(start(status), pathsend(file)), request())
    assert (response.status, response.body) == (status, b"")


@pytest.mark.parametrize("what", ["missing", "directory", "wrong length", "fifo"])
@in_loop
async def test_pathsend_of_what_cannot_be_sent_is_answered_500(file: Path, what: str) -> None:
    head = start(200, (b"content-length", b"5")) if what == "wrong length" else start()
    path = file
    if what == "missing":
        path = file.with_name("missing")
    elif what == "directory":
        path = file.parent
    elif what == "fifo":
        path = file.with_name("fifo")
        os.mkfifo(path)
    async with serving(sending(head, pathsend(path))) as server:
        client = await server.connect()
        with unblocked_fifo(path) if what == "fifo" else contextlib.nullcontext():
            await client.send(request())
            assert (await client.read_response()).status == 500
            before = open_files()
            await client.send(request())
            assert (await client.read_response()).status == 500
        assert open_files() <= before
        assert len(server.take_errors()) == 2


@contextlib.contextmanager
def unblocked_fifo(path: Path) -> Any:  # noqa: ANN401
    """Fail, rather than hang, if someone waits for the other end of a fifo."""
    hung: list[int] = []

    def open_other_end() -> None:
        with contextlib.suppress(OSError):
            hung.append(os.open(path, os.O_WRONLY | os.O_NONBLOCK))

    timer = threading.Timer(2, open_other_end)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        for number in hung:
            os.close(number)
    assert not hung, "opening a fifo blocked the event loop"


@in_loop
async def test_pathsend_ends_the_response(file: Path) -> None:
    app = sending(start(), pathsend(file), body(b"more"))
    async with serving(app) as server:
        client = await server.connect()
        await client.send(request())
        assert (await client.read_response()).body == CONTENT
        await server.idle_exchanges()
        (error,) = server.take_errors()
        assert "complete" in error


@in_loop
async def test_many_files_leave_no_descriptor_behind(file: Path) -> None:
    async with serving(sending(start(), pathsend(file))) as server:
        client = await server.connect()
        before = open_files()
        await client.send(request() * 100)
        for _ in range(100):
            assert (await client.read_response()).body == CONTENT
        assert open_files() <= before


@in_loop
async def test_a_large_file_reaches_a_slow_reader_whole(tmp_path: Path) -> None:
    size = 20_000_000
    path = tmp_path / "large"
    block = os.urandom(1_000_000)
    path.write_bytes(block * 20)
    async with serving(sending(start(), pathsend(path))) as server:
        slow = await server.connect(receive_buffer=8192)
        await slow.send(request())
        head = await slow.read_head()
        assert head.value(b"content-length") == b"%d" % size
        only: Any = next(iter(server.service.connections))
        await until(lambda: 0 < only.transport.queued < size)
        held = sum(len(part) for part in only.transport.queue if isinstance(part, bytes))
        assert held < 1_000_000
        # Others are served meanwhile.
        other = await server.connect()
        await other.send(request())
        assert (await other.read_response()).body == block * 20
        for _ in range(20):
            assert await slow.read(1_000_000) == block
        await slow.send(request())
        assert (await slow.read_response()).body == block * 20


@in_loop
async def test_a_client_may_leave_in_the_middle_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(bytes(20_000_000))
    counts = []
    async with serving(sending(start(), pathsend(path))) as server:
        for way in ("close", "reset", "close", "reset"):
            client = await server.connect(receive_buffer=8192)
            await client.send(request())
            await client.read(100_000)
            getattr(client, way)()
            await server.idle()
            counts.append(open_files())
        await until(lambda: open_files() <= counts[0])


def place(name: str) -> tuple[dict[str, Any], str | None]:
    """Where to serve, and where to connect to, so that the peer is on this machine or elsewhere.

    What decides is the peer's address, and an IPv4 address in IPv6 clothes does not look local.
    """
    if name == "here":
        return {}, None
    listening = socket.socket(socket.AF_INET6)
    listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listening.bind(("::", 0))
    listening.listen()
    return {"fd": listening.detach()}, "::ffff:127.0.0.1"


@pytest.mark.parametrize("peer", ["here", "elsewhere"])
@in_loop
async def test_files_reach_peers_near_and_far_whole(tmp_path: Path, peer: str) -> None:
    content = os.urandom(1_000_003) * 4
    path = tmp_path / "large"
    path.write_bytes(content)
    settings, host = place(peer)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send({"type": "http.response.pathsend", "path": str(path)})

    async with serving(app, **settings) as server:
        client = await server.connect(receive_buffer=8192, host=host)
        await client.send(request() + request())
        for _ in range(2):
            assert (await client.read_response()).body == content


@pytest.mark.parametrize("peer", ["here", "elsewhere"])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
@in_loop
async def test_a_file_that_shrinks_cuts_the_response_off(
    tmp_path: Path, version: str, peer: str
) -> None:
    settings, host = place(peer)
    path = tmp_path / "shrinking"
    path.write_bytes(bytes(20_000_000))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        # In two parts, so that HTTP/1.0 has no Content-Length and 1.1 has chunks.
        with path.open("rb") as opened:
            await send(start())
            await send(body(b"head ", more=True))
            await send(zerocopysend(opened))

    async with serving(app, **settings) as server:
        client = await server.connect(receive_buffer=8192, host=host)
        await client.send(request(version=version))
        await client.read_head()
        os.truncate(path, 1000)
        if version == "1.0":
            await client.read_to_reset()
        else:
            with contextlib.suppress(ConnectionResetError):
                assert not (await client.read_to_end()).endswith(b"0\r\n\r\n")
        await server.idle()
        said = server.messages(40) + server.messages(30) + server.messages(20)
        assert any("shorter" in text for text in said), "nobody is told of it"
        server.take_errors()


# Parts of open files


def zerocopysend(file: Any, *, more: bool = False, **where: int) -> Message:  # noqa: ANN401
    return {"type": "http.response.zerocopysend", "file": file, "more_body": more, **where}


@in_loop
async def test_zerocopysend_sends_a_file_from_its_position(file: Path) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with file.open("rb", buffering=0) as opened:
            opened.seek(1000)
            await send(start())
            await send(zerocopysend(opened, count=500, more=True))
            assert opened.tell() == 1500
            await send(zerocopysend(opened))
            assert opened.tell() == len(CONTENT)

    response = await ask(app, request())
    assert response.body == CONTENT[1000:]
    assert response.framing == "chunked"


@in_loop
async def test_zerocopysend_with_an_offset_leaves_the_position(file: Path) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with file.open("rb", buffering=0) as opened:
            opened.seek(7)
            await send(start())
            await send(zerocopysend(opened, offset=100, count=50))
            assert opened.tell() == 7

    response = await ask(app, request())
    assert (response.framing, response.body) == ("length", CONTENT[100:150])


@in_loop
async def test_zerocopysend_mixes_with_bytes_and_other_parts(file: Path) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with file.open("rb") as opened:
            await send(start())
            await send(body(b"<", more=True))
            await send(zerocopysend(opened.fileno(), offset=0, count=10, more=True))
            await send(body(b"|", more=True))
            await send(zerocopysend(opened, offset=50_000, count=50_000, more=True))
            await send(zerocopysend(opened, offset=0, count=0, more=True))
            await send(body(b">"))

    response = await ask(app, request())
    assert response.body == b"<" + CONTENT[:10] + b"|" + CONTENT[50_000:100_000] + b">"


@in_loop
async def test_zerocopysend_in_a_declared_length(file: Path) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with file.open("rb") as opened:
            await send(start(200, (b"content-length", b"30")))
            await send(zerocopysend(opened, offset=0, count=10, more=True))
            await send(zerocopysend(opened, offset=10, count=20))

    response = await ask(app, request())
    assert (response.framing, response.body) == ("length", CONTENT[:30])
    head = await ask(app, request("HEAD"), "HEAD")
    assert head.value(b"content-length") == b"30"


@in_loop
async def test_the_application_may_close_its_file_right_after_send(tmp_path: Path) -> None:
    path = tmp_path / "large"
    content = os.urandom(5_000_000)
    path.write_bytes(content)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        opened = path.open("rb")
        await send(start())
        await send(zerocopysend(opened))
        opened.close()

    async with serving(app) as server:
        client = await server.connect(receive_buffer=8192)
        await client.send(request())
        assert (await client.read_response()).body == content


@pytest.mark.parametrize(("count", "second"), [(10, 10), (10, 50)], ids=["short", "long"])
@in_loop
async def test_files_unlike_the_declared_length_are_cut_off(
    file: Path, count: int, second: int
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with file.open("rb") as opened:
            await send(start(200, (b"content-length", b"30")))
            await send(zerocopysend(opened, offset=0, count=count, more=True))
            await send(zerocopysend(opened, offset=10, count=second))

    counts = []
    async with serving(app, timeout_linger=60) as server:
        for _ in range(2):
            client = await server.connect()
            await client.send(request() * 2)
            received = await client.read_to_end()
            head, _, content = received.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            assert len(content) < 30
            assert CONTENT.startswith(content)
            (error,) = server.take_errors()
            assert "content-length" in error
            client.close()
            await server.idle()
            counts.append(open_files())
        await until(lambda: open_files() <= counts[0])


@pytest.mark.parametrize(
    "message",
    [
        {"file": 10_000},
        {"file": "not a file"},
        {"file": 0, "offset": -5, "count": 1},
        {"file": 0, "offset": 0, "count": -1},
    ],
    ids=str,
)
@in_loop
async def test_a_senseless_zerocopysend_is_answered_500(
    file: Path, message: dict[str, Any]
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with file.open("rb") as opened:
            chosen = opened if message["file"] == 0 else message["file"]
            await send(start())
            await send(zerocopysend(**{**message, "file": chosen}))

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request())
        assert (await client.read_response()).status == 500
        assert len(server.take_errors()) == 1


@in_loop
async def test_a_part_beyond_the_end_of_the_file_is_cut_off(file: Path) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with file.open("rb") as opened:
            await send(start())
            await send(zerocopysend(opened, offset=0, count=2 * len(CONTENT)))

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request())
        with pytest.raises((ResponseCutOffError, ConnectionResetError)):
            await client.read_response()
        await server.idle()
        server.take_errors()
