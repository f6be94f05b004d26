"""Showing what blocks a worker's event loop: the stack of all its threads, on demand.

The worker's interpreter writes it from a signal handler in C (faulthandler), which runs although
no Python code of the event loop does, into a pipe that its supervisor reads.
"""

import contextlib
import os
import signal

__all__ = ["DUMP_SIGNAL", "read_dump"]

DUMP_SIGNAL: int = getattr(signal, "SIGRTMIN", getattr(signal, "SIGUSR1", 0)) + (
    7 if hasattr(signal, "SIGRTMIN") else 0
)
"""The signal that asks a worker for its stacks: one that applications leave alone, where there is
one."""

_MOST = 262_144  # bytes of a dump that are kept
_MOST_LINES = 60


def read_dump(descriptor: int) -> str:
    """What has been written to the pipe since the last time; empty if nothing has."""
    text = b""
    with contextlib.suppress(BlockingIOError):
        while len(text) < _MOST:
            part = os.read(descriptor, 65_536)
            if not part:
                break
            text += part
    lines = text.decode("utf-8", "backslashreplace").rstrip().splitlines()
    more = len(lines) - _MOST_LINES
    if more > 0:
        lines[_MOST_LINES:] = [f"  … {more} lines more"]
    return "\n".join(lines)
