# The C bodies of octets.py. A file of its own, since the .pxd beside octets.py would compile it.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcmp

cdef inline bytes cut(bytes data, Py_ssize_t start, Py_ssize_t end):
    # A slice by subscript would make two ints and a slice object first.
    return PyBytes_FromStringAndSize(PyBytes_AS_STRING(data) + start, end - start)

cdef inline bint match(bytes data, Py_ssize_t start, Py_ssize_t end, bytes text):
    return end - start == PyBytes_GET_SIZE(text) and memcmp(
        PyBytes_AS_STRING(data) + start, PyBytes_AS_STRING(text), end - start
    ) == 0
