"""What the application may say and when, and what becomes of one that misbehaves."""

import asyncio
import copy
import http
import inspect
from collections.abc import Awaitable, Callable, Generator, Iterator
from typing import Any, NoReturn

import pytest

from tests.server.harness import (
    Message,
    Receive,
    ResponseCutOffError,
    Scope,
    Send,
    answer,
    body,
    echo,
    in_loop,
    request,
    serving,
    soon,
    start,
)
from zonda.asgi.types import ASGIApp

# The scope


@in_loop
async def test_the_scope_says_what_the_request_said() -> None:
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await answer()(scope, receive, send)

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request("GET", "/caf%C3%A9%2Fx?a=%20b&c", ("X-Two", "1"), ("x-two", "2")))
        await client.read_response()
        host, port = client.sock.getsockname()
        (scope,) = scopes
        assert scope["type"] == "http"
        assert scope["asgi"] == {"version": "3.0", "spec_version": "2.5"}
        assert scope["http_version"] == "1.1"
        assert scope["method"] == "GET"
        assert scope["scheme"] == "http"
        assert scope["path"] == "/café/x"
        assert scope["raw_path"] == b"/caf%C3%A9%2Fx"
        assert scope["query_string"] == b"a=%20b&c"
        assert scope["root_path"] == ""
        assert scope["client"] == (host, port)
        assert scope["server"] == client.sock.getpeername()
        assert type(scope["client"][1]) is int
        assert list(scope["headers"]) == [(b"host", b"test"), (b"x-two", b"1"), (b"x-two", b"2")]


@in_loop
async def test_a_request_cannot_change_the_next_requests_scope() -> None:
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(copy.deepcopy(scope))
        scope["extensions"]["mine"] = {}
        scope["state"]["mine"] = 1
        scope["path"] = "/changed"
        scope["new"] = 1
        await answer()(scope, receive, send)

    async with serving(app) as server:
        client = await server.connect()
        for _ in range(2):
            await client.send(request("GET", "/asked"))
            await client.read_response()
        assert scopes[1]["path"] == "/asked"
        assert scopes[1]["state"] == {}
        assert "mine" not in scopes[1]["extensions"]
        assert "new" not in scopes[1]


@in_loop
async def test_the_root_path_is_part_of_the_path() -> None:
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await answer()(scope, receive, send)

    async with serving(app, root_path="/mounted") as server:
        client = await server.connect()
        await client.send(request("GET", "/page"))
        await client.read_response()
        assert scopes[0]["root_path"] == "/mounted"
        assert scopes[0]["path"] == "/mounted/page"


# Forms that a message may have


@in_loop
async def test_a_status_may_be_an_http_status() -> None:
    async with serving(answer(b"", http.HTTPStatus.IM_A_TEAPOT)) as server:
        client = await server.connect()
        await client.send(request())
        assert (await client.read_response()).status == 418


def _generated() -> Iterator[tuple[bytes, bytes]]:
    yield b"x-a", b"1"
    yield b"x-b", b"2"


FORMS_OF_HEADERS: dict[str, Callable[[], object]] = {
    "tuples": lambda: ((b"x-a", b"1"), (b"x-b", b"2")),
    "lists": lambda: [[b"x-a", b"1"], [b"x-b", b"2"]],
    "generator": _generated,
    "dict items": {b"x-a": b"1", b"x-b": b"2"}.items,
    "map": lambda: map(tuple, [[b"x-a", b"1"], [b"x-b", b"2"]]),
}


@pytest.mark.parametrize("form", FORMS_OF_HEADERS)
@in_loop
async def test_headers_may_be_any_iterable(form: str) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = FORMS_OF_HEADERS[form]()
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send(body(b"ok"))

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request() * 2)
        for _ in range(2):
            response = await client.read_response()
            assert response.value(b"x-a") == b"1"
            assert response.value(b"x-b") == b"2"


@in_loop
async def test_headers_and_the_body_may_be_left_out() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body"})

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request())
        response = await client.read_response()
        assert (response.framing, response.body) == ("length", b"")


@pytest.mark.parametrize("form", [bytearray, memoryview])
@in_loop
async def test_a_body_may_be_any_bytes(form: Callable[[bytes], object]) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(form(b"one "), more=True))
        await send(body(form(b"two")))

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request())
        assert (await client.read_response()).body == b"one two"


