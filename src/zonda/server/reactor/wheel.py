"""All time-outs of a worker on one coarse wheel.

A timer per connection on the event loop's heap would cost a handle, a heap insertion and a
cancellation for every request. Here a request costs an assignment: ``arm`` and ``disarm`` only
set the timer's deadline, and the wheel looks at it when the slot comes round that the timer was
last filed under. If the deadline has moved on by then, the timer is filed again; only a deadline
that is earlier than the filed slot makes ``arm`` file it at once.

The wheel turns by one ``call_later`` a tick, and only while some timer is filed. A time-out never
fires early, and fires at most three ticks late. Time in which the event loop was blocked does not
count: neither the peers nor the timers armed meanwhile are to blame for it.
"""

from __future__ import annotations

import asyncio
import math
from time import monotonic

__all__ = ["TICK", "Timer", "TimerOwner", "TimerWheel"]

TICK = 0.1
"""Seconds a tick."""

_STALL = 2  # ticks between two turns beyond which the loop was blocked

_SLOTS = 1024  # one turn is about 100 s; what lies further off is filed again each turn


class TimerOwner:
    """Whatever has time-outs: it is told which of its timers is due."""

    def timer_due(self, kind: int) -> None:
        """A timer made with this ``kind`` has reached its deadline, and is disarmed."""
        raise NotImplementedError


class Timer:
    """One deadline of one owner.

    Attributes:
        deadline: The tick at which it is due, 0 when it is not armed.
    """

    def __init__(self, owner: TimerOwner, kind: int) -> None:
        self.owner: TimerOwner | None = owner
        self.kind = kind
        self.deadline = 0
        self.filed = 0

    @property
    def armed(self) -> bool:
        """Whether it will come due."""
        return self.deadline != 0


class TimerWheel:
    """The wheel of one worker's event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._slots: list[list[Timer]] = [[] for _ in range(_SLOTS)]
        self._origin = monotonic() - 2 * TICK
        self._now = 1
        self._count = 0
        self._turning: asyncio.TimerHandle | None = None

    @staticmethod
    def ticks(seconds: float) -> int:
        """A duration in ticks, rounded up, for ``arm``; 0 stays 0, which means no time-out."""
        return math.ceil(seconds / TICK) if seconds > 0 else 0

    def arm(self, timer: Timer, ticks: int) -> None:
        """Let ``timer`` come due in ``ticks``, or not at all if that is 0."""
        if ticks == 0:
            timer.deadline = 0
            return
        if self._turning is None:
            self._turn()
        # The wheel may be behind by as much before it takes itself for stalled.
        self._set(timer, self._now + ticks + _STALL)

    def suspend(self, timer: Timer) -> int:
        """Disarm ``timer``; how much of its time was left, for ``resume``. 0 if it was not armed.

        Arming it anew would give it a tick or two more, and one that is suspended often enough
        would never come due.
        """
        left = timer.deadline - self._now if timer.deadline else 0
        timer.deadline = 0
        return left

    def resume(self, timer: Timer, left: int) -> None:
        """Let ``timer`` come due when as much more time has passed as ``suspend`` had left."""
        if self._turning is None:
            self._turn()
        self._set(timer, self._now + left)

    def disarm(self, timer: Timer) -> None:
        """Let ``timer`` not come due."""
        timer.deadline = 0

    def drop(self, timer: Timer) -> None:
        """Forget ``timer`` for good, so that the wheel does not keep its owner alive."""
        timer.deadline = 0
        timer.owner = None

    def close(self) -> None:
        """Stop turning. No timer comes due any more."""
        if self._turning is not None:
            self._turning.cancel()
            self._turning = None
        self._slots = [[] for _ in range(_SLOTS)]
        self._count = 0

    def _set(self, timer: Timer, deadline: int) -> None:
        timer.deadline = deadline
        if timer.filed == 0 or deadline < timer.filed:
            self._file(timer)

    def _file(self, timer: Timer) -> None:
        tick = min(timer.deadline, self._now + _SLOTS - 1)
        timer.filed = tick
        self._slots[tick % _SLOTS].append(timer)
        self._count += 1

    def _turn(self) -> None:
        """Come up to the present: look at every timer filed since the last time."""
        present = int((monotonic() - self._origin) / TICK)
        if self._count == 0:
            self._now = present
        elif present - self._now > _STALL:
            self._origin += (present - self._now - _STALL) * TICK
            present = self._now + _STALL
        while self._now < present:
            self._now += 1
            slot = self._slots[self._now % _SLOTS]
            if slot:
                self._slots[self._now % _SLOTS] = []
                for timer in slot:
                    self._count -= 1
                    self._look(timer)
        if self._count > 0 or self._turning is None:
            self._turning = self._loop.call_later(TICK, self._turn)
        else:
            self._turning = None

    def _look(self, timer: Timer) -> None:
        if timer.filed != self._now:
            return  # filed again since, under an earlier slot
        timer.filed = 0
        if timer.deadline == 0:
            return
        if timer.deadline > self._now:
            self._file(timer)
            return
        timer.deadline = 0
        if timer.owner is not None:
            try:
                timer.owner.timer_due(timer.kind)
            except Exception as error:
                self._loop.call_exception_handler(
                    {"message": "a time-out could not be handled", "exception": error}
                )
