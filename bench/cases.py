"""What is measured: the requests as they stand on the wire, the answers due, and the bounds."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

SMALL = 64
"""Connections of a case whose messages are small."""
LARGE = 8
"""Connections of a case that moves a megabyte or more: more would only measure the caches."""

MEBIBYTE = bytes(range(256)) * 4096
HELLO = b"Hello, World!"
UPLOAD_SIZE = 10 * 2**20


@dataclass(frozen=True)
class Case:
    """One row of the table of CPU time."""

    name: str
    title: str
    app: str
    """The callable in bench/apps.py."""
    request: bytes
    answer: bytes
    """The body of the answer, exactly."""
    connections: int = SMALL
    pipelined: int = 1
    """Requests sent at once on a connection, before any answer."""
    bounds: Mapping[str, float] = field(default_factory=dict)
    """Zonda's CPU time a request as a share of that server's: the most allowed."""
    floor: bool = False
    """Whether bench/floor.c, which answers every request the same, can serve the case."""


def request(method: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """A request for `/` as it stands on the wire."""
    lines = [f"{method} / HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


HOST = {"Host": "127.0.0.1"}
CHROME = {
    "Host": "127.0.0.1",
    "Connection": "keep-alive",
    "sec-ch-ua": '"Chromium";v="142", "Google Chrome";v="142", "Not_A Brand";v="99"',
    "sec-ch-ua-mobile": "?0",
    "sec-ch-ua-platform": '"Linux"',
    "Upgrade-Insecure-Requests": "1",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/142.0.0.0 Safari/537.36",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,"
    "image/avif,image/webp,*/*;q=0.8",
    "Sec-Fetch-Site": "same-origin",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Accept-Language": "en-GB,en;q=0.9",
    "Cookie": "session=5f2c1e0d9b8a47766554433221100ffe; theme=dark; csrftoken=Zk3vQp9sXw2LrT7u",
}


def json_of(size: int) -> bytes:
    """A JSON object of exactly so many bytes."""
    record = {"id": 4711, "name": "zonda", "tags": ["wind", "warm", "dry"], "note": ""}
    record["note"] = "x" * (size - len(json.dumps(record)))
    return json.dumps(record).encode()


GET = request("GET", HOST)
JSON = json_of(1024)

CASES = (
    Case(
        "get",
        "GET, 13 bytes",
        "hello",
        GET,
        HELLO,
        bounds={"floor": 1.8, "uvicorn": 0.27, "granian": 0.55, "peregrine": 0.85},
        floor=True,
    ),
    Case(
        "browser",
        "GET with a browser's 14 headers",
        "hello",
        request("GET", CHROME),
        HELLO,
        bounds={"uvicorn": 0.30, "granian": 0.55, "peregrine": 0.85},
        floor=True,
    ),
    Case(
        "post",
        "POST 1 KiB JSON, echoed",
        "echo",
        request("POST", {**HOST, "Content-Type": "application/json"}, JSON),
        JSON,
        bounds={"uvicorn": 0.30, "granian": 0.55, "peregrine": 0.85},
    ),
    Case(
        "pipeline",
        "16 pipelined GETs",
        "hello",
        GET,
        HELLO,
        pipelined=16,
        bounds={"uvicorn": 0.16, "granian": 0.4, "peregrine": 0.6},
        floor=True,
    ),
    Case(
        "stream",
        "1 MiB streamed in 64 KiB parts",
        "stream",
        GET,
        MEBIBYTE,
        connections=LARGE,
        bounds={"uvicorn": 0.9, "granian": 0.7, "peregrine": 0.9},
    ),
    Case(
        "file",
        "1 MiB file by pathsend",
        "file",
        GET,
        MEBIBYTE,
        connections=LARGE,
        bounds={"uvicorn": 0.4, "granian": 0.8, "peregrine": 1.0},
    ),
    Case(
        "upload",
        "10 MiB upload, read by the app",
        "upload",
        request("POST", {**HOST, "Content-Type": "application/octet-stream"}, bytes(UPLOAD_SIZE)),
        str(UPLOAD_SIZE).encode(),
        connections=LARGE,
        bounds={"uvicorn": 0.3, "granian": 0.8, "peregrine": 0.95},
    ),
)

ASYNCIO_ALLOWANCE = 1.15
"""On asyncio's own loop Zonda may cost this much more than on uvloop; peers keep uvloop."""
P99_BOUND = 1.0
"""Zonda's 99th percentile as a share of the best peer's."""
IDLE_MEMORY_BOUND = 4096
"""Bytes of resident memory an idle keep-alive connection."""
IDLE_CPU_BOUND = 0.5
"""Per cent of a core with IDLE_CPU_CONNECTIONS open and nothing to do."""
IDLE_MEMORY_CONNECTIONS = 10_000
IDLE_CPU_CONNECTIONS = 1_000

OTHERS = {
    "latency": "99th percentile at a fixed rate",
    "memory": "resident memory an idle connection",
    "idle": "CPU time with idle connections",
}
