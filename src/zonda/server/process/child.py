"""The program of a child process: `python -m zonda.server.process.child TARGET CONTROL`.

spawn.py starts it and says what goes over the control socket, whose descriptor CONTROL is. The
target stands there for those who look at a list of processes.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import random
import signal
import socket
import sys
import time
from types import FrameType
from typing import TYPE_CHECKING, Any

from zonda.server import logs
from zonda.server.logs import logger
from zonda.server.process.board import Board
from zonda.server.process.share import Share
from zonda.server.process.stall import DUMP_SIGNAL
from zonda.server.server import Server
from zonda.server.serving import run_server
from zonda.server.settings import Settings, SettingsError
from zonda.server.worker import WorkerState

if TYPE_CHECKING:
    from zonda.server.exchange import Exchange

_BEAT = 1.0  # seconds between two beats, at most
_BEATS_A_STALL = 4


class SupervisedServer(Server):
    """One of several: it does what its supervisor says and tells it how it fares.

    It shares its listeners, shows that it lives, and knows when it is old.
    """

    def __init__(
        self, target: str, settings: Settings, control: socket.socket, plan: dict[str, Any]
    ) -> None:
        board = Board(plan["board"])
        share = Share(board, plan["cell"])
        super().__init__(target, settings, parent=control.fileno(), share=share)
        self._control = control
        self._said = b""
        self._cell = board.cell(plan["cell"])
        stall = settings.timeout_worker_stall
        self._every = min(_BEAT, stall / _BEATS_A_STALL) if stall else _BEAT
        self._retiring = False
        self._requests_left = -1
        # Chance, so that workers that were started together are not replaced together.
        if settings.limit_max_requests:
            self._requests_left = settings.limit_max_requests + random.randint(  # noqa: S311
                0, settings.limit_max_requests_jitter
            )
        self._most_memory = settings.limit_max_rss * random.uniform(0.9, 1.0)  # noqa: S311
        self._end_of_life = (
            time.monotonic() + settings.limit_max_age * random.uniform(0.9, 1.0)  # noqa: S311
            if settings.limit_max_age
            else float("inf")
        )

    def say(self, **message: object) -> None:
        """Tell the parent. If it is gone, it does not hear it."""
        # Its end of the socket says so too, and that is acted on.
        with contextlib.suppress(OSError):
            self._control.send(json.dumps(message).encode() + b"\n")

    def failed(self, reason: str, code: int) -> None:
        """Tell the parent that this server never served."""
        self.say(failed=reason, code=code)

    def _told(self, said: bytes) -> None:
        *words, self._said = (self._said + said).split(b"\n")
        for word in words:
            if word == b"drain":
                self._drain()
            elif word == b"abort":
                self._drain_asked = True
                self._abort()

    def _announce(self) -> None:
        logger.debug("Worker serving %s", self.name)

    def _announce_ready(self) -> None:
        logger.info("Worker ready")

    def _worker_entered(self, state: WorkerState) -> None:
        if state is WorkerState.READY:
            self._look_after()
            if self._requests_left > 0:
                self._count_requests()
        super()._worker_entered(state)
        if state is WorkerState.DRAINING and self._loop is not None:
            self._loop.call_soon(self._say_state)  # once it accepts no more
        else:
            self._say_state()

    def _say_state(self) -> None:
        if self._worker is not None:
            self.say(state=str(self._worker.state))

    def _look_after(self) -> None:
        """Show that the event loop turns, and see whether it is time to retire; again and again."""
        self._cell.beat()
        if self._worker is None or self._worker.state is WorkerState.GONE or self._loop is None:
            return
        if time.monotonic() >= self._end_of_life:
            self._retire(f"it is {self.settings.limit_max_age:g} s old (--limit-max-age)")
        elif self._most_memory and (memory := _resident_memory()) > self._most_memory:
            self._retire(f"it has {memory / 2**20:.0f} MiB of resident memory (--limit-max-rss)")
        self._loop.call_later(self._every, self._look_after)

    def _count_requests(self) -> None:
        if self._worker is None:
            return
        service = self._worker.service
        then = service.on_complete

        def count(exchange: Exchange) -> None:
            self._requests_left -= 1
            if self._requests_left == 0:
                self._retire("it has served its number of requests (--limit-max-requests)")
            if then is not None:
                then(exchange)

        service.on_complete = count

    def _retire(self, reason: str) -> None:
        """Ask once to be replaced."""
        if not self._retiring:
            self._retiring = True
            self.say(retire=reason)


def _resident_memory() -> int:
    """Bytes of this process that are in memory."""
    try:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 (once a second)
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        import resource  # noqa: PLC0415 (not on Linux: the most it ever had is the best there is)

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _ignore(number: int, frame: FrameType | None) -> None:
    """Not SIG_IGN, which programs that the application starts would inherit."""


def _read_plan(control: socket.socket) -> dict[str, Any]:
    length = int(control.recv(8, socket.MSG_WAITALL), 16)
    plan: dict[str, Any] = json.loads(control.recv(length, socket.MSG_WAITALL))
    return plan


def main() -> int:
    """Be the child that the plan describes; returns the exit code."""
    signal.signal(signal.SIGINT, _ignore)  # the parent's; the server has its own later
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    target, control = sys.argv[1], socket.socket(fileno=int(sys.argv[2]))
    control.set_inheritable(False)
    plan = _read_plan(control)
    sys.argv[:] = plan["argv"]  # as the application finds it in a server without a parent
    control.setblocking(False)
    settings = Settings(**plan["settings"])
    supervised = plan["role"] == "worker"
    try:
        logs.configure(settings, pid=supervised)
    except SettingsError as error:
        logger.critical("%s", error)
        return 1
    if not supervised:
        with control:
            return run_server(Server(target, settings, parent=control.fileno()))
    # These are about the terminal, or meant for the supervisor.
    signal.signal(signal.SIGHUP, _ignore)
    for descriptor in (plan["board"], plan["dump"]):
        os.set_inheritable(descriptor, False)
    if not faulthandler.is_enabled():
        faulthandler.enable()
    faulthandler.register(DUMP_SIGNAL, file=plan["dump"], all_threads=True)
    server = SupervisedServer(target, settings, control, plan)
    with control:
        return run_server(server, server.failed)


if __name__ == "__main__":
    sys.exit(main())
