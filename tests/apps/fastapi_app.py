"""A FastAPI application, written as its users write them."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import (
    Depends,
    FastAPI,
    Form,
    HTTPException,
    Query,
    Request,
    UploadFile,
    WebSocket,
    WebSocketDisconnect,
    WebSocketException,
)
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from tests.apps.evidence import note_shutdown


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.started = "by lifespan"
    app.state.release = asyncio.Event()
    app.state.left = asyncio.Event()
    app.state.meeting = asyncio.Barrier(20)
    app.state.ended = asyncio.Queue()
    app.state.news = asyncio.Queue()
    broadcaster = asyncio.create_task(broadcast())
    yield
    broadcaster.cancel()
    note_shutdown()


app = FastAPI(lifespan=lifespan)


class Item(BaseModel):
    name: str
    price: float


class Found(BaseModel):
    id: int
    q: str | None
    tags: list[str]


class Uploaded(BaseModel):
    note: str
    filename: str | None
    size: int
    sha256: str


@app.get("/")
async def home(request: Request) -> dict[str, str]:
    return {"framework": "fastapi", "started": request.app.state.started}


@app.get("/items/{number}")
def item(number: int, tag: Annotated[list[str], Query()], q: str | None = None) -> Found:
    return Found(id=number, q=q, tags=tag)


@app.post("/items", status_code=201)
async def create(item: Item) -> Item:
    return item


@app.post("/upload")
async def upload(file: UploadFile, note: Annotated[str, Form()]) -> Uploaded:
    content = await file.read()
    return Uploaded(
        note=note,
        filename=file.filename,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )


@app.get("/stream")
async def stream() -> StreamingResponse:
    async def lines() -> AsyncIterator[str]:
        yield "first\n"
        await app.state.release.wait()
        yield "second\n"

    return StreamingResponse(lines(), media_type="text/plain")


@app.post("/release", status_code=204)
async def release() -> None:
    app.state.release.set()


@app.get("/endless")
async def endless() -> StreamingResponse:
    async def lines() -> AsyncIterator[str]:
        try:
            while True:
                yield "still here\n"
                await asyncio.sleep(0.01)
        finally:
            app.state.left.set()

    return StreamingResponse(lines(), media_type="text/plain")


@app.get("/left")
async def left() -> dict[str, bool]:
    """Answer as soon as the client of /endless is known to be gone."""
    async with asyncio.timeout(10):
        await app.state.left.wait()
    return {"left": True}


@app.get("/meet")
async def meet() -> dict[str, int]:
    """Answer when twenty requests are here at once."""
    async with asyncio.timeout(10):
        await app.state.meeting.wait()
    return {"met": 20}


@app.get("/fail")
async def fail(why: str) -> None:
    raise RuntimeError(f"deliberate: {why}")


# WebSockets


@app.websocket("/ws/echo")
async def ws_echo(websocket: WebSocket) -> None:
    await websocket.accept()
    code = None
    try:
        while True:
            event = await websocket.receive()
            if event["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(event["code"])
            if event.get("text") is not None:
                await websocket.send_text(event["text"])
            else:
                await websocket.send_bytes(event["bytes"])
    except WebSocketDisconnect as disconnect:
        code = disconnect.code
    finally:
        app.state.ended.put_nowait(code)


@app.get("/ended")
async def ended() -> dict[str, int | None]:
    """Answer with the code that an echo ended with, as soon as one has."""
    async with asyncio.timeout(10):
        return {"code": await app.state.ended.get()}


async def known(token: str) -> str:
    if token != "open":  # noqa: S105
        raise WebSocketException(1008, "who is there?")
    return token


@app.websocket("/ws/json/{room}")
async def ws_json(
    websocket: WebSocket, room: str, name: str, token: Annotated[str, Depends(known)]
) -> None:
    offered = websocket.scope["subprotocols"]
    await websocket.accept("chat" if "chat" in offered else None, [(b"x-room", room.encode())])
    try:
        while True:
            said = await websocket.receive_json()
            await websocket.send_json({"room": room, "name": name, "said": said})
    except WebSocketDisconnect:
        pass


@app.websocket("/ws/close")
async def ws_close(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.receive_text()
    await websocket.close(4001, "enough")


@app.websocket("/ws/refused")
async def ws_refused(websocket: WebSocket) -> None:
    await websocket.close()


@app.websocket("/ws/denied")
async def ws_denied(websocket: WebSocket) -> None:
    raise HTTPException(401, "who is there?")


listeners: set[WebSocket] = set()


async def broadcast() -> None:
    """Send the news to everybody who listens."""
    while True:
        text = await app.state.news.get()
        await asyncio.gather(*(listener.send_text(text) for listener in listeners))


@app.websocket("/ws/room")
async def ws_room(websocket: WebSocket) -> None:
    await websocket.accept()
    listeners.add(websocket)
    await websocket.send_text("joined")
    try:
        async for text in websocket.iter_text():
            app.state.news.put_nowait(text)
    finally:
        listeners.discard(websocket)
