"""Opens the exchange that a request asks for."""

from __future__ import annotations

from zonda.server.asgi.http import HTTPExchange
from zonda.server.asgi.websocket import WebSocketExchange
from zonda.server.exchange import Exchange, Runner, Stream
from zonda.server.service import Service
from zonda.wire.events import Request
from zonda.wire.websocket.handshake import Handshake

__all__ = ["ASGIRunner"]


class ASGIRunner(Runner):
    """Runs exchanges as ASGI."""

    runs_websockets = True

    def open(self, service: Service, stream: Stream, request: Request) -> Exchange:
        """An exchange for ``request``, not begun."""
        exchange = HTTPExchange.__new__(HTTPExchange)
        exchange.set_up(service, stream, request)
        return exchange

    def open_websocket(
        self, service: Service, stream: Stream, request: Request, handshake: Handshake
    ) -> Exchange:
        """An exchange for the request for a WebSocket, not begun."""
        exchange = WebSocketExchange.__new__(WebSocketExchange)
        exchange.set_up(service, stream, request)
        exchange.set_handshake(handshake)
        return exchange
