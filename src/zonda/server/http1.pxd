cimport cython

from zonda.server.connection cimport ServedConnection
from zonda.server.exchange cimport Exchange, Runner, Stream
from zonda.server.reactor.interface cimport FileSegment, Transport
from zonda.server.service cimport Service
from zonda.wire.events cimport Request
from zonda.wire.http1.parser cimport RequestParser
from zonda.wire.http1.response cimport ResponseEncoder

cdef int _OPEN, _CLOSING, _CLOSED
cdef Py_ssize_t HIGH_WATER, BODY_BUFFER, READ_AHEAD, DISCARD_LIMIT
cdef int REQUESTS_A_TURN, DRAIN_TICKS
cdef object END, NEED_DATA
cdef unsigned char _SLASH

cdef class HTTP1Connection(ServedConnection):
    cdef readonly str scheme
    cdef readonly Runner runner
    cdef readonly RequestParser parser
    cdef readonly HTTP1Stream stream
    cdef readonly Exchange exchange
    cdef int _phase
    cdef bint _driving, _scheduled, _paused, _request_complete, _response_complete
    cdef bint _head_begun, _peer_ended
    cdef Py_ssize_t _discarded, _brought
    cdef long long _body_left

    cpdef refuse(self, int status, str reason, bytes text)
    cdef object _drive(self)
    @cython.locals(exchange=Exchange, requests=int)
    cdef object _drive_on(self)
    @cython.locals(service=Service, exchange=Exchange)
    cdef object _open_exchange(self, Request request)
    cdef object _end_request(self, Exchange exchange)
    cdef bint _takes_websocket(self, bytes upgrade) except -1
    cdef bint _is_misdirected(self, Request request) except -1
    @cython.locals(service=Service)
    cdef bint _take_body(self, Exchange exchange, bytes piece) except -1
    cdef object _await_head(self)
    @cython.locals(service=Service)
    cdef object _next_request(self)
    cdef object response_complete(self)
    cdef object _discard_rest(self)
    cdef object _schedule_if_ready(self)
    cdef object _schedule(self)
    cdef object want_body(self)
    cdef object body_consumed(self)
    cdef bint body_is_long(self) except -1
    cdef object _read_ahead(self)
    cdef object _pause(self)
    cdef object _resume_reading(self)
    cdef object _reject(self, int status, str reason, fields=*)
    cdef object _break(self)
    cdef object break_off(self)
    cdef object _finish(self)
    cdef object _await_end(self)
    cdef bytes switch(self)

cdef class HTTP1Stream(Stream):
    cdef readonly HTTP1Connection connection
    cdef readonly Transport transport
    cdef readonly Service service
    cdef readonly ResponseEncoder encoder
    cdef Request _request
    cdef bint _awaits_continue

    cdef object begin(self, Request request)
    cdef object end(self)
    cdef object _end_body(self, Py_ssize_t size, trailers)
    cdef object answer(self, int status, bytes text, more)
