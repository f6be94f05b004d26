# The C bodies of octets.py. A file of its own, since the .pxd beside octets.py would compile it.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE, PyByteArray_Resize
from libc.string cimport memcmp, memcpy

cdef inline bytes cut(bytes data, Py_ssize_t start, Py_ssize_t end):
    # A slice by subscript would make two ints and a slice object first.
    return PyBytes_FromStringAndSize(PyBytes_AS_STRING(data) + start, end - start)

cdef inline bint match(bytes data, Py_ssize_t start, Py_ssize_t end, bytes text):
    return end - start == PyBytes_GET_SIZE(text) and memcmp(
        PyBytes_AS_STRING(data) + start, PyBytes_AS_STRING(text), end - start
    ) == 0

cdef inline Py_ssize_t put(bytearray target, Py_ssize_t at, bytes data) except -1:
    cdef Py_ssize_t end = at + PyBytes_GET_SIZE(data)
    if end > PyByteArray_GET_SIZE(target):
        PyByteArray_Resize(target, 2 * end)
    memcpy(PyByteArray_AS_STRING(target) + at, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
    return end

cdef inline bytes taken(bytearray source, Py_ssize_t size):
    return PyBytes_FromStringAndSize(PyByteArray_AS_STRING(source), size)
