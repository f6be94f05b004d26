"""HTTP/1 on a transport: one connection, its exchanges one after another.

``HTTP1Connection`` is the reading side and the life of the connection; ``HTTP1Stream`` is the
writing side, what its exchanges answer to. The connection's phases::

    OPEN       requests are read and answered, in order; pipelined ones wait unparsed
    CLOSING    our last octet is queued; what the peer still sends is read and dropped, so that
               closing does not reset the connection under the answer (RFC 9112 section 9.6)
    CLOSED     the socket is gone, or another protocol's: see ``switch``

``_drive`` is the only place where requests are parsed and applications begin. It is entered from
the reactor, never from within an application's call: an application that completes a response
only notes it, and ``_drive`` or the event loop goes on from there.
"""

from __future__ import annotations

from collections.abc import Iterable

from zonda.server.connection import DRAIN_TICKS, ServedConnection
from zonda.server.exchange import BODY_BUFFER, Exchange, Runner, Stream
from zonda.server.reactor.interface import HIGH_WATER, FileFaultError, FileSegment, Transport
from zonda.server.service import Service
from zonda.wire.events import END, NEED_DATA, Request
from zonda.wire.http1 import encode_interim, encode_switching
from zonda.wire.http1.errors import ProtocolError
from zonda.wire.http1.parser import RequestParser
from zonda.wire.http1.response import ResponseEncoder
from zonda.wire.websocket.errors import HandshakeRefused
from zonda.wire.websocket.handshake import asks_for_websocket, read_handshake

__all__ = ["HTTP1Connection", "HTTP1Stream"]

_OPEN = 0
_CLOSING = 1
_CLOSED = 2

_SLASH = 0x2F

READ_AHEAD = 65_536
"""Bytes of pipelined requests kept unparsed; beyond it the peer is not read from."""

DISCARD_LIMIT = 262_144
"""Bytes of a body that nobody wants which are read to keep the connection; beyond it, closed."""

REQUESTS_A_TURN = 64
"""Pipelined requests answered before other connections have their turn."""

_STATUS_TEXT = {
    400: b"Bad Request",
    408: b"Request Timeout",
    413: b"Content Too Large",
    414: b"URI Too Long",
    417: b"Expectation Failed",
    421: b"Misdirected Request",
    426: b"Upgrade Required",
    431: b"Request Header Fields Too Large",
    501: b"Not Implemented",
    503: b"Service Unavailable",
    505: b"HTTP Version Not Supported",
}

Fields = Iterable[tuple[bytes, bytes]]


