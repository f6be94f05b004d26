cimport cython

from zonda.server.reactor.interface cimport Reactor
from zonda.server.reactor.wheel cimport TimerWheel
from zonda.wire.http1.response cimport DefaultFields

cdef class Service:
    cdef public object app
    cdef public object settings
    cdef public Reactor reactor
    cdef public object loop
    cdef public TimerWheel wheel
    cdef public object logger
    cdef public object context
    cdef public dict state
    cdef readonly dict task_arguments
    cdef readonly bint eager
    cdef public str root_path
    cdef public bytes raw_root_path
    cdef public object limits
    cdef public long long ticks_head, ticks_keep_alive, ticks_body, ticks_write, ticks_linger
    cdef public Py_ssize_t body_floor
    cdef readonly bint takes_websockets
    cdef readonly object websocket_limits, deflate
    cdef readonly Py_ssize_t max_queue
    cdef readonly long long ticks_handshake, ticks_ping, ticks_pong, ticks_close
    cdef public long long ticks_tls_handshake
    cdef public Py_ssize_t limit_concurrency
    cdef public set connections
    cdef public set running
    cdef public Py_ssize_t in_flight
    cdef public Py_ssize_t sessions
    cdef public bint draining
    cdef public object on_complete
    cdef public object on_connection_lost
    cdef DefaultFields _defaults
    cdef bint _dated
    cdef long long _dated_at
    cdef Py_ssize_t _refusals

    @cython.locals(limit=Py_ssize_t)
    cdef bint is_full(self) except -1
    @cython.locals(now=cython.longlong)
    cpdef DefaultFields default_fields(self)
