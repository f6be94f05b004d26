"""The reactor where epoll cannot be had: the same connections on asyncio's transports.

It serves macOS, Windows and the pure Python build, and any Linux that asks for it. What asyncio
does not offer is made up for here: a queue that holds files, and the distinction between the
peer's end and the connection's.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import sys
import threading
from collections.abc import Callable
from typing import cast

from zonda.server.reactor.interface import (
    COURTESY,
    HIGH_WATER,
    LOW_WATER,
    Admission,
    Connection,
    FileFaultError,
    Listener,
    Reactor,
    TLSProvider,
    Transport,
)

if sys.platform != "win32":
    import fcntl
    import termios

__all__ = ["PortableReactor"]

_FILE_PART = 262_144  # bytes of a file read at once
_ACCEPT_BATCH = 64
_ACCEPT_RETRY = 1.0  # seconds without accepting after descriptors ran out

_seek_and_read = threading.Lock()


class _Protocol(asyncio.Protocol):
    """Passes asyncio's calls on to a transport of ours."""

    def __init__(self, transport: PortableTransport) -> None:
        self.owner = transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.owner.made(cast("asyncio.Transport", transport))

    def data_received(self, data: bytes) -> None:
        self.owner.received(data)

    def eof_received(self) -> bool:
        self.owner.ended()
        return True  # stay open for writing

    def connection_lost(self, exc: Exception | None) -> None:
        self.owner.disconnected(exc)

    def pause_writing(self) -> None:
        self.owner.filled()

    def resume_writing(self) -> None:
        self.owner.emptied()


