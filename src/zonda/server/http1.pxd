cimport cython

from zonda.server.exchange cimport Exchange, Runner, Stream
from zonda.server.reactor.interface cimport Connection, FileSegment, Transport
from zonda.server.reactor.wheel cimport Timer
from zonda.server.service cimport Service
from zonda.wire.events cimport Request
from zonda.wire.http1.parser cimport RequestParser
from zonda.wire.http1.response cimport ResponseEncoder

cdef int _OPEN, _CLOSING, _CLOSED, _READ_TIMER, _WRITE_TIMER
cdef Py_ssize_t HIGH_WATER, BODY_BUFFER, READ_AHEAD, DISCARD_LIMIT
cdef int REQUESTS_A_TURN, DRAIN_TICKS
cdef object END, NEED_DATA
cdef unsigned char _SLASH

cdef class HTTP1Connection(Connection):
    cdef readonly Service service
    cdef readonly Transport transport
    cdef readonly str scheme
    cdef readonly Runner runner
    cdef readonly RequestParser parser
    cdef readonly HTTP1Stream stream
    cdef readonly Exchange exchange
    cdef int _phase
    cdef bint _driving, _scheduled, _paused, _request_complete, _response_complete
    cdef bint _head_begun, _peer_ended
    cdef Py_ssize_t _discarded
    cdef long long _taken_before
    cdef Timer _read_timer, _write_timer

    cpdef drain(self)
    cdef void _drive(self) except *
    @cython.locals(exchange=Exchange, requests=int)
    cdef void _drive_on(self) except *
    @cython.locals(service=Service, exchange=Exchange)
    cdef void _open_exchange(self, Request request) except *
    cdef bint _is_misdirected(self, Request request) except -1
    cdef bint _take_body(self, Exchange exchange, bytes piece) except -1
    cdef void _await_head(self) except *
    @cython.locals(service=Service)
    cdef void _next_request(self) except *
    cdef void response_complete(self) except *
    cdef void _discard_rest(self) except *
    cdef void _schedule_if_ready(self) except *
    cdef void _schedule(self) except *
    cdef void want_body(self) except *
    cdef void body_consumed(self) except *
    cdef bint body_is_long(self) except -1
    cdef void _read_ahead(self) except *
    cdef void _pause(self) except *
    cdef void _resume_reading(self) except *
    cdef void _reject(self, int status, str reason, bint retry=*) except *
    cdef void _break(self) except *
    cdef void break_off(self) except *
    cdef void _finish(self) except *
    cdef void _linger(self) except *
    cdef void _write_timer_due(self) except *

cdef class HTTP1Stream(Stream):
    cdef readonly HTTP1Connection connection
    cdef readonly Transport transport
    cdef readonly Service service
    cdef readonly ResponseEncoder encoder
    cdef Request _request
    cdef bint _awaits_continue

    cdef void begin(self, Request request) except *
    cdef void end(self) except *
    cdef void _end_body(self, Py_ssize_t size, trailers) except *
    cdef void answer(self, int status, bytes text, bint retry) except *
