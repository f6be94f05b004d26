"""The demo that `make run` serves: plain ASGI, a handler for each path, a page that tries them.

    zonda run examples.demo.app:app --app-dir .

Only two things here are Zonda's own: how a file is sent, and the name of the build that runs.
"""

import asyncio
import contextlib
import hashlib
import html
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from zonda import __version__, _build
from zonda.asgi.files import send_file
from zonda.asgi.types import (
    Header,
    HTTPScope,
    LifespanScope,
    Receive,
    Scope,
    Send,
    WebSocketScope,
)

PAGE = Template(Path(__file__).with_name("page.html").read_text("utf-8"))

STREAM_LINES = 20
EVENTS_A_CONNECTION = 30
"""After these the browser reconnects by itself, and the counter goes on where it was."""
ECHO_LIMIT = 64 * 1024
"""Bytes. What is echoed is held in memory first, and nothing is held without a limit."""


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await lifespan(scope, receive, send)
    elif scope["type"] == "websocket":
        await route_websocket(scope, receive, send)
    else:
        await route(scope, receive, send)


# Start-up, shutdown, and what the requests share


@dataclass
class Life:
    """What the requests of one worker share, from its start-up to its shutdown."""

    started: float
    requests: int = 0


async def lifespan(scope: LifespanScope, receive: Receive, send: Send) -> None:
    await receive()
    # Every request gets a copy of this dictionary, with the same values in it.
    scope.get("state", {})["life"] = Life(started=time.monotonic())
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


def life_of(scope: HTTPScope) -> Life:
    life: Life = scope.get("state", {})["life"]
    return life


# Which handler gets a request

Handler = Callable[[HTTPScope, Receive, Send], Awaitable[None]]


async def route(scope: HTTPScope, receive: Receive, send: Send) -> None:
    life_of(scope).requests += 1
    methods, handler = HANDLERS.get(scope["path"], (READ, not_found))
    if scope["method"] in methods:
        with contextlib.suppress(ClientLeftError):
            await handler(scope, receive, send)
    else:
        allow = (b"allow", ", ".join(methods).encode())
        await respond(send, b"This path takes other methods.\n", status=405, headers=[allow])


async def not_found(_scope: HTTPScope, _receive: Receive, send: Send) -> None:
    await respond(send, b"There is nothing here. Try /\n", status=404)


# The page


async def page(scope: HTTPScope, _receive: Receive, send: Send) -> None:
    """Show the request as the server gave it to us."""
    query, client, server = scope["query_string"], scope.get("client"), scope.get("server")
    details = {
        "Method": scope["method"],
        "Path": scope["path"],
        "Query": query.decode("latin-1") or "none",
        "HTTP version": scope["http_version"],
        "Scheme": scope.get("scheme", "http"),
        "Client": f"{client[0]} port {client[1]}" if client else "a unix socket",
        "Server": " port ".join(str(part) for part in server if part) if server else "unknown",
        "ASGI": f"{scope['asgi']['version']}, messages {scope['asgi'].get('spec_version', '2.0')}",
        "Extensions": ", ".join(scope.get("extensions") or {}) or "none",
        "Request": f"number {life_of(scope).requests} of process {os.getpid()}",
    }
    fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
    content = PAGE.substitute(
        version=html.escape(__version__),
        build=html.escape(_build.describe()),
        details=rows(details.items()),
        headers=rows(fields),
    )
    # The page needs nothing from anywhere else, and so may load nothing from anywhere else.
    policy = (
        b"default-src 'none'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; "
        b"img-src data:; script-src 'unsafe-inline'; style-src 'unsafe-inline'"
    )
    headers = [(b"content-security-policy", policy), (b"cache-control", b"no-store")]
    await respond(send, content.encode(), content_type=b"text/html; charset=utf-8", headers=headers)


def rows(pairs: Iterable[tuple[str, str]]) -> str:
    return "\n".join(
        f"<tr><th scope=row>{html.escape(name)}<td>{html.escape(value)}" for name, value in pairs
    )


# Answers that take their time


async def stream(_scope: HTTPScope, _receive: Receive, send: Send) -> None:
    """Send a line, wait a little, send the next: the page shows each as it comes."""
    await start(send, b"text/plain; charset=utf-8")
    for number in range(1, STREAM_LINES + 1):
        line = f"line {number:2} of {STREAM_LINES}, written at {time.strftime('%H:%M:%S')}\n"
        # If the client leaves, this raises an OSError. There is nothing to clean up: let it.
        await send({"type": "http.response.body", "body": line.encode(), "more_body": True})
        await asyncio.sleep(0.2)
    await send({"type": "http.response.body", "body": b"that is all\n"})


