"""Signals as something to read: each is handled in its turn, none in the midst of something."""

import os
import signal
import socket
from collections.abc import Iterable
from types import FrameType
from typing import Self

__all__ = ["Signals"]


class Signals:
    """The signals of these names, while its block runs; a selector can wait for them.

    Signals that were blocked when it begins are let in, and so those come that another program in
    this process has held back.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._numbers = [getattr(signal, name) for name in names]
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._theirs.setblocking(False)

    def __enter__(self) -> Self:
        self._wakeup = signal.set_wakeup_fd(self._theirs.fileno(), warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, _noted) for number in self._numbers}
        self.let_in()
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._ours.close()
        self._theirs.close()

    def fileno(self) -> int:
        """What is readable when a signal has come."""
        return self._ours.fileno()

    def read(self) -> bytes:
        """The numbers of those that have come, a byte each."""
        try:
            return self._ours.recv(4096)
        except BlockingIOError:
            return b""

    def hold_back(self) -> None:
        """Block them, those that have come but have not been read as well."""
        signal.pthread_sigmask(signal.SIG_BLOCK, self._numbers)
        for number in self.read():
            os.kill(os.getpid(), number)

    def let_in(self) -> None:
        """Take them, those as well that have come meanwhile."""
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._numbers)


def _noted(number: int, frame: FrameType | None) -> None:
    """A signal that has a handler of Python's is written to the wake-up descriptor."""
