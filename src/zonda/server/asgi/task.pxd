cimport cython

from zonda.server.asgi cimport stop_inline as stop
from zonda.server.exchange cimport Exchange
from zonda.server.service cimport Service
from zonda.wire.events cimport Request

cdef int _BUDGET
cdef object Task, CoroutineType, _copy_context, _is_done, _exception

cdef class ASGIExchange(Exchange):
    cdef object _task
    cdef int budget

    @cython.locals(service=Service, arguments=dict)
    cpdef begin(self)
    @cython.locals(operation=ReceiveOperation)
    cpdef ReceiveOperation receive(self)
    @cython.locals(operation=SendOperation)
    cpdef SendOperation send(self, message)
    cdef dict _scope(self)
    cpdef dict next_message(self)
    cpdef wait_for_message(self)
    cpdef handle(self, dict message)
    cdef bint send_waits(self) except -1
    cdef object _finished(self)
    cdef object _was_cancelled(self)
    cdef object _failed(self, error)
    @cython.locals(request=Request, service=Service)
    cdef object _fill_scope(self, dict scope)
    @cython.locals(service=Service)
    cpdef _returned(self, task)
    cdef object pause(self)
    cdef object _log_failure(self, error)

cdef class ReceiveOperation:
    cdef ASGIExchange exchange
    cdef object waiter
    cdef dict message

    @cython.locals(exchange=ASGIExchange)
    cdef bint _step(self) except -1

cdef class SendOperation:
    cdef ASGIExchange exchange
    cdef object message
    cdef object waiter

    @cython.locals(exchange=ASGIExchange)
    cdef bint _step(self) except -1

cdef object _for_task(awaitable, bint eager)
