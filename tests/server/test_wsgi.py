"""WSGI applications (PEP 3333) over the wire."""

import asyncio
import contextvars
import gzip
import io
import json
import logging
import tempfile
import threading
import wsgiref.validate
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.server.harness import (
    CHUNKED,
    CLOSE,
    PATIENCE,
    Client,
    ResponseCutOffError,
    chunked,
    in_loop,
    request,
    serving,
    until,
)
from zonda.asgi.threads import call_in_loop
from zonda.server.exchange import ClientDisconnected
from zonda.server.wsgi import WSGIExchange
from zonda.server.wsgi_files import FileWrapper, Input

Environ = dict[str, Any]
App = Callable[[Environ, Any], Iterable[bytes]]

PLAIN = [("Content-Type", "text/plain")]


def answer(*parts: bytes, status: str = "200 OK", headers: list[tuple[str, str]] = PLAIN) -> App:
    """An application that gives every request the same answer, as a list."""

    def app(environ: Environ, start_response: Any) -> list[bytes]:  # noqa: ANN401
        start_response(status, headers)
        return list(parts)

    return app


def generator(function: Callable[[Environ], Iterator[bytes]], *headers: tuple[str, str]) -> App:
    """An application whose response a generator makes."""

    def app(environ: Environ, start_response: Any) -> Iterator[bytes]:  # noqa: ANN401
        start_response("200 OK", [*PLAIN, *headers])
        return function(environ)

    return app


class Gate:
    """Where an application waits on its thread until the test lets it on."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()

    def wait(self) -> None:
        self.entered.set()
        assert self.opened.wait(PATIENCE)

    async def reached(self) -> None:
        await until(self.entered.is_set, "the application at its gate")


class Closing:
    """An iterable that notes whether it was closed."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        self.parts = iter(parts)
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        return self.parts

    def close(self) -> None:
        self.closed += 1


def returning(result: Iterable[bytes], *headers: tuple[str, str]) -> App:
    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:  # noqa: ANN401
        start_response("200 OK", [*PLAIN, *headers])
        return result

    return app


# Responses


@in_loop
async def test_a_list_is_answered_whole() -> None:
    async with serving(answer(b"Hello, ", b"World!")) as server:
        client = await server.connect()
        for _ in range(3):
            await client.send(request())
            response = await client.read_response()
            assert response.status == 200
            assert response.body == b"Hello, World!"
            assert response.framing == "length"
            assert response.value(b"content-type") == b"text/plain"


@in_loop
async def test_pipelined_requests_are_answered_in_order() -> None:
    def app(environ: Environ, start_response: Any) -> list[bytes]:  # noqa: ANN401
        start_response("200 OK", PLAIN)
        return [environ["PATH_INFO"].encode()]

    async with serving(app) as server:
        client = await server.connect()
        await client.send(b"".join(request("GET", f"/{number}") for number in range(20)))
        for number in range(20):
            assert (await client.read_response()).body == b"/%d" % number


@in_loop
async def test_a_generator_is_chunked_and_each_part_goes_out_before_the_next_is_asked_for() -> None:
    gate = Gate()

    def parts(_: Environ) -> Iterator[bytes]:
        yield b"first"
        gate.wait()
        yield b""
        yield b"second"

    async with serving(generator(parts)) as server:
        client = await server.connect()
        await client.send(request())
        head = await client.read_head()
        assert head.value(b"transfer-encoding") == b"chunked"
        assert await client.read(10) == b"5\r\nfirst\r\n"
        gate.opened.set()
        assert await client.read(16) == b"6\r\nsecond\r\n0\r\n\r\n"


@in_loop
async def test_a_body_that_is_complete_goes_out_before_its_iterable_ends() -> None:
    gate = Gate()

    def parts(_: Environ) -> Iterator[bytes]:
        yield b"all of it"
        gate.wait()

    async with serving(generator(parts, ("Content-Length", "9"))) as server:
        client = await server.connect()
        await client.send(request())
        assert (await client.read_response()).body == b"all of it"
        # The connection goes on meanwhile.
        await client.send(request())
        assert (await client.read_response()).body == b"all of it"
        gate.opened.set()


@in_loop
async def test_head_has_no_content_whatever_the_application_sends() -> None:
    async with serving(answer(b"content", headers=[*PLAIN, ("Content-Length", "7")])) as server:
        client = await server.connect()
        await client.send(request("HEAD") + request())
        response = await client.read_response("HEAD")
        assert response.value(b"content-length") == b"7"
        assert (await client.read_response()).body == b"content"


@in_loop
async def test_head_does_not_run_a_response_without_end() -> None:
    result = Closing(endless([]))
    async with serving(returning(result)) as server:
        client = await server.connect()
        await client.send(request("HEAD"))
        assert (await client.read_response("HEAD")).status == 200
        await server.idle_exchanges()
    assert result.closed == 1


