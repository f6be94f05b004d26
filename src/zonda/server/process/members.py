"""A place for a worker, and a worker process, as the supervisor sees them."""

import math
import signal
import time

from zonda.server.process.board import Cell
from zonda.server.process.spawn import Child

__all__ = ["FIRST_DELAY", "NEVER", "STATES", "Member", "Slot"]

NEVER = math.inf

STATES = ("starting", "ready", "draining", "gone")
"""Those of `worker.WorkerState`, which would bring an event loop with it."""

FIRST_DELAY = 0.5
_LONGEST_DELAY = 30.0
"""Seconds before a worker is started again that keeps ending: twice as many each time."""


class Slot:
    """A place for one worker: who has it, and who is to have it next."""

    def __init__(self) -> None:
        self.member: Member | None = None
        self.successor: Member | None = None
        self.failures = 0
        self.due = 0.0  # when a worker is to be started, if there is none

    def failed(self) -> float:
        """Seconds to wait before the next start here, after one that has failed once more."""
        self.failures += 1
        if self.failures == 1:
            return 0.0
        return min(_LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(self.failures - 2, 16))


class Member:
    """A worker process, as the supervisor sees it."""

    def __init__(self, child: Child, slot: Slot, cell: Cell, dump: int) -> None:
        self.child = child
        self.slot = slot
        self.cell = cell
        self.dump = dump  # the reading end of the pipe for its stacks
        self.state = "starting"
        self.since = time.monotonic()  # when it was started, then when it became ready
        self.reason = ""  # why it never became ready
        self.leaving = False
        self.deadline = NEVER  # when it is killed
        self.retire = ""  # why it is to be replaced
        self.retire_at = 0.0
        self.looked = 0.0  # when it was last seen whether its event loop turns
        self.trusted_until = 0.0  # it has had no chance to show that it turns
        self.stalled = False
        self.dump_due = NEVER

    @property
    def pid(self) -> int:
        """The process."""
        return self.child.pid

    def how_it_ended(self) -> str:
        """How a worker ended, for a log line."""
        code = self.child.code or 0
        if self.reason:
            return f"with code {code}: {self.reason}" if code >= 0 else f"killed: {self.reason}"
        if code >= 0:
            return f"with code {code}"
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        if -code == signal.SIGKILL:
            return f"by {name} (if nobody sent it, the system was out of memory)"
        return f"by {name}"