@in_loop
async def test_a_bytearray_may_be_used_again_once_it_was_sent() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        buffer = bytearray(b"one ")
        await send(start())
        await send(body(buffer, more=True))
        buffer[:] = b"two "
        await send(body(buffer))

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request())
        assert (await client.read_response()).body == b"one two "


@in_loop
async def test_messages_may_be_any_mapping() -> None:
    class MyMapping(dict[str, Any]):
        pass

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(MyMapping(start()))
        await send(MyMapping(body(b"ok")))

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request())
        assert (await client.read_response()).body == b"ok"


# Order


@pytest.mark.parametrize(
    ("messages", "complaint"),
    [
        ([body(b"early")], "http.response.start first"),
        ([start(), start()], "send its body"),
        ([start(), {"type": "http.response.trailers", "headers": []}], "send its body"),
        ([{"type": "http.response.trailers", "headers": []}], "http.response.start first"),
        ([{"type": "http.response.push"}], "http.response.push"),
        ([{"type": "websocket.accept"}], "websocket.accept"),
        ([{"status": 200}], "type"),
        ([start(), body("text")], "bytes, not str"),
        ([start(), body(None)], "bytes, not NoneType"),
        ([start(99), body()], "99"),
        ([start(1000), body()], "1000"),
    ],
    ids=str,
)
@in_loop
async def test_a_message_out_of_place_is_an_error_that_says_so(
    messages: list[Message], complaint: str
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request())
        response = await client.read_response()
        assert response.status == 500
        assert response.body == b"Internal Server Error"
        (error,) = server.take_errors()
        assert "Traceback" in error
        assert complaint in error.splitlines()[-1]


@pytest.mark.parametrize("message", [start(), body(), {"type": "http.response.trailers"}], ids=str)
@in_loop
async def test_nothing_may_follow_a_complete_response(message: Message) -> None:
    raised: list[RuntimeError] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"ok"))
        try:
            await send(message)
        except RuntimeError as error:
            raised.append(error)

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request() * 2)
        for _ in range(2):
            assert (await client.read_response()).body == b"ok"
        assert "complete" in str(raised[0])


@in_loop
async def test_an_application_can_recover_from_a_message_that_was_refused() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start(200, (b"x", b"a\r\nb")))
        with pytest.raises(RuntimeError):
            await send(body(b"never"))
        await send(start(418))
        await send(body(b"recovered"))

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request())
        response = await client.read_response()
        assert (response.status, response.body) == (418, b"recovered")


# Applications that end otherwise


async def returns_at_once(scope: Scope, receive: Receive, send: Send) -> None:
    pass


async def starts_only(scope: Scope, receive: Receive, send: Send) -> None:
    await send(start())


async def raises_at_once(scope: Scope, receive: Receive, send: Send) -> NoReturn:
    raise ValueError("at once")


async def raises_after_start(scope: Scope, receive: Receive, send: Send) -> NoReturn:
    await send(start())
    raise ValueError("after start")


async def raises_later(scope: Scope, receive: Receive, send: Send) -> NoReturn:
    await asyncio.sleep(0)
    raise ValueError("later")


def raises_when_called(scope: Scope, receive: Receive, send: Send) -> NoReturn:
    raise ValueError("when called")


async def raises_system_exit(scope: Scope, receive: Receive, send: Send) -> NoReturn:
    raise SystemExit(3)


def raises_system_exit_when_called(scope: Scope, receive: Receive, send: Send) -> NoReturn:
    raise SystemExit(3)


async def raises_cancelled(scope: Scope, receive: Receive, send: Send) -> NoReturn:
    raise asyncio.CancelledError


async def raises_a_group(scope: Scope, receive: Receive, send: Send) -> NoReturn:
    raise ExceptionGroup("several", [ValueError("one"), KeyError("two")])


async def raises_base_exception(scope: Scope, receive: Receive, send: Send) -> NoReturn:
    raise GeneratorExit


def returns_no_coroutine(scope: Scope, receive: Receive, send: Send) -> object:
    return None


def returns_a_number(scope: Scope, receive: Receive, send: Send) -> object:
    return 42


async def generates(scope: Scope, receive: Receive, send: Send) -> Any:  # noqa: ANN401
    yield 1


