"""A connection with TLS before its protocol is known.

Its transport negotiates by itself and tells a ``TLSHandshake`` how that went. When it is done the
protocol is chosen, and its connection takes the place of this one; until then this one counts as a
connection like any other, for --limit-connections and for a drain. A peer that does not come to an
end with it has --timeout-tls-handshake, whatever it sends meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from ssl import SSLError

from zonda.server.connection import ServedConnection
from zonda.server.http1 import HTTP1Connection
from zonda.server.reactor.interface import Transport, is_http
from zonda.server.service import Service
from zonda.server.tls.context import describe_connection

__all__ = ["TLSHandshake"]

DRAIN_TICKS = 10
"""How long a handshake may still take once the server drains, in wheel ticks."""

FAREWELL_TICKS = 10
"""How long a peer may take to read why its handshake failed, in wheel ticks."""

_PLAIN_TEXT = b"This port speaks TLS: use https:// in place of http://\n"

Factory = Callable[[Transport, str], HTTP1Connection]


class TLSHandshake(ServedConnection):
    """The life of a connection until its TLS handshake is done, or has failed.

    Args:
        service: What the connections of the worker share.
        transport: It speaks TLS.
        choose: Makes the connection of a protocol. It is given the transport and the scheme of
            what will be requested there: "https", or "http" for a peer that does not speak TLS.
    """

    def __init__(self, service: Service, transport: Transport, choose: Factory) -> None:
        self.open(service, transport)
        self._choose = choose
        self._failed = False
        service.wheel.arm(self._read_timer, service.ticks_tls_handshake)

    def handshake_done(self) -> None:
        """Give way to the protocol that was agreed on."""
        self.transport.tls = describe_connection(self.transport.ssl)
        self._give_way("https")

    def not_tls(self, opening: bytes) -> None:
        """Tell a client that speaks HTTP what to do; close on any other."""
        if is_http(opening):
            connection = self._give_way("http")
            connection.refuse(400, "an HTTP request in the clear on a port with TLS", _PLAIN_TEXT)
        else:
            self._refuse("neither TLS nor HTTP")
            self.transport.close()

    def handshake_failed(self, error: OSError) -> None:
        """Let the peer read why before the connection ends."""
        self._failed = True
        self._refuse(f"the TLS handshake failed: {_reason(error)}")
        self.service.wheel.arm(self._read_timer, FAREWELL_TICKS)
        self.transport.shutdown_write()

    def data_received(self, data: bytes) -> None:
        """Nothing is asked for before the handshake is done."""

    def eof_received(self) -> None:
        """The peer has left."""
        self.transport.close()

    def lost(self, error: OSError | None) -> None:
        """The socket is closed."""
        self.leave()
        if self.service.on_connection_lost is not None:
            self.service.on_connection_lost()

    def read_timer_due(self) -> None:
        """The time-out has passed."""
        if not self._failed:
            self._refuse("the TLS handshake did not end in time")
        self.transport.close()

    def drain(self) -> None:
        """Let what is on its way come, for a short while."""
        if not self._failed:
            self.service.wheel.arm(self._read_timer, DRAIN_TICKS)

    def _give_way(self, scheme: str) -> HTTP1Connection:
        self.leave()
        connection = self._choose(self.transport, scheme)
        self.transport.connection = connection
        if self.service.draining:
            connection.drain()
        return connection

    def _refuse(self, reason: str) -> None:
        self.service.refused(self.transport.client, 0, reason)


def _reason(error: OSError) -> str:
    """What OpenSSL gives as the reason, in words."""
    reason = error.reason if isinstance(error, SSLError) else None
    return reason.lower().replace("_", " ") if reason else str(error)
