"""What all connections of a service have in common: they are counted, and writing may not stall.

HTTP/1 connections, WebSocket sessions and what comes later derive from it.
"""

from __future__ import annotations

from zonda.server.reactor.interface import Connection, Transport
from zonda.server.reactor.wheel import Timer
from zonda.server.service import Service

__all__ = ["DRAIN_TICKS", "READ_TIMER", "WRITE_TIMER", "ServedConnection"]

READ_TIMER = 0
WRITE_TIMER = 1

DRAIN_TICKS = 5
"""How long a peer may keep an idle or ending connection once the server drains, in wheel ticks."""


class ServedConnection(Connection):
    """A connection among those of a service.

    Attributes:
        service: What it shares with the others.
        transport: Its socket, or its stream of another connection.
    """

    def open(self, service: Service, transport: Transport) -> None:
        """Take ``transport`` over."""
        self.service = service
        self.transport = transport
        self._taken_before = 0
        self._read_timer = Timer(self, READ_TIMER)
        self._write_timer: Timer | None = None
        service.connections.add(self)

    def drain(self) -> None:
        """End as soon as that loses nothing: the server will."""
        raise NotImplementedError

    def write_blocked(self) -> None:
        """The peer takes no more for now: it has so long to take some."""
        if self._write_timer is None:
            self._write_timer = Timer(self, WRITE_TIMER)
        self._taken_before = self.transport.taken()
        self.service.wheel.arm(self._write_timer, self.service.ticks_write)

    def timer_due(self, kind: int) -> None:
        """A time-out has passed."""
        if kind == READ_TIMER:
            self.read_timer_due()
            return
        transport = self.transport
        if transport.queued and transport.taken() == self._taken_before:
            self.service.refused(transport.client, 0, "the peer stopped reading what it is sent")
            transport.abort()
        elif transport.queued:
            self.write_blocked()

    def read_timer_due(self) -> None:
        """What was waited for has not come."""
        raise NotImplementedError

    def write_unblocked(self) -> None:
        """All that was queued is sent."""
        if self._write_timer is not None:
            self.service.wheel.disarm(self._write_timer)

    def linger(self) -> None:
        """Our last octet is sent: let the peer read it and close first, for a while.

        Closing with unread input would reset the connection under it (RFC 9112 section 9.6).
        """
        service = self.service
        if not self._read_timer.armed:
            ticks = DRAIN_TICKS if service.draining else service.ticks_linger
            service.wheel.arm(self._read_timer, max(1, ticks))

    def leave(self) -> None:
        """Be no longer among the service's connections."""
        service = self.service
        service.wheel.drop(self._read_timer)
        if self._write_timer is not None:
            service.wheel.drop(self._write_timer)
        service.connections.discard(self)