@pytest.mark.parametrize("result", [[], [b""], (), iter(()), iter([b"", b""])], ids=repr)
def test_no_body_is_an_empty_body(result: Iterable[bytes]) -> None:
    @in_loop
    async def test() -> None:
        async with serving(returning(result)) as server:
            client = await server.connect()
            await client.send(request())
            response = await client.read_response()
            assert (response.status, response.body, response.framing) == (200, b"", "length")

    test()


@in_loop
async def test_fields_go_out_as_they_were_given_and_repeated_ones_apart() -> None:
    headers = [
        ("Set-Cookie", "a=1"),
        ("X-Caf\u00e9".replace("\u00e9", "e"), "caf\u00e9"),
        ("Set-Cookie", "b=2; Path=/"),
        ("set-cookie", "c=3"),
    ]
    async with serving(answer(b"", headers=headers)) as server:
        client = await server.connect()
        await client.send(request())
        response = await client.read_response()
        assert response.values(b"set-cookie") == [b"a=1", b"b=2; Path=/", b"c=3"]
        assert response.values(b"x-cafe") == ["caf\u00e9".encode("latin-1")]


@in_loop
async def test_the_status_is_the_applications() -> None:
    async with serving(answer(b"", status="404 Gone Fishing")) as server:
        client = await server.connect()
        await client.send(request())
        assert (await client.read_response()).status == 404


@in_loop
async def test_http_1_0_is_answered_to_its_end() -> None:
    async with serving(generator(lambda _: iter([b"one", b"two"]))) as server:
        client = await server.connect()
        await client.send(request(version="1.0"))
        response = await client.read_response()
        assert (response.body, response.framing) == (b"onetwo", "close")


@in_loop
async def test_write_sends_at_once_and_what_is_returned_follows() -> None:
    gate = Gate()

    def app(environ: Environ, start_response: Any) -> list[bytes]:  # noqa: ANN401
        write = start_response("200 OK", PLAIN)
        assert write(b"written") is None
        gate.wait()
        write(b"")
        return [b"re", b"turned"]

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request())
        await client.read_head()
        assert await client.read(12) == b"7\r\nwritten\r\n"
        gate.opened.set()
        assert await client.read(18) == b"8\r\nreturned\r\n0\r\n\r\n"


@in_loop
async def test_a_generator_may_start_the_response_late() -> None:
    def app(environ: Environ, start_response: Any) -> Iterator[bytes]:  # noqa: ANN401
        yield b""
        start_response("201 Created", PLAIN)
        yield b"late"

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request())
        response = await client.read_response()
        assert (response.status, response.body) == (201, b"late")


# start_response


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("OK", PLAIN), "'200 OK', not 'OK'"),
        (("20", PLAIN), "'200 OK', not '20'"),
        (("2000 OK", PLAIN), "'200 OK', not '2000 OK'"),
        (("\u0662\u0660\u0660 OK", PLAIN), "'200 OK', not"),
        (("100 Continue", PLAIN), "not a final status"),
        (("200 OK", [(b"Name", "value")]), "name and value are str, not b'Name'"),
        (("200 OK", [("Name", 5)]), "name and value are str, not 'Name' and 5"),
        (("200 OK", [("Name", "\u20ac")]), "header 'Name' has a character that is not in Latin-1"),
        (("200 OK", [("Name", "a\r\nSet-Cookie: b")]), "has a control character"),
        (("200 OK", [("Na me", "a")]), "not allowed in a token"),
        (("200 OK", [("Content-Length", "five")]), "is not a number of bytes"),
        (("200 OK", [("Content-Length", "9" * 20)]), "is not a number of bytes"),
        (("200 OK", [("Name",)]), "unpack"),
        (("200 OK", PLAIN, (ValueError,)), "unpack"),
    ],
)
def test_a_head_that_cannot_be_sent_is_an_error(arguments: Any, words: str) -> None:  # noqa: ANN401
    def app(environ: Environ, start_response: Any) -> list[bytes]:  # noqa: ANN401
        start_response(*arguments)
        return [b"fine"]

    assert_fails(app, words)


def assert_fails(app: App, words: str) -> None:
    """Every request is answered 500, and the log says why, once."""

    @in_loop
    async def test() -> None:
        async with serving(app, interface="wsgi") as server:
            client = await server.connect()
            await client.send(request("GET", "/here"))
            assert (await client.read_response()).status == 500
            await server.idle_exchanges()
            (error,) = server.take_errors()
            assert "exception in the WSGI application: GET /here" in error
            assert words in error

    test()


def never_starts(environ: Environ, start_response: object) -> list[bytes]:
    return [b"body"]


def never_starts_and_yields(environ: Environ, start_response: object) -> Iterator[bytes]:
    yield b"body"


def never_starts_nor_yields(environ: Environ, start_response: object) -> Iterator[bytes]:
    return iter(())


