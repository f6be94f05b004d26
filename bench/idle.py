"""What idle connections cost: memory and CPU time, of one server at a time."""

import select
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from answers import TIMEOUT, AnswerError, read_answer
from cases import GET, HELD, HELLO, JSON, Held
from frames import PING, TEXT, deflate, frame, inflate, read_frame, upgrade
from rounds import Plan, log
from servers import Running, Server, ServerError, start

WARM_UP_SHARE = 10
"""One connection in so many is opened and closed first, and again as the base to count from."""
ADDRESSES = tuple(f"127.0.0.{number}" for number in range(1, 9))
"""Clients come from several addresses, so that local ports do not run out."""
PAUSE = 1.0
"""Seconds before a reading in which a server may end what opening connections began."""
DEFLATED = deflate(JSON)


class NotOfferedError(ServerError):
    """The server has no such thing as is to be measured: no fault, but no figure either."""


@dataclass(frozen=True)
class Memory:
    """Resident memory of a server with idle connections; bytes."""

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
def clients(up: Running, held: Held, count: int) -> Iterator[None]:
    """Holds `count` connections open, each as `held` tells.

    Raises ServerError if the server refuses any of them, or has closed one when the block ends.
    """
    opened: list[socket.socket] = []
    try:
        for number in range(count):
            client = socket.socket()
            opened.append(client)
            client.settimeout(TIMEOUT)
            # Leaves the choice of a port to connect(), which may use one again for another address.
            client.setsockopt(socket.IPPROTO_IP, socket.IP_BIND_ADDRESS_NO_PORT, 1)
            # A TLS server need not answer the client's last word of the handshake: without this the
            # request would wait for the kernel's acknowledgement of it, which comes 40 ms late.
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.bind((ADDRESSES[number % len(ADDRESSES)], 0))
            try:
                client.connect(("127.0.0.1", up.port))
                if up.tls is not None:
                    client = up.tls.wrap_socket(client, server_hostname="127.0.0.1")
                    opened[-1] = client
                exchange(client, held)
            except (OSError, AnswerError) as error:
                raise ServerError(f"connection {number + 1} of {count}: {error}") from error
        yield
        closed = count - sum(still_open(client) for client in opened)
        if closed:
            raise ServerError(f"{closed} of {count} idle connections did not stay open")
    finally:
        for client in opened:
            client.close()


def exchange(client: socket.socket, held: Held) -> None:
    """Does what is to be done on a connection before it is left alone."""
    with client.makefile("rb") as source:
        if held.over == "ws":
            deflated = upgrade(client, source, deflate=held.deflate)
            if held.deflate and not deflated:
                raise NotOfferedError("it does not take permessage-deflate")
            if held.deflate:
                exchange_deflated(client, source)
            return
        client.sendall(GET)
        answer = read_answer(source)
        if answer.status != 200 or answer.body != HELLO:
            raise AnswerError(f"answered {answer.status}, {answer.body[:60]!r}")


def exchange_deflated(client: socket.socket, source: BinaryIO) -> None:
    """A message there and back, compressed each way."""
    client.sendall(frame(TEXT, DEFLATED, deflated=True))
    echo = read_frame(source)
    if not echo.deflated or inflate(echo.payload) != JSON:
        raise AnswerError(f"a deflated message came back as {echo.payload[:60]!r}")


def still_open(client: socket.socket) -> bool:
    """Whether the server has not closed it; a Ping that nobody answered yet is no farewell."""
    poll = select.poll()
    poll.register(client, select.POLLIN)
    if not poll.poll(0):
        return True
    if isinstance(client, ssl.SSLSocket):
        return False
    try:
        first = client.recv(1, socket.MSG_PEEK)
    except OSError:
        return False
    return bool(first) and first[0] & 0x0F == PING


def memory(plan: Plan, server: Server, held: Held, count: int) -> Memory:
    """Resident memory with so many idle connections; kernel memory (sockets) is not in it."""
    log.info("%s: %s, %d connections", held.name, server.name, count)
    base = count // WARM_UP_SHARE
    with start(
        server,
        held.app,
        plan.place,
        over=held.over,
        crowd=True,
        idle=True,
        deflate=held.deflate,
    ) as up:
        started = up.resident_bytes()
        with clients(up, held, base):
            pass
        time.sleep(PAUSE)
        with clients(up, held, base):
            time.sleep(PAUSE)
            at_base = up.resident_bytes()
            with clients(up, held, count - base):
                time.sleep(PAUSE)
                up.check_alive()
                return Memory(count, base, started, at_base, up.resident_bytes())


def idle_cpu(plan: Plan, server: Server, count: int, seconds: int) -> float:
    """Per cent of a core that so many connections cost while nothing happens on them."""
    log.info("idle: %s, %d connections, %d s", server.name, count, seconds)
    held = HELD[0]
    with (
        start(server, held.app, plan.place, crowd=True, idle=True) as up,
        clients(up, held, count),
    ):
        time.sleep(PAUSE)
        cpu, clock = up.cpu_seconds(), time.monotonic()
        time.sleep(seconds)
        up.check_alive()
        return (up.cpu_seconds() - cpu) / (time.monotonic() - clock) * 100
