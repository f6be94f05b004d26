"""The supervisor: it owns the listening sockets and the worker processes, and never serves.

It imports no application and has no event loop: a selector, signals, and this file's rules. Each
place for a worker is a `Slot`. A worker is replaced, for whatever reason, in one way: a successor
is started beside it, and once that is ready it takes the slot, and the old one drains.

    SIGTERM SIGINT    all drain; a second one aborts what still runs, a third kills
    SIGHUP            every worker is replaced, one after the other
    SIGUSR2           so is this program, in this process, by the one on disk: upgrade.py
    SIGTTIN SIGTTOU   one worker more, one less
    a worker ends     another takes its place at once; if they keep ending, after longer and longer
    it retires        it has reached a limit of its own and asks to be replaced
    it stands still   the log shows what blocks it; with --stall-restart it is replaced

All workers accept from the same sockets. What waits in a queue when a worker dies is thus taken by
its siblings, and nothing is in a queue of its own. How they share evenly: share.py.
"""

import contextlib
import math
import os
import platform
import selectors
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable

import zonda
from zonda import _build
from zonda.server.listeners import ListenError, Listeners, describe, open_listeners
from zonda.server.logs import logger
from zonda.server.process.board import Board, Cell
from zonda.server.process.members import FIRST_DELAY, NEVER, STATES, Member, Slot
from zonda.server.process.pidfile import PidFile, PidFileError
from zonda.server.process.signals import Signals
from zonda.server.process.spawn import Child, check_settings, start_child
from zonda.server.process.stall import DUMP_SIGNAL, read_dump
from zonda.server.process.systemd import Notifier
from zonda.server.process.upgrade import HandedWorker, Handover, execute_anew, start_trial
from zonda.server.settings import Settings, SettingsError

__all__ = ["Supervisor", "cores"]

_STEADY = 10.0
"""Seconds of service after which the end of a worker counts as the first in a row."""

_STOP_STARTING = 10.0
"""Seconds for a worker to stop that is not ready yet: it has nothing to finish."""

_MARGIN = 10.0
"""Seconds for a worker to end, beyond what its settings give to requests and lifespan."""

_DUMP_TIME = 0.5
"""Seconds for a worker to write its stacks."""

_AFTER_A_FAULT = 0.5
"""Seconds to wait after a fault of ours, which may repeat itself."""

_LOOK = 1.0
"""Seconds between looks at the workers' beats, at most."""

_SIGNALS = ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR2", "SIGTTIN", "SIGTTOU", "SIGCHLD")


