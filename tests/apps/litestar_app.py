"""A Litestar application, written as its users write them."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

from litestar import Litestar, get, post
from litestar.datastructures import State, UploadFile
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


app = Litestar(
    [home, item, create, upload, stream, release, endless, left, meet, fail],
    lifespan=[lifespan],
    # Litestar answers exceptions itself; without this it would keep them to itself as well.
    logging_config=LoggingConfig(log_exceptions="always"),
)