def takes_no_arguments() -> None:
    pass


@pytest.mark.parametrize(
    "faulty",
    [
        returns_at_once,
        starts_only,
        raises_at_once,
        raises_after_start,
        raises_later,
        raises_when_called,
        raises_system_exit,
        raises_system_exit_when_called,
        raises_cancelled,
        raises_a_group,
        raises_base_exception,
        returns_no_coroutine,
        returns_a_number,
        generates,
        takes_no_arguments,
    ],
    ids=lambda app: app.__name__,
)
@in_loop
async def test_a_fault_before_the_head_is_answered_500_and_logged_once(faulty: ASGIApp) -> None:
    def app(scope: Scope, receive: Receive, send: Send) -> Awaitable[Any]:
        return (faulty if scope["path"] == "/faulty" else echo)(scope, receive, send)

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request("GET", "/faulty") + request("GET", "/next"))
        assert (await client.read_response()).status == 500
        assert (await client.read_response()).body == b"GET /next "
        # asyncio has its own word on a Task whose very start raised SystemExit.
        errors = [each for each in server.take_errors() if "never retrieved" not in each]
        (error,) = errors
        assert "GET /faulty" in error
        if faulty.__name__.startswith("raises") and faulty is not raises_cancelled:
            assert "Traceback" in error
        await server.idle_exchanges()


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError, None])
@in_loop
async def test_a_fault_after_the_head_cuts_the_response_off(
    error: type[BaseException] | None,
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"part", more=True))
        if error is not None:
            raise error

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request())
        with pytest.raises(ResponseCutOffError):
            await client.read_response()
        assert len(server.take_errors()) == 1


@in_loop
async def test_a_fault_after_the_response_is_logged_and_harms_nobody() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"ok"))
        raise ValueError("afterwards")

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request() * 2)
        for _ in range(2):
            assert (await client.read_response()).body == b"ok"
        await server.idle_exchanges()
        assert len(server.take_errors()) == 2


@in_loop
async def test_an_application_can_be_any_callable_that_returns_an_awaitable() -> None:
    class Answering:
        def __init__(self, send: Send) -> None:
            self.send = send

        def __await__(self) -> Generator[Any, None, None]:
            yield from self.send(start()).__await__()
            yield from self.send(body(b"awaited")).__await__()

    class App:
        def __call__(self, *channels: Any) -> Answering:  # noqa: ANN401
            return Answering(channels[2])

    async with serving(App()) as server:
        client = await server.connect()
        await client.send(request())
        assert (await client.read_response()).body == b"awaited"


@in_loop
async def test_an_application_may_return_a_future_or_a_task() -> None:
    def app(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return asyncio.ensure_future(echo(scope, receive, send))

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request())
        assert (await client.read_response()).body == b"GET / "


class Odd:
    """Awaitables that misbehave in ways of their own."""

    def __init__(self, how: str) -> None:
        self.how = how

    def __await__(self) -> Any:  # noqa: ANN401
        if self.how == "raises":
            raise RuntimeError("odd")
        if self.how == "no iterator":
            return 42
        if self.how == "yields nonsense":
            return iter(["nonsense"])
        return self

    def __next__(self) -> object:
        raise OverflowError("odd")

    def __iter__(self) -> "Odd":
        return self


@pytest.mark.parametrize("how", ["raises", "no iterator", "yields nonsense", "raises in next"])
@in_loop
async def test_an_odd_awaitable_ends_its_own_request_only(how: str) -> None:
    def app(scope: Scope, receive: Receive, send: Send) -> Any:  # noqa: ANN401
        return Odd(how) if scope["path"] == "/odd" else echo(scope, receive, send)

    async with serving(app) as server:
        other = await server.connect()
        client = await server.connect()
        await client.send(request("GET", "/odd"))
        assert (await client.read_response()).status == 500
        await other.send(request())
        assert (await other.read_response()).status == 200
        assert len(server.take_errors()) == 1


@in_loop
async def test_a_hanging_application_ends_with_the_client() -> None:
    ended = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert inspect.isawaitable(receive())
        await receive()
        assert await receive() == {"type": "http.disconnect"}
        ended.set()

    async with serving(app) as server:
        client = await server.connect()
        await client.send(request())
        await server.accepted(1)
        client.close()
        await soon(ended.wait())
