cimport cython

from zonda.server.reactor.interface cimport FileSegment
from zonda.server.service cimport Service
from zonda.wire.events cimport Request

cdef int _START, _HEAD, _BODY, _TRAILERS, _COMPLETE
cdef Py_ssize_t _PIECE_OVERHEAD

cdef class Stream:
    cpdef bint is_blocked(self) except -1
    cpdef write_head(self, int status, fields, long long length)
    cpdef write_data(self, bytes data, bint end)
    cpdef write_file(self, FileSegment segment, bint end)
    cpdef write_trailers(self, fields)
    cpdef write_interim(self, int status, fields)
    cpdef switch(self, fields)
    cpdef reset(self)
    cpdef want_body(self)
    cpdef consumed(self, Py_ssize_t size)

cdef class Runner:
    cpdef Exchange open(self, Service service, Stream stream, Request request)
    cpdef Exchange open_websocket(self, Service service, Stream stream, Request request, handshake)

cdef class Exchange:
    cdef readonly Service service
    cdef readonly Stream stream
    cdef readonly Request request
    cdef public object client
    cdef public object server
    cdef public str scheme
    cdef readonly bint is_websocket
    cdef public dict tls
    cdef readonly int status
    cdef readonly long long body_sent
    cdef readonly double started_at
    cdef public bint begun
    cdef readonly bint gone
    cdef readonly Py_ssize_t buffered
    cdef readonly int phase
    cdef object _fields
    cdef bint _trailers_follow
    cdef list _trailers
    cdef list _pieces
    cdef bint _body_complete, _body_delivered, _left, _told
    cdef list _receivers, _senders

    cpdef set_up(self, Service service, Stream stream, Request request)
    cpdef begin(self)
    cpdef cancel(self)
    cpdef add_body(self, bytes piece)
    cpdef end_body(self)
    cpdef half_closed(self)
    cpdef lost(self)
    cpdef readable(self)
    cpdef resume_readers(self)
    cpdef writable(self)
    cpdef start(self, int status, fields, bint trailers)
    @cython.locals(phase=int, whole=bint)
    cpdef write(self, bytes data, bint more)
    cdef object _end_of_data(self, bytes data)
    cpdef write_file(self, FileSegment segment, bint more)
    cpdef write_trailers(self, fields, bint more)
    cpdef write_interim(self, int status, fields)
    cpdef break_off(self)
    @cython.locals(pieces=list, body=bytes)
    cpdef bytes next_body(self)
    cpdef wait_for_body(self)
    cpdef wait_until_writable(self)
    cdef object _send_head(self, long long length)
    cdef object _ended(self)
    cdef bint _accepts_trailers(self) except -1
