"""A chat room over WebSockets: what one says, all hear.

zonda run chat:app --app-dir examples

python -m websockets ws://127.0.0.1:8000/        in two terminals or more (pip install websockets)
"""

import asyncio
import contextlib

from zonda.asgi.types import Receive, Scope, Send

BACKLOG = 64
"""Messages kept for a member who reads slowly; one more, and that member is let go."""

members: set["Member"] = set()


class Member:
    """One who hears the others, at a pace of their own: nobody waits for the slowest."""

    def __init__(self) -> None:
        self.backlog: asyncio.Queue[str] = asyncio.Queue(BACKLOG)
        self.is_too_slow = asyncio.Event()

    def hear(self, text: str) -> None:
        """Take what someone said, or fall behind."""
        try:
            self.backlog.put_nowait(text)
        except asyncio.QueueFull:
            self.is_too_slow.set()


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "websocket":
        raise NotImplementedError(scope["type"])
    await receive()  # websocket.connect
    await send({"type": "websocket.accept"})
    member = Member()
    members.add(member)
    try:
        await take_part(member, receive, send)
    finally:
        members.discard(member)


async def take_part(member: Member, receive: Receive, send: Send) -> None:
    """Listen and speak until the client leaves, or falls behind."""
    listening = asyncio.create_task(listen(receive))
    speaking = asyncio.create_task(speak(member, send))
    falling_behind = asyncio.create_task(member.is_too_slow.wait())
    tasks = {listening, speaking, falling_behind}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if member.is_too_slow.is_set():
            # 1013 asks the client to come again later (RFC 6455 section 7.4, and IANA).
            with contextlib.suppress(OSError):
                await send({"type": "websocket.close", "code": 1013, "reason": "too slow"})
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def listen(receive: Receive) -> None:
    """Pass on what the client says."""
    while True:
        event = await receive()
        if event["type"] != "websocket.receive":
            return
        text = event.get("text")
        if text is not None:
            for member in members:
                member.hear(text)


async def speak(member: Member, send: Send) -> None:
    """Tell the client what all say. `send` waits while the client does not read."""
    while True:
        await send({"type": "websocket.send", "text": await member.backlog.get()})
