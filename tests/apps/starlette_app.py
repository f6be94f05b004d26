"""A Starlette application, written as its users write them."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypedDict

from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.endpoints import WebSocketEndpoint
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from tests.apps.evidence import note_shutdown


class Shared(TypedDict):
    started: str
    release: asyncio.Event
    left: asyncio.Event
    meeting: asyncio.Barrier
    ended: asyncio.Queue[int | None]
    room: set[WebSocket]


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[Shared]:
    yield Shared(
        started="by lifespan",
        release=asyncio.Event(),
        left=asyncio.Event(),
        meeting=asyncio.Barrier(20),
        ended=asyncio.Queue(),
        room=set(),
    )
    note_shutdown()


async def home(request: Request) -> Response:
    return JSONResponse({"framework": "starlette", "started": request.state.started})


async def item(request: Request) -> Response:
    return JSONResponse(
        {
            "id": request.path_params["id"],
            "q": request.query_params.get("q"),
            "tags": request.query_params.getlist("tag"),
        }
    )


async def create(request: Request) -> Response:
    return JSONResponse(await request.json(), status_code=201)


async def upload(request: Request) -> Response:
    async with request.form() as form:
        file = form["file"]
        assert isinstance(file, UploadFile)
        content = await file.read()
        return JSONResponse(
            {
                "note": form["note"],
                "filename": file.filename,
                "size": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
        )


async def stream(request: Request) -> Response:
    async def lines() -> AsyncIterator[str]:
        yield "first\n"
        await request.state.release.wait()
        yield "second\n"

    return StreamingResponse(lines(), media_type="text/plain")


async def release(request: Request) -> Response:
    request.state.release.set()
    return Response(status_code=204)


async def endless(request: Request) -> Response:
    async def lines() -> AsyncIterator[str]:
        try:
            while True:
                yield "still here\n"
                await asyncio.sleep(0.01)
        finally:
            request.state.left.set()

    return StreamingResponse(lines(), media_type="text/plain")


async def left(request: Request) -> Response:
    """Answer as soon as the client of /endless is known to be gone."""
    async with asyncio.timeout(10):
        await request.state.left.wait()
    return JSONResponse({"left": True})


async def meet(request: Request) -> Response:
    """Answer when twenty requests are here at once."""
    async with asyncio.timeout(10):
        await request.state.meeting.wait()
    return JSONResponse({"met": 20})


async def fail(request: Request) -> Response:
    raise RuntimeError(f"deliberate: {request.query_params['why']}")


class Echo(WebSocketEndpoint):
    async def on_receive(self, websocket: WebSocket, data: Any) -> None:  # noqa: ANN401
        if isinstance(data, str):
            await websocket.send_text(data)
        else:
            await websocket.send_bytes(data)

    async def decode(self, websocket: WebSocket, message: Any) -> Any:  # noqa: ANN401
        text = message.get("text")
        return message["bytes"] if text is None else text

    async def on_disconnect(self, websocket: WebSocket, close_code: int) -> None:
        websocket.state.ended.put_nowait(close_code)


async def ended(request: Request) -> Response:
    """Answer with the code that an echo ended with, as soon as one has."""
    async with asyncio.timeout(10):
        return JSONResponse({"code": await request.state.ended.get()})


async def ws_json(websocket: WebSocket) -> None:
    room, name = websocket.path_params["room"], websocket.query_params["name"]
    offered = websocket.scope["subprotocols"]
    await websocket.accept("chat" if "chat" in offered else None, [(b"x-room", room.encode())])
    async for said in websocket.iter_json():
        await websocket.send_json({"room": room, "name": name, "said": said})


async def ws_close(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.receive_text()
    await websocket.close(4001, "enough")


async def ws_refused(websocket: WebSocket) -> None:
    await websocket.close()


async def ws_denied(websocket: WebSocket) -> None:
    await websocket.send_denial_response(PlainTextResponse("who is there?", status_code=401))


async def ws_room(websocket: WebSocket) -> None:
    await websocket.accept()
    room: set[WebSocket] = websocket.state.room
    room.add(websocket)
    await websocket.send_text("joined")
    try:
        async for text in websocket.iter_text():
            await asyncio.gather(*(other.send_text(text) for other in room))
    finally:
        room.discard(websocket)


app = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/", home),
        Route("/items/{id:int}", item),
        Route("/items", create, methods=["POST"]),
        Route("/upload", upload, methods=["POST"]),
        Route("/stream", stream),
        Route("/release", release, methods=["POST"]),
        Route("/endless", endless),
        Route("/left", left),
        Route("/meet", meet),
        Route("/fail", fail),
        Route("/ended", ended),
        WebSocketRoute("/ws/echo", Echo),
        WebSocketRoute("/ws/json/{room}", ws_json),
        WebSocketRoute("/ws/close", ws_close),
        WebSocketRoute("/ws/refused", ws_refused),
        WebSocketRoute("/ws/denied", ws_denied),
        WebSocketRoute("/ws/room", ws_room),
    ],
)
