"""ASGI 2 applications, which are called twice."""

from collections.abc import Awaitable, Callable
from typing import Any

from tests.server.harness import (
    Message,
    Receive,
    Scope,
    Send,
    body,
    in_loop,
    read_body,
    request,
    serving,
    start,
)


class Application:
    """A class whose instances are one request each, as Channels 2 had it."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def __call__(self, receive: Receive, send: Send) -> None:
        content = await read_body(receive)
        await send(start())
        version = self.scope["asgi"]["version"]
        await send(body(f"{version} {self.scope['path']} ".encode() + content))


def function(scope: Scope) -> Callable[[Receive, Send], Awaitable[None]]:
    async def instance(receive: Receive, send: Send) -> None:
        await Application(scope)(receive, send)

    return instance


@in_loop
async def test_asgi_2_applications_are_served_as_they_are() -> None:
    for app in (Application, function):
        async with serving(app) as server:
            client = await server.connect()
            for _ in range(2):
                await client.send(request("POST", "/path", content=b"content"))
                assert (await client.read_response()).body == b"2.0 /path content"


@in_loop
async def test_asgi_2_applications_have_a_lifespan() -> None:
    seen: list[str] = []

    def app(scope: Scope) -> Callable[[Receive, Send], Awaitable[None]]:
        if scope["type"] != "lifespan":
            return function(scope)

        async def lifespan(receive: Receive, send: Send) -> None:
            while True:
                message: Message = await receive()
                seen.append(message["type"])
                await send({"type": message["type"] + ".complete"})
                if message["type"] == "lifespan.shutdown":
                    return

        return lifespan

    async with serving(app, lifespan="on") as server:
        client = await server.connect()
        await client.send(request())
        assert (await client.read_response()).status == 200
    assert seen == ["lifespan.startup", "lifespan.shutdown"]


@in_loop
async def test_what_fails_in_the_first_call_is_a_500() -> None:
    def app(scope: Scope) -> Any:  # noqa: ANN401
        raise ValueError("deliberate")

    async with serving(app, interface="asgi2") as server:
        client = await server.connect()
        await client.send(request())
        assert (await client.read_response()).status == 500
        assert "deliberate" in server.take_errors()[0]
