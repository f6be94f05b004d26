"""A worker: one event loop, one reactor, one application, from start-up to the last connection.

A worker is given its listeners; it neither binds nor closes them, so that whoever owns them can
hand them to its successor. Its states, which its control channel hears of::

    STARTING   the application's lifespan start-up runs; connections wait in the accept queues
    READY      accepting and serving
    DRAINING   not accepting; requests in progress have --timeout-graceful-shutdown to end
    GONE       nothing is left: no connection, no task, no descriptor of its own
"""

from __future__ import annotations

import asyncio
import enum
import socket
from collections.abc import Callable
from time import perf_counter
from typing import cast

from zonda.asgi.types import ASGIApp
from zonda.server.asgi import ASGIRunner
from zonda.server.exchange import Exchange, Runner
from zonda.server.http1 import HTTP1Connection
from zonda.server.lifespan import Lifespan
from zonda.server.loading import WSGIApplication
from zonda.server.logs import access, log_access, logger
from zonda.server.process.share import Share
from zonda.server.reactor import make_reactor
from zonda.server.reactor.interface import Connection, Listener, Reactor, TLSProvider, Transport
from zonda.server.service import Service
from zonda.server.settings import Settings
from zonda.server.tls.handshake import TLSHandshake
from zonda.server.wsgi import WSGIRunner

__all__ = ["Worker", "WorkerState"]

LAST_GRACE = 2.0
"""Seconds that cancelled applications have to end; one that ignores it is left behind."""

SHUTDOWN_GRACE = 5.0
"""Seconds that the application's lifespan shutdown has at least."""

_LOOK = 0.05  # seconds between looks at what is left while draining


