"""What is measured: the requests as they stand on the wire, the answers due, and the bounds."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Over: TypeAlias = Literal["http", "https", "ws"]
"""What a case speaks, by the scheme of its URL."""

SMALL = 64
"""Connections of a case whose messages are small."""
LARGE = 8
"""Connections of a case of large messages: more would only measure the caches."""
WEBSOCKETS = 50
"""Connections of a case of small WebSocket messages."""

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
    """As it stands on the wire; of a WebSocket, the message, which the load puts into a frame."""
    answer: bytes
    """The body of the answer, or the message that comes back, exactly."""
    over: Over = "http"
    text: bool = False
    """Whether a WebSocket message is text, which a server must find to be UTF-8."""
    connections: int = SMALL
    pipelined: int = 1
    """Requests sent at once on a connection, before any answer."""
    bounds: Mapping[str, float] = field(default_factory=dict)
    """Zonda's CPU time a request or message as a share of that server's: the most allowed."""
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
CHAT = b'{"room": 4711, "user": "zonda", "text": "Warm, dry wind today."}'
OCTETS = bytes(range(256))
SMALL_MESSAGE_BOUNDS = {"uvicorn": 0.36, "granian": 0.33, "peregrine": 0.9}

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
    Case(
        "https",
        "HTTPS GET, 13 bytes",
        "hello",
        GET,
        HELLO,
        over="https",
        bounds={"uvicorn": 0.3, "granian": 0.75, "peregrine": 1.1},
    ),
    Case(
        "ws",
        "WebSocket echo, 64 bytes of text",
        "echo_websocket",
        CHAT,
        CHAT,
        over="ws",
        text=True,
        connections=WEBSOCKETS,
        bounds=SMALL_MESSAGE_BOUNDS,
    ),
    Case(
        "ws-binary",
        "WebSocket echo, 64 bytes, binary",
        "echo_websocket",
        OCTETS[-64:],
        OCTETS[-64:],
        over="ws",
        connections=WEBSOCKETS,
        bounds=SMALL_MESSAGE_BOUNDS,
    ),
    Case(
        "ws-large",
        "WebSocket echo, 64 KiB, binary",
        "echo_websocket",
        OCTETS * 256,
        OCTETS * 256,
        over="ws",
        connections=LARGE,
        bounds={"uvicorn": 0.8, "granian": 0.8, "peregrine": 1.0},
    ),
)

ASYNCIO_ALLOWANCE = 1.15
"""On asyncio's own loop Zonda may cost this much more than on uvloop; peers keep uvloop."""
P99_BOUND = 1.0
"""Zonda's 99th percentile as a share of the best peer's."""
TRICKLERS = 2_000
"""Connections of the slow-loris attack, on each of which an octet of a head comes a second."""
LORIS_BOUND = 2.0
"""Zonda's 99th percentile under that attack as a share of its own without."""
IDLE_CPU_BOUND = 0.5
"""Per cent of a core with IDLE_CPU_CONNECTIONS open and nothing to do."""
IDLE_MEMORY_CONNECTIONS = 10_000
IDLE_CPU_CONNECTIONS = 1_000


@dataclass(frozen=True)
class Held:
    """Connections that are opened, used once at the most and then held open, for their memory."""

    name: str
    title: str
    app: str
    over: Over
    deflate: bool = False
    """Whether they are WebSockets with permessage-deflate; a message went each way, compressed."""
    bound: int | None = None
    """Bytes of resident memory a connection of Zonda's, the most allowed; None: only stated."""


HELD = (
    Held("memory", "HTTP, after a GET", "hello", "http", bound=4096),
    Held("memory-https", "HTTPS, after a GET", "hello", "https"),
    Held("memory-ws", "WebSocket, nothing sent", "echo_websocket", "ws", bound=12_288),
    Held(
        "memory-deflate",
        "WebSocket, after a deflated message each way",
        "echo_websocket",
        "ws",
        deflate=True,
    ),
)

OTHERS = ("latency", "loris", *(held.name for held in HELD), "idle")
"""What is measured besides the CPU time of CASES."""
