cdef class Waiter:
    cdef object _loop
    cdef object _callback
    cdef object _context
    cdef bint _done, _cancelled
    cdef object _message
    cdef public bint _asyncio_future_blocking

    cpdef renew(self)
    cpdef wake(self)
    cpdef bint done(self)
    cdef object _schedule(self)