@pytest.mark.parametrize("app", [never_starts, never_starts_and_yields, never_starts_nor_yields])
def test_an_application_that_does_not_start_its_response_fails(app: App) -> None:
    assert_fails(app, "has not called start_response")


def test_starting_twice_fails() -> None:
    def app(environ: Environ, start_response: Any) -> list[bytes]:  # noqa: ANN401
        start_response("200 OK", PLAIN)
        start_response("200 OK", PLAIN)
        return []

    assert_fails(app, "start_response has been called already")


@pytest.mark.parametrize("result", [["text"], ["text", "more"], iter(["text"]), 5, None], ids=repr)
def test_what_is_no_body_fails(result: Any) -> None:  # noqa: ANN401
    assert_fails(returning(result), "TypeError")


@pytest.mark.parametrize("error", [ValueError("deliberate"), SystemExit("deliberate")])
def test_an_exception_is_a_500(error: BaseException) -> None:
    def app(environ: Environ, start_response: Any) -> list[bytes]:  # noqa: ANN401
        start_response("200 OK", PLAIN)
        raise error

    assert_fails(app, "deliberate")


@in_loop
async def test_bytes_by_another_name_are_a_body() -> None:
    parts: Any = [bytearray(b"one"), memoryview(b"two")]
    async with serving(returning(parts)) as server:
        client = await server.connect()
        await client.send(request())
        assert (await client.read_response()).body == b"onetwo"
    parts = [bytearray(b"only")]
    async with serving(returning(iter(parts))) as server:
        client = await server.connect()
        await client.send(request())
        assert (await client.read_response()).body == b"only"


@in_loop
async def test_an_error_before_the_first_part_may_replace_the_head() -> None:
    def app(environ: Environ, start_response: Any) -> list[bytes]:  # noqa: ANN401
        start_response("200 OK", [("X-Old", "1"), ("Content-Length", "100")])
        try:
            raise ValueError
        except ValueError as error:
            start_response("503 Unavailable", PLAIN, (type(error), error, error.__traceback__))
        return [b"sorry"]

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request())
        response = await client.read_response()
        assert (response.status, response.body) == (503, b"sorry")
        assert response.value(b"x-old") is None


@in_loop
async def test_an_error_after_the_first_part_breaks_the_response_off() -> None:
    def app(environ: Environ, start_response: Any) -> Iterator[bytes]:  # noqa: ANN401
        start_response("200 OK", PLAIN)
        yield b"a part"
        try:
            raise ValueError("deliberate")
        except ValueError as error:
            start_response("500 No", PLAIN, (type(error), error, error.__traceback__))
        yield b"never"

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request())
        with pytest.raises(ResponseCutOffError):
            await client.read_response()
        await server.idle_exchanges()
        (error,) = server.take_errors()
        assert "ValueError: deliberate" in error


# Content-Length


@in_loop
async def test_a_body_shorter_than_its_length_is_visibly_incomplete() -> None:
    for result in ([b"short"], iter([b"sh", b"ort"])):
        async with serving(returning(result, ("Content-Length", "10"))) as server:
            client = await server.connect()
            await client.send(request())
            if isinstance(result, list):  # nothing was sent yet
                assert (await client.read_response()).status == 500
            else:
                with pytest.raises(ResponseCutOffError):
                    await client.read_response()
            await server.idle_exchanges()
            assert "content-length" in server.take_errors()[0]


@in_loop
async def test_no_byte_goes_out_beyond_the_length() -> None:
    async with serving(
        returning(iter([b"1234", b"5", b"6789"]), ("Content-Length", "5"))
    ) as server:
        client = await server.connect()
        await client.send(request("GET", "/", CLOSE))
        assert (await client.read_response()).body == b"12345"
        await client.assert_closed()
        await server.idle_exchanges()
        assert "longer than its content-length, which is 5" in server.take_errors()[0]


# The end of the iterable


@in_loop
async def test_close_is_called_once_after_the_response() -> None:
    result = Closing([b"a", b"b"])
    async with serving(returning(result)) as server:
        client = await server.connect()
        await client.send(request())
        assert (await client.read_response()).body == b"ab"
        await server.idle_exchanges()
    assert result.closed == 1


@in_loop
async def test_close_is_called_when_the_iterable_fails() -> None:
    def parts() -> Iterator[bytes]:
        yield b"a"
        raise ValueError("deliberate")

    result = Closing(parts())
    async with serving(returning(result)) as server:
        client = await server.connect()
        await client.send(request())
        with pytest.raises(ResponseCutOffError):
            await client.read_response()
        await server.idle_exchanges()
        assert len(server.take_errors()) == 1
    assert result.closed == 1


@in_loop
async def test_close_is_called_when_the_response_cannot_be_sent() -> None:
    result = Closing([b"a"] * 1000)
    async with serving(returning(result, ("Bad Name", "1"))) as server:
        client = await server.connect()
        await client.send(request())
        assert (await client.read_response()).status == 500
        await server.idle_exchanges()
        assert len(server.take_errors()) == 1
    assert result.closed == 1


