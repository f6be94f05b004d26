"""A WebSocket after its handshake: one session on a transport, over HTTP/1.1 or a stream of HTTP/2.

What the peer sends becomes messages in a bounded queue, from which the application takes them; what
the application sends goes to the transport's queue. Control frames are answered here. The phases
(RFC 6455 section 7)::

    OPEN       messages both ways
    CLOSING    our Close frame is sent, the peer's has not come
                   by close(), and by drain(): 1012
    ENDING     nothing more is sent: both Close frames have gone, or the peer broke the protocol.
               The peer has a while to read and to close first
    CLOSED     the transport is gone

``code`` and ``reason`` say how it ended, for the application: the peer's, if it sent a Close frame
first; ours, if the connection was failed or the server leaves; 1006 where it just ended.

Reading stops while the queue is full, and with it the peer's sending. Nothing is held against a
peer that is not read: its pings wait, and ours are not sent.
"""

from __future__ import annotations

from zonda.server.connection import ServedConnection
from zonda.server.exchange import ClientDisconnected, Exchange
from zonda.server.reactor.interface import HIGH_WATER, Transport
from zonda.server.service import Service
from zonda.wire.events import NEED_DATA
from zonda.wire.websocket.closing import CloseCode
from zonda.wire.websocket.encoder import MessageEncoder
from zonda.wire.websocket.errors import WebSocketError
from zonda.wire.websocket.events import Close, Ping
from zonda.wire.websocket.extensions import DeflateParameters
from zonda.wire.websocket.parser import MessageParser

__all__ = ["WebSocketSession"]

_OPEN = 0
_CLOSING = 1
_ENDING = 2
_CLOSED = 3

QUEUED_BYTES = 262_144
"""Bytes of messages in the queue at which no other is read, however few they are."""

QUEUED_PONGS = 1024
"""Parts in the transport's queue at which no pong joins them: the smallest has two bytes, and takes
many times that."""

# What each message counts besides its length.
_MESSAGE_OVERHEAD = 64

_ABNORMAL = int(CloseCode.ABNORMAL)
_INTERNAL_ERROR = int(CloseCode.INTERNAL_ERROR)
_SERVICE_RESTART = int(CloseCode.SERVICE_RESTART)


