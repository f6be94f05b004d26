"""The applications every server runs: plain ASGI, one callable a case, so that nothing is routed.

Each does the least its case allows, since what an application costs is added to all servers alike
and blurs the difference between them.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

Scope: TypeAlias = dict[str, Any]
Event: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Event]]
Send: TypeAlias = Callable[[Event], Awaitable[None]]

PART = bytes(range(256)) * 256
PARTS = 16
FILE = os.environ.get("BENCH_FILE", "")
"""Path of a file of PARTS times PART; the harness writes it."""

LOOP_MARK = "bench-loop: "

TEXT = [(b"content-type", b"text/plain")]
BINARY = [(b"content-type", b"application/octet-stream")]
FILE_LENGTH = (b"content-length", b"%d" % (len(PART) * PARTS))


async def lifespan(receive: Receive, send: Send) -> None:
    """Takes part in the lifespan, as real applications do, and tells the log which loop runs."""
    print(LOOP_MARK + type(asyncio.get_running_loop()).__module__, flush=True)
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers 13 bytes."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    headers = [*TEXT, (b"content-length", b"13")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"Hello, World!"})


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads the whole body and sends it back."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    parts = []
    more = True
    while more:
        event = await receive()
        parts.append(event.get("body", b""))
        more = event.get("more_body", False)
    body = b"".join(parts)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def stream(scope: Scope, receive: Receive, send: Send) -> None:
    """Sends 1 MiB in parts of 64 KiB, of a length not told in advance."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    await send({"type": "http.response.start", "status": 200, "headers": BINARY})
    for _ in range(PARTS):
        await send({"type": "http.response.body", "body": PART, "more_body": True})
    await send({"type": "http.response.body"})


async def file(scope: Scope, receive: Receive, send: Send) -> None:
    """Sends a file of 1 MiB the best way the server offers, and says which in `x-sent-by`.

    Without the pathsend extension it is read in parts of 64 KiB on a thread, as a framework must
    that may not block the loop (Starlette's FileResponse does so, through anyio; a bare executor,
    as here, costs the server less).
    """
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    if "http.response.pathsend" in scope.get("extensions", ()):
        headers = [*BINARY, FILE_LENGTH, (b"x-sent-by", b"pathsend")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.pathsend", "path": FILE})
        return
    headers = [*BINARY, FILE_LENGTH, (b"x-sent-by", b"parts")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    call = asyncio.get_running_loop().run_in_executor
    source = await call(None, open, FILE, "rb")
    try:
        for left in reversed(range(PARTS)):
            part = await call(None, source.read, len(PART))
            await send({"type": "http.response.body", "body": part, "more_body": left > 0})
    finally:
        await call(None, source.close)


async def upload(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads the body to its end, keeps none of it and answers how many bytes it had."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    size = 0
    more = True
    while more:
        event = await receive()
        size += len(event.get("body", b""))
        more = event.get("more_body", False)
    body = b"%d" % size
    headers = [*TEXT, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def echo_websocket(scope: Scope, receive: Receive, send: Send) -> None:
    """Accepts a WebSocket and sends each of its messages back as it came, text or binary."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    if scope["type"] == "http":
        # The harness asks once, to know that the workers are there.
        await hello(scope, receive, send)
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        text = event.get("text")
        if text is None:
            await send({"type": "websocket.send", "bytes": event["bytes"]})
        else:
            await send({"type": "websocket.send", "text": text})
