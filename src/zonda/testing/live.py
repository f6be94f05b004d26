"""A server for the length of a test: on a free port, in a thread of this process or in a child.

`LiveServer` is the context manager; where the server runs is one of two places with the same two
steps, `start` and `stop`: `_ThreadServer` here, `ChildServer` in child.py.
"""

import asyncio
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import SplitResult, urlsplit

from zonda.asgi.types import Application
from zonda.server.server import Server, loop_factory
from zonda.server.settings import Settings
from zonda.testing.child import ChildServer
from zonda.testing.errors import LiveServerError

__all__ = ["LiveServer", "LiveServerError"]

_GRACE = 5.0
"""Seconds that requests in progress get at the end, unless `timeout_graceful_shutdown` is given:
a test that leaves one behind should not wait as long as a user does."""


class LiveServer:
    """Serves an application while its `with` or `async with` block runs.

        async def app(scope, receive, send):
            assert scope["type"] == "http"
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"hello"})

        def test_it_says_hello():
            with LiveServer(app) as server:
                assert httpx.get(server.url).text == "hello"

    It listens at a free port of 127.0.0.1, unless told otherwise: every field of `Settings` can be
    given as a keyword, `uds="/tmp/app.sock"` for a unix socket among them.

    The server runs in a thread with its own event loop. The test can therefore look at the
    application, patch it, and set breakpoints in it. With `process=True` it runs in a process of
    its own, as in production: nothing is shared, and what it writes is in `logs`. The application
    is then given by name, with `app_dir` as where to find it, and the child gets this process's
    environment and `env` (needs a POSIX system).

        with LiveServer("shop.asgi:app", process=True, env={"SHOP_DEBUG": "1"}) as server:
            ...
        assert "Traceback" not in server.logs

    Entering returns once the application's start-up is complete, and raises what keeps it from
    that: `SettingsError`, `LoadError`, `ListenError`, `LifespanFailed`, and `TimeoutError` after
    `start_timeout` seconds. Leaving drains: requests in progress get `timeout_graceful_shutdown`
    seconds (5 here) to finish before they are cancelled, then the application's shutdown runs.
    `LiveServerError` is raised if the server has failed meanwhile, or does not end.

    One object can be entered again after it was left; each time is a new server.
    """

    def __init__(
        self,
        app: Application | str,
        *,
        process: bool = False,
        env: Mapping[str, str] | None = None,
        start_timeout: float = 30.0,
        **settings: Any,  # noqa: ANN401 (see Settings)
    ) -> None:
        settings.setdefault("timeout_graceful_shutdown", _GRACE)
        if not settings.keys() & {"bind", "uds", "fd"}:
            settings.setdefault("port", 0)
        self.settings = Settings(**settings)
        self._start_timeout = start_timeout
        self._urls: list[str] = []
        self._place: _ThreadServer | ChildServer
        if not process:
            if env is not None:
                raise ValueError(
                    "env is for process=True; here the application shares this process's "
                    "environment, which pytest's monkeypatch.setenv changes for one test"
                )
            self._place = _ThreadServer(app, self.settings)
        elif isinstance(app, str):
            self._place = ChildServer(app, self.settings, env or {})
        else:
            raise TypeError(
                "with process=True the application is given by name, such as "
                "'package.module:app', since another process has to import it"
            )

    @property
    def urls(self) -> list[str]:
        """Every place it listens at, the first being `url`; a unix socket is `unix:PATH`."""
        return list(self._urls)

    @property
    def url(self) -> str:
        """Where clients find it, without a slash at the end: "http://127.0.0.1:54321".

        It begins with https where `ssl_certfile` is given. For a unix socket it is
        "http://localhost", to be used with a client that is told the path, such
        as `httpx.HTTPTransport(uds=server.uds)`.
        """
        if not self._urls:
            raise LiveServerError("the server is not running; enter its with block first")
        if not self._urls[0].startswith("unix:"):
            return self._urls[0]
        return "http://localhost" if self.settings.ssl_certfile is None else "https://localhost"

    @property
    def base_url(self) -> str:
        """The same as `url`, by the name that HTTP clients give it."""
        return self.url

    @property
    def host(self) -> str:
        """The address in `url`, an IPv6 one without its brackets."""
        return self._split.hostname or ""

    @property
    def port(self) -> int:
        """The port in `url`; 80 or 443, which nobody listens at, for a unix socket."""
        return self._split.port or (443 if self._split.scheme == "https" else 80)

    @property
    def uds(self) -> str | None:
        """The path of the unix socket, if it listens at one."""
        return self.settings.uds

    @property
    def logs(self) -> str:
        """What the child process has written so far to standard output and error."""
        if isinstance(self._place, ChildServer):
            return self._place.logs
        raise LiveServerError(
            "logs are kept with process=True; in this process they go to the loggers zonda and "
            "zonda.access, which pytest's caplog shows"
        )

    @property
    def _split(self) -> SplitResult:
        return urlsplit(self.url)

    def __enter__(self) -> Self:
        self._urls = self._place.start(self._start_timeout)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._urls = []
        try:
            self._place.stop()
        except LiveServerError as failure:
            # What went wrong in the block is the test's result; this may be why.
            if error is None:
                raise
            error.add_note(str(failure))

    async def __aenter__(self) -> Self:
        entering = asyncio.ensure_future(asyncio.to_thread(self.__enter__))
        try:
            return await asyncio.shield(entering)
        except asyncio.CancelledError:
            # The thread cannot be stopped: see it through, and undo it.
            await asyncio.wait([entering])
            if entering.exception() is None:
                await asyncio.to_thread(self.__exit__, None, None, None)
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, error, traceback)


class _ThreadServer:
    """A server in a thread of this process, with an event loop of its own."""

    def __init__(self, app: Application | str, settings: Settings) -> None:
        self._app = app
        self._settings = settings

    def start(self, timeout: float) -> list[str]:
        self._server = Server(self._app, self._settings)
        self._cancel: Callable[[], object] = int  # nothing to cancel yet
        self._ready: Future[list[str]] = Future()
        self._ended: Future[None] = Future()
        # A daemon, so that an application that never ends cannot keep the process.
        threading.Thread(target=self._run, name="zonda live server", daemon=True).start()
        try:
            return self._ready.result(timeout)
        except TimeoutError:
            self._cancel()
            raise TimeoutError(
                f"the application's start-up is not complete after {timeout:g} s (start_timeout)"
            ) from None

    def stop(self) -> None:
        # The application's own shutdown has as long again.
        patience = 2 * self._settings.timeout_graceful_shutdown + _GRACE
        for end in (self._server.drain, self._server.abort, self._cancel):
            end()
            try:
                self._ended.result(patience)
            except TimeoutError:
                patience = _GRACE
            except Exception as error:
                raise LiveServerError(f"the server has failed: {error!r}") from error
            else:
                return
        raise LiveServerError(
            "the server does not end, and its thread is left behind; some code of the application "
            "ignores its cancellation, or blocks the event loop or a thread"
        )

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=loop_factory(self._settings)) as runner:
                runner.run(self._serve())
        except BaseException as error:  # noqa: BLE001 (raised where the test waits)
            failed = self._ended if self._ready.done() else self._ready
            failed.set_exception(error)
        else:
            self._ended.set_result(None)

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._cancel = lambda: loop.is_closed() or loop.call_soon_threadsafe(task.cancel)
        await self._server.start()
        self._ready.set_result(self._server.urls)
        await self._server.wait()
