"""A million requests to one server: none is lost, none is answered twice, and nothing grows.

They come in ten portions, pipelined, and are looked at after the last one.

The pure build, which is many times slower, and the portable reactor get fewer, so that it takes
about as long there; ZONDA_HOSTILE_REQUESTS sets another number.
"""

import asyncio
import os
import socket
from collections.abc import Iterable, Iterator

import pytest

from tests.hostile.child import MIB, Child, serving
from tests.server.harness import reactor_in_use
from zonda import _build

PIPELINED = 100
CONNECTIONS = 4


def requests() -> int:
    """How many in all: a multiple of ten, and at most what the application can count."""
    if "ZONDA_HOSTILE_REQUESTS" in os.environ:
        return min(int(os.environ["ZONDA_HOSTILE_REQUESTS"]), 2_000_000) // 10 * 10
    if not _build.compiled:
        return 60_000
    return 1_000_000 if reactor_in_use() == "epoll" else 500_000


def read(client: socket.socket, size: int) -> bytes:
    """Exactly ``size`` octets."""
    found = bytearray()
    while len(found) < size:
        data = client.recv(size - len(found))
        assert data, "the server has closed the connection"
        found += data
    return bytes(found)


def ask(child: Child, numbers: Iterable[range]) -> None:
    """Ask for ranges of numbers, pipelined over some connections, and check every answer.

    Heads are equally long, and so are all answers, so that those of a block are compared at once.
    """
    clients = [socket.create_connection(child.address, 20) for _ in range(CONNECTIONS)]
    try:
        size = 0
        blocks = iter(numbers)
        while turn := [each for each in (next(blocks, None) for _ in clients) if each]:
            for client, block in zip(clients, turn, strict=False):
                client.sendall(
                    b"".join([b"GET /n/%07d HTTP/1.1\r\nHost: h\r\n\r\n" % each for each in block])
                )
            for client, block in zip(clients, turn, strict=False):
                if not size:
                    size = client.recv(65_536, socket.MSG_PEEK).index(b"\r\n\r\n") + 4 + 7
                wanted = size * len(block)
                answers = read(client, wanted)
                ids = [answers[at - 7 : at] for at in range(size, wanted + 1, size)]
                assert ids == [b"%07d" % each for each in block], answers[:1000]
                assert answers.count(b"HTTP/1.1 200 OK\r\n") == len(block)
    finally:
        for client in clients:
            client.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Child, asyncio.Runner]]:
    """A server for all portions, and the event loop to ask it from."""
    with asyncio.Runner() as runner:
        context = serving(tmp_path_factory.mktemp("million"))
        child = runner.run(context.__aenter__())
        portion(child, 0)  # what a busy server needs it has from here on
        runner.run(child.mark())
        try:
            yield child, runner
        finally:
            runner.run(context.__aexit__(None, None, None))


def portion(child: Child, number: int) -> None:
    """Ask for a tenth of all numbers."""
    size = requests() // 10
    end = (number + 1) * size
    ask(child, (range(at, min(at + PIPELINED, end)) for at in range(number * size, end, PIPELINED)))


@pytest.mark.parametrize("number", range(1, 11))
def test_of_a_million_requests_each_is_answered_once_and_nothing_grows(
    number: int, served: tuple[Child, asyncio.Runner]
) -> None:
    child, runner = served
    if number < 10:
        portion(child, number)
        return
    seen = runner.run(child.ask(f"/numbers/{requests() + 1}"))
    assert set(seen[:-1]) == {1}, "some were lost, or came twice"
    assert seen[-1] == 0
    runner.run(child.assert_unharmed(memory=12 * MIB))
