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
from zonda.server.settings import Settings, all_settings, to_environment
from zonda.testing.errors import LiveServerError

__all__ = ["ChildServer"]

_START_UP_ERRORS: tuple[type[Exception], ...] = (LifespanFailed, ListenError, LoadError)
_BY_NAME = {error.__name__: error for error in _START_UP_ERRORS}
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
        except BaseException:
            self._end(patience=0)
            raise
        if "urls" in answer:
            urls: list[str] = answer["urls"]
            return urls
        code = self._end(patience=_MARGIN)
        known = _BY_NAME.get(answer.get("error", ""))
        error = (
            known(answer["message"])
            if known
            else LiveServerError(f"the child process ended with code {code} before it was ready")
        )
        error.add_note(f"The child process has written:\n{self._logs}")
        raise error

    def stop(self) -> None:
        """Let the child drain, and see it end."""
        # The application's own shutdown gets as long again.
        code = self._end(patience=2 * self._settings.timeout_graceful_shutdown + _MARGIN)
        if code is None:
            raise LiveServerError(
                "the child process did not end and was killed; some code of the application "
                f"ignores its cancellation, or blocks. It has written:\n{self._logs}"
            )
        if code != 0:
            raise LiveServerError(
                f"the child process ended with code {code}. It has written:\n{self._logs}"
            )

    def _spawn(self, timeout: float) -> dict[str, Any]:
        """Start the process, and return what it says about its start-up."""
        plan = {
            "target": self._target,
            "settings": {
                name: getattr(self._settings, name)
                for name, setting in all_settings().items()
                if getattr(self._settings, name) != setting.default and not setting.secret
            },
        }
        inherited = [] if self._settings.fd is None else [self._settings.fd]
        with contextlib.ExitStack() as closing:
            hold, self._hold = os.pipe()
            closing.callback(os.close, hold)
            ready, tell = os.pipe()
            closing.callback(os.close, ready)
            with os.fdopen(tell, "wb", buffering=0):  # to be closed before the end can be read
                self._process = subprocess.Popen(  # noqa: S603 (our own interpreter and program)
                    [
                        sys.executable,
                        "-P",
                        "-u",
                        "-c",
                        _PROGRAM,
                        f"{hold}",
                        f"{tell}",
                        json.dumps(plan),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=self._log,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **self._env, **to_environment(self._settings)},
                    pass_fds=[hold, tell, *inherited],
                )
            return _read_answer(ready, timeout)

    def _end(self, patience: float) -> int | None:
        """Let the process go, and return its code: None if it was killed after `patience` s."""
        process, self._process = self._process, None
        hold, self._hold = self._hold, -1
        if hold >= 0:
            os.close(hold)
        code: int | None = 0
        if process is not None:
            try:
                code = process.wait(patience)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                code = None
        self._logs = self.logs
        if self._log is not None:
            self._log.close()
            self._log = None
        return code


def _read_answer(ready: int, timeout: float) -> dict[str, Any]:
    """Read the answer to its end; it is empty if the child has died."""
    deadline = time.monotonic() + timeout
    text = b""
    with selectors.DefaultSelector() as selector:
        selector.register(ready, selectors.EVENT_READ)
        while selector.select(max(deadline - time.monotonic(), 0)):
            piece = os.read(ready, 65536)
            if not piece:
                answer: dict[str, Any] = json.loads(text or "{}")
                return answer
            text += piece
    raise TimeoutError(
        f"the application's start-up is not complete after {timeout:g} s (start_timeout)"
    )


_PROGRAM = f"from {__name__} import main; main()"


class _TellingServer(Server):
    """Tells the parent how its start-up went."""

    def __init__(self, target: str, settings: Settings, *, hold: int, tell: int) -> None:
        super().__init__(target, settings, parent=hold)
        self._tell = tell

    async def start(self) -> None:
        """Start; if that fails, tell why."""
        try:
            await super().start()
        except _START_UP_ERRORS as error:
            self._tell_parent({"error": type(error).__name__, "message": str(error)})
            raise

    async def wait(self) -> None:
        """Tell where it listens, now that a drain can be asked for, and wait."""
        self._tell_parent({"urls": self.urls})
        await super().wait()

    def _tell_parent(self, answer: dict[str, Any]) -> None:
        with os.fdopen(self._tell, "w") as parent:
            json.dump(answer, parent)


def main() -> None:
    """Run the program of the child."""
    hold, tell, plan = int(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
    del sys.argv[1:]  # none of the application's business
    for descriptor in (hold, tell):
        # A process that the application leaves behind must not keep them open.
        os.set_inheritable(descriptor, False)  # noqa: FBT003 (takes no keyword)
    settings = Settings(**plan["settings"])
    try:
        _TellingServer(plan["target"], settings, hold=hold, tell=tell).run()
    except _START_UP_ERRORS as error:
        # The parent has been told why. Where the application is at fault, this is where.
        if error.__cause__ is not None:
            traceback.print_exception(error.__cause__)
        sys.exit(1)