class HTTP1Connection(ServedConnection):
    """The life of one HTTP/1 connection."""

    def __init__(
        self,
        service: Service,
        transport: Transport,
        scheme: str,
        runner: Runner,
    ) -> None:
        self.open(service, transport)
        self.scheme = scheme
        self.runner = runner
        self.parser = RequestParser(service.limits)
        self.stream = HTTP1Stream(self)
        self.exchange: Exchange | None = None
        self._phase = _OPEN
        self._driving = False
        self._scheduled = False
        self._paused = False
        self._request_complete = False
        self._response_complete = False
        self._head_begun = False
        self._peer_ended = False
        self._discarded = 0
        self._brought = 0  # bytes of body since it had its full time
        self._body_left = 0  # what is left of that time, once some of it has passed
        service.wheel.arm(self._read_timer, service.ticks_head)

    # From the reactor

    def data_received(self, data: bytes) -> None:
        """The peer sent ``data``."""
        if self._phase == _OPEN:
            self.parser.feed(data)
            self._drive()

    def eof_received(self) -> None:
        """The peer will send nothing more."""
        self._peer_ended = True
        if self._phase == _CLOSING:
            if not self.transport.queued:
                self.transport.close()
        elif self.exchange is None:
            self._finish()
        elif self._request_complete:
            self.exchange.half_closed()
        else:
            self._break()  # its request will never be complete

    def peer_closing(self) -> None:
        """The peer has sent its end, behind data that is not read yet."""
        if self.exchange is not None and self._request_complete:
            self.exchange.half_closed()

    def flushed(self) -> None:
        """The peer has taken most of what was queued."""
        if self.transport.queued == 0:
            self.write_unblocked()
            if self._phase == _CLOSING:
                self._await_end()
                return
        if self.exchange is not None and not self._response_complete:
            self.exchange.writable()
        self._schedule_if_ready()

    def lost(self, error: OSError | None) -> None:
        """The socket is closed."""
        self._phase = _CLOSED
        service = self.service
        if isinstance(error, FileFaultError):
            service.logger.error("a response was broken off: %s", error)
        self.leave()
        exchange = self.exchange
        self.exchange = None
        if exchange is not None:
            exchange.lost()
        if service.on_connection_lost is not None:
            service.on_connection_lost()

    def resume(self) -> None:
        """Go on with what the peer has pipelined."""
        self._scheduled = False
        transport = self.transport
        if self._phase == _OPEN and not transport.closed:
            transport.corked = True
            try:
                self._drive()
            finally:
                transport.corked = False
            if transport.queue and not transport.closed:
                transport.flush()

    def read_timer_due(self) -> None:
        """What was waited for has not come in time."""
        if self._phase == _CLOSING:
            self.transport.close()
        elif self.exchange is not None:
            if self._response_complete:
                self._finish()
            elif not self._request_complete:
                self._reject(408, "the request's body did not come, or too slowly")
            elif not self.exchange.head_sent:
                self._reject(503, "the application did not accept a WebSocket in time")
        elif self.parser.idle:
            self._finish()
        else:
            self._reject(408, "the request's head did not come in time")

    def drain(self) -> None:
        """End after the request in hand, or the one that may be on its way."""
        if self._phase == _OPEN and self.exchange is None and self.parser.idle:
            self.service.wheel.arm(self._read_timer, DRAIN_TICKS)

    def refuse(self, status: int, reason: str, text: bytes) -> None:
        """Answer whatever the peer has to say with ``text``, and close."""
        self.service.refused(self.transport.client, status, reason)
        self.stream.answer(status, text, ())
        self._finish()

    # Requests

    def _drive(self) -> None:
        """Parse, begin applications, go on to the next request: as far as it goes now."""
        if self._driving:
            return
        self._driving = True
        try:
            self._drive_on()
        except ProtocolError as error:
            self._reject(error.status, error.reason)
        finally:
            self._driving = False

    def _drive_on(self) -> None:
        requests = 0
        while self._phase == _OPEN:
            exchange = self.exchange
            if exchange is not None and self._request_complete:
                if not exchange.begun:
                    exchange.begin()
                elif not self._response_complete:
                    self._read_ahead()
                    return
                elif self.transport.queued > HIGH_WATER:
                    self._pause()  # flushed() goes on
                    return
                elif requests >= REQUESTS_A_TURN:
                    self._schedule()
                    return
                else:
                    requests += 1
                    self._next_request()
                    if not self.parser.unread():
                        return
                continue
            event = self.parser.next_event()
            if event is NEED_DATA:
                if exchange is not None and not exchange.begun:
                    exchange.begin()
                    continue
                if self._peer_ended:
                    self._break()  # what is begun will never be complete
                elif exchange is None:
                    self._await_head()
                return
            if event is END:
                self._end_request(exchange)
            elif exchange is None:
                self._open_exchange(event)  # type: ignore[arg-type]
            elif not self._take_body(exchange, event):  # type: ignore[arg-type]
                return

    def _open_exchange(self, request: Request) -> None:
        service = self.service
        self._head_begun = False
        service.wheel.disarm(self._read_timer)
        self.stream.begin(request)
        if service.is_full():
            retry = ((b"retry-after", b"1"),)
            self._reject(503, "more requests than --limit-concurrency allows", retry)
            return
        if request.target[0] != _SLASH and self._is_misdirected(request):
            # Not for this connection (RFC 9110 section 7.4).
            self._reject(421, "an https target on a connection without TLS")
            return
        if request.upgrade is None or not self._takes_websocket(request.upgrade):
            exchange = self.runner.open(service, self.stream, request)
        else:
            try:
                handshake = read_handshake(request.method, request.http_version, request.headers)
            except HandshakeRefused as refusal:
                self._reject(refusal.status, refusal.reason, refusal.headers)
                return
            exchange = self.runner.open_websocket(service, self.stream, request, handshake)
        exchange.client = self.transport.client
        exchange.server = self.transport.server
        exchange.scheme = self.scheme
        exchange.tls = self.transport.tls
        self.exchange = exchange
        if not request.chunked and request.content_length <= 0:
            self._end_request(exchange)
        else:
            self._brought = 0
            self._body_left = 0
        if exchange.is_websocket and self._request_complete:
            service.wheel.arm(self._read_timer, service.ticks_handshake)

    def _takes_websocket(self, upgrade: bytes) -> bool:
        return (
            self.service.takes_websockets
            and self.runner.runs_websockets
            and asks_for_websocket(upgrade)
        )

    def _end_request(self, exchange: Exchange | None) -> None:
        """The request has come, whole."""
        self.service.wheel.disarm(self._read_timer)
        self._request_complete = True
        if exchange is not None:
            exchange.end_body()
            if self._peer_ended:
                exchange.half_closed()

    def _is_misdirected(self, request: Request) -> bool:
        return self.scheme == "http" and request.target.lower().startswith(b"https:")

    def _take_body(self, exchange: Exchange, piece: bytes) -> bool:
        """Keep a piece of the body, or drop it. False when no more should be parsed now."""
        if self._response_complete:
            self._discarded += len(piece)
            if self._discarded > DISCARD_LIMIT:
                self._finish()
                return False
            return True
        service = self.service
        self._brought += len(piece)
        if self._brought >= service.body_floor:
            self._brought = 0
            self._body_left = 0
            if self._read_timer.armed:
                service.wheel.arm(self._read_timer, service.ticks_body)
        exchange.add_body(piece)
        if exchange.buffered < BODY_BUFFER:
            return True
        if not exchange.begun:
            exchange.begin()
            return True
        self._pause()
        return False

    def _await_head(self) -> None:
        """Between requests, or in a head that is not complete."""
        if not self._head_begun and not self.parser.idle:
            self._head_begun = True
            self.service.wheel.arm(self._read_timer, self.service.ticks_head)

    def _next_request(self) -> None:
        """The request is complete and answered: the connection's next, or its end."""
        self.exchange = None
        if not self.stream.keep_alive or (self._peer_ended and not self.parser.unread()):
            self._finish()
            return
        self.parser.next_request()
        self.stream.end()
        self._request_complete = False
        self._response_complete = False
        self._discarded = 0
        service = self.service
        service.wheel.arm(
            self._read_timer, DRAIN_TICKS if service.draining else service.ticks_keep_alive
        )
        if self._paused:
            self._resume_reading()

    def response_complete(self) -> None:
        """From the stream: the exchange's response is queued, whole."""
        self._response_complete = True
        if self._phase != _OPEN:
            return
        if not self._request_complete:
            self._discard_rest()
        if not self._driving:
            if self._request_complete and not self.parser.unread() and not self._paused:
                if self.transport.queued <= HIGH_WATER:
                    self._next_request()
                return
            self._schedule()

    def _discard_rest(self) -> None:
        """The answer came before the end of the request: read the rest for nothing, or close."""
        if not self.stream.keep_alive:
            self._finish()
            return
        if self._paused:
            self._resume_reading()
        self.service.wheel.arm(self._read_timer, self.service.ticks_body)

    def _schedule_if_ready(self) -> None:
        """Go on after the queue has drained, if that was what was waited for."""
        if self._phase == _OPEN and self._response_complete:
            self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self.service.reactor.schedule(self)

    # The request's body, as the application takes it

    def want_body(self) -> None:
        """From the stream: the application waits for the body."""
        if self._phase == _OPEN:
            if self._paused:
                self._resume_reading()
                self._schedule()
            wheel = self.service.wheel
            if self._body_left:
                wheel.resume(self._read_timer, self._body_left)
                self._body_left = 0
            elif not self._read_timer.armed:
                wheel.arm(self._read_timer, self.service.ticks_body)

    def body_consumed(self) -> None:
        """From the stream: the application has taken what there was."""
        wheel = self.service.wheel
        if self._read_timer.armed:
            # Time waited counts until enough has come for it, in however many pieces.
            self._body_left = wheel.suspend(self._read_timer)
        if self._paused and self._phase == _OPEN:
            self._resume_reading()
            self._schedule()

    def body_is_long(self) -> bool:
        """Whether more of the body may be left than would be read for nothing."""
        exchange = self.exchange
        if exchange is None or self._request_complete:
            return False
        return exchange.request.content_length > DISCARD_LIMIT

    def _read_ahead(self) -> None:
        if self.parser.unread() > READ_AHEAD:
            self._pause()

    def _pause(self) -> None:
        if not self._paused:
            self._paused = True
            self.transport.pause_reading()

    def _resume_reading(self) -> None:
        self._paused = False
        self.transport.resume_reading()

    # The end

    def _reject(self, status: int, reason: str, fields: Fields = ()) -> None:
        """Answer what is refused, if an answer is still possible, and close."""
        service = self.service
        service.refused(self.transport.client, status, reason)
        exchange = self.exchange
        self.exchange = None
        if exchange is not None:
            if exchange.head_sent:
                exchange.lost()
                self._break()
                return
            exchange.lost()
        self.stream.answer(status, _STATUS_TEXT.get(status, b"Error"), fields)
        self._finish()

    def _break(self) -> None:
        """The exchange cannot be completed: close so that the peer cannot take it for complete."""
        exchange = self.exchange
        self.exchange = None
        if exchange is not None:
            exchange.lost()
        if self._phase == _OPEN:
            if self.stream.ends_with_connection:
                self.transport.abort()
            else:
                self._finish()

    def break_off(self) -> None:
        """From the stream: the response cannot be completed."""
        self._response_complete = True
        self._break()

    def _finish(self) -> None:
        """Send what is queued and close, letting the peer read it first."""
        if self._phase == _OPEN:
            self._phase = _CLOSING
            self.service.wheel.disarm(self._read_timer)
            if self._paused:
                self._resume_reading()
            self.transport.shutdown_write()
            if self.transport.queued == 0:
                self._await_end()

    def _await_end(self) -> None:
        """All is sent: close when the peer does."""
        if self._peer_ended:
            self.transport.close()
        else:
            self.linger()

    def switch(self) -> bytes:
        """Leave the transport to another protocol. What was read and is not HTTP is returned."""
        self._phase = _CLOSED
        self.exchange = None
        self.leave()
        if self._paused:
            self._resume_reading()
        return self.parser.take_unread()


