cimport cython

cdef int _DELIVERIES

cdef class Call:
    cdef public object loop
    cdef public double queued_at

    cpdef run(self)
    cpdef returned(self)

cdef class Mailbox:
    cdef readonly object loop
    cdef object _posted
    cdef bint _awake
    cdef object _context

    cpdef post(self, Call call)
    cdef object _wake(self)
    @cython.locals(left=int, call=Call)
    cpdef _deliver(self)

cdef class Pool:
    cdef readonly Py_ssize_t max_threads, max_waiting
    cdef readonly double idle
    cdef readonly str name
    cdef object _lock
    cdef object _queue
    cdef list _resting
    cdef set _threads
    cdef bint _waking, _closed
    cdef Py_ssize_t _numbered, _busy, _started, _peak, _refused
    cdef double _waited, _longest

    cpdef put(self, Call call)
    cpdef bint put_if_free(self, Call call) except -1
    cdef bint _put(self, Call call, Py_ssize_t limit) except -1
    cpdef bint withdraw(self, Call call) except -1
    cpdef close(self)
    @cython.locals(call=Call)
    cpdef work(self, thread)
    @cython.locals(call=Call, waited=double)
    cdef Call _next(self, thread)
    cdef object _rouse(self)
    cdef bint _wake(self, thread) except -1
    cdef object _without_thread(self, Call call)
    cdef bint _retire(self, thread) except -1
    cdef object _leave(self, thread)
