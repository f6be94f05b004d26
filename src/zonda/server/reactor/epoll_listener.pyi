import socket
from collections.abc import Callable

from zonda.server.reactor.epoll import EpollReactor
from zonda.server.reactor.interface import Admission, Connection, Listener, TLSProvider, Transport

__all__ = ["EpollListener"]

class EpollListener(Listener):
    def __init__(
        self,
        reactor: EpollReactor,
        sock: socket.socket,
        factory: Callable[[Transport], Connection],
        refused: Callable[[OSError], None],
        tls: TLSProvider | None = None,
        admission: Admission | None = None,
    ) -> None: ...