async def events(scope: HTTPScope, _receive: Receive, send: Send) -> None:
    """Count, as server-sent events; a browser that comes back says what it saw last."""
    last = dict(scope["headers"]).get(b"last-event-id", b"0")
    first = int(last) + 1 if last.isdigit() and len(last) < 10 else 1
    await start(send, b"text/event-stream")
    for number in range(first, first + EVENTS_A_CONNECTION):
        event = f"id: {number}\nretry: 500\ndata: {number}\n\n"
        await send({"type": "http.response.body", "body": event.encode(), "more_body": True})
        await asyncio.sleep(0.5)
    await send({"type": "http.response.body"})


# Requests with a body


async def echo(scope: HTTPScope, receive: Receive, send: Send) -> None:
    content = b""
    async for piece in body(receive):
        content += piece
        if len(content) > ECHO_LIMIT:
            await respond(send, b"Up to 64 KiB are echoed.\n", status=413)
            return
    content_type = dict(scope["headers"]).get(b"content-type", b"application/octet-stream")
    # What anyone posts must not run as a page of ours.
    headers = [(b"x-content-type-options", b"nosniff"), (b"x-echoed-type", content_type)]
    await respond(send, content, headers=headers)


async def upload(_scope: HTTPScope, receive: Receive, send: Send) -> None:
    """Count and hash an upload of any size, holding one piece of it at a time."""
    started = time.perf_counter()
    size = largest = 0
    digest = hashlib.sha256()
    async for piece in body(receive):
        size += len(piece)
        largest = max(largest, len(piece))
        digest.update(piece)
    report = {
        "bytes": size,
        "seconds": round(time.perf_counter() - started, 3),
        "largest_piece": largest,
        "sha256": digest.hexdigest(),
    }
    await respond_json(send, report)


class ClientLeftError(Exception):
    """The client left before the end of the body; there is nobody to answer."""


async def body(receive: Receive) -> AsyncIterator[bytes]:
    while True:
        event = await receive()
        if event["type"] != "http.request":
            raise ClientLeftError
        yield event.get("body", b"")
        if not event.get("more_body", False):
            return


# A WebSocket


async def route_websocket(scope: WebSocketScope, receive: Receive, send: Send) -> None:
    if scope["path"] == "/ws":
        await echo_messages(receive, send)
    else:
        # Before it is accepted, a close refuses it: the client is answered 403.
        await receive()
        await send({"type": "websocket.close"})


async def echo_messages(receive: Receive, send: Send) -> None:
    """Answer each message with the same, until the client closes or the server leaves."""
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        event = await receive()
        if event["type"] != "websocket.receive":
            return
        text = event.get("text")
        if text is not None:
            await send({"type": "websocket.send", "text": text})
        else:
            await send({"type": "websocket.send", "bytes": event.get("bytes") or b""})


# A file, and how the process is


async def file(scope: HTTPScope, _receive: Receive, send: Send) -> None:
    """Send this very file; ranges and conditional requests work too."""
    plain = (b"content-type", b"text/plain; charset=utf-8")
    await send_file(scope, send, __file__, headers=[plain, (b"cache-control", b"no-cache")])


async def health(scope: HTTPScope, _receive: Receive, send: Send) -> None:
    life = life_of(scope)
    report = {
        "status": "ok",
        "version": __version__,
        "build": _build.describe(),
        "process": os.getpid(),
        "requests": life.requests,
        "up_seconds": round(time.monotonic() - life.started, 3),
    }
    await respond_json(send, report)


READ = ("GET", "HEAD")
HANDLERS: dict[str, tuple[tuple[str, ...], Handler]] = {
    "/": (READ, page),
    "/stream": (("GET",), stream),
    "/events": (("GET",), events),
    "/echo": (("POST",), echo),
    "/upload": (("POST", "PUT"), upload),
    "/file": (READ, file),
    "/health": (READ, health),
}


# The two events that make a response


async def start(
    send: Send, content_type: bytes, *, status: int = 200, headers: Iterable[Header] = ()
) -> None:
    fields = [(b"content-type", content_type), *headers]
    await send({"type": "http.response.start", "status": status, "headers": fields})


async def respond(
    send: Send,
    content: bytes,
    *,
    status: int = 200,
    content_type: bytes = b"text/plain; charset=utf-8",
    headers: Iterable[Header] = (),
) -> None:
    length = (b"content-length", str(len(content)).encode())
    await start(send, content_type, status=status, headers=[length, *headers])
    await send({"type": "http.response.body", "body": content})


async def respond_json(send: Send, value: dict[str, Any]) -> None:
    content = json.dumps(value, indent=2).encode() + b"\n"
    await respond(send, content, content_type=b"application/json")
