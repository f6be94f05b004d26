"""A WebSocket as ASGI (WebSocket spec 2.5): from the handshake to the end of the session.

The handshake is a request like others, and until the application accepts it the exchange answers
it as one: with 403 after ``websocket.close``, with what the application says after
``websocket.http.response.start``, with 500 if it fails. Once accepted the exchange has a session,
and no more to do with the stream that the request came by.
"""

from __future__ import annotations

from typing import Any

from zonda.server.asgi.task import ASGIExchange, as_bytes, is_disconnect
from zonda.server.exchange import ClientDisconnected, Stream
from zonda.server.waiter import Waiter, with_waiter
from zonda.server.websocket import WebSocketSession
from zonda.wire.websocket.closing import CloseCode
from zonda.wire.websocket.extensions import negotiate_deflate
from zonda.wire.websocket.handshake import Handshake

__all__ = ["WebSocketExchange"]

_BODY = 2  # the phases of an exchange that matter here
_COMPLETE = 4

_ASGI = {"version": "3.0", "spec_version": "2.5"}
_EXTENSIONS: dict[str, Any] = {"websocket.http.response": {}}

_SCOPE: dict[str, Any] = {
    "type": "websocket",
    "asgi": _ASGI,
    "http_version": "1.1",
    "server": None,
    "client": None,
    "scheme": "ws",
    "root_path": "",
    "path": "/",
    "raw_path": b"/",
    "query_string": b"",
    "headers": None,
    "subprotocols": None,
    "state": None,
    "extensions": None,
}

_TEXT = [(b"content-type", b"text/plain; charset=utf-8")]

_NORMAL = int(CloseCode.NORMAL)
_ABNORMAL = int(CloseCode.ABNORMAL)
_INTERNAL_ERROR = int(CloseCode.INTERNAL_ERROR)
_SERVICE_RESTART = int(CloseCode.SERVICE_RESTART)
_LAST_CODE = 4999

# The stream of an exchange that has left its own.
_NO_STREAM = Stream()


