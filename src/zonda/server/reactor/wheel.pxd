cdef int _SLOTS, _STALL

cdef class TimerOwner:
    cpdef timer_due(self, int kind)

cdef class Timer:
    cdef public TimerOwner owner
    cdef readonly int kind
    cdef readonly long long deadline
    cdef readonly long long filed

cdef class TimerWheel:
    cdef object _loop
    cdef list _slots
    cdef double _origin
    cdef long long _now
    cdef Py_ssize_t _count
    cdef object _turning

    cpdef arm(self, Timer timer, long long ticks)
    cpdef long long suspend(self, Timer timer) except -1
    cpdef resume(self, Timer timer, long long left)
    cpdef disarm(self, Timer timer)
    cpdef drop(self, Timer timer)
    cdef object _set(self, Timer timer, long long deadline)
    cdef object _file(self, Timer timer)
    cdef object _look(self, Timer timer)