class PortableTransport(Transport):
    """A stream socket behind an asyncio transport."""

    def __init__(self, reactor: PortableReactor) -> None:
        super().__init__()
        self.reactor = reactor
        self._transport: asyncio.Transport | None = None
        self._written = 0
        self._full = False
        self._blocked = False
        self._pump: asyncio.Task[None] | None = None
        self._writing_ends = False
        self._paused = False

    def made(self, transport: asyncio.Transport) -> None:
        """The asyncio transport is there."""
        if self.closed:
            transport.abort()
            return
        self._transport = transport
        transport.set_write_buffer_limits(HIGH_WATER, LOW_WATER)
        self.reactor.transports.add(self)

    def received(self, data: bytes) -> None:
        """The peer sent ``data``."""
        connection = self.connection
        if self.closed or connection is None:
            return
        self.corked = True
        try:
            connection.data_received(data)
        except Exception as error:
            self.reactor.broken(self, error)
        finally:
            self.corked = False
        if self.queue and not self.closed:
            self.flush()

    def ended(self) -> None:
        """The peer has sent its end."""
        connection = self.connection
        if self.closed or connection is None:
            return
        try:
            connection.eof_received()
        except Exception as error:
            self.reactor.broken(self, error)

    def disconnected(self, error: Exception | None) -> None:
        """The asyncio transport is gone."""
        self.reactor.transports.discard(self)
        self._transport = None
        if not self.closed:
            self._lose(error if isinstance(error, OSError) else None)

    def filled(self) -> None:
        """Asyncio holds more than HIGH_WATER for the peer."""
        self._full = True

    def emptied(self) -> None:
        """Asyncio holds no more than LOW_WATER for the peer."""
        self._full = False
        if not self.closed:
            self.flush()

    def _is_open(self) -> bool:
        """``not closed``, asked again after a call that may have closed."""
        return not self.closed

    def flush(self) -> None:
        """Hand the queue to asyncio, which keeps what the socket does not take."""
        transport = self._transport
        if self.closed or transport is None or self._pump is not None:
            return
        if transport.is_closing():
            # A write has failed, and the loop will tell in its next turn. What is written until
            # then asyncio would log, piece by piece.
            self.drop_queue()
            return
        queue = self.queue
        taken = 0
        while taken < len(queue) and isinstance(queue[taken], bytes):
            taken += 1
        if taken:
            data = b"".join(cast("list[bytes]", queue[:taken]))
            del queue[:taken]
            self._hand_over(data)
        if queue:
            self._pump = self.reactor.loop.create_task(self._send_files())
        elif self._writing_ends:
            self._write_eof()
        self._count()
        self._tell()

    def _hand_over(self, data: bytes) -> None:
        """Give octets to asyncio."""
        if self._transport is not None:
            self._written += len(data)
            self._transport.write(data)

    def _tell(self) -> None:
        """Tell the connection whether the peer keeps up."""
        connection = self.connection
        if connection is None:
            return
        if self.queued:
            if not self._blocked:
                self._blocked = True
                connection.write_blocked()
            if not self._full and self._pump is None:
                # Asyncio will not say when the rest has gone, only when it was much: look again.
                self.reactor.watch(self)
            if self.queued <= LOW_WATER:
                connection.flushed()
        elif self._blocked or self._writing_ends:
            self._blocked = False
            connection.flushed()

    def _count(self) -> None:
        """Count what is left: what asyncio holds, and what waits for a file."""
        transport = self._transport
        held = transport.get_write_buffer_size() if transport is not None else 0
        waiting = 0
        for part in self.queue:
            waiting += len(part) if isinstance(part, bytes) else part.remaining
        self.sent = self._written - held
        self.queued = held + waiting

    def look(self) -> bool:
        """Notice that asyncio's buffer has emptied. True once it has."""
        if self.closed:
            return True
        self._count()
        if self.queued:
            return False
        self._tell()
        return True

    async def _send_files(self) -> None:
        """Send the file at the head of the queue in bounded parts, read on a thread."""
        loop = self.reactor.loop
        try:
            while self.queue and not self.closed:
                part = self.queue[0]
                if isinstance(part, bytes):
                    break
                if part.remaining == 0:
                    part.close()
                    del self.queue[0]
                    continue
                size = min(part.remaining, _FILE_PART)
                data = await loop.run_in_executor(None, _read, part.fd, part.offset, size)
                if not self._is_open() or self._transport is None:
                    return
                if not data:
                    raise FileFaultError(
                        f"a file became {part.remaining} bytes shorter while it was sent"
                    )
                part.offset += len(data)
                part.remaining -= len(data)
                self._hand_over(data)
                self._count()
                while self._full and not self.closed:
                    await self.reactor.next_look()
        except OSError as error:
            self._pump = None
            self._fail(error)
            return
        self._pump = None
        if not self.closed:
            self.flush()

    def pause_reading(self) -> None:
        """Take nothing more from the peer."""
        self._paused = True
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take from the peer again."""
        self._paused = False
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def shutdown_write(self) -> None:
        """Send the queue, then tell the peer that nothing follows."""
        if not self._writing_ends:
            self._writing_ends = True
            if not self.queue:
                self._write_eof()

    def _write_eof(self) -> None:
        transport = self._transport
        if transport is not None and not transport.is_closing() and transport.can_write_eof():
            try:
                transport.write_eof()
            except OSError as error:
                self._fail(error)

    def close(self) -> None:
        """Close the socket now."""
        if not self.closed:
            transport = self._transport
            self._lose(None)
            if transport is not None:
                if transport.get_write_buffer_size():
                    transport.abort()
                else:
                    transport.close()

    def abort(self) -> None:
        """Close with a reset."""
        if not self.closed:
            transport = self._transport
            self._reset_on_close()
            self._lose(None)
            if transport is not None:
                transport.abort()

    def _reset_on_close(self) -> None:
        sock = self._transport.get_extra_info("socket") if self._transport is not None else None
        if sock is not None:
            # l_onoff and l_linger: with no time to linger, closing resets.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def taken(self) -> int:
        """Bytes that the peer's side has taken so far, as far as this platform can tell."""
        transport = self._transport
        if transport is None:
            return self.sent
        held = transport.get_write_buffer_size()
        return self._written - held - _unacknowledged(transport.get_extra_info("socket"))

    def _fail(self, error: OSError) -> None:
        if not self.closed:
            transport = self._transport
            if isinstance(error, FileFaultError):
                self._reset_on_close()
            self._lose(error)
            if transport is not None:
                transport.abort()

    def _lose(self, error: OSError | None) -> None:
        self.closed = True
        self.drop_queue()
        if self.connection is not None:
            self.connection.lost(error)