@in_loop
async def test_an_error_of_close_is_logged_and_harms_no_response() -> None:
    class Failing(Closing):
        def close(self) -> None:
            raise ValueError("deliberate")

    async with serving(returning(Failing([b"fine"]))) as server:
        client = await server.connect()
        await client.send(request())
        assert (await client.read_response()).body == b"fine"
        await until(lambda: server.errors)
        assert "deliberate" in server.take_errors()[0]


# The client's pace


def endless(made: list[int], size: int = 65_536) -> Iterator[bytes]:
    part = b"x" * size
    while True:
        made.append(size)
        yield part


@in_loop
async def test_a_slow_reader_stops_the_application() -> None:
    made: list[int] = []
    result = Closing(endless(made))
    async with serving(returning(result)) as server:
        client = await server.connect(receive_buffer=4096)
        await client.send(request())
        await client.read_head()
        (exchange,) = server.service.running
        assert isinstance(exchange, WSGIExchange)
        call = exchange.call
        assert call is not None
        await until(lambda: exchange.blocked and call.sleeper, "a thread that waits")
        assert sum(made) < 16 * 1024 * 1024
        seen = len(made)
        await client.read(4 * 1024 * 1024)
        await until(lambda: len(made) > seen, "more, once there is room")
        client.close()
        await server.idle()
    assert result.closed == 1


@in_loop
async def test_many_small_parts_are_bounded_too() -> None:
    made: list[int] = []
    result = Closing(endless(made, 500))
    async with serving(returning(result), timeout_write=1.0) as server:
        client = await server.connect(receive_buffer=4096)
        await client.send(request())
        await until(lambda: result.closed, "an end, since nobody reads")
        await server.idle()
        assert "stopped reading" in server.refusals()[0]


@in_loop
async def test_a_client_that_leaves_frees_the_thread_that_writes() -> None:
    raised: list[BaseException] = []

    def app(environ: Environ, start_response: Any) -> list[bytes]:  # noqa: ANN401
        write = start_response("200 OK", PLAIN)
        try:
            while True:
                write(b"x" * 65_536)
        except OSError as error:
            raised.append(error)
            raise

    async with serving(app, threads=1) as server:
        client = await server.connect(receive_buffer=4096)
        await client.send(request())
        await client.read_head()
        client.reset()
        await server.idle()
        assert isinstance(raised[0], ClientDisconnected)


@in_loop
async def test_a_client_that_leaves_frees_the_thread_that_reads() -> None:
    raised: list[BaseException] = []
    entered = threading.Event()

    def app(environ: Environ, start_response: Any) -> list[bytes]:  # noqa: ANN401
        try:
            environ["wsgi.input"].read(5)
            entered.set()
            environ["wsgi.input"].read()
        except OSError as error:
            raised.append(error)
            raise
        return []

    async with serving(app, threads=1) as server:
        client = await server.connect()
        await client.send(request("POST", "/", ("Content-Length", "100")) + b"first")
        await until(entered.is_set)
        client.close()
        await server.idle()
        assert isinstance(raised[0], ClientDisconnected)


@in_loop
async def test_a_truncated_upload_raises_in_the_application_after_what_has_come() -> None:
    seen: list[object] = []

    def app(environ: Environ, start_response: Any) -> list[bytes]:  # noqa: ANN401
        body = environ["wsgi.input"]
        seen.append(body.read(5))
        try:
            body.read(1)
        except OSError as error:
            seen.append(type(error))
        start_response("200 OK", PLAIN)
        return [b"nobody reads this"]

    for framing in (("Content-Length", "10"), CHUNKED):
        seen.clear()
        async with serving(app) as server:
            client = await server.connect()
            content = b"12345" if framing is not CHUNKED else b"5\r\n12345\r\n"
            await client.send(request("POST", "/", framing) + content)
            client.end_sending()
            await until(lambda: len(seen) == 2)
            await server.idle()
        assert seen == [b"12345", ClientDisconnected]


@in_loop
async def test_a_request_whose_client_left_while_it_waited_is_not_begun() -> None:
    gate = Gate()
    called: list[str] = []

    def app(environ: Environ, start_response: Any) -> list[bytes]:  # noqa: ANN401
        called.append(environ["PATH_INFO"])
        gate.wait()
        start_response("200 OK", PLAIN)
        return []

    async with serving(app, threads=1) as server:
        first, second = await server.connect(), await server.connect()
        await first.send(request("GET", "/first"))
        await gate.reached()
        await second.send(request("GET", "/second"))
        await until(lambda: server.service.in_flight == 2)
        second.reset()
        await until(lambda: server.service.in_flight == 1)
        gate.opened.set()
        assert (await first.read_response()).status == 200
    assert called == ["/first"]


