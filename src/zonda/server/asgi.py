"""The ASGI runner of an exchange: scope, ``receive``, ``send`` and the Task (ASGI HTTP spec 2.5).

The application runs in a real ``asyncio.Task``, started eagerly where Python can (3.12), in a copy
of the context that lifespan start-up left. ``receive()`` and ``send(message)`` return operations:
coroutine objects that do their work when awaited and, where nothing has to wait, are done at the
first step, without a frame or a trip through the event loop.

Operations that never wait would never let other tasks run, so each exchange has a budget of them,
after which one yields to the event loop although it could go on.
"""

from __future__ import annotations

import asyncio
import os
import stat
from asyncio import Task
from collections.abc import Coroutine
from contextvars import Context
from types import CoroutineType
from typing import Any, cast

from zonda.asgi.types import Message
from zonda.server.awaitables import awaiting, guarded
from zonda.server.exchange import ClientDisconnected, Exchange, Runner, Stream
from zonda.server.reactor.interface import FileSegment
from zonda.server.service import Service
from zonda.wire.events import Request

__all__ = ["ASGIExchange", "ASGIRunner", "ReceiveOperation", "SendOperation"]

# Looked up once.
_copy_context = Context.copy
_is_done = Task[None].done
_exception = Task[None].exception

_BUDGET = 128
_MAX_CHAIN = 16  # how far an exception's causes are followed
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


class ASGIRunner(Runner):
    """Runs exchanges as ASGI."""

    def open(self, service: Service, stream: Stream, request: Request) -> Exchange:
        """An exchange for ``request``, not begun."""
        exchange = ASGIExchange.__new__(ASGIExchange)
        exchange.set_up(service, stream, request)
        return exchange


