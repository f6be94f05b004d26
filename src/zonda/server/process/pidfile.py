"""A file with the process number of a supervisor, and whether that process still is one.

The supervisor holds a lock on the file for as long as it lives, so a file that was left behind by
one that was killed is never taken for a sign of life, whoever has the number by now.
"""

import contextlib
import os
import sys
from pathlib import Path

if sys.platform != "win32":
    import fcntl

__all__ = ["PidFile", "PidFileError", "running_process"]


class PidFileError(Exception):
    """A file of a process number cannot be written, or does not lead to a process."""


class PidFile:
    """The file at `path`, written and locked; `descriptor` is one that holds the lock already."""

    def __init__(self, path: str, descriptor: int | None = None) -> None:
        self.path = Path(self.path_of(path))
        self.fd = -1
        try:
            if descriptor is None:
                descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            self.fd = descriptor
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            self.fd = -1
            if descriptor is not None:
                os.close(descriptor)
            reason = error.strerror or str(error)
            if isinstance(error, BlockingIOError):
                reason = "another supervisor that runs has it"
            raise PidFileError(f"--pid-file {path}: {reason}") from None

    @staticmethod
    def path_of(path: str) -> str:
        """The path from the root, with which another working directory makes no difference."""
        return os.path.abspath(path)  # noqa: PTH100 (as text)

    def remove(self) -> None:
        """Remove the file, and with it the lock."""
        if self.fd >= 0:
            with contextlib.suppress(OSError):
                if os.path.samestat(self.path.stat(), os.fstat(self.fd)):
                    self.path.unlink()
            os.close(self.fd)
            self.fd = -1


def running_process(path: str) -> int:
    """The number of the supervisor whose file this is; `PidFileError` if it does not run."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 (its descriptor is wanted)
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read())
    except OSError as error:
        raise PidFileError(f"{path}: {error.strerror or error}; is it running?") from None
    except ValueError:
        raise PidFileError(f"{path} holds no process number") from None
    raise PidFileError(f"{path} was left behind: its process does not run any more")
