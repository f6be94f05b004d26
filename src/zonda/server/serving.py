"""The process that serves, from its server to its exit code.

0   stopped as it was told to
1   never served: settings, target or address
3   never served: the application's start-up failed (uvicorn's code for it)
"""

import asyncio
import logging
import os
import threading
from collections.abc import Callable

from zonda.server import logs
from zonda.server.lifespan import LifespanFailed
from zonda.server.listeners import ListenError
from zonda.server.loading import LoadError
from zonda.server.logs import logger
from zonda.server.process.systemd import Notifier
from zonda.server.server import Server, loop_factory
from zonda.server.settings import Settings, SettingsError
from zonda.server.tls.context import make_provider
from zonda.server.worker import WorkerState

__all__ = ["NotifyingServer", "check", "run_server"]

_EXPECTED = (LifespanFailed, ListenError, LoadError, SettingsError)
_THREADS_GRACE = 3.0  # seconds for the application's threads to end once the server is gone


class NotifyingServer(Server):
    """A server that tells the service manager that started it how it fares."""

    def __init__(self, target: str, settings: Settings) -> None:
        super().__init__(target, settings)
        self._notifier = Notifier(os.environ)

    def _announce_ready(self) -> None:
        super()._announce_ready()
        self._notifier.ready(f"Serving {self.name}")
        self._show_life()

    def _worker_entered(self, state: WorkerState) -> None:
        super()._worker_entered(state)
        if state is WorkerState.DRAINING:
            self._notifier.stopping()

    def _show_life(self) -> None:
        """A sign of life as long as the event loop turns."""
        if self._loop is not None and self._notifier.watchdog is not None:
            self._notifier.alive()
            self._loop.call_later(self._notifier.watchdog, self._show_life)


def run_server(server: Server, failed: Callable[[str, int], None] | None = None) -> int:
    """Serve until told to stop, log what goes wrong, and return the exit code.

    `failed` hears why the server never served, and the code.
    """

    def report(error: Exception) -> int:
        code = _report(error)
        if failed is not None:
            failed(str(error), code)
        return code

    try:
        make_loop = loop_factory(server.settings)
    except SettingsError as error:
        return report(error)
    with asyncio.Runner(loop_factory=make_loop) as runner:
        try:
            runner.run(server.serve())
            code = 0
        except _EXPECTED as error:
            code = report(error)
        _leave_threads_behind(code)
    return code


def check(server: Server) -> int:
    """Import the application and look at what the settings name; 0 if all is well."""
    try:
        logs.configure(server.settings)
        loop_factory(server.settings)
        make_provider(server.settings)
        server.load()
    except _EXPECTED as error:
        return _report(error)
    return 0


def _report(error: Exception) -> int:
    """Log a failure to start in one line, with the application's traceback if it is at fault."""
    if isinstance(error, LifespanFailed):
        logger.critical("The application did not start: %s", error)
        return 3
    logger.critical("%s", error, exc_info=error.__cause__ if isinstance(error, LoadError) else None)
    return 1


def _leave_threads_behind(code: int) -> None:
    """End the process soon, although threads that nothing can stop still run.

    Without this, one request whose function hangs in a thread would keep the process for ever:
    the end of the event loop and that of the interpreter both wait for all threads.
    """

    def leave() -> None:
        logger.warning(
            "Threads of the application do not end and are left behind: %s",
            ", ".join(
                each.name
                for each in threading.enumerate()
                if not each.daemon and each is not threading.main_thread()
            ),
        )
        logging.shutdown()
        os._exit(code)

    timer = threading.Timer(_THREADS_GRACE, leave)
    timer.daemon = True
    timer.start()