class HTTP1Stream(Stream):
    """The writing side of an HTTP/1 connection: serves its exchanges in turn.

    Attributes:
        keep_alive: Once a head is written: whether the connection goes on after it.
    """

    def __init__(self, connection: HTTP1Connection) -> None:
        self.connection = connection
        self.transport = connection.transport
        self.service = connection.service
        self.encoder = ResponseEncoder()
        self._request: Request | None = None
        self._awaits_continue = False

    def begin(self, request: Request) -> None:
        """Make ready to answer ``request``."""
        self._request = request
        self._awaits_continue = request.expects_continue
        self.encoder.start(request.method, request.is_http_10, request.keep_alive)

    def end(self) -> None:
        """The request is answered: what follows is another's."""
        self._request = None

    @property
    def keep_alive(self) -> bool:
        """Whether the connection goes on after the response whose head is written."""
        return self.encoder.keep_alive

    @property
    def ends_with_connection(self) -> bool:
        """Whether the end of the connection is what ends the body."""
        return self.encoder.ends_with_connection

    def is_blocked(self) -> bool:
        """Whether the peer has HIGH_WATER bytes in its queue already."""
        return self.transport.queued > HIGH_WATER

    def write_head(self, status: int, fields: Fields, length: int) -> None:
        """Queue the head; it leaves with what follows."""
        encoder = self.encoder
        if encoder.keep_alive and (
            self.service.draining or self._awaits_continue or self.connection.body_is_long()
        ):
            # Without 100 (Continue) the body may or may not follow: only closing is safe
            # (RFC 9110 section 10.1.1).
            encoder.keep_alive = False
        self._awaits_continue = False
        transport = self.transport
        transport.queued += encoder.head(
            transport.queue, status, fields, length, self.service.default_fields()
        )

    def write_data(self, data: bytes, end: bool) -> None:
        """Queue a piece of the body, and send."""
        transport = self.transport
        encoder = self.encoder
        size = encoder.data(transport.queue, data)
        if end:
            self._end_body(size, None)
        else:
            transport.added(size)

    def _end_body(self, size: int, trailers: Fields | None) -> None:
        """Queue the body's end behind ``size`` octets that are queued and not counted yet."""
        transport = self.transport
        try:
            size += self.encoder.end(transport.queue, trailers)
        finally:
            transport.added(size)
        self.connection.response_complete()

    def write_file(self, segment: FileSegment, end: bool) -> None:
        """Queue part of a file, and send."""
        transport = self.transport
        encoder = self.encoder
        size = 0
        if not encoder.sends_body or segment.remaining == 0:
            segment.close()
        else:
            try:
                size = encoder.open_piece(transport.queue, segment.remaining)
            except BaseException:
                segment.close()
                raise
            transport.queue.append(segment)
            size += segment.remaining
            size += encoder.close_piece(transport.queue)
        if end:
            self._end_body(size, None)
        else:
            transport.added(size)

    def write_trailers(self, fields: Fields) -> None:
        """Queue the end of the body with a trailer section, and send."""
        self._end_body(0, fields)

    def write_interim(self, status: int, fields: Fields) -> None:
        """Send an informational response; HTTP/1.0 knows none (RFC 9110 section 15.2)."""
        if self._request is not None and not self._request.is_http_10:
            self.transport.write(encode_interim(status, fields))

    def switch(self, fields: Fields) -> tuple[Transport, bytes]:
        """Send 101 (Switching Protocols) and leave the connection to the caller."""
        transport = self.transport
        transport.write(encode_switching(fields, self.service.default_fields()))
        return transport, self.connection.switch()

    def answer(self, status: int, text: bytes, more: Fields) -> None:
        """Queue a whole response of the server's own, the connection's last."""
        encoder = self.encoder
        method = self._request.method if self._request is not None else "GET"
        encoder.start(method, False, False)
        fields = [(b"content-type", b"text/plain; charset=utf-8"), *more]
        transport = self.transport
        size = encoder.head(
            transport.queue, status, fields, len(text), self.service.default_fields()
        )
        size += encoder.data(transport.queue, text)
        transport.added(size)

    def reset(self) -> None:
        """Break the response off."""
        self.connection.break_off()

    def want_body(self) -> None:
        """Let the peer send: 100 (Continue) if it waits for that."""
        if self._awaits_continue:
            self._awaits_continue = False
            self.write_interim(100, ())
        self.connection.want_body()

    def consumed(self, size: int) -> None:
        """Let the peer send as much as was taken."""
        self._awaits_continue = False
        self.connection.body_consumed()
