"""What idle connections cost: memory and CPU time, of one server at a time."""

import select
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from cases import GET, HELLO
from rounds import Plan, log
from servers import Server, ServerError, start

WARM_UP_SHARE = 10
"""One connection in so many is opened and closed first, and again as the base to count from."""
ADDRESSES = tuple(f"127.0.0.{number}" for number in range(1, 9))
"""Clients come from several addresses, so that local ports do not run out."""
PAUSE = 1.0
"""Seconds before a reading in which a server may end what opening connections began."""


@dataclass(frozen=True)
class Memory:
    """Resident memory of a server with idle keep-alive connections; bytes."""

    connections: int
    base: int
    """Connections open when the counting began, after a warm-up of as many."""
    bytes_started: int
    bytes_base: int
    bytes_full: int

    @property
    def each(self) -> float:
        """Bytes a connection, from `base` connections to all; what is paid once is left out."""
        return (self.bytes_full - self.bytes_base) / (self.connections - self.base)

    @property
    def each_from_start(self) -> float:
        """Bytes a connection from a server just started, what it pays once shared by all."""
        return (self.bytes_full - self.bytes_started) / self.connections


@contextmanager
def clients(port: int, count: int) -> Iterator[None]:
    """Holds `count` connections open, each after one request and its answer.

    Raises ServerError if the server refuses any of them, or has closed one when the block ends.
    """
    opened: list[socket.socket] = []
    try:
        for number in range(count):
            client = socket.socket()
            opened.append(client)
            client.settimeout(10)
            # Leaves the choice of a port to connect(), which may use one again for another address.
            client.setsockopt(socket.IPPROTO_IP, socket.IP_BIND_ADDRESS_NO_PORT, 1)
            client.bind((ADDRESSES[number % len(ADDRESSES)], 0))
            try:
                client.connect(("127.0.0.1", port))
                exchange(client)
            except OSError as error:
                raise ServerError(f"connection {number + 1} of {count}: {error}") from error
        yield
        poll = select.poll()
        for client in opened:
            poll.register(client, select.POLLIN)
        closed = len(poll.poll(0))
        if closed:
            raise ServerError(f"{closed} of {count} idle connections did not stay open")
    finally:
        for client in opened:
            client.close()


def exchange(client: socket.socket) -> None:
    """One request and its whole answer; raises ServerError if there is none."""
    client.sendall(GET)
    answer = b""
    while not answer.endswith(HELLO):
        part = client.recv(4096)
        if not part:
            raise ServerError(f"a connection was closed after {answer!r}")
        answer += part
    if not answer.startswith(b"HTTP/1.1 200 "):
        raise ServerError(f"not a 200: {answer[:80]!r}")


def memory(plan: Plan, server: Server, count: int) -> Memory:
    """Resident memory with so many idle connections; kernel memory (sockets) is not in it."""
    log.info("memory: %s, %d connections", server.name, count)
    base = count // WARM_UP_SHARE
    with start(server, "hello", plan.place, idle_connections=True) as up:
        started = up.resident_bytes()
        with clients(up.port, base):
            pass
        time.sleep(PAUSE)
        with clients(up.port, base):
            time.sleep(PAUSE)
            at_base = up.resident_bytes()
            with clients(up.port, count - base):
                time.sleep(PAUSE)
                up.check_alive()
                return Memory(count, base, started, at_base, up.resident_bytes())


def idle_cpu(plan: Plan, server: Server, count: int, seconds: int) -> float:
    """Per cent of a core that so many connections cost while nothing happens on them."""
    log.info("idle: %s, %d connections, %d s", server.name, count, seconds)
    with (
        start(server, "hello", plan.place, idle_connections=True) as up,
        clients(up.port, count),
    ):
        time.sleep(PAUSE)
        cpu, clock = up.cpu_seconds(), time.monotonic()
        time.sleep(seconds)
        up.check_alive()
        return (up.cpu_seconds() - cpu) / (time.monotonic() - clock) * 100
