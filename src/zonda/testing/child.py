"""A server in a child process: the parent's side, and the program that the child runs.

Two pipes join them. The parent holds an end of the first: when that closes, because the test is
over or because its process has died, the child drains. Through the second the child says once how
its start-up went, `{"urls": [...]}` or `{"error": name, "message": text}`; if the pipe ends
without either, the child has died.
"""

import contextlib
import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping
from typing import IO, Any

from zonda.server.lifespan import LifespanFailed
from zonda.server.listeners import ListenError
from zonda.server.loading import LoadError
from zonda.server.server import Server
from zonda.server.settings import Settings, all_settings
from zonda.testing.errors import LiveServerError

__all__ = ["ChildServer"]

_START_UP_ERRORS = {error.__name__: error for error in (LifespanFailed, ListenError, LoadError)}
_MARGIN = 5.0
"""Seconds for the process itself to end, beyond what its settings give to the application."""


class ChildServer:
    """A server in a child process, as the parent sees it."""

    def __init__(self, target: str, settings: Settings, env: Mapping[str, str]) -> None:
        if sys.platform == "win32":
            raise LiveServerError("process=True needs a POSIX system; leave it out here")
        self._target = target
        self._settings = settings
        self._env = env
        self._process: subprocess.Popen[bytes] | None = None
        self._hold = -1
        self._log: IO[bytes] | None = None
        self._logs = ""

    @property
    def logs(self) -> str:
        """Everything the child, or the last one that ran, has written."""
        if self._log is not None:
            # Parent and child share one position in the file; `pread` leaves it to the child.
            size = os.fstat(self._log.fileno()).st_size
            self._logs = os.pread(self._log.fileno(), size, 0).decode("utf-8", "replace")
        return self._logs

    def start(self, timeout: float) -> list[str]:
        """Return the URLs once the application is ready; raise what has kept it from that."""
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `_end`)
        try:
            answer = self._spawn(timeout)
            if "urls" not in answer:
                raise _START_UP_ERRORS[answer["error"]](answer["message"])
        except BaseException as error:
            self._end(patience=0)
            if self._logs:
                error.add_note(f"The child process has written:\n{self._logs}")
            raise
        urls: list[str] = answer["urls"]
        return urls

    def stop(self) -> None:
        """Let the child drain and end."""
        # The application's own shutdown gets as long again.
        code = self._end(patience=2 * self._settings.timeout_graceful_shutdown + _MARGIN)
        if code == _KILLED:
            raise LiveServerError(
                "the server did not end and its process was killed; some code of the application "
                f"ignores its cancellation, or blocks. It has written:\n{self._logs}"
            )
        if code != 0:
            raise LiveServerError(f"the server ended with code {code}; it wrote:\n{self._logs}")

    def _spawn(self, timeout: float) -> dict[str, Any]:
        hold, self._hold = os.pipe()
        with open(self._hold..