class WorkerState(enum.StrEnum):
    """How far a worker has come."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    GONE = "gone"


class Worker:
    """Serves one application on the listeners that it is given.

    Args:
        app: The application.
        settings: How to serve it.
        listeners: Listening, non-blocking sockets. They stay their owner's.
        share: How it shares the listeners' connections with other workers, if there are any.
        control: Called with each new state: the way up to whoever started the worker. The way
            down is ``drain`` and ``abort``.
        tls: What gives each connection its ssl context; None to serve without TLS.
    """

    def __init__(  # noqa: PLR0913 (what it is given is all that it knows)
        self,
        app: ASGIApp | WSGIApplication,
        settings: Settings,
        listeners: list[socket.socket],
        *,
        share: Share | None = None,
        control: Callable[[WorkerState], None] | None = None,
        tls: TLSProvider | None = None,
    ) -> None:
        self.settings = settings
        self._tls = tls
        self._app = app
        self._sockets = listeners
        self._runner: Runner = ASGIRunner()
        self._share = share
        self._control = control
        self._listeners: list[Listener] = []
        self._full = False
        self._state = WorkerState.STARTING
        self._gone = asyncio.Event()
        self._draining: asyncio.Task[None] | None = None
        self._aborted = asyncio.Event()
        self._reactor: Reactor | None = None
        self._service: Service | None = None
        self._lifespan: Lifespan | None = None

    @property
    def state(self) -> WorkerState:
        """How far it has come."""
        return self._state

    @property
    def service(self) -> Service:
        """What its connections share. Only while it is not gone."""
        if self._service is None:
            raise RuntimeError("the worker has not started")
        return self._service

    async def start(self) -> None:
        """Run the application's start-up, then accept.

        Raises:
            LifespanFailed: The application did not start up. The worker is gone.
        """
        settings = self.settings
        reactor = make_reactor(settings.reactor, asyncio.get_running_loop())
        self._reactor = reactor
        app, lifespan = self._app, settings.lifespan
        if isinstance(app, WSGIApplication):
            self._runner = WSGIRunner(settings, reactor.loop)
            app, lifespan = cast("ASGIApp", app.app), "off"  # WSGI has none
        service = Service(app, settings, reactor)
        self._service = service
        self._lifespan = Lifespan(
            app,
            service.state,
            lifespan,
            shutdown_timeout=max(settings.timeout_graceful_shutdown, SHUTDOWN_GRACE),
        )
        try:
            await self._lifespan.startup()
        except BaseException:
            self._end()
            raise
        service.context = self._lifespan.context
        if settings.access_log and access.isEnabledFor(20):
            service.on_complete = _log_exchange
        if settings.limit_connections or self._share is not None:
            service.on_connection_lost = self._connection_lost
        self._listeners = [
            reactor.listen(sock, self._connect, self._out_of_descriptors, self._tls, self._share)
            for sock in self._sockets
        ]
        if self._share is not None:
            self._share.begin()
        self._enter(WorkerState.READY)

    def drain(self) -> None:
        """Stop accepting, let what runs end, then be gone. Repeating it does nothing."""
        if self._draining is None and self._state is not WorkerState.GONE:
            self._draining = asyncio.get_running_loop().create_task(
                self._drain(), name="zonda drain"
            )

    def abort(self) -> None:
        """Cut short what still runs, then be gone."""
        self._aborted.set()
        if self._lifespan is not None:
            self._lifespan.abort()
        self.drain()

    async def wait(self) -> None:
        """Return when the worker is gone."""
        await self._gone.wait()

    # Connections

    def _speak(self, transport: Transport, scheme: str) -> HTTP1Connection:
        """The connection of the protocol to be spoken on ``transport``."""
        return HTTP1Connection(self.service, transport, scheme, self._runner)

    def _connect(self, transport: Transport) -> Connection:
        service = self.service
        connection: Connection
        if self._tls is None:
            connection = self._speak(transport, "http")
        else:
            connection = TLSHandshake(service, transport, self._speak)
        if self._share is not None:
            self._share.accepted(len(service.connections))
        limit = self.settings.limit_connections
        if limit and len(service.connections) >= limit and not self._full:
            self._full = True
            logger.warning(
                "%d connections are open (--limit-connections): others wait to be accepted", limit
            )
            for listener in self._listeners:
                listener.pause()
        return connection

    def _connection_lost(self) -> None:
        if self._share is not None:
            self._share.lost(len(self.service.connections))
        if self._full and len(self.service.connections) < self.settings.limit_connections:
            self._full = False
            if self._state is WorkerState.READY:
                for listener in self._listeners:
                    listener.resume()

    @staticmethod
    def _out_of_descriptors(error: OSError) -> None:
        logger.error(
            "Cannot accept connections for now: %s (raise the limit of open files, or lower "
            "--limit-connections below it)",
            error.strerror or error,
        )

    # The end

    async def _drain(self) -> None:
        service = self.service
        self._enter(WorkerState.DRAINING)
        if self._share is not None:
            self._share.end()
        for listener in self._listeners:
            listener.close()
        service.draining = True
        for connection in list(service.connections):
            connection.drain()
        try:
            async with asyncio.timeout(self.settings.timeout_graceful_shutdown):
                await self._until_idle(stop=self._aborted)
        except TimeoutError:
            logger.warning(
                "%d requests did not end within %g s (--timeout-graceful-shutdown): cancelling",
                service.in_flight,
                self.settings.timeout_graceful_shutdown,
            )
        if service.running:
            for exchange in list(service.running):
                exchange.cancel()
            try:
                async with asyncio.timeout(LAST_GRACE):
                    await self._until_idle(connections=False)
            except TimeoutError:
                logger.error(
                    "%d requests ignore their cancellation and are left behind",
                    len(service.running),
                )
        if self._lifespan is not None:
            await self._lifespan.shutdown()
        self._end()

    async def _until_idle(
        self, *, connections: bool = True, stop: asyncio.Event | None = None
    ) -> None:
        service = self.service
        while service.in_flight or (connections and service.connections):
            if stop is not None and stop.is_set():
                return
            await asyncio.sleep(_LOOK)

    def _end(self) -> None:
        if self._reactor is not None:
            self._reactor.close()
        self._runner.close()
        self._enter(WorkerState.GONE)
        self._gone.set()

    def _enter(self, state: WorkerState) -> None:
        self._state = state
        if self._control is not None:
            self._control(state)


def _log_exchange(exchange: Exchange) -> None:
    request = exchange.request
    log_access(
        exchange.client,
        request.method,
        request.target,
        request.http_version,
        exchange.status,
        exchange.body_sent,
        perf_counter() - exchange.started_at if exchange.started_at else 0.0,
    )
