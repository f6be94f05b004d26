from zonda.server.reactor.epoll import EpollReactor
from zonda.server.reactor.interface import Transport

__all__ = ["EpollTransport"]

class EpollTransport(Transport):
    def __init__(self, reactor: EpollReactor, fd: int) -> None: ...
    def fileno(self) -> int: ...
