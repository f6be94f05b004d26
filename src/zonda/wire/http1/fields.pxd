cimport cython

cdef bytes TOKEN
cdef int _SLOTS

cdef class FieldTable:
    cdef list _names
    cdef list _prefixes
    cdef bytes _ids

    @cython.locals(i=Py_ssize_t, value=cython.uint)
    cpdef unsigned int hash(self, bytes data, Py_ssize_t start, Py_ssize_t end) except? 0

    @cython.locals(slot=Py_ssize_t, length=Py_ssize_t, i=Py_ssize_t, name=bytes)
    cpdef Py_ssize_t find(self, bytes data, Py_ssize_t start, Py_ssize_t end, unsigned int hashed) except -2

    cpdef bytes name(self, Py_ssize_t slot)

    cpdef bytes prefix(self, Py_ssize_t slot)

    cpdef int id(self, Py_ssize_t slot) except -1
