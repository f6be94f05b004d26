"""A bounded pool of warm threads, and the way back from them into an event loop.

A ``Call`` is put in the pool's queue, a thread takes it, and its ``run`` posts it to a ``Mailbox``,
whose loop calls its ``returned``. What a call costs is wake-ups, so there are few of them:

* At most one thread is being woken at a time. Who takes a call and leaves others behind wakes the
  next thread. So a burst of short calls is worked off by a thread or two without rousing all of
  them to fight for the interpreter, and where calls block, each blocked thread has roused another.
* The thread that rested last is woken first: its stack is warm, and those that are not needed rest
  until they end.
* A loop is woken once for all the calls that return until it has emptied the mailbox.

Nothing here knows what is called: ``threads`` awaits functions with it, and a server runs whole
requests.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import deque
from dataclasses import dataclass
from time import perf_counter

__all__ = ["Call", "Mailbox", "Pool", "PoolThread", "Statistics", "ThreadPoolFull"]

_DELIVERIES = 256  # calls that return in one turn of a loop, before others have theirs


class ThreadPoolFull(RuntimeError):
    """All threads are busy and as many calls wait as may: refuse the work, or do it later."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a pool is doing and has done.

    Attributes:
        threads: Threads that there are.
        running: Calls that run, a lease for as long as it lasts among them.
        waiting: Calls that no thread has taken yet.
        started: Calls that a thread has begun, ever.
        peak: The most that ran at once.
        refused: Calls that found the queue full.
        waited: Seconds that the begun calls waited for their threads, in sum.
        longest_wait: Seconds that one of them waited at most.
    """

    threads: int
    running: int
    waiting: int
    started: int
    peak: int
    refused: int
    waited: float
    longest_wait: float


class Call:
    """Something for a thread to do.

    Attributes:
        loop: The event loop that it came from and may go back to, or None.
        queued_at: ``perf_counter()`` when it was put.
    """

    loop: asyncio.AbstractEventLoop | None
    queued_at: float

    def run(self) -> None:
        """Do it, on a thread. Whatever goes wrong is kept, not raised."""
        raise NotImplementedError

    def returned(self) -> None:
        """Called in the loop, after ``Mailbox.post``."""
        raise NotImplementedError


class Mailbox:
    """Where threads leave their calls for one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._posted: deque[Call] = deque()
        self._awake = False  # whether the loop will look, whatever is posted now
        # Else each wake-up would carry the context of some thread.
        self._context = contextvars.Context()

    def post(self, call: Call) -> None:
        """Have the loop call ``call.returned()``, soon. From any thread."""
        self._posted.append(call)
        if not self._awake:
            self._awake = True
            self._wake()

    def _wake(self) -> None:
        try:
            self.loop.call_soon_threadsafe(self._deliver, context=self._context)
        except RuntimeError:
            self._awake = False  # closed: nobody waits there any more
            self._posted.clear()

    def _deliver(self) -> None:
        posted = self._posted
        left = _DELIVERIES
        while True:
            while posted:
                if left == 0:
                    self.loop.call_soon(self._deliver, context=self._context)
                    return
                left -= 1
                call = posted.popleft()
                try:
                    call.returned()
                except Exception as error:  # noqa: BLE001 (one call's fault is not the others')
                    self.loop.call_exception_handler(
                        {"message": "the end of a call on a thread failed", "exception": error}
                    )
                except BaseException:  # what ends the loop, which may be run again
                    self.loop.call_soon(self._deliver, context=self._context)
                    raise
            # In this order: what is posted before the mark is found below, what is posted after it
            # wakes the loop.
            self._awake = False
            if not posted:
                return
            self._awake = True


class PoolThread(threading.Thread):
    """A thread of a pool.

    Attributes:
        call: What it does now.
        owner: What it is reserved for, if anything; see ``threads.Lease``.
    """

    def __init__(self, pool: Pool, number: int) -> None:
        # A daemon: a call that never ends must not keep the process from ending.
        super().__init__(name=f"{pool.name}-{number}", daemon=True)
        self.pool = pool
        self.call: Call | None = None
        self.owner: object = None
        self.wake = threading.Lock()  # released by who wants it awake
        self.wake.acquire()
        self.begun = False  # whether start() has been called
        self.woken = True
        self.busy = False
        self.leaving = False

    def run(self) -> None:
        """Take calls until there are none for long, or the pool is closed."""
        self.pool.work(self)


