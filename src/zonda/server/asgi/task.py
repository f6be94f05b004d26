"""An application's Task, and what it calls as ``receive`` and ``send`` (ASGI 3).

The application runs in a real ``asyncio.Task``, started eagerly where Python can (3.12), in a copy
of the context that lifespan start-up left. ``receive()`` and ``send(message)`` return operations:
coroutine objects that do their work when awaited and, where nothing has to wait, are done at the
first step, without a frame or a trip through the event loop.

Operations that never wait would never let other tasks run, so each exchange has a budget of them,
after which one yields to the event loop although it could go on. Where the client has left there is
nothing to go on with: an application that asks or sends all the same is put off for a while.
"""

from __future__ import annotations

import asyncio
from asyncio import Task
from collections.abc import Coroutine
from contextvars import Context
from types import CoroutineType
from typing import Any, cast

from zonda.asgi.types import Message
from zonda.server.asgi import stop
from zonda.server.awaitables import awaiting, guarded
from zonda.server.exchange import ClientDisconnected, Exchange

__all__ = ["ASGIExchange", "ReceiveOperation", "SendOperation", "as_bytes", "is_disconnect"]

# Looked up once.
_copy_context = Context.copy
_is_done = Task[None].done
_exception = Task[None].exception

_BUDGET = 128
_DEAF_PAUSE = 0.1  # seconds that a budget lasts once the client has left
_MAX_CHAIN = 16  # how far an exception's causes are followed

# What frameworks raise in a handler that asks for more after the client has left.
_DISCONNECTS = frozenset({"ClientDisconnect", "WebSocketDisconnect", "WebSocketDisconnectError"})


class ASGIExchange(Exchange):
    """An exchange whose application is an ASGI callable: what HTTP and WebSocket share."""

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

    # What the two have not in common

    def _scope(self) -> dict[str, Any]:
        """The scope that the application is called with."""
        raise NotImplementedError

    def next_message(self) -> dict[str, Any] | None:
        """The message that ``receive`` gives now, or None if it has to wait."""
        raise NotImplementedError

    def wait_for_message(self) -> Any:
        """A future that is done when ``next_message`` should be asked again."""
        raise NotImplementedError

    def handle(self, message: dict[str, Any]) -> None:
        """Do what the application asks for with ``send``.

        Raises:
            ClientDisconnected: The client has left.
            RuntimeError: The message is not expected now, or malformed.
            ResponseError: What it says cannot be put on the wire.
        """
        raise NotImplementedError

    def send_waits(self) -> bool:
        """Whether ``send`` is to wait until the peer has taken what is queued for it."""
        raise NotImplementedError

    def _finished(self) -> None:
        """The application has returned."""
        raise NotImplementedError

    def _was_cancelled(self) -> None:
        """The application was cancelled."""
        raise NotImplementedError

    def _failed(self, error: BaseException) -> None:
        """The application has raised ``error``."""
        raise NotImplementedError

    # What they have

    def _fill_scope(self, scope: dict[str, Any]) -> None:
        """Add what the scopes of HTTP and WebSocket have in common."""
        request = self.request
        service = self.service
        if request.is_http_10:
            scope["http_version"] = request.http_version
        scope["server"] = self.server
        scope["client"] = self.client
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
        else:
            self._finished()

    def pause(self) -> asyncio.Future[None] | None:
        """What to wait for when the budget is spent: None is the loop's next turn.

        It is a while for an application that goes on asking, or sending and ignoring the error,
        after the client has left: it never ends, and would use all of the processor for that.
        """
        if not self.gone and not self._told:
            return None
        loop = self.service.loop
        waiter: asyncio.Future[None] = loop.create_future()
        loop.call_later(_DEAF_PAUSE, _wake, waiter)
        waiter._asyncio_future_blocking = True
        return waiter

    def _log_failure(self, error: BaseException) -> None:
        self.service.logger.error(
            "exception in the ASGI application: %s %s",
            self.request.method,
            self.request.path,
            exc_info=error,
        )


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
            stop.set_value(self.message)
            raise StopIteration  # compiled, this returns with what was set
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
            self.waiter = exchange.pause()
            return False
        self.message = exchange.next_message()
        if self.message is not None:
            return True
        exchange.budget = _BUDGET
        waiter = exchange.wait_for_message()
        waiter._asyncio_future_blocking = True
        self.waiter = waiter
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
            # Before anything is done, so that what raises each time yields too.
            exchange.budget -= 1
            if exchange.budget <= 0:
                exchange.budget = _BUDGET
                self.waiter = exchange.pause()
                return False
            self.message = None
            if type(message) is not dict:
                message = dict(message)
            exchange.handle(message)  # pyright: ignore[reportUnknownArgumentType]
        elif exchange.gone:
            raise ClientDisconnected("the client has left")
        if exchange.send_waits():
            exchange.budget = _BUDGET
            self.waiter = exchange.wait_until_writable()
            self.waiter._asyncio_future_blocking = True
            return False
        return True


# An abstract base class at run time, whatever a type checker makes of it.
Coroutine.register(ReceiveOperation)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
Coroutine.register(SendOperation)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


def is_disconnect(error: BaseException | None, depth: int = _MAX_CHAIN) -> bool:
    """Whether ``error`` is what the client's leaving made of the application."""
    if error is None or depth == 0:
        return False
    if isinstance(error, ClientDisconnected) or type(error).__name__ in _DISCONNECTS:
        return True
    if isinstance(error, BaseExceptionGroup):
        grouped = cast("BaseExceptionGroup[BaseException]", error)
        return all(is_disconnect(each, depth - 1) for each in grouped.exceptions)
    return is_disconnect(error.__cause__ or error.__context__, depth - 1)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _for_task(awaitable: Any, eager: bool) -> Any:
    """A coroutine for a Task to run, of what an application has returned."""
    if eager and isinstance(awaitable, CoroutineType):
        return awaitable  # pyright: ignore[reportUnknownVariableType]
    coroutine: Any = awaitable if asyncio.iscoroutine(awaitable) else awaiting(awaitable)
    return coroutine if eager else guarded(coroutine)


def as_bytes(content: object) -> bytes:
    """The octets of what an application sends as a body, or as a message."""
    if isinstance(content, (bytes, bytearray, memoryview)):
        return bytes(cast("bytes", content))
    raise RuntimeError(f"a body or message is bytes, not {type(content).__name__}: encode it first")