# The environment


def environ_as_json(environ: Environ, start_response: Any) -> list[bytes]:  # noqa: ANN401
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({k: v for k, v in environ.items() if isinstance(v, (str, bool))}).encode()]


async def environ_of(client: Client, *args: Any, **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401
    await client.send(request(*args, **kwargs))
    found: dict[str, Any] = json.loads((await client.read_response()).body)
    return found


@in_loop
async def test_the_environment_is_that_of_pep_3333() -> None:
    async with serving(environ_as_json, root_path="/caf\u00e9") as server:
        client = await server.connect()
        target = "/a%2Fb/%C3%A9/%ff?q=%20&r"
        environ = await environ_of(
            client, "POST", target, ("Content-Type", "text/css"), content=b"12"
        )
        host, port = client.sock.getsockname()
        assert environ == {
            "REQUEST_METHOD": "POST",
            "SCRIPT_NAME": "/caf\u00c3\u00a9",
            "PATH_INFO": "/a/b/\u00c3\u00a9/\u00ff",
            "QUERY_STRING": "q=%20&r",
            "REQUEST_URI": target,
            "RAW_URI": target,
            "CONTENT_TYPE": "text/css",
            "CONTENT_LENGTH": "2",
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": str(client.sock.getpeername()[1]),
            "SERVER_PROTOCOL": "HTTP/1.1",
            "SERVER_SOFTWARE": "zonda",
            "GATEWAY_INTERFACE": "CGI/1.1",
            "REMOTE_ADDR": host,
            "REMOTE_PORT": str(port),
            "HTTP_HOST": "test",
            "wsgi.url_scheme": "http",
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "wsgi.input_terminated": True,
        }


@in_loop
async def test_requests_without_much_have_an_environment_too(tmp_path: Path) -> None:
    async with serving(environ_as_json, uds=str(tmp_path / "s")) as server:
        client = await server.connect()
        environ = await environ_of(client, "OPTIONS", "*", version="1.0")
        assert environ["PATH_INFO"] == ""
        assert environ["REQUEST_URI"] == "*"
        assert environ["SERVER_PROTOCOL"] == "HTTP/1.0"
        assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("localhost", "80")
        assert environ["REMOTE_ADDR"] == ""
        assert "REMOTE_PORT" not in environ
        assert "CONTENT_LENGTH" not in environ


@in_loop
async def test_repeated_fields_are_joined_as_their_grammar_has_it() -> None:
    async with serving(environ_as_json) as server:
        client = await server.connect()
        environ = await environ_of(
            client,
            "GET",
            "/",
            ("Accept", "a"),
            ("accept", "b"),
            ("Cookie", "a=1"),
            ("Cookie", "b=2"),
            ("X-Own-Field", "caf\u00e9"),
            ("X-Own-Field", "2"),
        )
        assert environ["HTTP_ACCEPT"] == "a,b"
        assert environ["HTTP_COOKIE"] == "a=1; b=2"
        assert environ["HTTP_X_OWN_FIELD"] == "caf\u00e9,2"


@in_loop
async def test_fields_that_pass_for_others_are_not_handed_on() -> None:
    async with serving(environ_as_json) as server:
        client = await server.connect()
        fields = [("X_Real_User", "eve"), ("X-Real_User", "eve"), ("Proxy", "http://eve")]
        environ = await environ_of(client, "GET", "/", *fields, ("X-Real-User", "ana"))
        assert environ["HTTP_X_REAL_USER"] == "ana"
        assert "HTTP_PROXY" not in environ


@in_loop
async def test_field_names_that_nobody_knows_take_no_memory() -> None:
    async with serving(environ_as_json, limit_request_fields=2000) as server:
        client = await server.connect()
        for number in range(3):
            fields = [(f"X-{number}-{each}", "1") for each in range(500)]
            assert f"HTTP_X_{number}_499" in await environ_of(client, "GET", "/", *fields)
        runner: Any = server.worker._runner
        kept = getattr(runner, "_keys", {})  # which the compiled build does not show
        assert len(kept) <= 1024


# wsgi.input


@in_loop
async def test_the_body_is_read_as_it_arrives() -> None:
    def app(environ: Environ, start_response: Any) -> Iterator[bytes]:  # noqa: ANN401
        start_response("200 OK", PLAIN)
        while data := environ["wsgi.input"].read1():
            yield data

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request("POST", "/", CHUNKED) + b"5\r\nfirst\r\n")
        await client.read_head()
        assert await client.read(10) == b"5\r\nfirst\r\n"
        await client.send(b"6\r\nsecond\r\n")
        assert await client.read(11) == b"6\r\nsecond\r\n"
        await client.send(b"0\r\n\r\n")
        assert await client.read(5) == b"0\r\n\r\n"


