"""A Quart application, written as its users write them."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

from quart import Quart, abort, request, websocket

from tests.apps.evidence import note_shutdown

app = Quart(__name__)


@app.before_serving
async def start() -> None:
    app.extensions["started"] = "by lifespan"
    app.extensions["release"] = asyncio.Event()
    app.extensions["left"] = asyncio.Event()
    app.extensions["meeting"] = asyncio.Barrier(20)
    app.extensions["ended"] = asyncio.Queue()


@app.after_serving
async def stop() -> None:
    note_shutdown()


@app.get("/")
async def home() -> dict[str, str]:
    return {"framework": "quart", "started": app.extensions["started"]}


@app.get("/items/<int:number>")
async def item(number: int) -> dict[str, Any]:
    return {"id": number, "q": request.args.get("q"), "tags": request.args.getlist("tag")}


@app.post("/items")
async def create() -> tuple[Any, int]:
    return await request.get_json(), 201


@app.post("/upload")
async def upload() -> dict[str, Any]:
    form, files = await request.form, await request.files
    content = files["file"].read()
    return {
        "note": form["note"],
        "filename": files["file"].filename,
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


@app.get("/stream")
async def stream() -> tuple[AsyncIterator[bytes], dict[str, str]]:
    async def lines() -> AsyncIterator[bytes]:
        yield b"first\n"
        await app.extensions["release"].wait()
        yield b"second\n"

    return lines(), {"content-type": "text/plain"}


@app.post("/release")
async def release() -> tuple[str, int]:
    app.extensions["release"].set()
    return "", 204


@app.get("/endless")
async def endless() -> AsyncIterator[bytes]:
    async def lines() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"still here\n"
                await asyncio.sleep(0.01)
        finally:
            app.extensions["left"].set()

    return lines()


@app.get("/left")
async def left() -> dict[str, bool]:
    """Answer as soon as the client of /endless is known to be gone."""
    async with asyncio.timeout(10):
        await app.extensions["left"].wait()
    return {"left": True}


@app.get("/meet")
async def meet() -> dict[str, int]:
    """Answer when twenty requests are here at once."""
    async with asyncio.timeout(10):
        await app.extensions["meeting"].wait()
    return {"met": 20}


@app.get("/fail")
async def fail() -> str:
    raise RuntimeError(f"deliberate: {request.args['why']}")


# WebSockets


@app.websocket("/ws/echo")
async def ws_echo() -> None:
    try:
        while True:
            await websocket.send(await websocket.receive())
    finally:
        # Quart cancels what serves a client that has left, and does not tell it the code.
        app.extensions["ended"].put_nowait(None)


@app.get("/ended")
async def ended() -> dict[str, None]:
    """Answer as soon as an echo has ended."""
    async with asyncio.timeout(10):
        return {"code": await app.extensions["ended"].get()}


@app.websocket("/ws/json/<room>")
async def ws_json(room: str) -> None:
    name = websocket.args["name"]
    offered = websocket.requested_subprotocols
    await websocket.accept({"x-room": room}, "chat" if "chat" in offered else None)
    while True:
        said = await websocket.receive_json()
        await websocket.send_json({"room": room, "name": name, "said": said})


@app.websocket("/ws/close")
async def ws_close() -> None:
    await websocket.accept()
    await websocket.receive()
    await websocket.close(4001, "enough")


@app.websocket("/ws/refused")
async def ws_refused() -> None:
    await websocket.close(1000)


@app.websocket("/ws/denied")
async def ws_denied() -> None:
    abort(401, "who is there?")


room: set[asyncio.Queue[str | bytes]] = set()


@app.websocket("/ws/room")
async def ws_room() -> None:
    """Send and receive at once, each in a task of its own."""
    news: asyncio.Queue[str | bytes] = asyncio.Queue()

    async def sending() -> None:
        while True:
            await websocket.send(await news.get())

    async def receiving() -> None:
        while True:
            text = await websocket.receive()
            for other in room:
                other.put_nowait(text)

    room.add(news)
    try:
        await websocket.send("joined")
        await asyncio.gather(
            asyncio.create_task(sending()),
            asyncio.create_task(receiving()),
        )
    finally:
        room.discard(news)
