"""Replacing the supervisor's own program while it runs, on SIGUSR2.

First another process tries whether the program on disk can start: `zonda check` with the same
arguments. Then the supervisor executes that program in its own place. The process and its number
stay, and so do its children: the new program is told by a file without a name which sockets and
workers it has, takes them over, and replaces the workers one after the other as on SIGHUP. What
comes from an older program is only the sockets.

Signals that come in between wait for the new program.
"""

import contextlib
import dataclasses
import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterable
from typing import Any, Self

from zonda.server.process.spawn import environment_for_children, follow_directory
from zonda.server.program import HANDOVER

__all__ = ["HandedWorker", "Handover", "execute_anew", "start_trial"]

_FORMAT = 1
"""To be raised when a program could not understand an older one's board or messages to workers."""


@dataclasses.dataclass
class HandedWorker:
    """A worker that the new program takes over: see `supervisor._Member`."""

    pid: int
    control: int
    dump: int
    cell: int
    state: str
    since: float
    leaving: bool
    deadline: float | None
    slot: int | None


@dataclasses.dataclass
class Handover:
    """What the old program leaves to the new one: numbers of open descriptors, above all."""

    board: int
    listeners: list[tuple[str, list[int]]]
    files: list[tuple[str, tuple[int, int]]]
    workers: list[HandedWorker]
    pid_file: tuple[str, int] | None = None

    def descriptors(self) -> Iterable[int]:
        """All that have to outlive the old program."""
        yield self.board
        for _, sockets in self.listeners:
            yield from sockets
        for worker in self.workers:
            yield from (worker.control, worker.dump)
        if self.pid_file is not None:
            yield self.pid_file[1]

    @classmethod
    def take(cls) -> Self | None:
        """What was handed over to this process; None if nothing was."""
        number = os.environ.pop(HANDOVER, "")
        if not number.isdecimal():
            return None
        try:
            with os.fdopen(int(number)) as file:
                file.seek(0)
                given: dict[str, Any] = json.load(file)
        except (OSError, ValueError):
            return None  # the variable was meant for another process
        if given.pop("format") != _FORMAT or given.pop("process") != os.getpid():
            return None
        given["workers"] = [HandedWorker(**each) for each in given["workers"]]
        given["listeners"] = [(place, sockets) for place, sockets in given["listeners"]]
        given["files"] = [(path, (device, inode)) for path, (device, inode) in given["files"]]
        taken = cls(**given)
        for descriptor in taken.descriptors():
            os.set_inheritable(descriptor, False)
        return taken


def start_trial() -> int:
    """Start a process that ends with code 0 if the program on disk can serve; its number."""
    arguments = sys.orig_argv[1:]
    command = len(arguments) - len(sys.argv[1:])
    if sys.argv[1:2] == ["run"] and arguments[command : command + 1] == ["run"]:
        arguments[command] = "check"
    else:  # a program of its own that runs a Server: there is no way to try it
        arguments = ["-c", "import zonda.server.process.supervisor"]
    follow_directory()
    return os.posix_spawn(
        sys.executable,
        [sys.executable, *arguments],
        environment_for_children(),
        file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)],  # the table of values
        setsigmask=[],
        setsigdef=[signal.SIGPIPE],
    )


def execute_anew(handover: Handover) -> None:
    """Become the program on disk; `OSError` if that cannot be, and all is as before.

    Signals that the caller has blocked stay so, and wait for the new program.
    """
    given = {"format": _FORMAT, "process": os.getpid(), **dataclasses.asdict(handover)}
    with contextlib.ExitStack() as undo:
        file = undo.enter_context(tempfile.TemporaryFile("w+"))
        json.dump(given, file)
        file.flush()
        for descriptor in (file.fileno(), *handover.descriptors()):
            os.set_inheritable(descriptor, True)
            undo.callback(os.set_inheritable, descriptor, False)
        os.environ[HANDOVER] = str(file.fileno())
        undo.callback(os.environ.pop, HANDOVER)
        follow_directory()
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 (on purpose)
