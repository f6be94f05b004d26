import asyncio
import socket
from collections.abc import Callable

from zonda.server.reactor.interface import (
    Admission,
    Connection,
    Listener,
    Reactor,
    TLSProvider,
    Transport,
)

__all__ = ["EpollReactor"]

class EpollReactor(Reactor):
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None: ...
    def listen(
        self,
        sock: socket.socket,
        factory: Callable[[Transport], Connection],
        refused: Callable[[OSError], None],
        tls: TLSProvider | None = None,
        admission: Admission | None = None,
    ) -> Listener: ...
