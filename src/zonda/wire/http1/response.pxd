cimport cython

from zonda.wire.http1 cimport octets_inline as octets
from zonda.wire.http1.fields cimport FieldTable

cdef bytes TOKEN, FIELD_VALUE
cdef FieldTable KNOWN_FIELDS
cdef int CONNECTION, CONTENT_LENGTH, DATE, SERVER, TRANSFER_ENCODING, UPGRADE
cdef int _NO_BODY, _LENGTH, _CHUNKED, _CLOSED
cdef list _LENGTH_LINES, _STATUS_LINES
cdef bytes _CLOSE, _KEEP_ALIVE, _CHUNKED_LINE, _COLON, _CRLF, _LAST_CHUNK, _END_OF_HEAD, _UPGRADE_CLOSE, _UPGRADE_KEEP_ALIVE
cdef int _MAX_LENGTH_DIGITS

cdef class DefaultFields:
    cdef readonly bytes date
    cdef readonly bytes server
    cdef readonly bytes extra
    cdef readonly bytes all
    cdef readonly bytearray scratch

cdef class ResponseEncoder:
    cdef public bint keep_alive
    cdef readonly bint sends_body
    cdef bint _head_only, _http_10
    cdef int _mode
    cdef long long _remaining
    cdef Py_ssize_t _chunk_size
    cdef bytes _chunk_line

    cpdef start(self, str method, bint is_http_10, bint keep_alive)
    @cython.locals(bodiless=bint, declared=cython.longlong, has_date=bint, has_server=bint,
                   has_upgrade=bint, scratch=bytearray, size=Py_ssize_t, known=int, slot=Py_ssize_t,
                   framing=bytes)
    cpdef Py_ssize_t head(self, list out, int status, fields, long long length, DefaultFields defaults) except -1
    cdef bytes _frame(self, int status, long long length, long long declared, bint bodiless)
    @cython.locals(size=Py_ssize_t, added=Py_ssize_t)
    cpdef Py_ssize_t data(self, list out, bytes data) except -1
    cpdef Py_ssize_t open_piece(self, list out, long long size) except -1
    cpdef Py_ssize_t close_piece(self, list out) except -1
    @cython.locals(section=bytes)
    cpdef Py_ssize_t end(self, list out, trailers=*) except -1

cdef bytes _length_line(long long length)

@cython.locals(hashed=cython.uint, i=Py_ssize_t, end=Py_ssize_t, octet=cython.uchar)
cdef Py_ssize_t _check_field(bytes name, bytes value) except -2
@cython.locals(length=cython.longlong, i=Py_ssize_t, end=Py_ssize_t)
cdef long long _read_length(bytes value) except -1
