cimport cython

from zonda.wire.http1.fields cimport FieldTable
from zonda.wire.http1 cimport octets_inline as octets
from zonda.wire.events cimport Request

cdef bytes TOKEN, TARGET, FIELD_VALUE, HEX_DIGIT, HOST_OCTET
cdef FieldTable KNOWN_FIELDS
cdef int HOST, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, EXPECT, UPGRADE
cdef int MAX_METHOD, MAX_EMPTY_LINES, MAX_CHUNK_LINE
cdef int _REQUEST_LINE, _FIELDS, _BODY, _CHUNK_SIZE, _CHUNK_DATA, _CHUNK_END, _TRAILERS, _COMPLETE, _FAILED
cdef unsigned char _CR, _LF, _SP, _HTAB, _COLON, _SEMICOLON, _SLASH
cdef int _MAX_LENGTH_DIGITS
cdef dict _METHODS
cdef bytes _GET, _HTTP_11
cdef object END, NEED_DATA

cdef class RequestParser:
    cdef Py_ssize_t _max_line, _max_head, _max_fields
    cdef long long _max_body
    cdef bytes _data
    cdef Py_ssize_t _pos
    cdef bytearray _partial
    cdef int _state
    cdef Request _request
    cdef readonly list trailers
    cdef Py_ssize_t _section_size
    cdef Py_ssize_t _field_count
    cdef int _empty_lines
    cdef bytes _host, _authority, _coding
    cdef bint _close, _keep_alive
    cdef long long _remaining, _body_size

    cdef object _begin_message(self)
    cpdef feed(self, bytes data)
    cpdef Py_ssize_t unread(self) except -1
    cpdef next_event(self)
    cpdef next_request(self)
    cdef object _next_event(self)
    cdef bint _cut_off(self, Py_ssize_t start) except -1
    cdef object _check_size(self, Py_ssize_t line)
    @cython.locals(end=Py_ssize_t)
    cdef bint _refuse(self, Py_ssize_t start, int status, str reason) except -1
    @cython.locals(data=bytes, size=Py_ssize_t, pos=Py_ssize_t, start=Py_ssize_t, method_end=Py_ssize_t,
                   target_start=Py_ssize_t, target_end=Py_ssize_t, query=Py_ssize_t, end=Py_ssize_t,
                   kind=cython.uchar, escaped=bint, request=Request, target=bytes)
    cdef bint _read_request_line(self) except -1
    cdef object _read_version(self, Request request, bytes text)
    cdef bint _read_other_form(self, Request request, bytes target) except -1
    @cython.locals(data=bytes, size=Py_ssize_t, pos=Py_ssize_t, start=Py_ssize_t, name_end=Py_ssize_t,
                   value_start=Py_ssize_t, value_end=Py_ssize_t, slot=Py_ssize_t, hashed=cython.uint,
                   octet=cython.uchar, known=int, name=bytes, value=bytes)
    cdef bint _read_fields(self, list fields) except -1
    cdef object _take_framing(self, int known, bytes value)
    @cython.locals(request=Request, length=cython.longlong)
    cdef Request _finish_head(self)
    cdef object _replace_host(self, Request request)
    cdef object _take_coding(self, Request request)
    @cython.locals(available=Py_ssize_t, size=Py_ssize_t, end=Py_ssize_t, piece=bytes)
    cdef object _read_content(self)
    @cython.locals(data=bytes, size=Py_ssize_t, pos=Py_ssize_t, start=Py_ssize_t, digits=Py_ssize_t,
                   length=cython.longlong, digit=cython.uchar)
    cdef bint _read_chunk_size(self) except -1
    @cython.locals(data=bytes, pos=Py_ssize_t)
    cdef bint _read_chunk_end(self) except -1

cdef str _read_method(bytes method)
@cython.locals(length=cython.longlong, i=Py_ssize_t, end=Py_ssize_t)
cdef long long _read_length(bytes value) except -1
@cython.locals(i=Py_ssize_t, end=Py_ssize_t)
cdef bint _is_host(bytes value) except -1
@cython.locals(i=Py_ssize_t, end=Py_ssize_t)
cdef bint _is_port(bytes value, Py_ssize_t start) except -1
