"""Every kind of WSGI response to clients of every kind, at once; then nothing may be left."""

import asyncio
import random
from collections.abc import Iterable
from typing import Any

import pytest

from tests.server.harness import Serving, in_loop, request, serving
from zonda.server.wsgi import WSGIRunner

PATHS = ["/list", "/read", "/parts", "/write", "/echo"]
SIZES = [0, 10, 5_000, 200_000, 1_500_000]
PLAIN = [("Content-Type", "text/plain")]


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:  # noqa: ANN401
    body = environ["wsgi.input"]
    path = environ["PATH_INFO"]
    if path == "/read":
        content = body.read()
        start_response("200 OK", PLAIN)
        return [content]
    write = start_response("200 OK", PLAIN)
    if path == "/write":
        for number in range(20):
            write(b"w" * number * 1000)
    if path == "/parts":
        return (b"p" * number * 150 for number in range(100))
    if path == "/echo":
        return iter(body.read1, b"")
    return [b"the ", b"end"]


async def visit(server: Serving, chance: random.Random, outcomes: list[str]) -> None:
    """Send some requests, and leave in the midst of one, now and then."""
    client = await server.connect(receive_buffer=chance.choice([None, 4096]))
    try:
        for _ in range(chance.randrange(1, 6)):
            path = chance.choice(PATHS)
            content = chance.randbytes(chance.choice(SIZES))
            sent = request("POST", path, content=content)
            leaves = chance.random() < 0.3
            if leaves:
                sent = sent[: chance.randrange(len(sent))]
            reading = asyncio.create_task(client.read_response())
            sending = asyncio.create_task(client.send(sent))
            if leaves:
                await asyncio.sleep(chance.random() / 100)
                reading.cancel()
                sending.cancel()
                await asyncio.wait([reading, sending])
                outcomes.append("left")
                return
            response = await reading
            assert response.status == 200
            if path in {"/read", "/echo"}:
                assert response.body == content
            outcomes.append(path)
            if response.closes:  # more of the request is left than would be read for nothing
                sending.cancel()
                await asyncio.wait([sending])
                return
            await sending
    finally:
        chance.choice([client.close, client.reset])()


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_left_of_requests_however_they_end(seed: int) -> None:
    chance = random.Random(seed)
    outcomes: list[str] = []

    @in_loop
    async def test() -> None:
        async with serving(app, threads=4) as server:
            for _ in range(3):
                async with asyncio.TaskGroup() as group:
                    for _ in range(20):
                        group.create_task(visit(server, chance, outcomes))
                await server.idle()
            runner = server.worker._runner
            assert isinstance(runner, WSGIRunner)
            statistics = runner.pool.statistics
            assert (statistics.running, statistics.waiting) == (0, 0)

    test()
    assert set(outcomes) == {"left", *PATHS}
