"""What all connections of a worker share: the application, the limits, the counts."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import sys
from collections.abc import Callable
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

from zonda.server.reactor.interface import Reactor
from zonda.wire.http1.grammar import Limits
from zonda.wire.http1.response import DefaultFields
from zonda.wire.websocket.deflate import DeflateOptions
from zonda.wire.websocket.grammar import Limits as WebSocketLimits

if TYPE_CHECKING:
    from zonda.asgi.types import ASGIApp
    from zonda.server.connection import ServedConnection
    from zonda.server.exchange import Exchange
    from zonda.server.settings import Settings

__all__ = ["REFUSALS_SHOWN", "Service"]

REFUSALS_SHOWN = 100
"""Lines a second about refused peers; the rest are counted, so that an attack fills no disk."""


class Service:
    """The serving side of one worker, as its connections and exchanges see it.

    Attributes:
        app: The application.
        context: What lifespan start-up left in its context variables: each exchange runs in a
            copy.
        eager: Whether Tasks run up to their first wait when they are made.
        task_arguments: What each exchange's Task is made with; the context is set for each.
        state: The lifespan state: each exchange gets a shallow copy.
        connections: Every open connection.
        in_flight: How many exchanges have an application that has not returned.
        running: Those of them whose application has waited for something.
        sessions: How many of them are WebSockets, which count as connections rather than requests.
        draining: Whether connections end after the request they have.
        on_complete: Called with each exchange once its response is complete, or broken off.
        on_connection_lost: Called when a connection has closed.
    """

    def __init__(self, app: ASGIApp, settings: Settings, reactor: Reactor) -> None:
        self.app = app
        self.settings = settings
        self.reactor = reactor
        self.loop: asyncio.AbstractEventLoop = reactor.loop
        self.wheel = reactor.wheel
        self.logger = logging.getLogger("zonda")
        self.context: contextvars.Context = contextvars.copy_context()
        self.state: dict[str, Any] = {}
        self.task_arguments: dict[str, Any] = {"loop": self.loop, "context": None}
        self.eager = settings.eager_tasks and sys.version_info >= (3, 12)
        if self.eager:
            self.task_arguments["eager_start"] = True
        self.root_path = settings.root_path
        self.raw_root_path = settings.root_path.encode("utf-8")
        self.limits = Limits(
            line=settings.limit_request_line,
            head=settings.limit_request_head,
            fields=settings.limit_request_fields,
            body=settings.limit_request_body,
        )
        ticks = self.wheel.ticks
        self.ticks_head = ticks(settings.timeout_head)
        # 0 closes after each response, as uvicorn's does: the shortest wait comes close to it.
        self.ticks_keep_alive = max(1, ticks(settings.timeout_keep_alive))
        self.ticks_body = ticks(settings.timeout_body)
        # What a body has to bring in that time for another such time.
        self.body_floor = max(1, int(settings.limit_body_rate * settings.timeout_body))
        self.ticks_write = ticks(settings.timeout_write)
        self.ticks_linger = ticks(settings.timeout_linger)
        self.takes_websockets = settings.ws != "none"
        self.websocket_limits = WebSocketLimits(
            message=settings.ws_max_size, fragments=settings.ws_max_fragments
        )
        self.deflate = (
            DeflateOptions(
                server_window_bits=settings.ws_deflate_window,
                client_window_bits=settings.ws_deflate_window,
                server_takeover=settings.ws_deflate_takeover,
                client_takeover=settings.ws_deflate_takeover,
            )
            if settings.ws_per_message_deflate
            else None
        )
        self.max_queue = settings.ws_max_queue
        self.ticks_handshake = ticks(settings.ws_timeout_handshake)
        self.ticks_ping = ticks(settings.ws_ping_interval)
        self.ticks_pong = ticks(settings.ws_ping_timeout)
        self.ticks_close = ticks(settings.ws_timeout_close)
        self.ticks_tls_handshake = ticks(settings.timeout_tls_handshake)
        self.limit_concurrency = settings.limit_concurrency
        self.connections: set[ServedConnection] = set()
        self.running: set[Exchange] = set()
        self.in_flight = 0
        self.sessions = 0
        self.draining = False
        self.on_complete: Callable[[Exchange], None] | None = None
        self.on_connection_lost: Callable[[], None] | None = None
        self._defaults = DefaultFields(
            server=b"zonda" if settings.server_header else b"", extra=_pairs(settings.header)
        )
        self._dated = settings.date_header
        self._dated_at = 0
        self._refusals = 0

    def is_full(self) -> bool:
        """Whether as many requests are in progress as --limit-concurrency allows."""
        limit = self.limit_concurrency
        return limit > 0 and self.in_flight - self.sessions >= limit

    def default_fields(self) -> DefaultFields:
        """What to add to a response now: the date is formatted once a second."""
        if self._dated:
            now = self.reactor.seconds()
            if now != self._dated_at:
                self._defaults.renew(formatdate(now, usegmt=True).encode("ascii"))
                self._dated_at = now
        return self._defaults

    def refused(self, client: tuple[str, int] | None, status: int, reason: str) -> None:
        """Log one line about a peer whose request or connection was refused or given up."""
        self._refusals += 1
        if self._refusals == 1:
            self.loop.call_later(1.0, self._sum_up_refusals)
        if self._refusals > REFUSALS_SHOWN:
            return
        peer = f"{client[0]}:{client[1]}" if client else "a client"
        answer = f"answered {status}" if status else "closed"
        self.logger.info("%s: %s: %s", peer, answer, reason)

    def _sum_up_refusals(self) -> None:
        """A second has passed since the first refusal that counts."""
        unsaid = self._refusals - REFUSALS_SHOWN
        self._refusals = 0
        if unsaid > 0:
            self.logger.info("%d more were refused or closed within a second: not shown", unsaid)


def _pairs(lines: tuple[str, ...]) -> list[tuple[bytes, bytes]]:
    pairs: list[tuple[bytes, bytes]] = []
    for line in lines:
        name, _, value = line.partition(":")
        pairs.append((name.strip().lower().encode("ascii"), value.strip().encode("latin-1")))
    return pairs
