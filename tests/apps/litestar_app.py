"""A Litestar application, written as its users write them."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

from litestar import Litestar, WebSocket, get, post, websocket
from litestar.datastructures import State, UploadFile
from litestar.exceptions import NotAuthorizedException, WebSocketDisconnect
from litestar.handlers import websocket_listener, websocket_stream
from litestar.logging import LoggingConfig
from litestar.params import FromPath, FromQuery, JSONBody, MultipartBody, QueryParameter
from litestar.response import Stream

from tests.apps.evidence import note_shutdown


@asynccontextmanager
async def lifespan(app: Litestar) -> AsyncIterator[None]:
    app.state.started = "by lifespan"
    app.state.release = asyncio.Event()
    app.state.left = asyncio.Event()
    app.state.meeting = asyncio.Barrier(20)
    app.state.ended = asyncio.Queue()
    app.state.room = set()
    yield
    note_shutdown()


@dataclass
class Item:
    name: str
    price: float


@dataclass
class Upload:
    note: str
    file: UploadFile


@get("/")
async def home(state: State) -> dict[str, str]:
    return {"framework": "litestar", "started": state.started}


@get("/items/{number:int}")
async def item(
    number: FromPath[int],
    q: FromQuery[str | None],
    tags: Annotated[list[str], QueryParameter(name="tag")],
) -> dict[str, Any]:
    return {"id": number, "q": q, "tags": tags}


@post("/items")
async def create(data: JSONBody[Item]) -> Item:
    return data


@post("/upload", status_code=200, request_max_body_size=8 * 1024 * 1024)
async def upload(data: MultipartBody[Upload]) -> dict[str, Any]:
    content = await data.file.read()
    return {
        "note": data.note,
        "filename": data.file.filename,
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


@get("/stream")
async def stream(state: State) -> Stream:
    async def lines() -> AsyncIterator[str]:
        yield "first\n"
        await state.release.wait()
        yield "second\n"

    return Stream(lines(), media_type="text/plain")


@post("/release", status_code=204)
async def release(state: State) -> None:
    state.release.set()


@get("/endless")
async def endless(state: State) -> Stream:
    async def lines() -> AsyncIterator[str]:
        try:
            while True:
                yield "still here\n"
                await asyncio.sleep(0.01)
        finally:
            state.left.set()

    return Stream(lines(), media_type="text/plain")


@get("/left")
async def left(state: State) -> dict[str, bool]:
    """Answer as soon as the client of /endless is known to be gone."""
    async with asyncio.timeout(10):
        await state.left.wait()
    return {"left": True}


@get("/meet")
async def meet(state: State) -> dict[str, int]:
    """Answer when twenty requests are here at once."""
    async with asyncio.timeout(10):
        await state.meeting.wait()
    return {"met": 20}


@get("/fail")
async def fail(why: FromQuery[str]) -> None:
    raise RuntimeError(f"deliberate: {why}")


# WebSockets


@websocket("/ws/echo")
async def ws_echo(socket: WebSocket, state: State) -> None:
    await socket.accept()
    code = None
    try:
        while True:
            event: Any = await socket.receive()
            if event["type"] == "websocket.disconnect":
                code = event["code"]
                return
            if event.get("text") is not None:
                await socket.send_text(event["text"])
            else:
                await socket.send_bytes(event["bytes"])
    except WebSocketDisconnect as disconnect:
        code = disconnect.code
    finally:
        state.ended.put_nowait(code)


@get("/ended")
async def ended(state: State) -> dict[str, int | None]:
    """Answer with the code that an echo ended with, as soon as one has."""
    async with asyncio.timeout(10):
        return {"code": await state.ended.get()}


async def accept_in_room(socket: WebSocket) -> None:
    offered = socket.scope["subprotocols"]
    await socket.accept(
        subprotocols="chat" if "chat" in offered else None,
        headers={"x-room": socket.path_params["room"]},
    )


@websocket_listener("/ws/json/{room:str}", connection_accept_handler=accept_in_room)
async def ws_json(
    data: dict[str, Any], room: FromPath[str], name: FromQuery[str]
) -> dict[str, Any]:
    return {"room": room, "name": name, "said": data}


@websocket("/ws/close")
async def ws_close(socket: WebSocket) -> None:
    await socket.accept()
    await socket.receive_text()
    await socket.close(4001, "enough")


@websocket("/ws/refused")
async def ws_refused(socket: WebSocket) -> None:
    await socket.close()


@websocket("/ws/denied")
async def ws_denied(socket: WebSocket) -> None:
    raise NotAuthorizedException("who is there?")


@websocket_stream("/ws/count")
async def ws_count() -> AsyncGenerator[int, None]:
    for number in range(3):
        yield number


@websocket("/ws/room")
async def ws_room(socket: WebSocket, state: State) -> None:
    await socket.accept()
    state.room.add(socket)
    await socket.send_text("joined")
    try:
        while True:
            text = await socket.receive_text()
            await asyncio.gather(*(other.send_text(text) for other in state.room))
    except WebSocketDisconnect:
        pass
    finally:
        state.room.discard(socket)


SOCKETS = [ws_echo, ended, ws_json, ws_close, ws_refused, ws_denied, ws_count, ws_room]

app = Litestar(
    [home, item, create, upload, stream, release, endless, left, meet, fail, *SOCKETS],
    lifespan=[lifespan],
    # Litestar answers exceptions itself; without this it would keep them to itself as well.
    logging_config=LoggingConfig(
        log_exceptions="always", disable_stack_trace={NotAuthorizedException}
    ),
)
