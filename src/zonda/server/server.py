"""A server in this process: bind, load, start, serve until told to stop, drain, leave.

    Server("app:app", Settings(port=8000)).run()          # a program that is the server
    await serve(app, port=8000)                           # inside a running event loop
    async with Server(app, Settings(port=0)) as server:   # for the length of a block
        print(server.urls)

The first SIGINT or SIGTERM begins a drain, the second ends what still runs, a third kills the
process even when the event loop is stuck.
"""

import asyncio
import contextlib
import importlib
import os
import platform
import signal
import sys
import threading
from collections.abc import Callable, Generator
from types import FrameType, TracebackType
from typing import Any, Self, TypeAlias, cast

import zonda
from zonda import _build
from zonda.asgi.types import Application, ASGIApp
from zonda.server import logs
from zonda.server.listeners import Listeners, describe, open_listeners
from zonda.server.loading import (
    WSGIApplication,
    check_application,
    load_application,
    load_environment,
)
from zonda.server.logs import logger
from zonda.server.process.share import Share
from zonda.server.reactor import available
from zonda.server.reload import supervise
from zonda.server.settings import SUPERVISING, Settings, SettingsError, all_settings
from zonda.server.tls.context import make_provider
from zonda.server.worker import Worker, WorkerState

__all__ = ["Server", "loop_factory", "serve"]

_LoopFactory: TypeAlias = Callable[[], asyncio.AbstractEventLoop]

_STOP_SIGNALS: list[int] = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name)
]


