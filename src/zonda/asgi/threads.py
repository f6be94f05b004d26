"""Synchronous code on threads, awaited, and the way back: the bridge between the two worlds.

    pool = ThreadPool(20)
    row = await pool.run(fetch, 7)          # fetch(7) on a thread

    async with pool.lease() as thread:      # all of these on one and the same thread, in order
        connection = await thread.run(connect)
        await thread.run(connection.execute, "…")

    def fetch(number):                      # on the thread
        return call_in_loop(client.get, f"/{number}")    # a coroutine function, in the loop

Context variables go both ways: the function sees its caller's, and what it sets the caller sees
when it has returned; the same holds for ``call_in_loop``.

A thread that waits for the loop takes the calls that the coroutine makes in turn: nesting never
runs out of threads, and a leased thread stays the one thread of its lease.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import Executor, Future
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, TypeVarTuple, cast

from zonda.asgi.pool import Call, Mailbox, Pool, PoolThread, Statistics, ThreadPoolFull

__all__ = [
    "Lease",
    "Statistics",
    "ThreadPool",
    "ThreadPoolFull",
    "call_in_loop",
    "is_cancelled",
]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
P = ParamSpec("P")

_LOOK = 5.0  # seconds between looks at whether the loop that a thread waits for has been closed


class ThreadPool(Pool):
    """A pool whose threads run functions that coroutines await. It can serve several loops.

    Args:
        threads: The most that there are at a time.
        waiting: Calls that may wait when all threads are busy. Beyond it ``run`` raises
            ``ThreadPoolFull``; who would rather wait holds a semaphore of that many.
        idle: Seconds after which a thread without work ends.
        name: What the names of the threads begin with.
    """

    _mailbox: Mailbox | None = None

    async def run(
        self, function: Callable[[*Ts], T], /, *args: *Ts, abandon_on_cancel: bool = False
    ) -> T:
        """Await ``function(*args)``, called on a thread.

        When the awaiting task is cancelled: a call that no thread has taken is taken back. One that
        runs is waited for, and the cancellation goes on when it has ended; with
        ``abandon_on_cancel`` it goes on at once, and the thread is busy until its call ends. Either
        way, what the function awaits by ``call_in_loop`` is cancelled.

        Raises:
            ThreadPoolFull: Too many calls wait already.
        """
        call = _Awaited(self.mailbox(asyncio.get_running_loop()), function, args)
        place = self._place(call)
        try:
            await call
        except asyncio.CancelledError as cancelled:
            await call.leave(place, cancelled, abandon=abandon_on_cancel)
            raise
        return cast("T", call.outcome())

    def lease(self) -> Lease:
        """One thread for all calls of the lease, in their order. It is taken by the first of them.

        It counts as a call of the pool for as long as it lasts, and waits for a free thread as one.
        """
        return Lease(self)

    def mailbox(self, loop: asyncio.AbstractEventLoop) -> Mailbox:
        """Where the pool's threads leave calls for ``loop``."""
        mailbox = self._mailbox
        if mailbox is None or mailbox.loop is not loop:
            mailbox = self._mailbox = Mailbox(loop)
        return mailbox

    def _place(self, call: _Function) -> Pool | _Station:
        """Put ``call`` where a thread will take it."""
        station = _WAITING.get()
        if station is not None and station.pool is self:
            # A thread waits for the caller. While it runs another call for it already, one that
            # is free is better; but there may be none, and none to come before the caller is done.
            if station.serving and self.put_if_free(call):
                return self
            if station.put(call):
                return station
        self.put(call)
        return self


