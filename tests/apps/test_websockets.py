"""WebSockets of each framework, over ws and wss, with the client of the field.

They all serve the same paths, each written the way of its framework.
"""

import asyncio
import json
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_anywhere
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.apps.conftest import FRAMEWORKS, SCHEMES, Framework, settings_of
from tests.server.harness import in_loop
from tests.server.tls_client import Certificates

ASYNC = [framework for framework in FRAMEWORKS if not framework.is_wsgi]
PLACES = [(framework, scheme) for framework in ASYNC for scheme in SCHEMES]
SHOWS_CODE = {"fastapi", "starlette", "litestar", "django"}
"""Quart cancels what serves a client that has left, and does not tell it the code."""
DENIALS = {
    "fastapi": (401, b'{"detail":"who is there?"}'),
    "starlette": (401, b"who is there?"),
    "quart": (401, b"who is there?"),
    # These know a refusal only as a close, which is answered 403.
    "litestar": (403, b""),
    "django": (403, b""),
}


class Site:
    """A running application, and how to reach it."""

    def __init__(self, framework: Framework, scheme: str, certificates: Certificates) -> None:
        self.framework = framework
        self.context = certificates.client()
        self.secure = scheme == "https"
        self.server = framework.live("process", **settings_of(scheme, certificates))

    def connect(self, path: str, **options: Any) -> Any:  # noqa: ANN401
        if self.secure:
            options["ssl"] = self.context
        scheme = "wss" if self.secure else "ws"
        url = f"{scheme}://{self.server.host}:{self.server.port}/ws/{path}"
        return connect_anywhere(url, open_timeout=20, **options)

    async def ended(self) -> int | None:
        """The code that the application was told at the end of an echo."""
        async with httpx.AsyncClient(verify=self.context, timeout=20) as client:
            code: int | None = (await client.get(f"{self.server.url}/ended")).json()["code"]
        return code


@pytest.fixture(scope="module", params=PLACES, ids=lambda param: f"{param[0]}-{param[1]}")
def site(request: pytest.FixtureRequest, certificates: Certificates) -> Iterator[Site]:
    framework, scheme = request.param
    found = Site(framework, scheme, certificates)
    with found.server:
        yield found
    assert "Traceback" not in found.server.logs
    assert "did not end" not in found.server.logs


async def hear(websocket: ClientConnection) -> str | bytes:
    async with asyncio.timeout(20):
        return await websocket.recv()


async def hear_the_end(websocket: ClientConnection) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed):
        await hear(websocket)
    assert websocket.close_code is not None
    return websocket.close_code, websocket.close_reason or ""


@in_loop
async def test_messages_are_echoed_and_the_close_is_seen(site: Site) -> None:
    async with site.connect("echo") as websocket:
        for message in ("caf\u00e9", b"\x00\xff", "x"):
            await websocket.send(message)
            assert await hear(websocket) == message
        await websocket.close(4002, "bye")
        assert websocket.close_code == 4002
    assert await site.ended() == (4002 if site.framework.name in SHOWS_CODE else None)


@in_loop
async def test_a_large_message_is_echoed_compressed(site: Site) -> None:
    message = json.dumps([os.urandom(16).hex() for _ in range(30000)])
    async with site.connect("echo", max_size=None) as websocket:
        assert websocket.response.headers["sec-websocket-extensions"].startswith(
            "permessage-deflate"
        )
        await websocket.send(message)
        assert await hear(websocket) == message
    await site.ended()


@in_loop
async def test_json_parameters_subprotocol_and_fields(site: Site) -> None:
    async with site.connect("json/blue?name=ana&token=open", subprotocols=["chat"]) as websocket:
        assert websocket.subprotocol == "chat"
        assert websocket.response.headers["x-room"] == "blue"
        await websocket.send('{"a": [1, "caf\u00e9"]}')
        assert json.loads(await hear(websocket)) == {
            "room": "blue",
            "name": "ana",
            "said": {"a": [1, "caf\u00e9"]},
        }


@in_loop
async def test_the_application_closes_with_a_code_and_a_reason(site: Site) -> None:
    async with site.connect("close") as websocket:
        await websocket.send("now")
        assert await hear_the_end(websocket) == (4001, "enough")


@in_loop
async def test_the_application_refuses(site: Site) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await site.connect("refused")
    assert refused.value.response.status_code == 403


@in_loop
async def test_the_application_denies_with_a_response(site: Site) -> None:
    with pytest.raises(InvalidStatus) as denied:
        await site.connect("denied")
    status, content = DENIALS[site.framework.name]
    assert denied.value.response.status_code == status
    assert content in denied.value.response.body


@in_loop
async def test_a_client_that_resets_is_seen_to_have_left(site: Site) -> None:
    async with site.connect("echo") as websocket:
        await websocket.send("here")
        assert await hear(websocket) == "here"
        raw = websocket.transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        websocket.transport.abort()
    assert await site.ended() == (1006 if site.framework.name in SHOWS_CODE else None)


@in_loop
async def test_fifty_clients_hear_what_one_says(site: Site) -> None:
    async with AsyncExitStack() as leaving:
        clients = await asyncio.gather(
            *(leaving.enter_async_context(site.connect("room")) for _ in range(50))
        )
        assert await asyncio.gather(*map(hear, clients)) == ["joined"] * 50
        await clients[7].send("to all")
        assert await asyncio.gather(*map(hear, clients)) == ["to all"] * 50


@in_loop
async def test_a_dependency_refuses(site: Site) -> None:
    if site.framework.name != "fastapi":
        pytest.skip("a thing of FastAPI")
    with pytest.raises(InvalidStatus) as refused:
        await site.connect("json/blue?name=ana&token=wrong")
    assert refused.value.response.status_code == 403


@in_loop
async def test_a_stream_of_the_application(site: Site) -> None:
    if site.framework.name != "litestar":
        pytest.skip("a thing of Litestar")
    async with site.connect("count") as websocket:
        assert [await hear(websocket) for _ in range(3)] == ["0", "1", "2"]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("framework", ASYNC, ids=str)
@in_loop
async def test_open_sockets_are_told_that_the_server_leaves(
    framework: Framework, scheme: str, certificates: Certificates
) -> None:
    site = Site(framework, scheme, certificates)
    server = site.server
    with ExitStack() as running:
        # Blocking is harmless here, as nothing of the loop runs yet.
        running.enter_context(server)
        async with site.connect("echo") as echo, site.connect("room") as room:
            await echo.send("here")
            assert [await hear(echo), await hear(room)] == ["here", "joined"]
            leaving = asyncio.create_task(asyncio.to_thread(running.close))
            assert [(await hear_the_end(client))[0] for client in (echo, room)] == [1012, 1012]
            await leaving
    assert "Traceback" not in server.logs
    assert "did not end" not in server.logs
