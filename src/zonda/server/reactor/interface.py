"""What a reactor offers and what it asks for, whatever it stands on.

A ``Reactor`` owns the sources of one worker: listeners, streams and, through its ``wheel``, the
time-outs. There are two: ``epoll`` (compiled, Linux) and ``portable`` (asyncio transports). What
stands above knows only the classes of this file::

    Reactor.listen(socket, factory)   each accepted socket becomes a Transport, and
                                      factory(transport) makes the Connection that it talks to
    Transport                         bytes and files out, reading paused and resumed
    Connection                        bytes in, the peer's end, loss, progress of the writing

A listener that is given a ``tls`` provider makes transports that speak TLS. They negotiate by
themselves and tell their connection how that went; the connection then gives its place to the one
of the protocol that was agreed on.

A transport's output is a queue of ``bytes`` and ``FileSegment``. While a reactor hands a read to
a connection the transport is corked: what is written meanwhile (answers to pipelined requests,
say) leaves in one system call when the connection is through, or when CORK_LIMIT is reached.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from ssl import SSLContext
from time import time
from typing import Any, TypeAlias

from zonda.server.reactor.wheel import TimerOwner, TimerWheel

__all__ = [
    "BULK_SIZE",
    "CORK_LIMIT",
    "COURTESY",
    "HIGH_WATER",
    "LOW_WATER",
    "READ_SIZE",
    "TLS_RECORD",
    "TLS_RECORD_SIZE",
    "Admission",
    "Connection",
    "FileFaultError",
    "FileSegment",
    "Listener",
    "Reactor",
    "TLSProvider",
    "Transport",
    "is_http",
]

TLS_RECORD = 0x16
"""The first octet of a TLS connection: a record of type handshake (RFC 8446 section 5.1)."""

TLS_RECORD_SIZE = 16_384
"""The most content that a TLS record holds (RFC 8446 section 5.1)."""

TLSProvider: TypeAlias = Callable[[], SSLContext]
"""What gives the ssl context of a connection."""

READ_SIZE = 65_536
"""Bytes asked of a socket at once."""

BULK_SIZE = 262_144
"""Bytes asked of a socket whose last read brought all that was asked."""

HIGH_WATER = 262_144
"""Bytes queued for a peer above which its writers wait."""

LOW_WATER = 65_536
"""Bytes queued for a peer at which waiting writers go on."""

COURTESY = 0.003
"""Seconds that a connection is left to processes that have fewer."""

CORK_LIMIT = 262_144
"""Bytes queued at which a corked transport writes all the same."""


def is_http(opening: bytes) -> bool:
    """Whether the first octets of a connection look like an HTTP/1 request in the clear."""
    method = opening.partition(b" ")[0]
    return method.isalpha()


class FileFaultError(OSError):
    """A file could not be sent as it was announced: it became shorter, or reading it failed."""


class FileSegment:
    """Part of an open file, in a transport's queue.

    It owns its descriptor and closes it when it has been sent or dropped.

    Attributes:
        fd: The descriptor.
        offset: Where the next byte is read from.
        remaining: Bytes still to send.
    """

    def __init__(self, fd: int, offset: int, count: int) -> None:
        self.fd = fd
        self.offset = offset
        self.remaining = count

    def close(self) -> None:
        """Close the descriptor, once."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class Transport:
    """A connected stream socket.

    Attributes:
        connection: Who is told of what arrives.
        queue: What is to be sent: ``bytes`` and ``FileSegment``.
        queued: Bytes that the peer has not taken yet.
        sent: Bytes handed to the system so far.
        corked: Whether output waits for ``flush``.
        closed: Whether the socket is closed or about to be.
        client: The peer's address as ``scope["client"]`` has it, or None.
        server: The local address as ``scope["server"]`` has it, or None.
        ssl: The object below an ``ssl.SSLSocket`` or ``SSLObject``, which has their methods; None
            without TLS.
        tls: What ``scope["extensions"]["tls"]`` holds; None without TLS.
    """

    def __init__(self) -> None:
        self.connection: Connection | None = None
        self.queue: list[bytes | FileSegment] = []
        self.queued = 0
        self.sent = 0
        self.corked = False
        self.closed = False
        self.client: tuple[str, int] | None = None
        self.server: tuple[str, int | None] | None = None
        self.ssl: Any = None
        self.tls: dict[str, Any] | None = None

    def write(self, data: bytes) -> None:
        """Queue ``data`` and send what can be sent."""
        self.queue.append(data)
        self.added(len(data))

    def added(self, size: int) -> None:
        """Count ``size`` bytes that the caller has put on ``queue``, and send what can be sent."""
        self.queued += size
        if self.corked and self.queued < CORK_LIMIT:
            return
        self.flush()

    def flush(self) -> None:
        """Send as much of the queue as the socket takes, now; the rest when it takes more."""
        raise NotImplementedError

    def taken(self) -> int:
        """Bytes that the peer's side has taken so far: for telling whether writing stalls."""
        return self.sent

    def pause_reading(self) -> None:
        """Take nothing more from the peer, which TCP will tell it."""
        raise NotImplementedError

    def resume_reading(self) -> None:
        """Take from the peer again."""
        raise NotImplementedError

    def shutdown_write(self) -> None:
        """Send the queue, then tell the peer that nothing follows. Reading goes on.

        Over TLS the peer is told twice, by close_notify and by the end of the TCP stream. What it
        has sent just before that may be dropped unread: OpenSSL then refuses to decrypt it.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Close the socket now and drop the queue. ``Connection.lost`` follows, soon or at once."""
        raise NotImplementedError

    def abort(self) -> None:
        """Close with a reset, so that the peer cannot take what it has for complete."""
        raise NotImplementedError

    def drop_queue(self) -> None:
        """Forget what is queued, and close the files in it."""
        queue = self.queue
        self.queue = []
        self.queued = 0
        for part in queue:
            if isinstance(part, FileSegment):
                part.close()


