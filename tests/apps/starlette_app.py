"""A Starlette application, written as its users write them."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.apps.evidence import note_shutdown


class Shared(TypedDict):
    started: str
    release: asyncio.Event
    left: asyncio.Event
    meeting: asyncio.Barrier


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[Shared]:
    yield Shared(
        started="by lifespan",
        release=asyncio.Event(),
        left=asyncio.Event(),
        meeting=asyncio.Barrier(20),
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
    ],
)
