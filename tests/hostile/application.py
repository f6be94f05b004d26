"""The application that is attacked, and the book that it keeps: ``application:app``.

Whatever carries an ``x-id`` is entered in the book when it begins and when it ends, whichever way
it ends, so that client and application can compare. ``/counts`` and ``/book`` tell.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

PIECE = 64 * 1024

begun: Counter[str] = Counter()
ended: Counter[str] = Counter()
times_seen = bytearray(2_000_000)
"""By the number in ``/n/NUMBER``: how often it was asked for."""
gate = asyncio.Event()
"""What the stalled wait for; ``/gate`` opens it."""
running = 0
produced = 0
"""Octets handed to ``send`` by ``/download`` and ``/endless``, all of them together."""


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    global running  # noqa: PLW0603 (one server a process)
    if scope["type"] == "lifespan":
        raise RuntimeError("there is nothing to start")
    path: str = scope["path"]
    if path.startswith("/n/"):
        times_seen[int(path[3:])] += 1
        await answer(send, path[3:].encode())
        return
    identity = next((value for name, value in scope["headers"] if name == b"x-id"), b"")
    name = identity.decode()
    running += 1
    if name:
        begun[name] += 1
    try:
        handlers = HANDLERS if scope["type"] == "http" else WEBSOCKETS
        handler = handlers[path.split("/")[1]]
        await handler(scope, receive, send)
    finally:
        running -= 1
        if name:
            ended[name] += 1


async def answer(send: Send, content: bytes, identity: bytes = b"") -> None:
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(content))]
    if identity:
        headers.append((b"x-id", identity))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


async def good(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the body of the request, and its id in a field."""
    content = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        content += message["body"]
        if not message["more_body"]:
            break
    identity = next(value for name, value in scope["headers"] if name == b"x-id")
    await answer(send, bytes(content), identity)


async def upload(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the length and the digest of the request's body."""
    digest = hashlib.sha256()
    length = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        length += len(message["body"])
        digest.update(message["body"])
        if not message["more_body"]:
            break
    await answer(send, f"{length} {digest.hexdigest()}".encode())


async def stalled(scope: Scope, receive: Receive, send: Send) -> None:
    """As ``/upload``, and not before the gate opens."""
    await gate.wait()
    await upload(scope, receive, send)


async def open_gate(scope: Scope, receive: Receive, send: Send) -> None:
    gate.set()
    await answer(send, b"open")


async def download(scope: Scope, receive: Receive, send: Send) -> None:
    """Send as many octets as the path says."""
    global produced  # noqa: PLW0603
    left = int(scope["path"].split("/")[2])
    headers = [(b"content-length", b"%d" % left)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    while left:
        piece = bytes(min(left, PIECE))
        left -= len(piece)
        await send({"type": "http.response.body", "body": piece, "more_body": left > 0})
        produced += len(piece)


async def endless(scope: Scope, receive: Receive, send: Send) -> None:
    """Send small pieces for as long as somebody takes them."""
    global produced  # noqa: PLW0603
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while True:
        await send({"type": "http.response.body", "body": b"x" * 100, "more_body": True})
        produced += 100


async def deaf(scope: Scope, receive: Receive, send: Send) -> None:
    """Ask for messages for ever, whatever they say, until the gate opens."""
    while not gate.is_set():
        await receive()


async def stubborn(scope: Scope, receive: Receive, send: Send) -> None:
    """Send for ever, whatever becomes of it, until the gate opens."""
    while not gate.is_set():
        with contextlib.suppress(OSError):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while True:
                await send({"type": "http.response.body", "body": b"x", "more_body": True})


async def sleepless(scope: Scope, receive: Receive, send: Send) -> None:
    """Give way and go on, for ever, until the gate opens."""
    while not gate.is_set():  # noqa: ASYNC110 (it is about those who do)
        await asyncio.sleep(0)
    await answer(send, b"tired")


async def compute(scope: Scope, receive: Receive, send: Send) -> None:
    """Use the processor for as many seconds as the path says, and give way to nobody."""
    end = time.perf_counter() + float(scope["path"].split("/")[2])
    while time.perf_counter() < end:
        pass
    await answer(send, b"computed")


async def fail(scope: Scope, receive: Receive, send: Send) -> None:
    raise RuntimeError("an application that fails")


async def counts(scope: Scope, receive: Receive, send: Send) -> None:
    """What must return to where it was: the one who asks is among it."""
    told = {
        "running": running,
        "tasks": len(asyncio.all_tasks()),
        "descriptors": len(os.listdir("/proc/self/fd")),  # noqa: PTH208
        "produced": produced,
    }
    await answer(send, json.dumps(told).encode())


async def book(scope: Scope, receive: Receive, send: Send) -> None:
    """Which ids have begun and ended, each how often."""
    await answer(send, json.dumps({"begun": begun, "ended": ended}).encode())


async def numbers(scope: Scope, receive: Receive, send: Send) -> None:
    """How often each number below the one in the path was asked for, an octet each."""
    await answer(send, bytes(times_seen[: int(scope["path"].split("/")[2])]))


HANDLERS = {
    "good": good,
    "upload": upload,
    "stalled": stalled,
    "gate": open_gate,
    "download": download,
    "endless": endless,
    "deaf": deaf,
    "stubborn": stubborn,
    "sleepless": sleepless,
    "compute": compute,
    "fail": fail,
    "counts": counts,
    "book": book,
    "numbers": numbers,
}


# WebSockets


async def accept(receive: Receive, send: Send) -> None:
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Give back each message. One that is an id is entered in the book."""
    await accept(receive, send)
    while (message := await receive())["type"] == "websocket.receive":
        text = message.get("text")
        if text is not None:
            begun[text] += 1
        await send({**message, "type": "websocket.send"})
        if text is not None:
            ended[text] += 1


async def gathered(scope: Scope, receive: Receive, send: Send) -> None:
    """Not before the gate opens: take messages up to a text; then tell their size and digest."""
    await accept(receive, send)
    await gate.wait()
    digest = hashlib.sha256()
    length = 0
    while (message := await receive())["type"] == "websocket.receive":
        if message.get("text") is not None:
            told = f"{length} {digest.hexdigest()}"
            await send({"type": "websocket.send", "text": told})
            continue
        length += len(message["bytes"])
        digest.update(message["bytes"])


async def broadcast(scope: Scope, receive: Receive, send: Send) -> None:
    """Send for ever what everybody is sent."""
    global produced  # noqa: PLW0603
    await accept(receive, send)
    while True:
        await send({"type": "websocket.send", "bytes": bytes(1000)})
        produced += 1000


async def undecided(scope: Scope, receive: Receive, send: Send) -> None:
    """Neither accept nor refuse, as long as there is somebody to refuse."""
    while (await receive())["type"] != "websocket.disconnect":
        pass


async def deaf_to_closing(scope: Scope, receive: Receive, send: Send) -> None:
    """Ask for messages for ever, whatever they say, until the gate opens."""
    await accept(receive, send)
    while not gate.is_set():
        await receive()


WEBSOCKETS = {
    "echo": echo,
    "gathered": gathered,
    "broadcast": broadcast,
    "undecided": undecided,
    "deaf": deaf_to_closing,
}