@in_loop
async def test_a_large_upload_arrives_whole_and_one_that_is_not_read_is_not_taken() -> None:
    gate = Gate()

    def app(environ: Environ, start_response: Any) -> list[bytes]:  # noqa: ANN401
        gate.wait()
        size = 0
        while data := environ["wsgi.input"].read(100_000):
            assert data.count(b"x") == len(data)
            size += len(data)
        start_response("200 OK", PLAIN)
        return [str(size).encode()]

    size = 40 * 1024 * 1024
    async with serving(app) as server:
        client = await server.connect()
        await client.send(request("POST", "/", ("Content-Length", str(size))))
        await gate.reached()
        taken, standing = 0, 0
        while standing < 10:
            more = client.send_what_fits(b"x" * min(262_144, size - taken))
            taken += more
            standing = 0 if more else standing + 1
            await asyncio.sleep(0.01)
        assert taken < size // 2
        gate.opened.set()
        await client.send(b"x" * (size - taken))
        assert (await client.read_response()).body == str(size).encode()


@in_loop
async def test_a_client_that_asks_is_told_to_continue_when_the_application_reads() -> None:
    def app(environ: Environ, start_response: Any) -> list[bytes]:  # noqa: ANN401
        body = environ["wsgi.input"].read() if environ["PATH_INFO"] == "/read" else b""
        start_response("200 OK", PLAIN)
        return [body]

    fields = [("Content-Length", "4"), ("Expect", "100-continue")]
    async with serving(app) as server:
        client = await server.connect()
        await client.send(request("POST", "/read", *fields))
        assert (await client.read_interim()).status == 100
        await client.send(b"body")
        assert (await client.read_response()).body == b"body"
        await client.send(request("POST", "/", *fields))
        response = await client.read_response()
        assert response.closes
        assert not response.interim


@in_loop
async def test_what_reads_after_its_response_is_not_left_waiting() -> None:
    raised: list[BaseException] = []

    def parts(environ: Environ) -> Iterator[bytes]:
        yield b"early"
        try:
            environ["wsgi.input"].read()
        except OSError as error:
            raised.append(error)

    async with serving(generator(parts, ("Content-Length", "5"))) as server:
        client = await server.connect()
        await client.send(request("POST", "/", ("Content-Length", "10")))
        assert (await client.read_response()).body == b"early"
        await server.idle_exchanges()
        assert len(raised) == 1
        await client.send(b"0123456789" + request("POST", "/", content=b""))
        assert (await client.read_response()).body == b"early"


