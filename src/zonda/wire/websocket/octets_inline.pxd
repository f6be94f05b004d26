# The C bodies of octets.py. A file of its own, since the .pxd beside octets.py would compile it.

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE, PyByteArray_Resize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_DecodeUTF8Stateful
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

cdef inline bytes cut(bytes data, Py_ssize_t start, Py_ssize_t end):
    # A slice by subscript would make two ints and a slice object first.
    return PyBytes_FromStringAndSize(PyBytes_AS_STRING(data) + start, end - start)

cdef inline void _mask(unsigned char *target, const unsigned char *source, Py_ssize_t size,
                       const unsigned char *key, Py_ssize_t phase) noexcept nogil:
    # memcpy is how C reads a word that is not aligned; compilers make one instruction of it, and
    # vectors of the loop.
    cdef unsigned char turned[8]
    cdef uint64_t mask, word
    cdef Py_ssize_t i
    for i in range(8):
        turned[i] = key[(phase + i) & 3]
    memcpy(&mask, turned, 8)
    i = 0
    while i + 8 <= size:
        memcpy(&word, source + i, 8)
        word ^= mask
        memcpy(target + i, &word, 8)
        i += 8
    while i < size:
        target[i] = source[i] ^ turned[i & 7]
        i += 1

cdef inline bytes masked(bytes data, Py_ssize_t start, Py_ssize_t end, bytes keys, Py_ssize_t at,
                         Py_ssize_t phase):
    cdef bytes made = PyBytes_FromStringAndSize(NULL, end - start)
    _mask(<unsigned char *>PyBytes_AS_STRING(made),
          <const unsigned char *>PyBytes_AS_STRING(data) + start, end - start,
          <const unsigned char *>PyBytes_AS_STRING(keys) + at, phase)
    return made

cdef inline int append_masked(bytearray buffer, bytes data, Py_ssize_t start, Py_ssize_t end,
                              bytes keys, Py_ssize_t at, Py_ssize_t phase) except -1:
    cdef Py_ssize_t size = PyByteArray_GET_SIZE(buffer)
    PyByteArray_Resize(buffer, size + end - start)
    _mask(<unsigned char *>PyByteArray_AS_STRING(buffer) + size,
          <const unsigned char *>PyBytes_AS_STRING(data) + start, end - start,
          <const unsigned char *>PyBytes_AS_STRING(keys) + at, phase)
    return 0

cdef inline Py_ssize_t valid_end(bytearray buffer, Py_ssize_t start) except -1:
    cdef Py_ssize_t used = 0
    PyUnicode_DecodeUTF8Stateful(PyByteArray_AS_STRING(buffer) + start,
                                 PyByteArray_GET_SIZE(buffer) - start, "strict", &used)
    return start + used
