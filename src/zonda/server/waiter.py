"""What a Task waits for where the reactor can step it itself.

To a Task it is a future like any other: it is handed up by ``__await__``, takes the Task's wake-up
as its callback, and can be cancelled. What it adds is ``wake``: the reactor, which runs on the
event loop as the Task's step would, calls the wake-up at once. That saves the future's callback a
place in the loop's queue, and the answer leaves together with what else the reactor writes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Any, TypeAlias

__all__ = ["AnyWaiter", "Waiter", "with_waiter"]


class Waiter:
    """A future of one waiting Task, without a result."""

    _asyncio_future_blocking: bool

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._callback: Callable[[Any], object] | None = None
        self._context: Context | None = None
        self._done = False
        self._cancelled = False
        self._message: object = None
        self._asyncio_future_blocking = True

    def renew(self) -> None:
        """Serve once more. Only after ``wake``."""
        self._done = False
        self._asyncio_future_blocking = True

    def wake(self) -> None:
        """Let the Task go on, now. Only from the event loop, where no Task is running."""
        if self._done:
            return
        self._done = True
        callback = self._callback
        context = self._context
        self._callback = None
        self._context = None
        if context is not None:
            context.run(callback, self)  # type: ignore[arg-type] # set with it

    def set_result(self, result: None) -> None:
        """Let the Task go on, in the loop's next turn."""
        if not self._done:
            self._done = True
            self._schedule()

    def cancel(self, msg: object = None) -> bool:
        """What ``Task.cancel`` calls: the Task goes on with CancelledError."""
        if self._done:
            return False
        self._done = True
        self._cancelled = True
        self._message = msg
        self._schedule()
        return True

    def _schedule(self) -> None:
        callback = self._callback
        context = self._context
        self._callback = None
        self._context = None
        if callback is not None:
            self._loop.call_soon(callback, self, context=context)

    def add_done_callback(
        self, fn: Callable[[Any], object], *, context: Context | None = None
    ) -> None:
        """What a Task that waits calls, with its wake-up."""
        if self._callback is not None:
            raise RuntimeError("one Task waits for this, and no other can")
        self._callback = fn
        self._context = Context() if context is None else context
        if self._done:
            self._schedule()

    def remove_done_callback(self, fn: Callable[[Any], object]) -> int:
        """Forget the callback, if it is this."""
        if self._callback != fn:
            return 0
        self._callback = None
        self._context = None
        return 1

    def result(self) -> None:
        """Nothing; raises CancelledError if it was cancelled."""
        if self._cancelled:
            raise asyncio.CancelledError(*(() if self._message is None else (self._message,)))
        if not self._done:
            raise asyncio.InvalidStateError("nothing has come yet")

    def exception(self) -> None:
        """As ``result``."""
        self.result()

    def done(self) -> bool:
        """Whether the Task goes on, or will."""
        return self._done

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self._cancelled

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of the Task."""
        return self._loop


AnyWaiter: TypeAlias = "asyncio.Future[None] | Waiter"


def with_waiter(waiters: list[AnyWaiter] | None, waiter: AnyWaiter) -> list[AnyWaiter]:
    """``waiters`` with ``waiter`` and without those that were given up."""
    if waiters is None:
        return [waiter]
    kept = [other for other in waiters if not other.done()]
    kept.append(waiter)
    return kept
