"""A WebSocket client of the tests' own, and the applications that it is tried on.

    async with serving(echo) as server:
        peer = await open_websocket(server)
        await peer.send(text("hello"))
        assert await peer.message() == "hello"
        assert await peer.close(1000) == (1000, "")

It sends what no library would and takes nothing that one would forgive: every frame of the server
must be whole, unmasked, as short as it can be, and expected.
"""

from base64 import b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha1

from tests.server.harness import Client, Message, Receive, Response, Scope, Send, Serving
from tests.wire.websocket.frames import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    close_frame,
    frame,
)
from zonda.asgi.types import ASGIApp

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
DEFLATE = ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")


def handshake(
    target: str = "/",
    *fields: tuple[str, str],
    method: str = "GET",
    version: str = "1.1",
    without: str = "",
    **replaced: str,
) -> bytes:
    """The bytes of an opening handshake.

    ``replaced`` are fields with another value (``key``, ``version_field``, ``upgrade``,
    ``connection``); ``without`` names one to leave out.
    """
    ours = {
        "upgrade": ("Upgrade", "websocket"),
        "connection": ("Connection", "Upgrade"),
        "key": ("Sec-WebSocket-Key", KEY),
        "version_field": ("Sec-WebSocket-Version", "13"),
    }
    lines = [f"{method} {target} HTTP/{version}", "Host: test"]
    lines += [
        f"{name}: {replaced.get(word, value)}"
        for word, (name, value) in ours.items()
        if word != without
    ]
    lines += [f"{name}: {value}" for name, value in fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def text(content: str) -> bytes:
    """The frame of a text message."""
    return frame(TEXT, content.encode())


def binary(content: bytes) -> bytes:
    """The frame of a binary message."""
    return frame(BINARY, content)


def ping(payload: bytes = b"") -> bytes:
    """A Ping frame."""
    return frame(PING, payload)


@dataclass(frozen=True)
class Frame:
    """A frame of the server's."""

    opcode: int
    payload: bytes
    compressed: bool = False


class WebSocketPeer:
    """The other end of one WebSocket, after its handshake."""

    def __init__(self, client: Client, response: Response) -> None:
        self.client = client
        self.response = response

    async def send(self, *frames: bytes) -> None:
        """Send frames, or any other octets, at once."""
        await self.client.send(b"".join(frames))

    async def frame(self) -> Frame:
        """The next frame of the server's."""
        first, second = await self.client.read(2)
        assert first & 0x80, "a server has no reason to send fragments"
        assert not first & 0x30, "a reserved bit that nobody agreed on"
        assert not second & 0x80, "a masked frame"
        length = second
        if second >= 126:
            width = 2 if second == 126 else 8
            length = int.from_bytes(await self.client.read(width), "big")
            assert length >= (126 if width == 2 else 65536), "a length longer than it need be"
        opcode = first & 0x0F
        if opcode >= CLOSE:
            assert length <= 125
            assert not first & 0x40
        return Frame(opcode, await self.client.read(length), bool(first & 0x40))

    async def message(self) -> str | bytes:
        """The next frame, which is a message."""
        found = await self.frame()
        assert not found.compressed
        if found.opcode == TEXT:
            return found.payload.decode()
        assert found.opcode == BINARY, found
        return found.payload

    async def pong(self) -> bytes:
        """The next frame, which is a Pong: its payload."""
        found = await self.frame()
        assert found.opcode == PONG, found
        return found.payload

    async def ping(self) -> bytes:
        """The next frame, which is a Ping: its payload."""
        found = await self.frame()
        assert found.opcode == PING, found
        return found.payload

    async def close_frame(self) -> tuple[int, str]:
        """The next frame, which is a Close: its code, 1005 if it has none, and its reason."""
        found = await self.frame()
        assert found.opcode == CLOSE, found
        if not found.payload:
            return 1005, ""
        return int.from_bytes(found.payload[:2], "big"), found.payload[2:].decode()

    async def closed(self) -> tuple[int, str]:
        """The server closes: its Close frame, the end of its side, and then of ours."""
        found = await self.close_frame()
        await self.client.assert_closed()
        self.client.close()
        return found

    async def answer_close(self) -> tuple[int, str]:
        """The server closes, and we answer with what it says."""
        code, reason = await self.close_frame()
        await self.send(close_frame(code) if code != 1005 else frame(CLOSE))
        await self.client.assert_closed()
        self.client.close()
        return code, reason

    async def close(self, code: int = 1000, reason: str = "") -> tuple[int, str]:
        """Close; what the server answers, and the end of the connection."""
        await self.send(close_frame(code, reason.encode()))
        return await self.closed()


async def open_websocket(
    server: Serving,
    *fields: tuple[str, str],
    target: str = "/",
    receive_buffer: int | None = None,
) -> WebSocketPeer:
    """A WebSocket that the server has accepted."""
    client = await server.connect(receive_buffer=receive_buffer)
    await client.send(handshake(target, *fields))
    return await accepted(client)


async def accepted(client: Client) -> WebSocketPeer:
    """The server's answer to a handshake, which has to be 101."""
    response = await client.read_interim()
    assert response.status == 101
    assert response.value(b"upgrade") == b"websocket"
    assert (response.value(b"connection") or b"").lower() == b"upgrade"
    whole = KEY.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    digest = sha1(whole, usedforsecurity=False).digest()
    assert response.value(b"sec-websocket-accept") == b64encode(digest)
    assert not response.values(b"content-length")
    assert not response.values(b"transfer-encoding")
    return WebSocketPeer(client, response)


# Applications

Handler = Callable[[Receive, Send], Awaitable[None]]


def websocket(handler: Handler) -> ASGIApp:
    """An application that accepts every WebSocket and leaves it to ``handler``."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "websocket"
        assert await receive() == {"type": "websocket.connect"}
        await send({"type": "websocket.accept"})
        await handler(receive, send)

    return app


@websocket
async def echo(receive: Receive, send: Send) -> None:
    """Send every message back, until the client leaves."""
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


class Recorder:
    """Accepts, and keeps what it receives up to and with the disconnect."""

    def __init__(self) -> None:
        self.received: list[Message] = []

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while not self.received or self.received[-1]["type"] == "websocket.receive":
            self.received.append(await receive())

    @property
    def messages(self) -> list[str | bytes]:
        """The messages, without the events around them."""
        return [
            each["text"] if each.get("text") is not None else each["bytes"]
            for each in self.received
            if each["type"] == "websocket.receive"
        ]

    @property
    def end(self) -> tuple[int, str]:
        """The code and the reason of the disconnect."""
        event = self.received[-1]
        assert event["type"] == "websocket.disconnect"
        return event["code"], event["reason"]


def say(content: str | bytes) -> Message:
    """websocket.send."""
    kind = "text" if isinstance(content, str) else "bytes"
    return {"type": "websocket.send", kind: content}
