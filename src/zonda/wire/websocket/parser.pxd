cimport cython

from zonda.wire.websocket cimport octets_inline as octets

cdef int CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG
cdef int FIN, MASK, OPCODE, RSV, RSV1, LENGTH_16, MAX_CONTROL
cdef int _HEADER, _PAYLOAD, _CONTROL, _CLOSED, _FAILED
cdef object NEED_DATA

cdef class MessageParser:
    cdef long long _max_message
    cdef Py_ssize_t _max_fragments
    cdef bint _masked
    cdef object _inflater
    cdef bytes _data
    cdef Py_ssize_t _pos
    cdef int _state
    cdef int _opcode
    cdef bint _final
    cdef long long _remaining, _taken
    cdef unsigned int _key
    cdef int _kind
    cdef bint _compressed
    cdef Py_ssize_t _fragments
    cdef bytearray _buffer
    cdef Py_ssize_t _valid

    cpdef feed(self, bytes data)
    cpdef next_event(self)
    cdef void _drop(self) except *
    @cython.locals(state=int)
    cdef object _next_event(self)
    @cython.locals(data=bytes, pos=Py_ssize_t, available=Py_ssize_t, first=int, second=int, opcode=int,
                   length=cython.longlong, size=Py_ssize_t)
    cdef bint _read_header(self) except -1
    @cython.locals(opcode=int)
    cdef void _check_rare(self, int first, long long length) except *
    @cython.locals(size=Py_ssize_t)
    cdef void _check_size(self, int first, long long length) except *
    cdef object _read_control(self)
    cdef bytes _take(self, Py_ssize_t end)
    @cython.locals(start=Py_ssize_t, available=Py_ssize_t, size=Py_ssize_t, end=Py_ssize_t, whole=bint, last=bint)
    cdef object _read_payload(self)
    @cython.locals(payload=bytes, text=bint)
    cdef object _read_whole(self, Py_ssize_t end)
    @cython.locals(start=Py_ssize_t)
    cdef str _read_whole_text(self, Py_ssize_t end)
    @cython.locals(buffer=bytearray, piece=bytes, valid=Py_ssize_t)
    cdef void _append(self, Py_ssize_t start, Py_ssize_t end, bint last) except *
    @cython.locals(buffer=bytearray, text=bint)
    cdef object _put_together(self)
    cdef void _begin_message(self) except *

@cython.locals(length=cython.longlong, end=Py_ssize_t)
cdef long long _read_length(bytes data, Py_ssize_t pos, Py_ssize_t size) except -1
