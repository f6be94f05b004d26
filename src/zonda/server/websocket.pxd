cimport cython

from zonda.server.connection cimport ServedConnection
from zonda.server.exchange cimport Exchange
from zonda.server.reactor.interface cimport Transport
from zonda.server.service cimport Service
from zonda.wire.websocket.encoder cimport MessageEncoder
from zonda.wire.websocket.parser cimport MessageParser

cdef int _OPEN, _CLOSING, _ENDING, _CLOSED
cdef int _ABNORMAL, _INTERNAL_ERROR, _SERVICE_RESTART
cdef Py_ssize_t QUEUED_BYTES, QUEUED_PONGS, _MESSAGE_OVERHEAD, HIGH_WATER
cdef object NEED_DATA

cdef class WebSocketSession(ServedConnection):
    cdef readonly Exchange exchange
    cdef readonly MessageParser parser
    cdef readonly MessageEncoder encoder
    cdef readonly bint ended
    cdef readonly int code
    cdef readonly str reason
    cdef int _phase
    cdef object _first
    cdef list _later
    cdef Py_ssize_t _size
    cdef bint _paused, _heard, _pinged, _peer_ended, _app_closed
    cdef bytes _owed

    cpdef start(self, bytes unread)
    cpdef next_message(self)
    @cython.locals(size=Py_ssize_t, transport=Transport)
    cpdef Py_ssize_t send_text(self, str text) except -1
    @cython.locals(size=Py_ssize_t, transport=Transport)
    cpdef Py_ssize_t send_bytes(self, bytes data) except -1
    cpdef close(self, int code, str reason)
    cpdef bint is_open(self) except -1
    cpdef bint is_blocked(self) except -1
    cdef object _not_open(self)
    @cython.locals(exchange=Exchange)
    cpdef data_received(self, bytes data)
    @cython.locals(transport=Transport)
    cpdef flushed(self)
    cdef object _read(self)
    cdef bint _is_full(self) except -1
    cdef object _append(self, message)
    cdef object _drop_messages(self)
    cdef object _control(self, event)
    cdef object _pong(self, bytes payload)
    cdef object _pause(self)
    cdef object _resume_reading(self)
    cdef object _keep_alive(self)
    cdef object _keep(self)
    @cython.locals(size=Py_ssize_t, transport=Transport, service=Service)
    cdef object _send_close(self, int code, str reason)
    cdef object _end(self, int code, str reason)
    cdef object _fail(self, int code, str reason)
    cdef object _finish(self)
    cdef object _await_end(self)
