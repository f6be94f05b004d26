cimport cython

from zonda.server.exchange cimport Exchange, Runner, Stream
from zonda.server.reactor.interface cimport FileSegment
from zonda.server.service cimport Service
from zonda.wire.events cimport Request

cdef int _BUDGET
cdef int _COMPLETE, _MAX_CHAIN
cdef dict _SCOPE, _EXTENSIONS
cdef object Task, CoroutineType, _copy_context, _is_done, _exception

cdef class ASGIRunner(Runner):
    @cython.locals(exchange=ASGIExchange)
    cpdef Exchange open(self, Service service, Stream stream, Request request)

cdef class ASGIExchange(Exchange):
    cdef object _task
    cdef int budget

    @cython.locals(service=Service, arguments=dict)
    cpdef begin(self)
    @cython.locals(operation=ReceiveOperation)
    cpdef ReceiveOperation receive(self)
    @cython.locals(operation=SendOperation)
    cpdef SendOperation send(self, message)
    @cython.locals(request=Request, service=Service, scope=dict)
    cdef dict _scope(self)
    @cython.locals(service=Service)
    cpdef _returned(self, task)
    cdef object _was_cancelled(self)
    cdef object _failed(self, error)
    @cython.locals(body=bytes)
    cpdef dict next_message(self)
    @cython.locals(kind=str)
    cpdef handle(self, dict message)
    @cython.locals(number=int)
    cdef object _send_open_file(self, dict message)

@cython.freelist(32)
cdef class ReceiveOperation:
    cdef ASGIExchange exchange
    cdef object waiter
    cdef dict message

    @cython.locals(exchange=ASGIExchange)
    cdef bint _step(self) except -1

@cython.freelist(32)
cdef class SendOperation:
    cdef ASGIExchange exchange
    cdef object message
    cdef object waiter

    @cython.locals(exchange=ASGIExchange)
    cdef bint _step(self) except -1

cdef object _for_task(awaitable, bint eager)