class WebSocketSession(ServedConnection):
    """One WebSocket.

    Attributes:
        ended: Whether no message will come any more, once the queue is empty.
        code: Why, as RFC 6455 section 7.4 has it.
        reason: Why, in words; often empty.
    """

    def __init__(
        self,
        service: Service,
        transport: Transport,
        exchange: Exchange,
        deflate: DeflateParameters | None,
    ) -> None:
        self.open(service, transport)
        self.exchange: Exchange | None = exchange
        inflater = deflater = None
        if deflate is not None and service.deflate is not None:
            inflater = deflate.inflater()
            deflater = deflate.deflater(service.deflate)
        self.parser = MessageParser(service.websocket_limits, inflater=inflater)
        self.encoder = MessageEncoder(deflater=deflater)
        self.ended = False
        self.code = _ABNORMAL
        self.reason = ""
        self._phase = _OPEN
        # The queue: most often there is one message, and for one a list would cost as much again.
        self._first: str | bytes | None = None
        self._later: list[str | bytes] = []
        self._size = 0
        self._paused = False
        self._owed: bytes | None = None
        self._heard = False
        self._pinged = False
        self._peer_ended = False
        self._app_closed = False

    def start(self, unread: bytes) -> None:
        """Begin, with what has been read behind the handshake."""
        self.transport.connection = self
        self.service.wheel.arm(self._read_timer, self.service.ticks_ping)
        if self.service.draining:
            self.drain()
        if unread:
            self.parser.feed(unread)
            self._read()
            if self.exchange is not None and (self._first is not None or self.ended):
                self.exchange.readable()

    # For the application

    def next_message(self) -> str | bytes | None:
        """The next message, or None: there is none yet, or no other will come (``ended``)."""
        message = self._first
        if message is not None:
            self._size -= len(message) + _MESSAGE_OVERHEAD
            if self._later:
                self._first = self._later.pop(0)
            else:
                self._first = None
                if self._paused:
                    self._read()
        return message

    def send_text(self, text: str) -> int:
        """Send a text message; returns how many octets that are, framed and compressed.

        Raises:
            ClientDisconnected: The client has closed the WebSocket, or the server had to.
            RuntimeError: The application has closed it.
            MessageError: The text has a lone surrogate.
        """
        if self._phase != _OPEN:
            raise self._not_open()
        transport = self.transport
        size = self.encoder.text(transport.queue, text)
        transport.added(size)
        return size

    def send_bytes(self, data: bytes) -> int:
        """Send a binary message; raises as ``send_text``."""
        if self._phase != _OPEN:
            raise self._not_open()
        transport = self.transport
        size = self.encoder.binary(transport.queue, data)
        transport.added(size)
        return size

    def close(self, code: int, reason: str) -> None:
        """Send a Close frame; messages that the application has not taken are dropped.

        Raises:
            ClientDisconnected: The client has closed the WebSocket, or the server had to.
            RuntimeError: The application has closed it.
            MessageError: The code or the reason cannot be sent.
        """
        if self._phase != _OPEN:
            raise self._not_open()
        self._send_close(code, reason)
        self._app_closed = True
        self._drop_messages()
        if self._paused:
            self._read()

    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return self._phase == _OPEN

    def is_blocked(self) -> bool:
        """Whether the peer has HIGH_WATER bytes in its queue already."""
        return self.transport.queued > HIGH_WATER

    def _not_open(self) -> Exception:
        if self._app_closed:
            return RuntimeError("the WebSocket is closed: nothing can be sent after the close")
        return ClientDisconnected(f"the WebSocket is closed: {self.code} {self.reason}".rstrip())

    # From the reactor

    def data_received(self, data: bytes) -> None:
        """The peer sent ``data``."""
        if self._phase < _ENDING:
            self._heard = True
            if self._pinged:
                self._keep()
            self.parser.feed(data)
            self._read()
            exchange = self.exchange
            if exchange is not None and (self._first is not None or self.ended):
                exchange.resume_readers()

    def eof_received(self) -> None:
        """The peer will send nothing more: there is no half-closed WebSocket."""
        self._peer_ended = True
        if self._phase == _ENDING:
            if not self.transport.queued:
                self.transport.close()
        else:
            self.transport.close()

    def flushed(self) -> None:
        """The peer has taken most of what was queued."""
        transport = self.transport
        if transport.queued == 0:
            self.write_unblocked()
        if self._owed is not None and self._phase == _OPEN:
            owed = self._owed
            self._owed = None
            self._pong(owed)
        if self.exchange is not None:
            self.exchange.writable()
        if self._phase == _ENDING and transport.queued == 0:
            self._await_end()

    def lost(self, error: OSError | None) -> None:
        """The transport is gone."""
        self._phase = _CLOSED
        self.leave()
        self._end(_ABNORMAL, "")
        exchange = self.exchange
        self.exchange = None
        if exchange is not None:
            exchange.lost()
        if self.service.on_connection_lost is not None:
            self.service.on_connection_lost()

    def read_timer_due(self) -> None:
        """The peer was silent for a while, or has not closed."""
        if self._phase == _OPEN:
            self._keep_alive()
        elif self._phase == _CLOSING:
            self.service.refused(self.transport.client, 0, "the peer did not answer a Close frame")
            self._finish()
        else:
            self.transport.close()

    def drain(self) -> None:
        """Tell the peer, and the application, that the server leaves."""
        if self._phase == _OPEN:
            self._send_close(_SERVICE_RESTART, "")
            self._end(_SERVICE_RESTART, "")
            if self.exchange is not None:
                self.exchange.readable()

    # Reading

    def _read(self) -> None:
        """Take messages off the parser until it has none, or the queue is full."""
        try:
            while self._phase < _ENDING and not self._is_full():
                event = self.parser.next_event()
                if event is NEED_DATA:
                    self._resume_reading()
                    return
                if isinstance(event, (str, bytes)):
                    self._append(event)
                else:
                    self._control(event)
        except WebSocketError as error:
            self._fail(error.code, error.reason)
            return
        if self._phase < _ENDING:
            self._pause()

    def _is_full(self) -> bool:
        if self._first is None:
            return False
        return len(self._later) + 1 >= self.service.max_queue or self._size >= QUEUED_BYTES

    def _append(self, message: str | bytes) -> None:
        if self._phase == _OPEN:
            self._size += len(message) + _MESSAGE_OVERHEAD
            if self._first is None:
                self._first = message
            else:
                self._later.append(message)

    def _drop_messages(self) -> None:
        self._first = None
        self._later.clear()
        self._size = 0

    def _control(self, event: object) -> None:
        """Answer a control frame. A Pong is nothing but a sign of life."""
        if isinstance(event, Ping):
            if self._phase == _OPEN:
                self._pong(event.payload)
        elif isinstance(event, Close):
            if self._phase == _OPEN:
                self._send_close(event.code, "")
            self._end(event.code, event.reason)
            self._finish()

    def _pong(self, payload: bytes) -> None:
        """Answer a Ping; the last one only, where the peer does not read (section 5.5.3)."""
        transport = self.transport
        if len(transport.queue) >= QUEUED_PONGS:
            transport.flush()
        if transport.queued > HIGH_WATER or len(transport.queue) >= QUEUED_PONGS:
            self._owed = payload  # flushed() goes on
        else:
            transport.added(self.encoder.pong(transport.queue, payload))

    def _pause(self) -> None:
        if not self._paused:
            self._paused = True
            self.transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._paused:
            self._paused = False
            self.transport.resume_reading()

    # Keep-alive

    def _keep_alive(self) -> None:
        """Ping a peer that has said nothing for a while, and give it up if that goes on."""
        service = self.service
        if self._heard or self._paused or self.transport.queued:
            # While something is queued a ping would wait behind it; --timeout-write judges that.
            self._heard = False
            self._pinged = False
            service.wheel.arm(self._read_timer, service.ticks_ping)
        elif self._pinged and service.ticks_pong:
            self._end(_ABNORMAL, "no answer to a ping")
            self._fail(_INTERNAL_ERROR, "no answer to a ping")
            if self.exchange is not None:
                self.exchange.readable()
        else:
            self._pinged = True
            service.wheel.arm(self._read_timer, service.ticks_pong or service.ticks_ping)
            transport = self.transport
            transport.added(self.encoder.ping(transport.queue))

    def _keep(self) -> None:
        """A sign of life after a ping: the next is due in its time."""
        self._pinged = False
        if self._phase == _OPEN:
            self.service.wheel.arm(self._read_timer, self.service.ticks_ping)

    # The end

    def _send_close(self, code: int, reason: str) -> None:
        """Send our Close frame, after which the peer has so long to send its own."""
        transport = self.transport
        size = self.encoder.close(transport.queue, code, reason)
        self._phase = _CLOSING
        service = self.service
        service.wheel.arm(self._read_timer, service.ticks_close)
        transport.added(size)

    def _end(self, code: int, reason: str) -> None:
        """Settle how it ended, the first time."""
        if not self.ended:
            self.ended = True
            self.code = code
            self.reason = reason

    def _fail(self, code: int, reason: str) -> None:
        """Fail the connection (RFC 6455 section 7.1.7)."""
        self.service.refused(self.transport.client, 0, f"WebSocket failed with {code}: {reason}")
        if self._phase == _OPEN:
            self._send_close(code, reason)
        self._end(code, reason)
        self._finish()

    def _finish(self) -> None:
        """Send what is queued and close, letting the peer read it first."""
        self._phase = _ENDING
        self.service.wheel.disarm(self._read_timer)
        self._resume_reading()
        transport = self.transport
        transport.shutdown_write()
        if transport.queued == 0:
            self._await_end()

    def _await_end(self) -> None:
        if self._peer_ended:
            self.transport.close()
        else:
            self.linger()
