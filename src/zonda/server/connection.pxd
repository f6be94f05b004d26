cimport cython

from zonda.server.reactor.interface cimport Connection, Transport
from zonda.server.reactor.wheel cimport Timer
from zonda.server.service cimport Service

cdef class ServedConnection(Connection):
    cdef readonly Service service
    cdef readonly Transport transport
    cdef long long _taken_before
    cdef readonly Timer _read_timer
    cdef Timer _write_timer

    cpdef open(self, Service service, Transport transport)
    cpdef drain(self)
    cpdef read_timer_due(self)
    cpdef write_unblocked(self)
    @cython.locals(service=Service)
    cpdef linger(self)
    @cython.locals(service=Service)
    cpdef leave(self)
