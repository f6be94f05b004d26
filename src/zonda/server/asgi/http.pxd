cimport cython

from zonda.server.asgi.task cimport ASGIExchange
from zonda.server.reactor.interface cimport FileSegment

cdef int _COMPLETE
cdef dict _SCOPE, _EXTENSIONS

cdef class HTTPExchange(ASGIExchange):
    @cython.locals(scope=dict, extensions=dict)
    cdef dict _scope(self)
    cdef object _finished(self)
    cdef object _was_cancelled(self)
    cdef object _failed(self, error)
    @cython.locals(body=bytes)
    cpdef dict next_message(self)
    cpdef wait_for_message(self)
    cdef bint send_waits(self) except -1
    @cython.locals(kind=str)
    cpdef handle(self, dict message)
    @cython.locals(number=int)
    cdef object _send_open_file(self, dict message)
