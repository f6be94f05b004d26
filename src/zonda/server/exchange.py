"""One request and its response, whatever the protocol below and the application above.

An ``Exchange`` stands between a ``Stream``, which is what a protocol offers it, and a runner,
which is how an application is called: ``asgi.ASGIExchange`` is one. It keeps the body that has
arrived and was not asked for yet, and the order of the response::

    START      nothing written             start()          -> HEAD
    HEAD       the head is held back until the first piece of body is known, so that a body that
               comes whole gets a Content-Length and leaves with its head in one write
                                           write(), write_file()   -> BODY, or as below
    BODY       pieces                      the last piece   -> TRAILERS if announced, else COMPLETE
    TRAILERS   trailer fields              the last of them -> COMPLETE
    COMPLETE   nothing follows

It knows no socket. An HTTP/1 connection has one Stream that serves its exchanges in turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from time import perf_counter
from typing import Any

from zonda.server.reactor.interface import FileSegment, Transport
from zonda.server.service import Service
from zonda.server.waiter import AnyWaiter, with_waiter
from zonda.wire.events import Request
from zonda.wire.websocket.handshake import Handshake

__all__ = ["BODY_BUFFER", "ClientDisconnected", "Exchange", "Runner", "Stream"]

BODY_BUFFER = 524_288
"""Bytes of a request body kept for the application; beyond it the peer is not read from."""

# What each piece counts besides its length, so that many tiny ones are bounded as well.
_PIECE_OVERHEAD = 64

_START = 0
_HEAD = 1
_BODY = 2
_TRAILERS = 3
_COMPLETE = 4

_EXPECTED = {
    _START: "the response has not been started: send http.response.start first",
    _HEAD: "the response has been started: send its body",
    _BODY: "the response's body is being sent: send its next part",
    _TRAILERS: "trailers were announced and the body is complete: send http.response.trailers",
    _COMPLETE: "the response is complete: nothing may follow",
}

Fields = Iterable[tuple[bytes, bytes]]


class ClientDisconnected(OSError):
    """The client has left: what is sent to it goes nowhere (ASGI HTTP spec 2.4)."""


class Stream:
    """What a protocol offers an exchange. Nothing here blocks; each call may raise."""

    def is_blocked(self) -> bool:
        """Whether to wait for ``Exchange.writable`` before the next write."""
        raise NotImplementedError

    def write_head(self, status: int, fields: Fields, length: int) -> None:
        """Begin the response; ``length`` is the body's if all of it is known, else -1.

        Raises:
            ResponseError: A field cannot be sent. Nothing was written.
        """
        raise NotImplementedError

    def write_data(self, data: bytes, end: bool) -> None:
        """Send a piece of the body; ``end`` says that it is the last.

        Raises:
            ResponseError: The body is not as long as its Content-Length says.
        """
        raise NotImplementedError

    def write_file(self, segment: FileSegment, end: bool) -> None:
        """Send part of a file as a piece of the body. The stream closes the segment."""
        raise NotImplementedError

    def write_trailers(self, fields: Fields) -> None:
        """End the response with trailer fields, where the protocol has room for them."""
        raise NotImplementedError

    def write_interim(self, status: int, fields: Fields) -> None:
        """Send an informational response ahead of the head, if the peer understands one."""
        raise NotImplementedError

    def reset(self) -> None:
        """Break the response off, so that the peer cannot take it for complete."""
        raise NotImplementedError

    def switch(self, fields: Fields) -> tuple[Transport, bytes]:
        """Accept the protocol that the client asks for: 101, or 200 to an extended CONNECT.

        From here on octets go both ways over the transport that is returned, and whose connection
        is the caller's to set; those that have come already are returned with it. The exchange has
        no more to do with this stream.

        Raises:
            ResponseError: A field cannot be sent. Nothing was written.
        """
        raise NotImplementedError

    def want_body(self) -> None:
        """The application waits for the request's body: let the peer send."""
        raise NotImplementedError

    def consumed(self, size: int) -> None:
        """The application has taken ``size`` bytes of the body: the peer may send as many more."""
        raise NotImplementedError


class Runner:
    """How applications of one kind are called.

    Attributes:
        runs_websockets: Whether they can be called for a WebSocket. Where not, the request for one
            is a request like any other.
    """

    runs_websockets = False

    def open(self, service: Service, stream: Stream, request: Request) -> Exchange:
        """An exchange for ``request``, not begun."""
        raise NotImplementedError

    def open_websocket(
        self, service: Service, stream: Stream, request: Request, handshake: Handshake
    ) -> Exchange:
        """An exchange for the request for a WebSocket, not begun."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of what it holds: no exchange will be opened any more."""