class Supervisor:
    """Serves `target` with as many workers as the settings say, until told to stop.

    `run` raises `ListenError`, `SettingsError` or `PidFileError` before the first worker; later
    failures are logged.
    """

    def __init__(
        self, target: str, settings: Settings, *, handover: Handover | None = None
    ) -> None:
        self.target = target
        self.settings = settings
        self._handover = handover
        self._trial = 0  # the process that tries whether a new program can start
        self._trial_deadline = NEVER
        self.slots: list[Slot] = []
        self._members: dict[int, Member] = {}
        self._listeners = Listeners()
        self._board = Board.make() if handover is None else Board(handover.board)
        self._pid_file: PidFile | None = None
        self._notifier = Notifier(os.environ)
        self._selector = selectors.DefaultSelector()
        self._signals = Signals(_SIGNALS)
        self._roll: deque[tuple[Slot, Member]] = deque()
        self._rolling = False
        self._announced = False
        self._ever_ready = False
        self._stops = 0
        self._code = 0
        self._next_sign = 0.0
        stall = settings.timeout_worker_stall
        self._look_every = min(_LOOK, stall / 4) if stall else NEVER

    def run(self) -> int:
        """Serve until told to stop; returns the exit code."""
        if sys.platform == "win32":
            raise SettingsError(
                "workers", "a supervisor hands sockets to workers, which this release cannot here"
            )
        check_settings(self.target, self.settings)
        with contextlib.ExitStack() as at_end:
            at_end.callback(self._selector.close)
            at_end.callback(self._board.close)
            self._write_pid_file()
            if self._pid_file is not None:
                at_end.callback(self._pid_file.remove)
            self._listen()
            at_end.callback(self._listeners.close)
            at_end.enter_context(self._signals)
            self._selector.register(self._signals, selectors.EVENT_READ, self._hear_signals)
            at_end.callback(self._kill_all)
            count = self.settings.workers or cores()
            logger.info("%s supervising %d workers of %s", _banner(), count, self.target)
            self.slots = [Slot() for _ in range(count)]
            if self._handover is not None:
                self._take_over(self._handover)
            while self._turn():
                pass
        logger.info("Stopped")
        return self._code

    def _write_pid_file(self) -> None:
        path = self.settings.pid_file
        had = None if self._handover is None else self._handover.pid_file
        if had is not None and (path is None or PidFile.path_of(path) != had[0]):
            PidFile(*had).remove()
            had = None
        if path is None:
            return
        try:
            self._pid_file = PidFile(path, had[1] if had else None)
        except PidFileError as error:
            if self._handover is None:
                raise
            logger.error("%s; going on without", error)  # what serves is not to end for that

    def _listen(self) -> None:
        if self._handover is None:
            self._listeners = open_listeners(self.settings)
            return
        had = Listeners()
        for place, numbers in self._handover.listeners:
            had.places[place] = [socket.socket(fileno=number) for number in numbers]
            had.sockets += had.places[place]
        had.files = self._handover.files
        try:
            self._listeners = open_listeners(self.settings, had)
        except ListenError as error:
            logger.error("%s; going on at the addresses that there were", error)
            self._listeners = had

    # Each turn

    def _turn(self) -> bool:
        """Do what is due, then what comes. A fault of ours may cost a turn, not the workers."""
        try:
            if not self._step():
                return False
            for key, _ in self._selector.select(self._until_next()):
                key.data()
        except Exception:
            logger.exception("The supervisor has failed at something, and goes on")
            time.sleep(_AFTER_A_FAULT)
        return True

    def _step(self) -> bool:
        """Do what is due now. False when there is nothing left to do, ever."""
        self._reap()
        now = time.monotonic()
        for member in list(self._members.values()):
            self._look_at(member, now)
        if now >= self._trial_deadline:
            self._end_trial()
        if not self._stops:
            for slot in self.slots:
                if slot.member is None and slot.successor is None and slot.due <= now:
                    slot.member = self._start(slot)
            self._replace_next(now)
            self._announce()
        if self._notifier.watchdog is not None and now >= self._next_sign:
            self._notifier.alive()
            self._next_sign = now + self._notifier.watchdog
        return bool(self._members or not self._stops)

    def _until_next(self) -> float | None:
        """Seconds until something is due; None if only an event can make it so."""
        due = [self._trial_deadline]
        due += [self._next_sign] if self._notifier.watchdog is not None else []
        for member in self._members.values():
            due += [member.deadline, member.dump_due]
            if member.state == "ready" and not member.leaving:
                due.append(time.monotonic() + self._look_every)
                if member.retire and not self._is_replacing():
                    due.append(member.retire_at)
        due += [slot.due for slot in self.slots if slot.member is None and not self._stops]
        if self._roll and not self._is_replacing():
            due.append(time.monotonic() + _LOOK)  # the last one could not be started
        first = min(due, default=NEVER)
        return None if first == NEVER else max(0.0, first - time.monotonic())

    def _look_at(self, member: Member, now: float) -> None:
        if now >= member.deadline:
            if member.state == "starting" and not member.leaving:
                limit = self.settings.timeout_worker_start
                member.reason = f"not ready within {limit:g} s (--timeout-worker-start)"
            else:
                logger.warning("Worker %d does not end, and is killed", member.pid)
            member.deadline = NEVER
            member.child.signal(signal.SIGKILL)
        if now >= member.dump_due:
            self._report_stall(member)
        if member.state == "ready" and not member.leaving and self.settings.timeout_worker_stall:
            self._look_at_beat(member, now)

    # Starting and ending

    def _start(self, slot: Slot) -> Member | None:
        """Start a worker; None if the system has no room for one now."""
        number = self._board.take()
        ours = theirs = -1
        try:
            ours, theirs = os.pipe()
            os.set_blocking(ours, False)
            child = start_child(
                self.target,
                self.settings,
                self._listeners.sockets,
                "worker",
                {"board": self._board.fd, "cell": number, "dump": theirs},
                (self._board.fd, theirs),
            )
        except OSError as error:
            self._board.give_back(number)
            if ours >= 0:
                os.close(ours)
            slot.due = time.monotonic() + slot.failed()
            logger.error("A worker cannot be started: %s; trying again", error.strerror)
            return None
        finally:
            if theirs >= 0:
                os.close(theirs)
        member = self._enlist(child, slot, self._board.cell(number), ours)
        if self.settings.timeout_worker_start:
            member.deadline = member.since + self.settings.timeout_worker_start
        logger.debug("Worker %d is starting", member.pid)
        return member

    def _enlist(self, child: Child, slot: Slot, cell: Cell, dump: int) -> Member:
        member = Member(child, slot, cell, dump)
        self._members[member.pid] = member
        self._selector.register(child.control, selectors.EVENT_READ, lambda: self._hear(member))
        return member

    def _dismiss(self, member: Member, *, abort: bool = False) -> None:
        """Let a worker go: what it has in progress may end."""
        settings = self.settings
        now = time.monotonic()
        if not member.leaving:
            member.leaving = True
            member.dump_due = NEVER
            if member.state == "starting":
                member.child.signal(signal.SIGTERM)
                member.deadline = now + _STOP_STARTING
            else:
                # The application's own shutdown has as long again.
                grace = settings.timeout_graceful_shutdown
                member.deadline = now + (grace if member.stalled else 2 * grace + _MARGIN)
        member.child.tell("abort" if abort else "drain")

    def _reap(self) -> None:
        """Take note of every child that has ended, our own or, as process 1, anyone's."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if pid == self._trial:
                self._tried(os.waitstatus_to_exitcode(status))
            member = self._members.pop(pid, None)
            if member is not None:
                member.child.code = os.waitstatus_to_exitcode(status)
                self._forget(member)
                self._ended(member)

    def _forget(self, member: Member) -> None:
        """Free what a worker had that has ended, after what it said last."""
        if member.child.control.fileno() in self._selector.get_map():
            self._hear(member)
        if member.child.control.fileno() in self._selector.get_map():
            self._selector.unregister(member.child.control)
        member.child.close()
        os.close(member.dump)
        self._board.give_back(member.cell.number)

    def _ended(self, member: Member) -> None:
        """A worker has ended: someone has to take its place, unless it was told to go."""
        slot, now = member.slot, time.monotonic()
        if slot.successor is member:
            slot.successor = None
            if not member.leaving:
                self._replacement_failed(slot, member.how_it_ended())
            return
        if slot.member is not member:
            logger.debug("Worker %d has ended %s", member.pid, member.how_it_ended())
            return
        slot.member = None
        if self._stops:
            return
        if not self._ever_ready and member.reason and member.child.code in {1, 3}:
            # What keeps the first worker from starting, a typo say, will keep all: say so and end.
            self._code = member.child.code
            self._stop()
            return
        if member.state == "ready" and now - member.since >= _STEADY:
            slot.failures = 0
        delay = 0.0
        if slot.successor is not None:
            slot.member, slot.successor = slot.successor, None
        else:
            delay = slot.failed()
            slot.due = now + delay
        logger.error(
            "Worker %d ended %s; %s%s",
            member.pid,
            member.how_it_ended(),
            f"another is started in {delay:g} s" if delay else "another takes its place",
            f" ({slot.failures} ends in a row)" if slot.failures > 1 else "",
        )

    # What workers say

    def _hear(self, member: Member) -> None:
        messages, is_over = member.child.hear()
        for message in messages:
            if message.get("state") in STATES:
                self._entered(member, message["state"])
            elif "failed" in message:
                member.reason = str(message["failed"])
            elif "retire" in message and not member.leaving:
                member.retire = str(message["retire"])
        if is_over:
            self._selector.unregister(member.child.control)

    def _entered(self, member: Member, state: str) -> None:
        slot = member.slot
        was, member.state = member.state, state
        if state == "ready" and was == "starting" and not member.leaving:
            member.since = time.monotonic()
            member.deadline = NEVER
            self._ever_ready = True
            if slot.successor is member:
                self._succeed(slot, member)
        elif state == "draining" and slot.member is member and not member.leaving:
            logger.info("Worker %d was told to stop; another takes its place", member.pid)
            slot.member, slot.successor = slot.successor, None
            slot.due = 0.0
            self._dismiss(member)

    def _succeed(self, slot: Slot, member: Member) -> None:
        """A replacement is ready: it has the slot from now on."""
        old, slot.member, slot.successor = slot.member, member, None
        slot.failures = 0
        if old is not None:
            logger.info("Worker %d has taken the place of worker %d", member.pid, old.pid)
            self._dismiss(old)

    # Replacing

    def _is_replacing(self) -> bool:
        return any(slot.successor is not None for slot in self.slots)

    def _restart(self) -> None:
        """Replace every worker, one after the other."""
        logger.info("Replacing all workers, one after the other")
        self._notifier.reloading()
        self._rolling = True
        # A replacement that is on its way may have begun before what is new was there.
        self._roll = deque(
            (slot, each)
            for slot in self.slots
            for each in (slot.successor or slot.member,)
            if each is not None
        )
        for slot in self.slots:
            slot.failures = 0
            slot.due = 0.0

    def _replace_next(self, now: float) -> None:
        """Start the next replacement, when none is on its way."""
        if self._is_replacing():
            return
        while self._roll:
            slot, member = self._roll.popleft()
            if slot in self.slots and slot.member is member:
                slot.successor = self._start(slot)
                if slot.successor is None:
                    self._roll.appendleft((slot, member))
                return
        # An old worker accepts until it has heard that it is to go, which it tells.
        accepting = any(each.leaving and each.state == "ready" for each in self._members.values())
        if self._rolling and not accepting and all(slot.member for slot in self.slots):
            self._rolling = False
            logger.info("All workers are replaced")
            self._notifier.ready(self._status())
        for slot in self.slots:
            old = slot.member
            if old is not None and old.retire and old.retire_at <= now:
                logger.info("Worker %d is being replaced: %s", old.pid, old.retire)
                slot.successor = self._start(slot)
                if slot.successor is None:
                    old.retire_at = slot.due
                return

    def _replacement_failed(self, slot: Slot, how: str) -> None:
        """A replacement has ended before it was ready: the old worker stays."""
        if self._rolling:
            self._rolling = False
            self._roll.clear()
            logger.error(
                "The replacement ended %s; the old worker stays, and no further one is replaced. "
                "SIGHUP tries again",
                how,
            )
            self._notifier.ready(self._status())
        if slot.member is not None and slot.member.retire:
            delay = slot.failed() or FIRST_DELAY
            slot.member.retire_at = time.monotonic() + delay
            logger.error(
                "The replacement ended %s; the old worker stays, and the next try is in %g s",
                how,
                delay,
            )

    def _add(self) -> None:
        self.slots.append(Slot())
        logger.info("One worker more: %d", len(self.slots))

    def _take(self) -> None:
        if len(self.slots) == 1:
            logger.warning("The last worker stays; SIGTERM ends the server")
            return
        slot = self.slots.pop()
        logger.info("One worker less: %d", len(self.slots))
        leaving = (slot.successor, slot.member)
        slot.successor = slot.member = None
        for member in leaving:
            if member is not None:
                self._dismiss(member)

    # Standing still

    def _look_at_beat(self, member: Member, now: float) -> None:
        age = member.cell.seconds_since_beat()
        limit = self.settings.timeout_worker_stall
        looked, member.looked = member.looked, now
        if now - looked > limit / 2:
            # This process stood still too, and so did all: a machine that was suspended, say.
            member.trusted_until = now + limit
        if age is None or now < member.trusted_until:
            return
        if age > limit and not member.stalled:
            member.stalled = True
            read_dump(member.dump)  # what is left of an earlier one
            member.child.signal(DUMP_SIGNAL)
            member.dump_due = now + _DUMP_TIME
        elif age <= limit and member.stalled and member.dump_due == NEVER:
            member.stalled = False
            logger.warning("The event loop of worker %d goes on", member.pid)

    def _report_stall(self, member: Member) -> None:
        member.dump_due = NEVER
        stacks = read_dump(member.dump)
        logger.error(
            "The event loop of worker %d stands still for %g s (--timeout-worker-stall). %s",
            member.pid,
            member.cell.seconds_since_beat() or 0.0,
            f"Its threads are here:\n{stacks}" if stacks else "It does not say where",
        )
        if self.settings.stall_restart:
            member.retire = "its event loop stands still (--stall-restart)"

    # Beginning and end

    def _announce(self) -> None:
        """Once all have had their chance to start: say where we listen."""
        if self._announced or not self._ever_ready:
            return
        if all(
            slot.failures if slot.member is None else slot.member.state == "ready"
            for slot in self.slots
        ):
            self._announced = True
            scheme = "http" if self.settings.ssl_certfile is None else "https"
            for listener in self._listeners.sockets:
                url = describe(listener, scheme)
                logger.info("Listening on %s (press CTRL+C to stop)", url)
            self._notifier.ready(self._status())

    def _status(self) -> str:
        return f"{len(self.slots)} workers serve {self.target}"

    def _stop(self) -> None:
        """Drain; when asked again abort, and then kill."""
        self._stops += 1
        if self._stops == 1:
            logger.info("Stopping %d workers", len(self._members))
            self._notifier.stopping()
            self._listeners.close()
            self._roll.clear()
            self._end_trial()
            for member in self._members.values():
                self._dismiss(member)
        elif self._stops == 2:
            logger.info("Ending what still runs")
            for member in self._members.values():
                self._dismiss(member, abort=True)
        else:
            self._kill_all()

    def _kill_all(self) -> None:
        for member in self._members.values():
            member.child.signal(signal.SIGKILL)

    # Another program in this process

    def _try_program(self) -> None:
        """See whether the program on disk can start; `_tried` goes on."""
        if self._trial:
            logger.warning("Another program is being tried already")
            return
        logger.info("Trying the program on disk, to go on with it")
        try:
            self._trial = start_trial()
        except OSError as error:
            logger.error("It cannot be tried: %s", error)
            return
        if self.settings.timeout_worker_start:
            self._trial_deadline = time.monotonic() + self.settings.timeout_worker_start

    def _end_trial(self) -> None:
        self._trial_deadline = NEVER
        if self._trial:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._trial, signal.SIGKILL)

    def _tried(self, code: int) -> None:
        self._trial = 0
        self._trial_deadline = NEVER
        if self._stops:
            return
        if code:
            logger.error("The program on disk cannot serve (code %d, see above): no change", code)
            return
        logger.info("Going on with the program on disk")
        self._notifier.reloading()
        self._signals.hold_back()
        try:
            execute_anew(self._to_hand_over())
        except OSError as error:
            self._signals.let_in()
            logger.error("The program on disk cannot be executed: %s", error)
            self._notifier.ready(self._status())

    def _to_hand_over(self) -> Handover:
        return Handover(
            board=self._board.fd,
            listeners=[
                (place, [each.fileno() for each in sockets])
                for place, sockets in self._listeners.places.items()
            ],
            files=self._listeners.files,
            workers=[
                HandedWorker(
                    pid=each.pid,
                    control=each.child.control.fileno(),
                    dump=each.dump,
                    cell=each.cell.number,
                    state=each.state,
                    since=each.since,
                    leaving=each.leaving,
                    deadline=None if each.deadline == NEVER else each.deadline,
                    slot=self.slots.index(each.slot) if each.slot.member is each else None,
                )
                for each in self._members.values()
            ],
            pid_file=None
            if self._pid_file is None
            else (str(self._pid_file.path), self._pid_file.fd),
        )

    def _take_over(self, handover: Handover) -> None:
        """Go on with the sockets and workers of the program that was in this process before."""
        count = len(self.slots)
        for each in handover.workers:
            while each.slot is not None and each.slot >= len(self.slots):
                self.slots.append(Slot())
            slot = Slot() if each.slot is None else self.slots[each.slot]
            child = Child(each.pid, socket.socket(fileno=each.control))
            child.control.setblocking(False)
            self._board.take(each.cell)
            member = self._enlist(child, slot, self._board.cell(each.cell), each.dump)
            member.state, member.since, member.leaving = each.state, each.since, each.leaving
            member.deadline = NEVER if each.deadline is None else each.deadline
            if each.slot is not None:
                slot.member = member
            elif not each.leaving:
                self._dismiss(member)  # a replacement that has not come so far
        while len(self.slots) > count:
            self._take()
        self._ever_ready = self._announced = True
        self._restart()

    def _hear_signals(self) -> None:
        for number in self._signals.read():
            self._signalled(number)

    def _signalled(self, number: int) -> None:
        actions: dict[int, Callable[[], None]] = {
            signal.SIGHUP: self._restart,
            signal.SIGUSR2: self._try_program,
            signal.SIGTTIN: self._add,
            signal.SIGTTOU: self._take,
        }
        if number in {signal.SIGTERM, signal.SIGINT}:
            self._stop()
        elif number in actions and not self._stops:
            actions[number]()


def cores() -> int:
    """The cores that this process may use: by affinity, and by a container's quota."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    count = count or 1
    with contextlib.suppress(OSError, ValueError), open("/sys/fs/cgroup/cpu.max") as file:  # noqa: PTH123
        quota, period = file.read().split()
        count = min(count, max(1, math.ceil(int(quota) / int(period))))
    return count


def _banner() -> str:
    build = "compiled" if _build.compiled else "pure Python"
    return f"Zonda {zonda.__version__} ({build}, Python {platform.python_version()})"