class Pool:
    """Threads that take calls, started when there is need of them.

    Args:
        threads: The most that there are at a time.
        waiting: Calls that may wait when all threads are busy; beyond it they are refused.
        idle: Seconds after which a thread without work ends.
        name: What the names of the threads begin with.
    """

    def __init__(
        self, threads: int, *, waiting: int = 1024, idle: float = 60.0, name: str = "zonda-thread"
    ) -> None:
        if threads < 1:
            raise ValueError("a pool has at least one thread")
        if waiting < 0:
            raise ValueError("the calls that may wait are none, or some")
        self.max_threads = threads
        self.max_waiting = waiting
        self.idle = min(idle, threading.TIMEOUT_MAX)
        self.name = name
        # Re-entrant: a finaliser may run anywhere, and may call us.
        self._lock = threading.RLock()
        self._queue: deque[Call] = deque()
        self._resting: list[PoolThread] = []
        self._threads: set[PoolThread] = set()
        self._waking = False  # whether a thread is on its way to the queue
        self._closed = False
        self._numbered = 0
        self._busy = 0
        self._started = 0
        self._peak = 0
        self._refused = 0
        self._waited = 0.0
        self._longest = 0.0

    # For whoever has something to do

    def put(self, call: Call) -> None:
        """Have a thread run ``call``. From any thread.

        Raises:
            ThreadPoolFull: Too many wait already.
            RuntimeError: The pool is closed, or the system gives it no thread at all.
        """
        if not self._put(call, self.max_waiting):
            with self._lock:
                self._refused += 1
            raise ThreadPoolFull(
                f"{self.max_threads} threads are busy and {self.max_waiting} calls wait for one"
            )

    def put_if_free(self, call: Call) -> bool:
        """As ``put``, if there is a thread for it now; else do nothing and return False."""
        return self._put(call, 0)

    def _put(self, call: Call, limit: int) -> bool:
        thread: PoolThread | None = None
        call.queued_at = perf_counter()
        with self._lock:
            if self._closed:
                raise RuntimeError("the pool is closed")
            if len(self._queue) - (self.max_threads - self._busy) >= limit:
                return False
            self._queue.append(call)
            if not self._waking:
                thread = self._rouse()
        if thread is not None and not self._wake(thread):
            self._without_thread(call)
        return True

    def withdraw(self, call: Call) -> bool:
        """Take back what no thread has taken yet. False if it is too late."""
        with self._lock:
            try:
                self._queue.remove(call)
            except ValueError:
                return False
            return True

    @property
    def statistics(self) -> Statistics:
        """What the pool is doing and has done."""
        with self._lock:
            return Statistics(
                threads=len(self._threads),
                running=self._busy,
                waiting=len(self._queue),
                started=self._started,
                peak=self._peak,
                refused=self._refused,
                waited=self._waited,
                longest_wait=self._longest,
            )

    def close(self) -> None:
        """Take no more calls, run what waits, and end the threads. Returns at once."""
        with self._lock:
            self._closed = True
            resting = self._resting
            self._resting = []
        for thread in resting:
            thread.wake.release()

    def join(self, timeout: float | None = None) -> bool:
        """After ``close``: wait for the threads. False if ``timeout`` seconds were not enough."""
        deadline = None if timeout is None else perf_counter() + timeout
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            if thread is not threading.current_thread():
                left = None if deadline is None else max(0.0, deadline - perf_counter())
                thread.join(left)
                if thread.is_alive():
                    return False
        return True

    # Threads

    def work(self, thread: PoolThread) -> None:
        """What a thread does, all its life."""
        while True:
            call = self._next(thread)
            if call is not None:
                thread.call = call
                call.run()
                thread.call = None
                call = None
            elif thread.leaving:
                return
            elif not thread.wake.acquire(timeout=self.idle):
                if self._retire(thread):
                    return
                thread.wake.acquire()  # it was chosen at the last moment

    def _next(self, thread: PoolThread) -> Call | None:
        """The call that ``thread`` is to run; None if it is to rest, or to leave."""
        call: Call | None = None
        other: PoolThread | None = None
        with self._lock:
            if thread.busy:
                thread.busy = False
                self._busy -= 1
            if thread.woken:
                thread.woken = False
                self._waking = False
            if self._queue:
                call = self._queue.popleft()
                thread.busy = True
                self._busy += 1
                self._started += 1
                self._peak = max(self._peak, self._busy)
                waited = perf_counter() - call.queued_at
                self._waited += waited
                self._longest = max(self._longest, waited)
                if self._queue and not self._waking:
                    other = self._rouse()
            elif self._closed:
                self._leave(thread)
            else:
                self._resting.append(thread)
        if other is not None:
            self._wake(other)
        return call

    def _rouse(self) -> PoolThread | None:
        """Choose a thread to wake, if there is one or may be one more. The lock is held."""
        if self._resting:
            thread = self._resting.pop()
            thread.woken = True
        elif len(self._threads) < self.max_threads:
            self._numbered += 1
            thread = PoolThread(self, self._numbered)
            self._threads.add(thread)
        else:
            return None
        self._waking = True
        return thread

    def _wake(self, thread: PoolThread) -> bool:
        """Wake what ``_rouse`` has chosen. False if the system has no room for a new thread."""
        if thread.begun:
            thread.wake.release()
            return True
        thread.begun = True
        try:
            thread.start()
        except RuntimeError:
            with self._lock:
                self._threads.discard(thread)
                self._waking = False
            return False
        return True

    def _without_thread(self, call: Call) -> None:
        """A thread could not be started: others take the call in time, if there are others."""
        with self._lock:
            resting = self._rouse() if self._resting else None
            alone = not self._threads
        if resting is not None:
            self._wake(resting)
        elif alone and self.withdraw(call):
            raise RuntimeError("the system has no room for another thread")

    def _retire(self, thread: PoolThread) -> bool:
        """The thread has rested for long: let it leave, unless it was woken meanwhile."""
        with self._lock:
            if thread not in self._resting:
                return False
            self._resting.remove(thread)
            self._leave(thread)
            return True

    def _leave(self, thread: PoolThread) -> None:
        thread.leaving = True
        self._threads.discard(thread)
