"""A strict little HTTP/1.1 client: what servers answer before they are measured is read by it."""

import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import BinaryIO

TIMEOUT = 10.0


class AnswerError(ValueError):
    """What a server sent is not an answer that can be read."""


@dataclass(frozen=True)
class Answer:
    """A response as a client sees it; the names of its fields in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@contextmanager
def connected(
    port: int, tls: ssl.SSLContext | None = None
) -> Iterator[tuple[socket.socket, BinaryIO]]:
    """A connection, and what comes on it."""
    with ExitStack() as stack:
        client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT))
        if tls is not None:
            client = tls.wrap_socket(client, server_hostname="127.0.0.1")
            stack.enter_context(client)
        yield client, stack.enter_context(client.makefile("rb"))


def read_head(source: BinaryIO) -> tuple[int, dict[str, str]]:
    """The status of an answer and its fields."""
    line = source.readline(8192)
    if not line.startswith(b"HTTP/1.1 ") or not line.endswith(b"\r\n"):
        raise AnswerError(f"not a status line: {line!r}")
    headers: dict[str, str] = {}
    while (field := source.readline(8192)) not in (b"\r\n", b""):
        name, _, value = field.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    return int(line.split()[1]), headers


def read_answer(source: BinaryIO) -> Answer:
    """One HTTP/1.1 answer, by Content-Length or chunked."""
    status, headers = read_head(source)
    if headers.get("transfer-encoding", "").lower() == "chunked":
        parts = []
        while size := int(source.readline(64), 16):
            parts.append(source.read(size))
            source.readline(2)
        source.readline(2)
        body = b"".join(parts)
    elif "content-length" in headers:
        body = source.read(int(headers["content-length"]))
    else:
        raise AnswerError("an answer has neither Content-Length nor Transfer-Encoding: chunked")
    return Answer(status, headers, body)


def fetch(
    port: int,
    request: bytes,
    *,
    pipelined: int = 1,
    times: int = 1,
    tls: ssl.SSLContext | None = None,
) -> list[Answer]:
    """Sends `pipelined` requests at once and reads their answers, `times` on one connection."""
    answers = []
    with connected(port, tls) as (client, source):
        for _ in range(times):
            client.sendall(request * pipelined)
            answers += [read_answer(source) for _ in range(pipelined)]
    return answers