class WebSocketExchange(ASGIExchange):
    """A request for a WebSocket, and the WebSocket."""

    def set_handshake(self, handshake: Handshake) -> None:
        """Take what the client asks for."""
        self.is_websocket = True
        self._handshake: Handshake | None = handshake
        self._session: WebSocketSession | None = None
        self._connected = False
        self._waiting: Waiter | None = None
        self._spare: Waiter | None = None

    def _scope(self) -> dict[str, Any]:
        scope = _SCOPE.copy()
        self._fill_scope(scope)
        if self.scheme != "http":
            scope["scheme"] = "wss"
        assert self._handshake is not None  # noqa: S101 - for type checkers
        scope["subprotocols"] = list(self._handshake.subprotocols)
        extensions = _EXTENSIONS.copy()
        if self.tls is not None:
            extensions["tls"] = self.tls
        scope["extensions"] = extensions
        return scope

    # Receiving

    def next_message(self) -> dict[str, Any] | None:
        """A message of the client's, its connecting, its leaving, or None."""
        session = self._session
        if session is None:
            return self._next_of_handshake()
        message = session.next_message()
        if message is not None:
            if isinstance(message, str):
                return {"type": "websocket.receive", "text": message}
            return {"type": "websocket.receive", "bytes": message}
        if not session.ended:
            return None
        self._told = True
        return {"type": "websocket.disconnect", "code": session.code, "reason": session.reason}

    def _next_of_handshake(self) -> dict[str, Any] | None:
        if not self._connected:
            self._connected = True
            return {"type": "websocket.connect"}
        if self.gone or self._left or self.phase == _COMPLETE:
            self._told = True
            return {"type": "websocket.disconnect", "code": _ABNORMAL, "reason": ""}
        return None

    def wait_for_message(self) -> Waiter:
        """A waiter for the next message of the client's."""
        waiter = self._spare
        if waiter is None:
            waiter = Waiter(self.service.loop)
        else:
            self._spare = None
            waiter.renew()
        if self._waiting is None or self._waiting.done():
            self._waiting = waiter
        else:
            self._receivers = with_waiter(self._receivers, waiter)
        return waiter

    def readable(self) -> None:
        """Let whoever waits go on, in the event loop's next turn."""
        waiter = self._waiting
        self._waiting = None
        if waiter is not None:
            waiter.set_result(None)
        ASGIExchange.readable(self)

    def resume_readers(self) -> None:
        """Step the Task that waits for a message."""
        waiter = self._waiting
        self._waiting = None
        if waiter is not None:
            if not waiter.done():
                self._spare = waiter  # it has served once the Task is stepped, and serves again
            waiter.wake()
        if self._receivers is not None:
            ASGIExchange.readable(self)

    # Sending

    def send_waits(self) -> bool:
        """Whether the client has much to take already."""
        session = self._session
        if session is not None:
            return session.is_open() and session.is_blocked()
        return _BODY <= self.phase < _COMPLETE and self.stream.is_blocked()

    def handle(self, message: dict[str, Any]) -> None:
        """Take a message, as ``ASGIExchange.handle`` says."""
        kind = message["type"]
        session = self._session
        if session is None:
            self._handshake_message(kind, message)
        elif kind == "websocket.send":
            text = message.get("text")
            data = message.get("bytes")
            if text is not None:
                if type(text) is not str:
                    text = _as_text(text, data)
                if data is not None:
                    raise _malformed(text, data)
                self.body_sent += session.send_text(text)
            else:
                if data is None:
                    raise _malformed(text, data)
                if type(data) is not bytes:
                    data = as_bytes(data)
                self.body_sent += session.send_bytes(data)
        elif kind == "websocket.close":
            code, reason = _closing(message)
            session.close(code, reason)
        else:
            raise RuntimeError(
                f"{kind!r} was not expected: the WebSocket is accepted, so send websocket.send or "
                "websocket.close"
            )

    def _handshake_message(self, kind: str, message: dict[str, Any]) -> None:
        if self.gone or (self._left and self.phase != _COMPLETE):
            self._told = True
            raise ClientDisconnected("the client has left")
        if kind == "websocket.accept":
            self._accept(message)
        elif kind == "websocket.close":
            self.start(403, _TEXT, False)
            self.write(b"Forbidden", False)
        elif kind == "websocket.http.response.start":
            self.start(message["status"], message.get("headers", ()), False)
        elif kind == "websocket.http.response.body":
            if not self.phase:
                raise RuntimeError(
                    "websocket.http.response.body was not expected: send "
                    "websocket.http.response.start first"
                )
            self.write(as_bytes(message.get("body", b"")), bool(message.get("more_body", False)))
        else:
            raise RuntimeError(
                f"{kind!r} was not expected: the WebSocket is not accepted, so send "
                "websocket.accept, websocket.close or websocket.http.response.start"
            )

    def _accept(self, message: dict[str, Any]) -> None:
        """Answer 101 and begin the session."""
        handshake = self._handshake
        if self.phase or handshake is None:
            raise self._out_of_order("websocket.accept")
        service = self.service
        deflate = None
        if service.deflate is not None and handshake.extensions:
            deflate = negotiate_deflate(handshake.extensions, service.deflate)
        subprotocol = message.get("subprotocol")
        fields = handshake.response_fields(subprotocol, deflate, message.get("headers") or ())
        transport, unread = self.stream.switch(fields)
        self.status = 101
        self.phase = _BODY
        self._handshake = None
        self.stream = _NO_STREAM
        service.sessions += 1
        session = WebSocketSession(service, transport, self, deflate)
        self._session = session
        session.start(unread)

    # The application has returned

    def _finished(self) -> None:
        if self._session is not None:
            self._close_session(_NORMAL)
        elif self._told:
            self._break_off_if_open()
        elif self.phase != _COMPLETE and not self.gone:
            self._log_early_end("returned")
            self.break_off()

    def _was_cancelled(self) -> None:
        if self._session is not None:
            self._close_session(_SERVICE_RESTART if self.service.draining else _INTERNAL_ERROR)
        elif self.phase != _COMPLETE and not self.gone:
            if not self.service.draining:
                self._log_early_end("was cancelled")
            self.break_off()

    def _failed(self, error: BaseException) -> None:
        session = self._session
        if session is not None:
            if not (session.ended and is_disconnect(error)):
                self._log_failure(error)
            self._close_session(_INTERNAL_ERROR)
        elif (self.gone or self._left or self._told) and is_disconnect(error):
            self._break_off_if_open()
        else:
            self._log_failure(error)
            self.break_off()

    def _close_session(self, code: int) -> None:
        self.service.sessions -= 1
        session = self._session
        if session is not None and session.is_open():
            session.close(code, "")

    def _break_off_if_open(self) -> None:
        """The application was told that the client left, and did not answer the handshake."""
        if self.phase != _COMPLETE and not self.gone:
            self.stream.reset()

    def _log_early_end(self, what: str) -> None:
        self.service.logger.error(
            "the application %s before it had accepted or refused a WebSocket: %s",
            what,
            self.request.path,
        )


def _closing(message: dict[str, Any]) -> tuple[int, str]:
    code = message.get("code", _NORMAL)
    reason = message.get("reason")
    if code is None:
        code = _NORMAL
    if reason is None:
        reason = ""
    if not isinstance(code, int) or not isinstance(reason, str):
        # As all that is wrong with a message.
        raise RuntimeError(  # noqa: TRY004
            "websocket.close has a code that is an int, and a reason that is a str"
        )
    if not 0 <= code <= _LAST_CODE:
        raise RuntimeError(f"{code} is no close code: use 1000, 1001, or one of 3000 to 4999")
    return code, str.__str__(reason)


def _as_text(text: object, data: object) -> str:
    """Of what derives from ``str`` (a template's safe text, an enumeration), the text itself."""
    if not isinstance(text, str):
        raise _malformed(text, data)
    return str.__str__(text)


def _malformed(text: object, data: object) -> RuntimeError:
    if text is not None and data is not None:
        return RuntimeError("websocket.send has both text and bytes: send one of them at a time")
    if text is None:
        return RuntimeError("websocket.send has neither text nor bytes: give one of them")
    return RuntimeError(f"the text of websocket.send is a str, not {type(text).__name__}")