class ASGIExchange(Exchange):
    """An exchange whose application is an ASGI callable."""

    _task: Task[None] | None
    budget: int

    def begin(self) -> None:
        """Call the application, and run it until it first waits."""
        service = self.service
        self.begun = True
        self._task = None
        self.budget = _BUDGET
        service.in_flight += 1
        try:
            returned: Any = service.app(self._scope(), self.receive, self.send)
            coroutine: Any = _for_task(returned, service.eager)
            # One dictionary of arguments for all: making one for each Task costs as much again
            # as starting it. Exchanges do not begin within each other.
            arguments = service.task_arguments
            arguments["context"] = _copy_context(service.context)
            task = Task(coroutine, **arguments)
        except (Exception, SystemExit) as error:
            service.in_flight -= 1
            self._failed(error)
            return
        if _is_done(task):
            self._returned(task)
        else:
            self._task = task
            service.running.add(self)
            task.add_done_callback(self._returned)

    def cancel(self) -> None:
        """Cancel the application's Task, if it runs."""
        if self.begun and self._task is not None:
            self._task.cancel("the server is shutting down")

    def receive(self) -> ReceiveOperation:
        """What the application calls as ``receive``."""
        operation = ReceiveOperation.__new__(ReceiveOperation)
        operation.exchange = self
        operation.waiter = None
        return operation

    def send(self, message: Message) -> SendOperation:
        """What the application calls as ``send``."""
        operation = SendOperation.__new__(SendOperation)
        operation.exchange = self
        operation.message = message
        operation.waiter = None
        return operation

    def _scope(self) -> dict[str, Any]:
        request = self.request
        service = self.service
        scope = _SCOPE.copy()
        if request.is_http_10:
            scope["http_version"] = request.http_version
        scope["server"] = self.server
        scope["client"] = self.client
        if self.scheme != "http":
            scope["scheme"] = self.scheme
        if request.method != "GET":
            scope["method"] = request.method
        if service.root_path:
            # The path includes the root path (ASGI HTTP spec, "root_path").
            scope["root_path"] = service.root_path
            scope["path"] = service.root_path + request.path
            scope["raw_path"] = service.raw_root_path + request.raw_path
        else:
            scope["path"] = request.path
            scope["raw_path"] = request.raw_path
        if request.query_string:
            scope["query_string"] = request.query_string
        scope["headers"] = request.headers
        scope["state"] = service.state.copy() if service.state else {}
        scope["extensions"] = _EXTENSIONS.copy()
        if self.tls is not None:
            scope["extensions"]["tls"] = self.tls
        return scope

    # The application has returned

    def _returned(self, task: Task[None]) -> None:
        service = self.service
        service.in_flight -= 1
        if self._task is not None:
            self._task = None
            service.running.discard(self)
        try:
            error = _exception(task)
        except asyncio.CancelledError:
            self._was_cancelled()
            return
        if error is not None:
            self._failed(error)
            return
        if self.phase == _COMPLETE or self.gone:
            return
        if self._told:
            self.stream.reset()
        else:
            service.logger.error(
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
        if (self.gone or self._told) and _is_disconnect(error, _MAX_CHAIN):
            if not self.gone:
                self.stream.reset()
            return
        self.service.logger.error(
            "exception in the ASGI application: %s %s",
            self.request.method,
            self.request.path,
            exc_info=error,
        )
        self.break_off()

    # Messages

    def next_message(self) -> dict[str, Any] | None:
        """The message that ``receive`` gives now, or None if it has to wait."""
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

    def handle(self, message: dict[str, Any]) -> None:
        """Do what the application asks for with ``send``.

        Raises:
            ClientDisconnected: The client has left.
            RuntimeError: The message is not expected now, or malformed.
            ResponseError: The response cannot be put on the wire.
        """
        kind = message["type"]
        if self.gone or (self._told and self.phase != _COMPLETE):
            raise ClientDisconnected("the client has left")
        if kind == "http.response.body":
            body = message.get("body", b"")
            if type(body) is not bytes:
                body = _as_bytes(body)
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


class ReceiveOperation:
    """What ``receive()`` returns: awaited, it gives the next message."""

    exchange: ASGIExchange
    waiter: asyncio.Future[None] | None
    message: dict[str, Any] | None

    def __await__(self) -> ReceiveOperation:
        return self

    def __iter__(self) -> ReceiveOperation:
        return self

    def __next__(self) -> Any:
        if self._step():
            raise StopIteration(self.message)
        return self.waiter

    def send(self, value: object) -> Any:
        """Go on, as a coroutine does; ``value`` is ignored."""
        return self.__next__()

    def throw(self, error: Any, value: Any = None, traceback: Any = None) -> Any:
        """Stop waiting, as a coroutine does when an exception is thrown into it."""
        self.waiter = None
        raise error if value is None else value

    def close(self) -> None:
        """Stop waiting. No message is lost."""
        self.waiter = None

    def _step(self) -> bool:
        exchange = self.exchange
        exchange.budget -= 1
        if exchange.budget <= 0:
            exchange.budget = _BUDGET
            self.waiter = None
            return False
        self.message = exchange.next_message()
        if self.message is not None:
            return True
        exchange.budget = _BUDGET
        self.waiter = exchange.wait_for_body()
        self.waiter._asyncio_future_blocking = True
        return False


class SendOperation:
    """What ``send(message)`` returns: awaited, it is done when the next message may be sent."""

    exchange: ASGIExchange
    message: Any
    waiter: asyncio.Future[None] | None

    def __await__(self) -> SendOperation:
        return self

    def __iter__(self) -> SendOperation:
        return self

    def __next__(self) -> Any:
        if self._step():
            raise StopIteration
        return self.waiter

    def send(self, value: object) -> Any:
        """Go on, as a coroutine does; ``value`` is ignored."""
        return self.__next__()

    def throw(self, error: Any, value: Any = None, traceback: Any = None) -> Any:
        """Stop waiting, as a coroutine does when an exception is thrown into it."""
        self.waiter = None
        raise error if value is None else value

    def close(self) -> None:
        """Stop waiting. What was handed over is sent all the same."""
        self.waiter = None

    def _step(self) -> bool:
        exchange = self.exchange
        message = self.message
        if message is not None:
            self.message = None
            if type(message) is not dict:
                message = dict(message)
            exchange.handle(message)  # pyright: ignore[reportUnknownArgumentType]
            if exchange.phase == _COMPLETE:
                return True
        elif exchange.gone:
            raise ClientDisconnected("the client has left")
        if exchange.stream.is_blocked():
            exchange.budget = _BUDGET
            self.waiter = exchange.wait_until_writable()
            self.waiter._asyncio_future_blocking = True
            return False
        exchange.budget -= 1
        if exchange.budget <= 0:
            exchange.budget = _BUDGET
            self.waiter = None
            return False
        return True


# An abstract base class at run time, whatever a type checker makes of it.
Coroutine.register(ReceiveOperation)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
Coroutine.register(SendOperation)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


def _is_disconnect(error: BaseException | None, depth: int) -> bool:
    """Whether ``error`` is what the client's leaving made of the application."""
    if error is None or depth == 0:
        return False
    if isinstance(error, ClientDisconnected):
        return True
    if isinstance(error, BaseExceptionGroup):
        grouped = cast("BaseExceptionGroup[BaseException]", error)
        return all(_is_disconnect(each, depth - 1) for each in grouped.exceptions)
    return _is_disconnect(error.__cause__ or error.__context__, depth - 1)


def _for_task(awaitable: Any, eager: bool) -> Any:
    """A coroutine for a Task to run, of what an application has returned."""
    if eager and isinstance(awaitable, CoroutineType):
        return awaitable  # pyright: ignore[reportUnknownVariableType]
    coroutine: Any = awaitable if asyncio.iscoroutine(awaitable) else awaiting(awaitable)
    return coroutine if eager else guarded(coroutine)


def _as_bytes(body: object) -> bytes:
    if isinstance(body, (bytes, bytearray, memoryview)):
        return bytes(cast("bytes", body))
    raise RuntimeError(f"a response body is bytes, not {type(body).__name__}: encode it first")


def _open_path(path: str) -> FileSegment:
    """Open a file to be sent whole. Opening may wait for the disk; reading will not."""
    number = os.open(path, _OPEN_FLAGS)
    status = os.fstat(number)
    if not stat.S_ISREG(status.st_mode):
        os.close(number)
        raise RuntimeError(f"pathsend sends regular files: {path!r} is not one")
    return FileSegment(number, 0, status.st_size)