def _unacknowledged(sock: socket.socket | None) -> int:
    """Bytes that the system holds for the peer, where it says so."""
    if sock is None or not sys.platform.startswith("linux"):
        return 0
    held = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0" * 4)
    return int(struct.unpack("i", held)[0])


def _read(fd: int, offset: int, size: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(fd, size, offset)
    with _seek_and_read:
        os.lseek(fd, offset, os.SEEK_SET)
        return os.read(fd, size)


class PortableListener(Listener):
    """A listening socket whose connections become asyncio transports."""

    def __init__(  # noqa: PLR0913, PLR0917 (as Reactor.listen, and the reactor)
        self,
        reactor: PortableReactor,
        sock: socket.socket,
        factory: Callable[[Transport], Connection],
        refused: Callable[[OSError], None],
        tls: TLSProvider | None,
        admission: Admission | None,
    ) -> None:
        self._reactor = reactor
        self._tls = tls
        self._admission = admission
        self._sock = sock
        self._factory = factory
        self._refused = refused
        self._retry: asyncio.TimerHandle | None = None
        self._open = True
        self._paused = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._accepting: asyncio.Task[None] | None = None
        self._readable = reactor.can_watch_sockets
        self._arm()

    def _arm(self) -> None:
        if self._readable:
            self._reactor.loop.add_reader(self._sock.fileno(), self._accept)
        elif self._accepting is None:
            self._accepting = self._reactor.loop.create_task(self._accept_forever())

    def _disarm(self) -> None:
        if self._readable:
            self._reactor.loop.remove_reader(self._sock.fileno())
        elif self._accepting is not None:
            self._accepting.cancel()
            self._accepting = None

    def _accept(self) -> bool:
        """Accept a bounded number of connections. False when none is left, or none can be had."""
        limit = _ACCEPT_BATCH
        if self._admission is not None:
            limit = min(limit, self._admission.allowed())
            if limit <= 0:
                self._disarm()
                self._retry = self._reactor.loop.call_later(COURTESY, self._take_overdue)
                return False
        return self._accept_up_to(limit) == limit

    def _accept_up_to(self, limit: int) -> int:
        """Accept up to ``limit`` connections; how many there were."""
        for number in range(limit):
            if self._paused or not self._open:
                return number
            try:
                accepted, address = self._sock.accept()
            except (BlockingIOError, InterruptedError):
                return number
            except ConnectionError:
                continue
            except OSError as error:
                self._back_off(error)
                return number
            self._take(accepted, address)
        return limit

    def _take_overdue(self) -> None:
        """Accept what others have left for long enough, and go on."""
        self._retry = None
        if self._open and not self._paused and self._admission is not None:
            limit = min(_ACCEPT_BATCH, self._admission.overdue())
            self._admission.took_overdue(self._accept_up_to(limit))
            if not self._is_held_back():
                self._arm()

    def _is_held_back(self) -> bool:
        return self._paused or self._retry is not None

    async def _accept_forever(self) -> None:
        """For loops that cannot watch a socket (the proactor loop of Windows)."""
        while self._open and not self._paused:
            try:
                accepted, address = await self._reactor.loop.sock_accept(self._sock)
            except ConnectionError:
                continue
            except OSError as error:
                self._accepting = None
                self._back_off(error)
                return
            self._take(accepted, address)

    def _take(self, accepted: socket.socket, address: object) -> None:
        accepted.setblocking(False)
        if self._tls is None:
            transport = PortableTransport(self._reactor)
        else:
            # Here, since that module stands on this one.
            from zonda.server.reactor.portable_tls import PortableTLSTransport  # noqa: PLC0415

            transport = PortableTLSTransport(self._reactor, self._tls())
        if accepted.family in (socket.AF_INET, socket.AF_INET6):
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            transport.client = cast("tuple[str, int]", address)[:2]
            transport.server = accepted.getsockname()[:2]
        else:
            name = accepted.getsockname()
            transport.server = (os.fsdecode(name), None) if name else None
        # Made here and not in the Task, so that who counts connections counts this one at once.
        connection = self._factory(transport)
        transport.connection = connection
        connect = self._connect(accepted, transport, connection)
        task = self._reactor.loop.create_task(connect)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(
        self, accepted: socket.socket, transport: PortableTransport, connection: Connection
    ) -> None:
        try:
            await self._reactor.loop.connect_accepted_socket(
                lambda: _Protocol(transport), sock=accepted
            )
        except OSError as error:
            accepted.close()
            if not transport.closed:
                transport.closed = True
                connection.lost(error)

    def _back_off(self, error: OSError) -> None:
        """Without descriptors the listener would stay ready and spin: stop for a while."""
        self._disarm()
        self._retry = self._reactor.loop.call_later(_ACCEPT_RETRY, self._try_again)
        self._refused(error)

    def _try_again(self) -> None:
        self._retry = None
        if self._open and not self._paused:
            self._arm()

    def pause(self) -> None:
        """Leave new connections in the socket's accept queue."""
        if not self._paused:
            self._paused = True
            if self._retry is None:
                self._disarm()

    def resume(self) -> None:
        """Accept again."""
        if self._paused and self._open:
            self._paused = False
            if self._retry is None:
                self._arm()

    def close(self) -> None:
        """Accept what waits in the queue, then stop for good."""
        if self._open:
            waiting = self._readable and not self._paused and self._retry is None
            if self._admission is not None:
                waiting = self._readable and not self._paused and self._admission.is_last()
                self._admission = None
            while waiting:
                waiting = self._accept()
            self._open = False
            if self._retry is not None:
                self._retry.cancel()
            elif not self._paused:
                self._disarm()


class PortableReactor(Reactor):
    """Listeners and transports on the application's own event loop."""

    name = "asyncio"

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.transports: set[PortableTransport] = set()
        self._watched: set[PortableTransport] = set()
        self._looking: asyncio.TimerHandle | None = None
        self._look_done: asyncio.Future[None] | None = None
        proactor = getattr(asyncio, "ProactorEventLoop", None)
        self.can_watch_sockets = proactor is None or not isinstance(loop, proactor)

    def listen(
        self,
        sock: socket.socket,
        factory: Callable[[Transport], Connection],
        refused: Callable[[OSError], None],
        tls: TLSProvider | None = None,
        admission: Admission | None = None,
    ) -> Listener:
        """Accept from ``sock`` until the listener is closed."""
        return PortableListener(self, sock, factory, refused, tls, admission)

    def broken(self, transport: PortableTransport, error: Exception) -> None:
        """A fault of ours ends one connection and no more."""
        self.loop.call_exception_handler(
            {"message": "a connection failed and was closed", "exception": error}
        )
        transport.abort()

    def watch(self, transport: PortableTransport) -> None:
        """Look at ``transport``'s buffer from time to time until it is empty."""
        self._watched.add(transport)
        self._look_later()

    def next_look(self) -> asyncio.Future[None]:
        """A future that is done after a short while."""
        if self._look_done is None:
            self._look_done = self.loop.create_future()
        self._look_later()
        return self._look_done

    def _look_later(self) -> None:
        if self._looking is None:
            self._looking = self.loop.call_later(0.01, self._look)

    def _look(self) -> None:
        self._looking = None
        done = self._look_done
        self._look_done = None
        if done is not None and not done.done():
            done.set_result(None)
        for transport in list(self._watched):
            if transport.look():
                self._watched.discard(transport)
        if self._watched:
            self._look_later()

    def close(self) -> None:
        """Close what is left."""
        super().close()
        if self._looking is not None:
            self._looking.cancel()
        for transport in list(self.transports):
            transport.close()
