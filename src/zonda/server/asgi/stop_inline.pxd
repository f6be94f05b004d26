# The C body of stop.py. A file of its own, since the .pxd beside stop.py would compile it.

cdef extern from "Python.h":
    # Declared as what cannot fail, so that the caller goes on with the exception set.
    void _set "PyErr_SetObject"(object kind, object value) noexcept

cdef inline void set_value(object value) noexcept:
    _set(StopIteration, value)