class Lease(Executor):
    """One thread of a pool, for calls that belong together; see ``ThreadPool.lease``.

    It is also a ``concurrent.futures.Executor``, so that ``loop.run_in_executor`` and
    ``asgiref.sync.ThreadSensitiveContext(executor=…)`` take it.
    """

    def __init__(self, pool: ThreadPool) -> None:
        self._pool = pool
        self._station = _Station(pool)
        self._holder: _Holder | None = None
        self._lock = threading.RLock()

    async def run(
        self, function: Callable[[*Ts], T], /, *args: *Ts, abandon_on_cancel: bool = False
    ) -> T:
        """Await ``function(*args)``, called on the lease's thread; as ``ThreadPool.run``."""
        call = _Awaited(self._pool.mailbox(asyncio.get_running_loop()), function, args)
        place = self._place(call)
        try:
            await call
        except asyncio.CancelledError as cancelled:
            await call.leave(place, cancelled, abandon=abandon_on_cancel)
            raise
        return cast("T", call.outcome())

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have ``fn`` called on the lease's thread, as any executor does."""
        future: Future[T] = Future()
        self._place(_Submitted(future, fn, args, kwargs))
        return future

    def release(self) -> None:
        """Give the thread back once the lease's calls have ended. Repeating it does nothing."""
        with self._lock:
            self._station.finish()
            holder = self._holder
            if holder is None or (self._station.is_empty() and self._pool.withdraw(holder)):
                self._station.close()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 (an executor's)
        """``release``, as an executor; ``wait`` for its calls to end, unless this is its thread."""
        if cancel_futures:
            for call in self._station.clear():
                call.take_back()
        self.release()
        current = threading.current_thread()
        if wait and not (isinstance(current, PoolThread) and current.owner is self._station):
            self._station.wait_until_closed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    def __del__(self) -> None:
        # Whoever forgets a lease must not keep its thread for good.
        self.release()

    def _place(self, call: _Function) -> _Station:
        station = _WAITING.get()
        if station is not None and station.owner is self._station and station.put(call):
            return station
        station = self._station
        with self._lock:
            if not station.put(call):
                raise RuntimeError("the lease has been released")
            if self._holder is None:
                self._holder = _Holder(station)
                try:
                    self._pool.put(self._holder)
                except BaseException:
                    self._holder = None
                    station.withdraw(call)
                    raise
        return station


def call_in_loop(function: Callable[[*Ts], Awaitable[T]], /, *args: *Ts) -> T:
    """From a function that a pool runs: ``await function(*args)`` in the loop that it came from.

    The thread waits, and meanwhile takes the calls that the coroutine makes to its pool or lease.

    Raises:
        asyncio.CancelledError: Who awaits this function's call has been cancelled (told once).
        RuntimeError: This is no thread of a pool, or its loop has been closed.
    """
    thread, call = _current()
    if thread is None or call is None or call.loop is None:
        raise RuntimeError(
            "call_in_loop is for functions that a thread pool runs for a coroutine: "
            f"{threading.current_thread().name} has no event loop to go back to"
        )
    visit = _Visit(call, call.loop, function, args, _Station(cast("ThreadPool", thread.pool)))
    visit.station.owner = thread.owner
    call.loop.call_soon_threadsafe(visit.begin)
    visit.station.serve(thread, call.loop)
    _carry(visit.context)
    return cast("T", visit.outcome())


def is_cancelled() -> bool:
    """From a function that a pool runs: whether who awaits it has been cancelled."""
    call = _current()[1]
    return isinstance(call, _Awaited) and call.cancelled


def _current() -> tuple[PoolThread | None, Call | None]:
    thread = threading.current_thread()
    return (thread, thread.call) if isinstance(thread, PoolThread) else (None, None)


def _carry(context: contextvars.Context) -> None:
    """Set what was set in ``context`` in the current one."""
    for variable in context:
        value = context[variable]
        if variable is not _WAITING and variable.get(_MISSING) is not value:
            variable.set(value)


_MISSING = object()


def _kept(error: BaseException) -> BaseException:
    """``error`` as a coroutine or a future can raise it."""
    if isinstance(error, StopIteration):
        kept = RuntimeError("the function raised StopIteration, which no coroutine can")
        kept.__cause__ = error
        return kept
    return error


class _Function(Call):
    """A function to call."""

    def take_back(self) -> None:
        """It will not be called: tell who waits."""
        raise NotImplementedError


class _Awaited(_Function):
    """A function that a task awaits, and what the task waits on meanwhile.

    It is a future as far as a Task looks at one. A real one would have the loop wake the task in
    another turn; this one, told in the loop, has the task go on there and then.
    """

    ended = False
    abandoned = False
    cancelled = False
    untold = False  # cancelled, and the function has not been told
    visit: _Visit | None = None
    value: object = None
    error: BaseException | None = None

    _asyncio_future_blocking = False
    _held = False  # whether the task waits although it was cancelled
    _wake_up: Callable[[_Awaited], object] | None = None
    _task_context: contextvars.Context | None = None
    _thrown: asyncio.CancelledError | None = None

    def __init__(
        self, mailbox: Mailbox, function: Callable[..., object], args: tuple[Any, ...]
    ) -> None:
        self.loop = mailbox.loop
        self.mailbox = mailbox
        self.function = function
        self.args = args
        self.context = contextvars.copy_context()

    def run(self) -> None:
        try:
            self.value = self.context.run(self.function, *self.args)
        except BaseException as error:  # noqa: BLE001 (it goes to who awaits)
            self.error = error
        self.mailbox.post(self)

    def returned(self) -> None:
        self.ended = True
        wake_up = self._wake_up
        if wake_up is not None and self._task_context is not None:
            self._wake_up = None
            self._task_context.run(wake_up, self)
        elif self.abandoned and not isinstance(self.error, asyncio.CancelledError | None):
            self.mailbox.loop.call_exception_handler(
                {"message": "an abandoned call on a thread failed", "exception": self.error}
            )

    def outcome(self) -> object:
        """What came of it, once it has ended; and what it has set is set."""
        _carry(self.context)
        if self.error is None:
            return self.value
        try:
            raise _kept(self.error)
        finally:
            self.error = None  # whose traceback refers to this frame

    async def leave(
        self, place: Pool | _Station, cancelled: asyncio.CancelledError, *, abandon: bool
    ) -> None:
        """Who awaits has been cancelled: return when it may go on with that."""
        if not self.ended:
            if place.withdraw(self):
                return
            self._cancel()
            if abandon:
                self.abandoned = True
                return
            self._held = True
            await self
        _carry(self.context)
        if self.error is not None and self.error is not cancelled:
            cancelled.__context__ = self.error

    def _cancel(self) -> None:
        self.cancelled = True
        if self.visit is not None:
            self.visit.cancel()
        else:
            self.untold = True

    def take_back(self) -> None:
        self.mailbox.loop.call_soon_threadsafe(self.cancel)

    # As a Task's future

    def __await__(self) -> Generator[Any, None, None]:
        if not self.ended:
            self._asyncio_future_blocking = True
            yield self

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self.mailbox.loop

    def add_done_callback(
        self, wake_up: Callable[[_Awaited], object], *, context: contextvars.Context
    ) -> None:
        self._wake_up = wake_up
        self._task_context = context

    def result(self) -> None:
        thrown = self._thrown
        if thrown is not None:
            self._thrown = None
            raise thrown

    def cancel(self, msg: object = None) -> bool:
        if self._held:
            # Once more does not wake the task either: some cancel in every turn of the loop.
            if self.visit is not None:
                self.visit.cancel()
            return True
        wake_up = self._wake_up
        if wake_up is None:
            return False
        self._wake_up = None
        self._thrown = asyncio.CancelledError() if msg is None else asyncio.CancelledError(msg)
        self.mailbox.loop.call_soon(wake_up, self, context=self._task_context)
        return True


class _Submitted(_Function):
    """A function whose result goes to a future of ``concurrent.futures``."""

    def __init__(
        self,
        future: Future[Any],
        function: Callable[..., object],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        # Where it is submitted by a coroutine, that is where call_in_loop goes back to.
        self.loop = asyncio._get_running_loop()  # noqa: SLF001 (None where there is none)
        self.future = future
        self.function = function
        self.args = args
        self.kwargs = kwargs

    def run(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            # In a context of its own: nothing that it sets stays behind on the thread.
            result = contextvars.Context().run(self.function, *self.args, **self.kwargs)
        except BaseException as error:  # noqa: BLE001 (it goes to the future)
            self.future.set_exception(_kept(error))
        else:
            self.future.set_result(result)

    def take_back(self) -> None:
        self.future.cancel()


class _Holder(Call):
    """What keeps a pool's thread for a lease."""

    def __init__(self, station: _Station) -> None:
        self.loop = None
        self.station = station

    def run(self) -> None:
        thread = cast("PoolThread", threading.current_thread())
        thread.owner = self.station
        try:
            self.station.serve(thread, None)
        finally:
            thread.owner = None


class _Station:
    """Where one thread waits, and runs the calls that come to it meanwhile.

    Attributes:
        pool: Whose thread it is.
        owner: Where its thread belongs to a lease: that lease's station.
        serving: Whether a call runs here now.
    """

    def __init__(self, pool: ThreadPool) -> None:
        self.pool = pool
        self.owner: object = None
        self.serving = False
        self._lock = threading.RLock()
        self._wake = threading.Lock()
        self._wake.acquire()
        self._queue: deque[_Function] = deque()
        self._asleep = False
        self._ending = False
        self._closed = False
        self._told: threading.Event | None = None

    def put(self, call: _Function) -> bool:
        """Have the thread run ``call``. False if it waits no more."""
        with self._lock:
            if self._ending or self._closed:
                return False
            if len(self._queue) >= max(1, self.pool.max_waiting):
                raise ThreadPoolFull(f"{len(self._queue)} calls wait for one thread")
            self._queue.append(call)
            self._rouse()
        return True

    def withdraw(self, call: Call) -> bool:
        """Take back what the thread has not taken yet. False if it is too late."""
        with self._lock:
            if call in self._queue:
                self._queue.remove(cast("_Function", call))
                return True
            return False

    def clear(self) -> list[_Function]:
        """Take back all that the thread has not taken yet."""
        with self._lock:
            calls = list(self._queue)
            self._queue.clear()
            return calls

    def is_empty(self) -> bool:
        """Whether no call waits here."""
        return not self._queue

    def finish(self) -> None:
        """Let the thread go once no call waits here."""
        with self._lock:
            self._ending = True
            self._rouse()

    def close(self) -> None:
        """No thread waits here any more, or ever did."""
        with self._lock:
            self._closed = True
            if self._told is not None:
                self._told.set()

    def wait_until_closed(self) -> None:
        """Block until no thread waits here any more."""
        with self._lock:
            if self._closed:
                return
            if self._told is None:
                self._told = threading.Event()
        self._told.wait()

    def serve(self, thread: PoolThread, loop: asyncio.AbstractEventLoop | None) -> None:
        """Run what comes, on ``thread``, until ``finish``, or until ``loop`` is closed."""
        outer = thread.call
        try:
            while True:
                with self._lock:
                    self.serving = bool(self._queue)
                    if self._queue:
                        call = self._queue.popleft()
                    elif self._ending:
                        return
                    else:
                        self._asleep = True
                        call = None
                if call is not None:
                    thread.call = call
                    call.run()
                    thread.call = outer
                elif loop is None:
                    self._wake.acquire()
                else:
                    while not self._wake.acquire(timeout=_LOOK):
                        if loop.is_closed():
                            raise RuntimeError("the event loop was closed while its thread waited")
        finally:
            self.close()

    def _rouse(self) -> None:
        if self._asleep:
            self._asleep = False
            self._wake.release()


class _Visit:
    """What a thread has awaited in a loop."""

    def __init__(
        self,
        call: Call,
        loop: asyncio.AbstractEventLoop,
        function: Callable[..., object],
        args: tuple[Any, ...],
        station: _Station,
    ) -> None:
        self.call = call
        self.loop = loop
        self.function = function
        self.args = args
        self.station = station
        self.context = contextvars.copy_context()
        self.context.run(_WAITING.set, station)
        self.task: asyncio.Task[Any] | None = None
        self.result: object = None
        self.error: BaseException | None = None

    def begin(self) -> None:
        """Start, in the loop."""
        call = self.call
        if isinstance(call, _Awaited):
            if call.untold:
                call.untold = False
                self.error = asyncio.CancelledError()
                self.station.finish()
                return
            call.visit = self
        self.task = self.loop.create_task(self._work(), name="call_in_loop", context=self.context)
        self.task.add_done_callback(self._ended)

    async def _work(self) -> object:
        result: Any = self.function(*self.args)
        return await result if inspect.isawaitable(result) else result

    def _ended(self, task: asyncio.Task[Any]) -> None:
        if isinstance(self.call, _Awaited):
            self.call.visit = None
        if task.cancelled():
            self.error = asyncio.CancelledError()
        else:
            self.error = task.exception()
            if self.error is None:
                self.result = task.result()
        self.station.finish()

    def cancel(self) -> None:
        """Cancel it, from the loop."""
        if self.task is not None:
            self.task.cancel()

    def outcome(self) -> object:
        """What came of it; to be asked once ``station`` has let go of the thread."""
        if self.error is None:
            return self.result
        try:
            raise self.error
        finally:
            self.error = None  # whose traceback refers to this frame
            self.task = None


_WAITING: contextvars.ContextVar[_Station | None] = contextvars.ContextVar(
    "zonda_waiting", default=None
)
