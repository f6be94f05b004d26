from ssl import SSLContext

from zonda.server.reactor.epoll import EpollReactor
from zonda.server.reactor.epoll_transport import EpollTransport

__all__ = ["TLSTransport"]

class TLSTransport(EpollTransport):
    def __init__(self, reactor: EpollReactor, fd: int, context: SSLContext) -> None: ...
