cimport cython

from zonda.server.asgi.task cimport ASGIExchange
from zonda.server.exchange cimport Stream
from zonda.server.service cimport Service
from zonda.server.waiter cimport Waiter
from zonda.server.websocket cimport WebSocketSession

cdef int _BODY, _COMPLETE, _NORMAL, _ABNORMAL, _INTERNAL_ERROR, _SERVICE_RESTART
cdef dict _SCOPE, _EXTENSIONS
cdef list _TEXT
cdef Stream _NO_STREAM

cdef class WebSocketExchange(ASGIExchange):
    cdef object _handshake
    cdef WebSocketSession _session
    cdef bint _connected
    cdef Waiter _waiting, _spare

    cpdef set_handshake(self, handshake)
    @cython.locals(scope=dict, extensions=dict)
    cdef dict _scope(self)
    @cython.locals(session=WebSocketSession)
    cpdef dict next_message(self)
    cdef dict _next_of_handshake(self)
    @cython.locals(waiter=Waiter)
    cpdef wait_for_message(self)
    @cython.locals(waiter=Waiter)
    cpdef readable(self)
    @cython.locals(waiter=Waiter)
    cpdef resume_readers(self)
    @cython.locals(session=WebSocketSession)
    cdef bint send_waits(self) except -1
    @cython.locals(kind=str, session=WebSocketSession)
    cpdef handle(self, dict message)
    cdef object _handshake_message(self, str kind, dict message)
    @cython.locals(service=Service, session=WebSocketSession)
    cdef object _accept(self, dict message)
    cdef object _finished(self)
    cdef object _was_cancelled(self)
    @cython.locals(session=WebSocketSession)
    cdef object _failed(self, error)
    @cython.locals(session=WebSocketSession)
    cdef object _close_session(self, int code)
    cdef object _break_off_if_open(self)
    cdef object _log_early_end(self, str what)
