cimport cython

from zonda.server.reactor.interface cimport Connection, Transport
from zonda.server.reactor.wheel cimport Timer
from zonda.server.service cimport Service

cdef class ServedConnection(Connection):
    cdef readonly Service service
    cdef readonly Transport transport
    cdef long long _taken_before
    cdef Timer _read_timer, _write_timer

    cpdef open(self, Service service, Transport transport)
    cpdef drain(self)
    cpdef read_timer_due(self)
    cdef object write_unblocked(self)
    @cython.locals(service=Service)
    cdef object linger(self)
    @cython.locals(service=Service)
    cdef object leave(self)