class Pieces:
    """What an ``Input`` asks for more of the body, with the body as it arrived."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = [piece for piece in pieces if piece]

    def take_body(self) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""


SIZES = st.one_of(st.none(), st.integers(-1, 12))
READS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["read", "readline", "readlines"]), SIZES),
        st.tuples(st.just("next"), st.none()),
    ),
    max_size=12,
)


@given(
    pieces=st.lists(st.text("ab\n", max_size=8).map(str.encode), max_size=8),
    reads=READS,
    whole=st.booleans(),
)
def test_the_input_reads_as_a_file_does(
    pieces: list[bytes], reads: list[tuple[str, int | None]], *, whole: bool
) -> None:
    body: Any = Pieces([b"".join(pieces)] if whole else pieces)
    ours, theirs = Input(body), io.BytesIO(b"".join(pieces))
    for method, size in reads:
        if method == "next":
            assert next(ours, None) == next(theirs, None)
        else:
            assert getattr(ours, method)(size) == getattr(theirs, method)(size)
    assert ours.read() == theirs.read()
    assert ours.read() == ours.read(3) == ours.readline() == ours.read1() == b""
    assert ours.readlines() == []


def test_the_input_can_be_wrapped() -> None:
    body: Any = Pieces(["caf\u00e9\nt".encode()[:4], "caf\u00e9\nt".encode()[4:]])
    assert list(io.TextIOWrapper(Input(body), "utf-8")) == ["caf\u00e9\n", "t"]  # type: ignore[type-var]
    body = Pieces([b"abc", b"d"])
    raw: Any = Input(body)
    assert io.BufferedReader(raw).read() == b"abcd"
    assert raw.readable()
    assert [raw.writable(), raw.seekable(), raw.closed] == [False, False, False]
    body = Pieces([b"abc", b"d"])
    target = bytearray(2)
    assert Input(body).readinto(target) == 2
    assert target == b"ab"


# wsgi.file_wrapper


class Unread(io.FileIO):
    """A file that may be sent, and not read."""

    def read(self, *_: object) -> bytes:
        raise AssertionError("it was read")


def sending(make: Callable[[], Any], *headers: tuple[str, str]) -> App:
    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:  # noqa: ANN401
        start_response("200 OK", [*PLAIN, *headers])
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](make())
        return wrapped

    return app


@pytest.fixture
def content() -> bytes:
    return bytes(range(256)) * 5000


@pytest.fixture
def path(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "file"
    path.write_bytes(content)
    return path


def test_a_file_is_sent_without_being_read_and_closed(path: Path, content: bytes) -> None:
    files: list[Unread] = []

    def make() -> Unread:
        files.append(Unread(path))
        return files[-1]

    @in_loop
    async def test() -> None:
        async with serving(sending(make)) as server:
            client = await server.connect()
            await client.send(request() + request("HEAD") + request())
            response = await client.read_response()
            assert (response.body, response.framing) == (content, "length")
            response = await client.read_response("HEAD")
            assert response.value(b"content-length") == str(len(content)).encode()
            assert (await client.read_response()).body == content
            await server.idle_exchanges()
        assert all(file.closed for file in files)

    test()


def test_a_file_is_sent_from_where_it_stands_as_far_as_its_length(
    path: Path, content: bytes
) -> None:
    def make() -> io.BufferedReader:
        file = path.open("rb")
        file.read(7)
        return file

    @in_loop
    async def test() -> None:
        async with serving(sending(make)) as server:
            client = await server.connect()
            await client.send(request())
            assert (await client.read_response()).body == content[7:]
        async with serving(sending(make, ("Content-Length", "20"))) as server:
            client = await server.connect()
            await client.send(request())
            assert (await client.read_response()).body == content[7:27]

    test()


def test_files_of_every_kind_are_sent_whole(path: Path, tmp_path: Path, content: bytes) -> None:
    packed = tmp_path / "packed.gz"
    with gzip.open(packed, "wb") as file:
        file.write(content)

    def temporary() -> Any:  # noqa: ANN401
        file = tempfile.NamedTemporaryFile()  # noqa: SIM115 (the server closes it)
        file.write(content)
        file.seek(0)
        return file

    class OnlyReads:
        def __init__(self) -> None:
            self.read = io.BytesIO(content).read

    makes: list[Callable[[], Any]] = [
        lambda: path.open("rb"),
        lambda: path.open("r+b"),
        lambda: path.open("rb", buffering=0),
        lambda: gzip.open(packed),  # noqa: SIM115 (as above)
        lambda: io.BytesIO(content),
        temporary,
        OnlyReads,
    ]

    @in_loop
    async def test() -> None:
        for make in makes:
            async with serving(sending(make)) as server:
                client = await server.connect()
                await client.send(request())
                assert (await client.read_response()).body == content

    test()


def test_an_empty_file_is_an_empty_body(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()

    @in_loop
    async def test() -> None:
        async with serving(sending(lambda: empty.open("rb"))) as server:
            client = await server.connect()
            await client.send(request())
            response = await client.read_response()
            assert (response.status, response.body) == (200, b"")

    test()


def test_only_regular_files_are_sent_as_they_are(path: Path) -> None:
    assert FileWrapper(io.BytesIO(b"x")).segment() is None
    with path.open("rb") as file:
        segment = FileWrapper(file).segment()
        assert segment is not None
        segment.close()
    assert FileWrapper(file).segment() is None  # closed
    with path.open() as text:
        assert FileWrapper(text).segment() is None


# Threads


@in_loop
async def test_requests_run_at_once_on_as_many_threads_as_there_may_be() -> None:
    together = threading.Barrier(3, timeout=PATIENCE)
    running: list[int] = []
    most: list[int] = []

    def app(environ: Environ, start_response: Any) -> list[bytes]:  # noqa: ANN401
        running.append(1)
        most.append(len(running))
        together.wait()
        running.pop()
        start_response("200 OK", PLAIN)
        return [b"met"]

    async with serving(app, threads=3) as server:
        clients = [await server.connect() for _ in range(9)]
        for client in clients:
            await client.send(request())
        for client in clients:
            assert (await client.read_response()).body == b"met"
    assert max(most) == 3


@in_loop
async def test_requests_that_find_no_thread_and_no_place_to_wait_are_answered_503() -> None:
    gate = Gate()

    def app(environ: Environ, start_response: Any) -> list[bytes]:  # noqa: ANN401
        gate.wait()
        start_response("200 OK", PLAIN)
        return [b"served"]

    async with serving(app, threads=1, limit_thread_queue=1) as server:
        clients = [await server.connect() for _ in range(3)]
        await clients[0].send(request())
        await gate.reached()
        await clients[1].send(request())
        await until(lambda: server.service.in_flight == 2)
        await clients[2].send(request())
        response = await clients[2].read_response()
        assert response.status == 503
        assert response.value(b"retry-after") == b"1"
        assert "1 threads are busy and 1 calls wait" in server.refusals()[0]
        assert "--limit-thread-queue" in server.refusals()[0]
        gate.opened.set()
        for client in clients[:2]:
            assert (await client.read_response()).body == b"served"
        # The connection stays, and is served when there is room again.
        await clients[2].send(request())
        assert (await clients[2].read_response()).body == b"served"


VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


@in_loop
async def test_each_request_has_a_context_of_its_own() -> None:
    def app(environ: Environ, start_response: Any) -> list[bytes]:  # noqa: ANN401
        seen = VARIABLE.get()
        VARIABLE.set("left behind")
        start_response("200 OK", PLAIN)
        return [seen.encode()]

    async with serving(app, threads=1) as server:
        client = await server.connect()
        for _ in range(3):
            await client.send(request())
            assert (await client.read_response()).body == b"unset"


@in_loop
async def test_an_application_can_await_in_the_servers_loop() -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    async def coroutine(text: str) -> bytes:
        await asyncio.sleep(0)
        loops.append(asyncio.get_running_loop())
        return text.encode()

    def app(environ: Environ, start_response: Any) -> list[bytes]:  # noqa: ANN401
        start_response("200 OK", PLAIN)
        return [call_in_loop(coroutine, "awaited")]

    async with serving(app, threads=1) as server:
        client = await server.connect()
        await client.send(request())
        assert (await client.read_response()).body == b"awaited"
    assert loops == [asyncio.get_running_loop()]


# The end


@in_loop
async def test_a_drain_waits_for_requests_that_run_and_that_wait() -> None:
    gate = Gate()

    def app(environ: Environ, start_response: Any) -> list[bytes]:  # noqa: ANN401
        gate.wait()
        start_response("200 OK", PLAIN)
        return [b"served"]

    async with serving(app, threads=1) as server:
        clients = [await server.connect() for _ in range(2)]
        for client in clients:
            await client.send(request())
        await until(lambda: server.service.in_flight == 2)
        server.server.drain()
        await until(lambda: server.service.draining)
        gate.opened.set()
        for client in clients:
            response = await client.read_response()
            assert response.body == b"served"
            assert response.closes


@in_loop
async def test_what_does_not_end_in_time_is_broken_off_and_left() -> None:
    gate = Gate()

    def app(environ: Environ, start_response: Any) -> list[bytes]:  # noqa: ANN401
        gate.wait()
        start_response("200 OK", PLAIN)
        return [b"too late"]

    async with serving(app, threads=1, timeout_graceful_shutdown=0.1) as server:
        clients = [await server.connect() for _ in range(2)]
        await clients[0].send(request())
        await gate.reached()
        await clients[1].send(request())
        await until(lambda: server.service.in_flight == 2)
        server.server.drain()
        for client in clients:
            assert (await client.read_response()).status == 500
        gate.opened.set()


@in_loop
async def test_no_thread_is_left_of_a_server_that_has_ended() -> None:
    async with serving(answer(b"ok"), threads=3) as server:
        client = await server.connect()
        await client.send(request())
        await client.read_response()
    await until(
        lambda: not [each for each in threading.enumerate() if each.name.startswith("zonda-wsgi")],
        "an end of the threads",
    )


@in_loop
async def test_a_wsgi_application_has_no_lifespan_and_misses_none() -> None:
    async with serving(answer(b"ok"), lifespan="on") as server:
        client = await server.connect()
        await client.send(request())
        assert (await client.read_response()).body == b"ok"
        assert not [text for text in server.messages(logging.WARNING) if "lifespan" in text]


# wsgiref.validate


def validated(application: Any) -> App:  # noqa: ANN401
    validator: App = wsgiref.validate.validator(application)
    return validator


def reads_every_way(environ: Environ, start_response: Any) -> Iterator[bytes]:  # noqa: ANN401
    body = environ["wsgi.input"]
    got = body.read(3) + body.readline() + b"".join(body.readlines()) + b"".join(body)
    write = start_response("200 OK", [*PLAIN, ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
    environ["wsgi.errors"].write("")
    environ["wsgi.errors"].flush()
    write(b"written ")
    yield got


@pytest.mark.parametrize(
    "application",
    [answer(b"listed"), generator(lambda _: iter([b"one", b"two"])), reads_every_way],
    ids=["list", "generator", "reader"],
)
@pytest.mark.parametrize(
    "requested",
    [
        request(),
        request("GET", "/a%20b?c", ("Cookie", "a=1"), ("Cookie", "b=2")),
        request("POST", "/", ("Content-Type", "text/plain"), content=b"one\ntwo\nthree"),
        request("POST", "/", CHUNKED) + chunked(b"one\ntw", b"o\nthree"),
        request("OPTIONS", "*"),
        request(version="1.0"),
    ],
    ids=["bare", "cookies", "counted", "chunked", "asterisk", "1.0"],
)
def test_the_standard_librarys_validator_has_nothing_to_say(
    application: App, requested: bytes
) -> None:
    @in_loop
    async def test() -> None:
        async with serving(validated(application), interface="wsgi", root_path="/api") as server:
            client = await server.connect()
            await client.send(requested)
            response = await client.read_response()
            assert response.status == 200
            if application is reads_every_way and requested.startswith(b"POST"):
                assert response.body == b"written one\ntwo\nthree"

    test()