class Connection(TimerOwner):
    """One protocol on one transport. The reactor calls it; none of the calls may block."""

    def data_received(self, data: bytes) -> None:
        """The peer sent ``data``, which is not empty."""
        raise NotImplementedError

    def eof_received(self) -> None:
        """The peer will send nothing more. It may still read: the transport stays open."""
        raise NotImplementedError

    def peer_closing(self) -> None:
        """While reading is paused: the peer has sent its end; unread data may be before it."""

    def write_blocked(self) -> None:
        """The peer takes no more for now; part of the queue is left."""

    def flushed(self) -> None:
        """What is queued has fallen to LOW_WATER or below, after ``write_blocked``.

        It may be called from within a write: it wakes who waits and does nothing more.
        """

    def lost(self, error: OSError | None) -> None:
        """The socket is closed, by the peer, by an error, or by ``Transport.close``."""
        raise NotImplementedError

    def resume(self) -> None:
        """Called from the event loop after ``Reactor.schedule``."""

    def handshake_done(self) -> None:
        """TLS is agreed on: ``transport.ssl`` is there, and what follows is encrypted.

        Only the connection that a transport with TLS was made with is told; likewise below.
        """

    def handshake_failed(self, error: OSError) -> None:
        """The peer and we do not agree, which it was told. Nothing can be read or written.

        The transport is still open, so that what the peer was told reaches it.
        """

    def not_tls(self, opening: bytes) -> None:
        """The peer began with ``opening`` (it can still be read), which is not TLS.

        What is written from here on leaves unencrypted.
        """


class Admission:
    """How many connections a listener may accept, where other processes accept from its socket too.

    A listener asks before each batch. If it may take none, a connection waits that is better off
    elsewhere: the listener looks away for ``COURTESY`` seconds and then takes what is still there,
    since those who should have taken it are busy.
    """

    def allowed(self) -> int:
        """How many connections to accept now."""
        raise NotImplementedError

    def overdue(self) -> int:
        """How many to accept at most of those that have been left to others for long enough."""
        raise NotImplementedError

    def took_overdue(self, count: int) -> None:
        """So many of them were still there."""
        raise NotImplementedError

    def is_last(self) -> bool:
        """Whether nobody else accepts from the socket, as far as one can tell."""
        raise NotImplementedError


class Listener:
    """A listening socket that hands over connections until it is paused or closed."""

    def pause(self) -> None:
        """Leave new connections in the socket's accept queue."""
        raise NotImplementedError

    def resume(self) -> None:
        """Accept again."""
        raise NotImplementedError

    def close(self) -> None:
        """Accept what waits in the queue, then stop for good.

        Where others go on accepting from the socket, the queue is left to them. The socket itself
        is its owner's to close; what is still in its queue then is reset.
        """
        raise NotImplementedError


class Reactor:
    """The sources of one worker.

    Attributes:
        wheel: All its time-outs.
        name: ``"epoll"`` or ``"asyncio"``.
    """

    name = ""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.wheel = TimerWheel(loop)
        self._scheduled: list[Connection] = []

    def listen(
        self,
        sock: socket.socket,
        factory: Callable[[Transport], Connection],
        refused: Callable[[OSError], None],
        tls: TLSProvider | None = None,
        admission: Admission | None = None,
    ) -> Listener:
        """Accept from ``sock``, which is listening and non-blocking, until the listener is closed.

        Args:
            sock: The socket; its owner keeps it open for as long as the listener is.
            factory: Makes the connection of each accepted transport.
            refused: Told when accepting fails for want of descriptors or memory. Accepting goes
                on after a pause.
            tls: Asked for the ssl context of each connection that is accepted, so that what it
                gives may change; None for no TLS.
            admission: Asked how many to accept, where the socket is shared with other processes.
        """
        raise NotImplementedError

    def seconds(self) -> int:
        """The wall clock, in whole seconds since the epoch."""
        return int(time())

    def schedule(self, connection: Connection) -> None:
        """Call ``connection.resume()`` from the event loop: never nested in another call."""
        if not self._scheduled:
            self.loop.call_soon(self._run_scheduled)
        self._scheduled.append(connection)

    def _run_scheduled(self) -> None:
        scheduled = self._scheduled
        self._scheduled = []
        for connection in scheduled:
            try:
                connection.resume()
            except Exception as error:
                self.loop.call_exception_handler(
                    {"message": "a connection failed", "exception": error}
                )

    def close(self) -> None:
        """Close what is left: listeners, transports, the wheel."""
        self.wheel.close()
