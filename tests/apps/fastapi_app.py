"""A FastAPI application, written as its users write them."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import FastAPI, Form, Query, Request, UploadFile
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from tests.apps.evidence import note_shutdown


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.started = "by lifespan"
    app.state.release = asyncio.Event()
    app.state.left = asyncio.Event()
    app.state.meeting = asyncio.Barrier(20)
    yield
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