class Exchange:
    """A request and its response. Runners derive from it.

    Attributes:
        request: The head of the request.
        status: The response's status, 0 before it is known.
        body_sent: Bytes of the response's body so far, framing not counted.
        started_at: ``perf_counter()`` when the head was complete, 0.0 if nobody will ask.
        begun: Whether the application has been called.
        gone: Whether the client has left.
        phase: How far the response has come; see above.
        buffered: Bytes of the request's body that wait for the application, with an overhead.
        client: The peer's address, or None.
        is_websocket: Whether a WebSocket is what the client asks for.
        tls: What an application is told of the connection's TLS, or None without.
    """

    def set_up(self, service: Service, stream: Stream, request: Request) -> None:
        """Begin a life: in the place of ``__init__``, whose arguments cost more than its work."""
        self.service = service
        self.stream = stream
        self.request = request
        self.client: tuple[str, int] | None = None
        self.server: tuple[str, int | None] | None = None
        self.scheme = "http"
        self.is_websocket = False
        self.tls: dict[str, Any] | None = None
        self.status = 0
        self.body_sent = 0
        self.started_at = perf_counter() if service.on_complete is not None else 0.0
        self.begun = False
        self.gone = False
        self.buffered = 0
        self.phase = _START
        self._fields: Fields = ()
        self._trailers_follow = False
        self._trailers: list[tuple[bytes, bytes]] | None = None
        self._pieces: list[bytes] | None = None
        self._body_complete = False
        self._body_delivered = False
        self._left = False
        self._told = False
        self._receivers: list[AnyWaiter] | None = None
        self._senders: list[AnyWaiter] | None = None

    # For the protocol

    def begin(self) -> None:
        """Call the application. Never from within another application's call."""
        raise NotImplementedError

    def cancel(self) -> None:
        """Cancel the application, if it runs."""
        raise NotImplementedError

    def add_body(self, piece: bytes) -> None:
        """A piece of the request's body has arrived."""
        if self._pieces is None:
            self._pieces = [piece]
        else:
            self._pieces.append(piece)
        self.buffered += len(piece) + _PIECE_OVERHEAD
        if self._receivers is not None:
            self.readable()

    def end_body(self) -> None:
        """The request is complete."""
        self._body_complete = True
        if self._receivers is not None:
            self.readable()

    def half_closed(self) -> None:
        """The client will send nothing more; it may still read, so the response goes on.

        Closing and half-closing look the same from here. An application that asks is told
        http.disconnect, and from then on its sends raise; one that does not ask is not cut short.
        """
        self._left = True
        self.readable()

    def lost(self) -> None:
        """The client has left, or the stream was broken off."""
        self.gone = True
        self._fields = ()
        self.readable()
        if self._senders is not None:
            self.writable()
        if self.begun and self.phase != _COMPLETE:
            self._ended()

    def readable(self) -> None:
        """There is something new to tell the application that waits for the client."""
        receivers = self._receivers
        self._receivers = None
        if receivers is not None:
            for waiter in receivers:
                if not waiter.done():
                    waiter.set_result(None)

    def resume_readers(self) -> None:
        """As ``readable``, from the event loop and never from within an application's call.

        Whoever waits may therefore go on at once.
        """
        self.readable()

    def writable(self) -> None:
        """The stream is no longer blocked."""
        senders = self._senders
        self._senders = None
        if senders is not None:
            for waiter in senders:
                if not waiter.done():
                    waiter.set_result(None)

    @property
    def complete(self) -> bool:
        """Whether the whole response has been handed to the stream."""
        return self.phase == _COMPLETE

    @property
    def head_sent(self) -> bool:
        """Whether any of the response has been handed to the stream."""
        return self.phase >= _BODY

    # For the runner

    def start(self, status: int, fields: Fields, trailers: bool) -> None:
        """Start the response. Nothing is written before its first piece."""
        if self.phase != _START:
            raise self._out_of_order("http.response.start")
        self.status = status
        self._fields = fields
        self._trailers_follow = trailers
        self.phase = _HEAD

    def write(self, data: bytes, more: bool) -> None:
        """Send a piece of the body; ``more`` says that another follows."""
        phase = self.phase
        if phase != _BODY:
            if phase != _HEAD:
                raise self._out_of_order("http.response.body")
            whole = not more and not self._trailers_follow
            self._send_head(len(data) if whole else -1)
        self.body_sent += len(data)
        if more:
            self.stream.write_data(data, False)
        elif self._trailers_follow:
            self.stream.write_data(data, False)
            self.phase = _TRAILERS
        else:
            self.phase = _COMPLETE
            self._end_of_data(data)

    def _end_of_data(self, data: bytes) -> None:
        try:
            self.stream.write_data(data, True)
        except BaseException:
            self.phase = _BODY  # not complete after all: the runner breaks it off
            raise
        self._ended()

    def write_file(self, segment: FileSegment, more: bool) -> None:
        """Send part of a file as a piece of the body. The segment is closed in any case."""
        try:
            if self.phase != _BODY:
                if self.phase != _HEAD:
                    raise self._out_of_order("a file")
                whole = not more and not self._trailers_follow
                self._send_head(segment.remaining if whole else -1)
        except BaseException:
            segment.close()
            raise
        size = segment.remaining
        end = not more and not self._trailers_follow
        self.stream.write_file(segment, end)
        self.body_sent += size
        if end:
            self.phase = _COMPLETE
            self._ended()
        elif not more:
            self.phase = _TRAILERS

    def write_trailers(self, fields: Fields, more: bool) -> None:
        """Send trailer fields; ``more`` says that others follow."""
        if self.phase != _TRAILERS:
            raise self._out_of_order("http.response.trailers")
        if self._trailers is None:
            self._trailers = []
        for name, value in fields:
            self._trailers.append((name, value))
        if not more:
            wanted = self._trailers if self._accepts_trailers() else []
            self.stream.write_trailers(wanted)
            self.phase = _COMPLETE
            self._ended()

    def write_interim(self, status: int, fields: Fields) -> None:
        """Send an informational response, if it is not too late for one."""
        if self.phase > _BODY:
            raise self._out_of_order("http.response.early_hint")
        if self.phase < _BODY:
            self.stream.write_interim(status, fields)

    def break_off(self) -> None:
        """End a response that cannot be completed: with 500 if nothing was sent, else visibly."""
        if self.gone or self.phase == _COMPLETE:
            return
        if self.phase >= _BODY:
            self.stream.reset()
            return
        self.phase = _START
        body = b"Internal Server Error"
        self.start(500, [(b"content-type", b"text/plain; charset=utf-8")], False)
        self.write(body, False)

    def next_body(self) -> bytes | None:
        """What has arrived of the request's body, or None if there is nothing yet.

        ``b""`` comes once, at the end, if nothing was left then.
        """
        if self._pieces is not None:
            pieces = self._pieces
            self._pieces = None
            body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            self.buffered = 0
            self._body_delivered = self._body_complete
            if not self._body_complete:
                self.stream.consumed(len(body))
            return body
        if self._body_complete and not self._body_delivered:
            self._body_delivered = True
            return b""
        return None

    def wait_for_body(self) -> asyncio.Future[None]:
        """A future that is done when ``next_body`` should be asked again."""
        if not self._body_complete:
            self.stream.want_body()
        waiter: asyncio.Future[None] = self.service.loop.create_future()
        self._receivers = with_waiter(self._receivers, waiter)
        return waiter

    def wait_until_writable(self) -> asyncio.Future[None]:
        """A future that is done when the stream takes more, or the client has left."""
        waiter: asyncio.Future[None] = self.service.loop.create_future()
        self._senders = with_waiter(self._senders, waiter)
        return waiter

    def _send_head(self, length: int) -> None:
        fields = self._fields
        self._fields = ()
        try:
            self.stream.write_head(self.status, fields, length)
        except BaseException:
            self.phase = _START
            raise
        self.phase = _BODY

    def _ended(self) -> None:
        """The response is complete, or never will be: tell whoever counts."""
        self.readable()
        observer = self.service.on_complete
        if observer is not None:
            observer(self)

    def _accepts_trailers(self) -> bool:
        for name, value in self.request.headers:
            if name == b"te" and b"trailers" in value.lower():
                return True
        return False

    def _out_of_order(self, what: str) -> RuntimeError:
        return RuntimeError(f"{what} was not expected: {_EXPECTED[self.phase]}")
