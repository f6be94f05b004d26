"""Streams in both directions, without holding more than a piece of either.

zonda run streaming:app --app-dir examples

curl -N http://127.0.0.1:8000/                 a clock, until you leave
curl -T some.file http://127.0.0.1:8000/       the body in capitals, while it is still coming
"""

import asyncio
import time

from zonda.asgi.types import Receive, Scope, Send


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-type", b"text/plain; charset=utf-8")],
        }
    )
    if scope["method"] in ("POST", "PUT"):
        await capitals(receive, send)
    else:
        await clock(send)


async def clock(send: Send) -> None:
    """Send the time once a second. `send` raises an OSError once the client has left."""
    while True:
        line = time.strftime("%H:%M:%S\n").encode()
        await send({"type": "http.response.body", "body": line, "more_body": True})
        await asyncio.sleep(1)


async def capitals(receive: Receive, send: Send) -> None:
    """Answer each piece as it comes.

    `send` waits while the client does not read, and the client has to wait while nobody calls
    `receive`: a fast sender and a slow reader need no more memory than two slow ones.
    """
    more = True
    while more:
        event = await receive()
        if event["type"] != "http.request":
            return  # the client has left
        more = event.get("more_body", False)
        body = event.get("body", b"").upper()
        await send({"type": "http.response.body", "body": body, "more_body": more})
