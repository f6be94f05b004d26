"""TLS on the portable reactor: an ``ssl`` object between a transport of ours and one of asyncio's.

asyncio and uvloop have TLS of their own, and neither can close one direction only: a client that
has said all it will say could not be answered any more, and the end of a response could not be told
while the peer still sends. So the records are made and read here, by an ``SSLObject`` on memory
BIOs, and asyncio carries them like any other octets. The states are those of ``epoll_tls``.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from zonda.server.reactor.interface import BULK_SIZE, TLS_RECORD, TLS_RECORD_SIZE, is_http
from zonda.server.reactor.portable import PortableTransport

if TYPE_CHECKING:
    from zonda.server.reactor.portable import PortableReactor

__all__ = ["PortableTLSTransport"]

_OPENING = 0
_SHAKING = 1
_SECURE = 2
_CLEAR = 3
_DEAF = 4


class PortableTLSTransport(PortableTransport):
    """A stream socket behind an asyncio transport, that speaks TLS."""

    def __init__(self, reactor: PortableReactor, context: ssl.SSLContext) -> None:
        super().__init__(reactor)
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._state = _OPENING
        self._saw_end = False
        self._held_end = False
        self._is_shut = False

    # Input

    def received(self, data: bytes) -> None:
        """The peer sent ``data``, encrypted or not."""
        if self.closed or self._state == _DEAF:
            return
        if self._state == _OPENING:
            self._begin(data)
        if self._state == _CLEAR:
            super().received(data)
        elif self._state != _DEAF:
            self._incoming.write(data)
            if self._state == _SECURE or self._shake_hands():
                self._read()

    def _begin(self, opening: bytes) -> None:
        """Look at what the peer begins with."""
        if opening[0] == TLS_RECORD:
            self._state = _SHAKING
            return
        self._state = _CLEAR if is_http(opening[:16]) else _DEAF
        if self.connection is not None:
            self.connection.not_tls(opening)

    def _shake_hands(self) -> bool:
        """Take a step of the handshake. True when it is done."""
        connection = self.connection
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            self._send_records()
            return False
        except OSError as error:
            self._send_records()  # OpenSSL tells the peer why
            self._state = _DEAF
            if connection is not None:
                connection.handshake_failed(error)
            return False
        self._send_records()
        self._state = _SECURE
        self.ssl = self._object._sslobj  # type: ignore[attr-defined]  # noqa: SLF001 (see Transport)
        if connection is not None:
            connection.handshake_done()
        return True

    def _read(self) -> None:
        """Decrypt all that has come, and hand it on."""
        pieces: list[bytes] = []
        failure: OSError | None = None
        ended = False
        try:
            while piece := self._object.read(TLS_RECORD_SIZE):
                pieces.append(piece)
            ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            ended = True
        except OSError as error:
            failure = error
        self._send_records()  # the answer to a key update, or why we cannot go on
        if pieces:
            super().received(b"".join(pieces))
        if failure is not None:
            self._fail(failure)
        elif ended:
            self._end()

    def _end(self) -> None:
        """Tell that the peer has ended: once, and behind what it has sent before."""
        self._held_end = self._paused
        if not self._saw_end and not self._paused:
            self._saw_end = True
            super().ended()

    def resume_reading(self) -> None:
        """Take from the peer again."""
        super().resume_reading()
        if self._held_end:
            # Not from here: the application may be what called. And behind what the connection
            # schedules next, which has not looked yet at all that came before the end.
            loop = self.reactor.loop
            loop.call_soon(loop.call_soon, self._end)

    def ended(self) -> None:
        """The peer has sent its end, with close_notify before it or without."""
        if self._state == _SECURE:
            self._incoming.write_eof()
            self._read()
        elif self._state in (_OPENING, _SHAKING):
            self._fail(ConnectionResetError("the peer left before the TLS handshake was done"))
        else:
            self._end()

    def emptied(self) -> None:
        """Asyncio holds no more than LOW_WATER for the peer."""
        if not self._paused:
            self.resume_reading()
        super().emptied()

    # Output

    def _hand_over(self, data: bytes) -> None:
        if self._state == _SECURE:
            view = memoryview(data)
            for start in range(0, len(data), BULK_SIZE):
                self._object.write(view[start : start + BULK_SIZE])
                self._send_records()
        elif self._state == _CLEAR:
            super()._hand_over(data)

    def _send_records(self) -> None:
        if self._outgoing.pending and not self._is_shut:
            super()._hand_over(self._outgoing.read())
            if self._full and not self._paused and self._transport is not None:
                # Not to answer more (key updates, say) to a peer that does not read the answers.
                self._transport.pause_reading()

    def _write_eof(self) -> None:
        if self._state == _SECURE and not self._is_shut:
            try:
                self._object.unwrap()
            except ssl.SSLWantReadError:
                pass  # our close_notify is made, the peer's is to come
            except OSError:
                self._state = _DEAF
            self._send_records()
        self._is_shut = True
        super()._write_eof()
