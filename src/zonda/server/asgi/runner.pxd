cimport cython

from zonda.server.asgi.http cimport HTTPExchange
from zonda.server.asgi.websocket cimport WebSocketExchange
from zonda.server.exchange cimport Exchange, Runner, Stream
from zonda.server.service cimport Service
from zonda.wire.events cimport Request

cdef class ASGIRunner(Runner):
    @cython.locals(exchange=HTTPExchange)
    cpdef Exchange open(self, Service service, Stream stream, Request request)
    @cython.locals(exchange=WebSocketExchange)
    cpdef Exchange open_websocket(self, Service service, Stream stream, Request request, handshake)
