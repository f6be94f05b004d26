cimport cython

from zonda.wire.websocket cimport octets_inline as octets

cdef int BINARY, CLOSE, FIN, MASK, MAX_CONTROL, PING, PONG, RSV1, TEXT
cdef Py_ssize_t _MAX_JOINED

cdef class MessageEncoder:
    cdef readonly bint closed
    cdef object _masks
    cdef object _deflater
    cdef Py_ssize_t _threshold

    @cython.locals(payload=bytes, frame=bytes)
    cpdef Py_ssize_t text(self, list out, str text) except -1
    cpdef Py_ssize_t binary(self, list out, bytes data) except -1
    cpdef Py_ssize_t ping(self, list out, bytes payload=*) except -1
    cpdef Py_ssize_t pong(self, list out, bytes payload=*) except -1
    @cython.locals(added=Py_ssize_t)
    cpdef Py_ssize_t close(self, list out, int code, str reason=*) except -1
    cdef Py_ssize_t _message(self, list out, int opcode, bytes payload) except -1
    cdef Py_ssize_t _control(self, list out, int opcode, bytes payload) except -1
    @cython.locals(size=Py_ssize_t, key=bytes, head=bytes, frame=bytes)
    cdef Py_ssize_t _frame(self, list out, int first, bytes payload) except -1