class Server:
    """One worker with its listeners, in this process. It serves once.

    `app` is an application or the name of one ("package.module:attribute"). `parent` is the
    reading end of a pipe whose other end a supervising process holds: when that is closed the
    server drains, and CTRL+C is left to the parent. `share` is how the worker shares its listeners'
    connections with other processes.

    What goes wrong before it serves is raised: `SettingsError`, `LoadError`, `ListenError`,
    `LifespanFailed`, `ReloadError`.
    """

    def __init__(
        self,
        app: Application | str,
        settings: Settings | None = None,
        *,
        parent: int | None = None,
        share: Share | None = None,
    ) -> None:
        self.settings = settings if settings is not None else Settings()
        self._app = app
        self._parent = parent
        self._share = share
        self._listeners = Listeners()
        self._worker: Worker | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._starting: asyncio.Task[None] | None = None
        self._drain_asked = False
        self._loading = False

    @property
    def name(self) -> str:
        """What it serves, for a person."""
        if isinstance(self._app, str):
            return self._app
        named: Any = self._app if hasattr(self._app, "__qualname__") else type(self._app)
        return f"{named.__module__}:{named.__qualname__}"

    @property
    def urls(self) -> list[str]:
        """Where it listens, with the ports it was given; empty when it does not."""
        scheme = "http" if self.settings.ssl_certfile is None else "https"
        return [describe(each, scheme) for each in self._listeners.sockets if each.fileno() >= 0]

    def load(self) -> ASGIApp | WSGIApplication:
        """The application, imported as `start` would; raises `LoadError`."""
        return self._load_blocking()

    async def start(self) -> None:
        """Bind, load the application, run its start-up, and begin to serve."""
        self._refuse_supervision()
        if not logger.hasHandlers():
            logs.configure(self.settings)
        self._loop = asyncio.get_running_loop()
        tls = make_provider(self.settings)
        self._listeners = open_listeners(self.settings)
        try:
            app = self._load()
            self._announce()
            self._worker = Worker(
                app,
                self.settings,
                self._listeners.sockets,
                share=self._share,
                control=self._worker_entered,
                tls=tls,
            )
            await self._worker.start()
        except BaseException:
            self._listeners.close()
            raise
        self._announce_ready()

    def drain(self) -> None:
        """Stop accepting, finish what runs, then be gone. Repeating it does nothing.

        This and `abort` can be called from any thread.
        """
        self._in_loop(self._drain)

    def abort(self) -> None:
        """End everything that still runs now, cancelling it."""
        self._in_loop(self._abort)

    async def wait(self) -> None:
        """Return when everything has ended after `drain` or `abort`."""
        try:
            if self._worker is not None:
                await self._worker.wait()
        finally:
            self._listeners.close()

    async def serve(self) -> None:
        """Start, serve until `drain` or a signal to stop, and return when all has ended."""
        self._loop = asyncio.get_running_loop()
        with self._signals_handled(), self._parent_watched():
            self._starting = self._loop.create_task(self.start(), name="zonda start")
            try:
                await self._starting
            except asyncio.CancelledError:
                if not self._drain_asked:
                    raise
                logger.info("Stopped before it was ready")
                return
            finally:
                self._starting = None
            await self.wait()
        logger.info("Stopped")

    def run(self) -> None:
        """Serve in an event loop of its own, or have workers serve, until told to stop.

        If no worker can start it ends the program, with the exit code of `zonda run`.
        """
        logs.configure(self.settings, pid=self.settings.supervised and not self.settings.reload)
        if self.settings.reload or self.settings.supervised:
            if not isinstance(self._app, str):
                raise SettingsError(
                    "reload" if self.settings.reload else "workers",
                    "the application has to be given by name, such as 'app:app'",
                )
            if self.settings.reload:
                supervise(self._app, self.settings)
            else:
                # Not before: it needs a system that has processes of this kind.
                from zonda.server.process.supervisor import Supervisor  # noqa: PLC0415

                code = Supervisor(self._app, self.settings).run()
                if code:
                    sys.exit(code)  # the workers have said why
            return
        with asyncio.Runner(loop_factory=loop_factory(self.settings)) as runner:
            runner.run(self.serve())

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._drain()
        await self.wait()

    def _load(self) -> ASGIApp | WSGIApplication:
        # Importing blocks the loop, so until it is through a signal interrupts it like CTRL+C.
        self._loading = True
        try:
            return self._load_blocking()
        except KeyboardInterrupt:
            if not self._drain_asked:
                raise
            raise asyncio.CancelledError from None
        finally:
            self._loading = False

    def _load_blocking(self) -> ASGIApp | WSGIApplication:
        settings = self.settings
        if settings.env_file is not None:
            load_environment(settings.env_file)
        if not isinstance(self._app, str):
            return check_application(self._app, interface=settings.interface)
        return load_application(
            self._app,
            factory=settings.factory,
            app_dir=settings.app_dir,
            interface=settings.interface,
        )

    def _in_loop(self, action: Callable[[], None]) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # closed: everything has ended
                self._loop.call_soon_threadsafe(action)

    def _drain(self) -> None:
        if self._drain_asked:
            return
        self._drain_asked = True
        if self._starting is not None and not self._starting.done():
            self._starting.cancel()
        elif self._worker is not None:
            running = self._worker.service.in_flight
            if running:
                logger.info(
                    "Stopping: %d requests in progress have %g s (CTRL+C again ends them now)",
                    running,
                    self.settings.timeout_graceful_shutdown,
                )
            else:
                logger.info("Stopping")
            self._worker.drain()

    def _abort(self) -> None:
        if self._starting is not None and not self._starting.done():
            self._starting.cancel()
        elif self._worker is not None:
            self._worker.abort()

    def _refuse_supervision(self) -> None:
        """Refuse settings that need other processes: they would silently do nothing."""
        if self._parent is not None or not self.settings.supervised:
            return
        for name in SUPERVISING:
            value = getattr(self.settings, name)
            if value != all_settings()[name].default:
                raise SettingsError(
                    name,
                    "it needs processes of its own: use `zonda run`, or Server(…).run()",
                    value,
                )

    def _announce(self) -> None:
        """Say what is about to serve what."""
        logger.info("%s serving %s", _banner(self.settings), self.name)
        if not _build.compiled:
            logger.warning(PURE_WARNING)

    def _announce_ready(self) -> None:
        """Say where it serves."""
        for url in self.urls:
            logger.info("Listening on %s (press CTRL+C to stop)", url)

    def _worker_entered(self, state: WorkerState) -> None:
        """Close the sockets once they are not accepted from: clients are refused, not kept."""
        if state is WorkerState.DRAINING and self._loop is not None:
            self._loop.call_soon(self._listeners.close)  # after the worker has let go of them

    def _parent_spoke(self) -> None:
        """Drain when the parent has closed its end, or has died."""
        if self._loop is None or self._parent is None:
            return
        said = b""
        with contextlib.suppress(OSError):  # a socket is reset by one who had not read all
            said = os.read(self._parent, 4096)
        if said:
            self._told(said)
        else:
            self._loop.remove_reader(self._parent)
            self._drain()

    def _told(self, said: bytes) -> None:
        """What the parent says means nothing to a plain server."""

    @contextlib.contextmanager
    def _parent_watched(self) -> Generator[None]:
        if self._parent is None or self._loop is None:
            yield
            return
        self._loop.add_reader(self._parent, self._parent_spoke)
        try:
            yield
        finally:
            self._loop.remove_reader(self._parent)

    @contextlib.contextmanager
    def _signals_handled(self) -> Generator[None]:
        """Handle signals to stop, where that is possible: in the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        seen = 0

        # A plain handler, not one of the loop's: it runs also while the loop is stuck.
        def handle(number: int, _: FrameType | None) -> None:
            nonlocal seen
            if number == signal.SIGINT and self._parent is not None:
                return
            seen += 1
            if seen == 1 and self._loading:
                self._drain_asked = True
                raise KeyboardInterrupt
            if seen == 1:
                self.drain()
            elif seen == 2:
                self.abort()
            else:
                signal.signal(number, signal.SIG_DFL)
                signal.raise_signal(number)

        previous = {number: signal.signal(number, handle) for number in _STOP_SIGNALS}
        try:
            yield
        finally:
            for number, handler in previous.items():
                # None stands for a handler that was not set from Python, and cannot be.
                signal.signal(number, signal.SIG_DFL if handler is None else handler)


async def serve(app: Application | str, **settings: Any) -> None:  # noqa: ANN401 (see Settings)
    """Serve `app` in the running event loop until a signal to stop, or until cancelled.

    The keywords are those of `Settings`.
    """
    await Server(app, Settings(**settings)).serve()


PURE_WARNING = (
    "This is the pure Python build, many times slower than the compiled one: reinstall without "
    "ZONDA_PURE_PYTHON set, from a wheel for your platform or with a C compiler at hand"
)


def _banner(settings: Settings) -> str:
    loop = type(asyncio.get_running_loop()).__module__.partition(".")[0]
    build = "compiled" if _build.compiled else "pure Python"
    return (
        f"Zonda {zonda.__version__} ({build}, {_reactor_name(settings)}, {loop}, "
        f"Python {platform.python_version()})"
    )


def _reactor_name(settings: Settings) -> str:
    names = available()
    name = names[0] if settings.reactor == "auto" else settings.reactor
    if name not in names:
        raise SettingsError(
            "reactor", "it needs Linux and the compiled build; leave the choice to auto", name
        )
    return name


def loop_factory(settings: Settings) -> _LoopFactory:
    """What makes the event loop that the settings ask for; raises `SettingsError`."""
    if settings.loop != "asyncio":
        try:
            uvloop = importlib.import_module("uvloop")
        except ImportError:
            if settings.loop == "uvloop":
                raise SettingsError(
                    "loop", "uvloop is not installed: pip install uvloop", "uvloop"
                ) from None
        else:
            return cast("_LoopFactory", uvloop.new_event_loop)
    # By name: asyncio.new_event_loop() would ask the policy, which an application may have set.
    if sys.platform == "win32":
        return asyncio.ProactorEventLoop
    return asyncio.SelectorEventLoop
