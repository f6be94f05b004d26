"""The clients that people use get the same answers, whichever they are, and each its own."""

import asyncio
import http.client
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.server.harness import Receive, Scope, Send, body, read_body, start
from zonda.testing import LiveServer

httpx = pytest.importorskip("httpx")

METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Say what came, framed as the path asks."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    content = await read_body(receive)
    said = json.dumps(
        {
            "method": scope["method"],
            "path": scope["path"],
            "query": scope["query_string"].decode(),
            "size": len(content),
            "sum": sum(content),
        }
    ).encode()
    match scope["path"].strip("/").split("/")[0]:
        case "chunked":
            await send(start())
            for offset in range(0, len(said), 10):
                await send(body(said[offset : offset + 10], more=True))
            await send(body())
        case "empty":
            await send(start(204))
            await send(body())
        case "large":
            await send(start(200, (b"content-length", b"3000000")))
            for _ in range(30):
                await send(body(b"x" * 100_000, more=True))
            await send(body())
        case "close":
            await send(start(201, (b"connection", b"close")))
            await send(body(said))
        case "missing":
            await send(start(404))
            await send(body(said))
        case _:
            await send(start(200, (b"x-answer", b"1")))
            await send(body(said))


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with LiveServer(app, access_log=False) as server:
        yield server.url


Answer = tuple[int, bytes]


def by_httpx(url: str, method: str, path: str, content: bytes) -> Answer:
    with httpx.Client(base_url=url, timeout=20) as client:
        client.request(method, path, content=content)
        response = client.request(method, path, content=content)  # on the same connection
        return response.status_code, response.content


def by_httpx_streaming(url: str, method: str, path: str, content: bytes) -> Answer:
    def pieces() -> Iterator[bytes]:
        for offset in range(0, len(content), 5000):
            yield content[offset : offset + 5000]

    with httpx.Client(base_url=url, timeout=20) as client:
        sent: Any = pieces() if content else None
        response = client.request(method, path, content=sent)
        return response.status_code, response.content


def by_http_client(url: str, method: str, path: str, content: bytes) -> Answer:
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=20)
    try:
        connection.request(method, path, body=content or None)
        first = connection.getresponse().read()
        connection.request(method, path, body=content or None)
        response = connection.getresponse()
        assert response.read() == first
        return response.status, first
    finally:
        connection.close()


def by_curl(url: str, method: str, path: str, content: bytes, *options: str) -> Answer:
    program = shutil.which("curl")
    if program is None:
        pytest.skip("curl is not installed")
    command = [program, "-sS", "--max-time", "20", "-w", "\n%{http_code}", *options]
    command += ["--head"] if method == "HEAD" else ["-X", method]
    if content:
        command += ["--data-binary", "@-", "-H", "Content-Type: application/octet-stream"]
    if method == "HEAD":
        command += ["-o", "/dev/null"]
    output = subprocess.run([*command, url + path], input=content, capture_output=True, check=True)
    received, _, status = output.stdout.rpartition(b"\n")
    return int(status), received


def by_curl_1_0(url: str, method: str, path: str, content: bytes) -> Answer:
    return by_curl(url, method, path, content, "--http1.0")


def by_curl_expecting(url: str, method: str, path: str, content: bytes) -> Answer:
    return by_curl(url, method, path, content, "-H", "Expect: 100-continue")


CLIENTS: list[Callable[[str, str, str, bytes], Answer]] = [
    by_httpx,
    by_httpx_streaming,
    by_http_client,
    by_curl,
    by_curl_1_0,
    by_curl_expecting,
]


@pytest.mark.parametrize("path", ["/whole?q=1", "/chunked/a%20b", "/empty", "/close", "/missing"])
@pytest.mark.parametrize("method", METHODS)
def test_all_clients_get_the_same_answer(url: str, method: str, path: str) -> None:
    content = bytes(range(256)) * 100 if method in {"POST", "PUT", "PATCH"} else b""
    answers = {client.__name__: client(url, method, path, content) for client in CLIENTS}
    assert len(set(answers.values())) == 1, answers
    status, received = next(iter(answers.values()))
    assert status == {"/empty": 204, "/close": 201, "/missing": 404}.get(path, 200)
    if method == "HEAD" or path == "/empty":
        assert received == b""
    else:
        said = json.loads(received)
        assert (said["method"], said["size"], said["sum"]) == (method, len(content), sum(content))


def test_all_clients_get_a_large_answer_whole(url: str) -> None:
    for client in CLIENTS:
        assert client(url, "GET", "/large", b"") == (200, b"x" * 3_000_000)


def test_all_clients_can_upload_much(url: str, tmp_path: Path) -> None:
    content = bytes(range(256)) * 20_000
    for client in CLIENTS:
        status, received = client(url, "POST", "/whole", content)
        assert status == 200
        assert json.loads(received)["sum"] == sum(content)


def test_many_clients_with_many_requests_each_get_their_own_answers(url: str) -> None:
    address = urlsplit(url)

    async def one(number: int) -> list[str]:
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        paths = []
        for turn in range(50):
            path = f"/{'chunked' if turn % 3 else 'whole'}/{number}/{turn}"
            writer.write(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            if b"transfer-encoding: chunked" in head:
                content = b""
                while size := int(await reader.readline(), 16):
                    content += await reader.readexactly(size)
                    await reader.readexactly(2)
                await reader.readexactly(2)
            else:
                length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
                content = await reader.readexactly(int(length))
            paths.append(json.loads(content)["path"])
            assert paths[-1] == path
        writer.close()
        return paths

    async def all_of_them() -> list[str]:
        return [path for paths in await asyncio.gather(*map(one, range(200))) for path in paths]

    answered = asyncio.run(all_of_them())
    assert len(answered) == len(set(answered)) == 200 * 50
