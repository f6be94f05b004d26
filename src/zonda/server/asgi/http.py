"""An HTTP exchange as ASGI (HTTP spec 2.5): scope, messages, and the end of the application."""

from __future__ import annotations

import os
import stat
from asyncio import Future
from typing import Any

from zonda.server.asgi.task import ASGIExchange, as_bytes, is_disconnect
from zonda.server.exchange import ClientDisconnected
from zonda.server.reactor.interface import FileSegment

__all__ = ["HTTPExchange"]

_COMPLETE = 4  # the last phase of an exchange

_ASGI = {"version": "3.0", "spec_version": "2.5"}
_EXTENSIONS: dict[str, Any] = {
    "http.response.trailers": {},
    "http.response.early_hint": {},
    "http.response.pathsend": {},
    "http.response.zerocopysend": {},
}
# Opening what is not a file must not wait for its other end.
_OPEN_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_BINARY", 0)
)

_SCOPE: dict[str, Any] = {
    "type": "http",
    "asgi": _ASGI,
    "http_version": "1.1",
    "server": None,
    "client": None,
    "scheme": "http",
    "method": "GET",
    "root_path": "",
    "path": "/",
    "raw_path": b"/",
    "query_string": b"",
    "headers": None,
    "state": None,
    "extensions": None,
}


class HTTPExchange(ASGIExchange):
    """An HTTP request, answered by an ASGI application."""

    def _scope(self) -> dict[str, Any]:
        scope = _SCOPE.copy()
        self._fill_scope(scope)
        if self.scheme != "http":
            scope["scheme"] = self.scheme
        if self.request.method != "GET":
            scope["method"] = self.request.method
        extensions = _EXTENSIONS.copy()
        if self.tls is not None:
            extensions["tls"] = self.tls
        scope["extensions"] = extensions
        return scope

    def _finished(self) -> None:
        if self.phase == _COMPLETE or self.gone:
            return
        if self._told:
            self.stream.reset()
        else:
            self.service.logger.error(
                "the application returned before %s: %s %s",
                "its response was complete" if self.head_sent else "it had answered",
                self.request.method,
                self.request.path,
            )
            self.break_off()

    def _was_cancelled(self) -> None:
        if self.complete or self.gone:
            return
        if not self.service.draining:
            self.service.logger.error(
                "the application was cancelled before it had answered: %s %s",
                self.request.method,
                self.request.path,
            )
        self.break_off()

    def _failed(self, error: BaseException) -> None:
        if (self.gone or self._told) and is_disconnect(error):
            if not self.gone:
                self.stream.reset()
            return
        self._log_failure(error)
        self.break_off()

    # Messages

    def next_message(self) -> dict[str, Any] | None:
        """What has come of the body, the client's leaving, or None."""
        body = None
        if self.phase != _COMPLETE and (not self.gone or self._body_complete):
            body = self.next_body()
        if body is not None:
            return {
                "type": "http.request",
                "body": body,
                "more_body": not self._body_delivered,
            }
        if self.gone or self._left or self.phase == _COMPLETE:
            self._told = True
            return {"type": "http.disconnect"}
        return None

    def wait_for_message(self) -> Future[None]:
        """A future for more of the body."""
        return self.wait_for_body()

    def send_waits(self) -> bool:
        """Whether the peer has much to take already, and more of the response is to come."""
        return self.phase != _COMPLETE and self.stream.is_blocked()

    def handle(self, message: dict[str, Any]) -> None:
        """Take a part of the response, as ``ASGIExchange.handle`` says."""
        kind = message["type"]
        if self.gone or (self._told and self.phase != _COMPLETE):
            raise ClientDisconnected("the client has left")
        if kind == "http.response.body":
            body = message.get("body", b"")
            if type(body) is not bytes:
                body = as_bytes(body)
            self.write(body, bool(message.get("more_body", False)))
        elif kind == "http.response.start":
            self.start(
                message["status"],
                message.get("headers", ()),
                bool(message.get("trailers", False)),
            )
        elif kind == "http.response.pathsend":
            self.write_file(_open_path(message["path"]), False)
        elif kind == "http.response.zerocopysend":
            self._send_open_file(message)
        elif kind == "http.response.trailers":
            self.write_trailers(
                message.get("headers", ()), bool(message.get("more_trailers", False))
            )
        elif kind == "http.response.early_hint":
            links = [(b"link", bytes(link)) for link in message.get("links", ())]
            self.write_interim(103, links)
        else:
            raise RuntimeError(
                f"there is no message of type {kind!r} in an HTTP response: "
                "send http.response.start, then http.response.body"
            )

    def _send_open_file(self, message: dict[str, Any]) -> None:
        """Send from a file that stays the application's: our descriptor is a duplicate."""
        more = bool(message.get("more_body", False))
        file = message["file"]
        number = file if isinstance(file, int) else file.fileno()
        offset = message.get("offset")
        count = message.get("count")
        start = os.lseek(number, 0, os.SEEK_CUR) if offset is None else offset
        if count is None:
            count = max(0, os.fstat(number).st_size - start)
        if start < 0 or count < 0:
            raise RuntimeError("offset and count of http.response.zerocopysend are not negative")
        if offset is None:
            # As with os.sendfile: what was sent from the current position has been read.
            os.lseek(number, start + count, os.SEEK_SET)
        if count == 0:
            self.write(b"", more)
        else:
            self.write_file(FileSegment(os.dup(number), start, count), more)


def _open_path(path: str) -> FileSegment:
    """Open a file to be sent whole. Opening may wait for the disk; reading will not."""
    number = os.open(path, _OPEN_FLAGS)
    status = os.fstat(number)
    if not stat.S_ISREG(status.st_mode):
        os.close(number)
        raise RuntimeError(f"pathsend sends regular files: {path!r} is not one")
    return FileSegment(number, 0, status.st_size)
