cimport cython

from zonda.asgi.pool cimport Call, Mailbox, Pool
from zonda.server.exchange cimport Exchange, Runner, Stream
from zonda.server.reactor.interface cimport FileSegment
from zonda.server.service cimport Service
from zonda.wire.events cimport Request

cdef Py_ssize_t _UNSENT, _PART_OVERHEAD, _JOINED
cdef int _COMPLETE, _MAX_CHAIN, _MAX_KEYS
cdef int _START, _PART, _LAST, _FILE, _WANT, _CONSUMED, _FAILED, _DONE

cdef class WSGIRunner(Runner):
    cdef readonly Pool pool
    cdef readonly Mailbox mailbox
    cdef readonly object lock
    cdef tuple _named
    cdef dict _keys, _environ

    @cython.locals(exchange=WSGIExchange)
    cpdef Exchange open(self, Service service, Stream stream, Request request)
    @cython.locals(request=Request, environ=dict, raw_path=bytes, path=str, named=tuple)
    cdef dict environ(self, WSGIExchange exchange)
    @cython.locals(keys=dict, name=bytes, value=bytes, text=str, joint=str, field=tuple)
    cdef object _add_fields(self, dict environ, Request request)
    cdef object _key(self, bytes name)

cdef class WSGIExchange(Exchange):
    cdef public WSGIRunner runner
    cdef public WSGICall call
    cdef public bint blocked

    @cython.locals(service=Service, call=WSGICall)
    cpdef begin(self)
    cdef object _refuse(self, error)
    @cython.locals(call=WSGICall)
    cpdef cancel(self)
    cpdef add_body(self, bytes piece)
    cpdef end_body(self)
    @cython.locals(call=WSGICall)
    cpdef lost(self)
    cpdef writable(self)
    @cython.locals(call=WSGICall)
    cpdef rouse(self)
    cdef object perform(self, int kind, value)
    cdef object _perform(self, int kind, value)
    cdef object _failed(self, error)
    cdef object _done(self)
    cpdef bint is_over(self) except -1
    @cython.locals(call=WSGICall, pieces=list, data=bytes, asked=bint, complete=bint)
    cpdef bytes take_body(self)

cdef class WSGICall(Call):
    cdef readonly WSGIExchange exchange
    cdef readonly Mailbox mailbox
    cdef public object sleeper
    cdef object _outbox
    cdef bint _posted
    cdef int _status
    cdef list _fields
    cdef long long _declared
    cdef bint _started, _ended
    cdef long long _written, _given, _taken

    cpdef set_up(self, WSGIExchange exchange, Service service)
    @cython.locals(exchange=WSGIExchange, kind=int, taken=bint)
    cpdef returned(self)
    @cython.locals(parts=list, size=Py_ssize_t)
    cdef bytes _joined(self, bytes part)
    cpdef run(self)
    @cython.locals(exchange=WSGIExchange, environ=dict)
    cpdef respond(self)
    cdef object _send_all(self, parts)
    @cython.locals(exchange=WSGIExchange, bodiless=bint)
    cdef object _send_each(self, parts)
    @cython.locals(segment=FileSegment)
    cdef object _send_file(self, wrapper)
    cdef object _begin(self)
    @cython.locals(size=Py_ssize_t)
    cdef object _write(self, bytes data)
    cdef object _end(self)
    @cython.locals(exchange=WSGIExchange)
    cdef object _wait_for_room(self)
    cdef object post(self, int kind, value)
    cdef object sleep(self)

cdef int _status_code(status) except -1
