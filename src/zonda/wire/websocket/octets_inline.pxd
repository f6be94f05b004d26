# The C bodies of octets.py. A file of its own, since the .pxd beside octets.py would compile it.

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE, PyByteArray_Resize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8, PyUnicode_DecodeUTF8Stateful
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy

cdef extern from "Python.h":
    int PyUnicode_IS_COMPACT_ASCII(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    void *PyUnicode_DATA(object text)

cdef enum:
    SMALL_TEXT = 1024

cdef inline bytes cut(bytes data, Py_ssize_t start, Py_ssize_t end):
    # A slice by subscript would make two ints and a slice object first.
    return PyBytes_FromStringAndSize(PyBytes_AS_STRING(data) + start, end - start)

cdef inline void _mask(unsigned char *target, const unsigned char *source, Py_ssize_t size,
                       uint32_t key, Py_ssize_t phase) noexcept nogil:
    # memcpy is how C reads a word that is not aligned; compilers make one instruction of it, and
    # vectors of the loop.
    cdef unsigned char turned[8]
    cdef uint64_t mask, word
    cdef Py_ssize_t i
    for i in range(8):
        turned[i] = <unsigned char>(key >> (8 * ((phase + i) & 3)))
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

cdef inline uint32_t read_key(bytes data, Py_ssize_t start) noexcept:
    # Little-endian whatever the machine is: the mask is applied octet by octet from its low end.
    cdef const unsigned char *octets = <const unsigned char *>PyBytes_AS_STRING(data) + start
    return octets[0] | (<uint32_t>octets[1] << 8) | (<uint32_t>octets[2] << 16) | (<uint32_t>octets[3] << 24)

cdef inline bytes masked(bytes data, Py_ssize_t start, Py_ssize_t end, uint32_t key,
                         Py_ssize_t phase):
    cdef bytes made = PyBytes_FromStringAndSize(NULL, end - start)
    _mask(<unsigned char *>PyBytes_AS_STRING(made),
          <const unsigned char *>PyBytes_AS_STRING(data) + start, end - start, key, phase)
    return made

cdef inline str masked_text(bytes data, Py_ssize_t start, Py_ssize_t end, uint32_t key):
    # What is small is unmasked on the stack: text needs no octets of its own.
    cdef unsigned char small[SMALL_TEXT]
    cdef bytes payload
    if end - start > SMALL_TEXT:
        payload = masked(data, start, end, key, 0)
        return PyUnicode_DecodeUTF8(PyBytes_AS_STRING(payload), end - start, NULL)
    _mask(small, <const unsigned char *>PyBytes_AS_STRING(data) + start, end - start, key, 0)
    return PyUnicode_DecodeUTF8(<char *>small, end - start, NULL)

cdef inline int append_masked(bytearray buffer, bytes data, Py_ssize_t start, Py_ssize_t end,
                              uint32_t key, Py_ssize_t phase) except -1:
    cdef Py_ssize_t size = PyByteArray_GET_SIZE(buffer)
    PyByteArray_Resize(buffer, size + end - start)
    _mask(<unsigned char *>PyByteArray_AS_STRING(buffer) + size,
          <const unsigned char *>PyBytes_AS_STRING(data) + start, end - start, key, phase)
    return 0

cdef inline Py_ssize_t valid_end(bytearray buffer, Py_ssize_t start) except -1:
    cdef Py_ssize_t used = 0
    PyUnicode_DecodeUTF8Stateful(PyByteArray_AS_STRING(buffer) + start,
                                 PyByteArray_GET_SIZE(buffer) - start, "strict", &used)
    return start + used

cdef inline Py_ssize_t _header(unsigned char *target, int first, int mask, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t octets, i
    target[0] = <unsigned char>first
    if size < 126:
        target[1] = <unsigned char>(mask | size)
        return 2
    octets = 2 if size < 0x10000 else 8
    target[1] = <unsigned char>(mask | (126 if octets == 2 else 127))
    for i in range(octets):
        target[2 + i] = <unsigned char>((<uint64_t>size >> (8 * (octets - 1 - i))) & 0xFF)
    return 2 + octets

cdef inline bytes header(int first, int mask, Py_ssize_t size):
    cdef unsigned char made[10]
    cdef Py_ssize_t octets = _header(made, first, mask, size)
    return PyBytes_FromStringAndSize(<char *>made, octets)

cdef inline bytes joined(int first, bytes payload):
    cdef unsigned char made[10]
    cdef Py_ssize_t size = PyBytes_GET_SIZE(payload)
    cdef Py_ssize_t octets = _header(made, first, 0, size)
    cdef bytes frame = PyBytes_FromStringAndSize(NULL, octets + size)
    memcpy(PyBytes_AS_STRING(frame), made, octets)
    memcpy(PyBytes_AS_STRING(frame) + octets, PyBytes_AS_STRING(payload), size)
    return frame

cdef inline bytes joined_text(int first, str text):
    # ASCII is its own UTF-8: no octets are made in between.
    if not PyUnicode_IS_COMPACT_ASCII(text):
        return joined(first, text.encode("utf-8"))
    cdef Py_ssize_t size = PyUnicode_GET_LENGTH(text)
    cdef unsigned char made[10]
    cdef Py_ssize_t octets = _header(made, first, 0, size)
    cdef bytes frame = PyBytes_FromStringAndSize(NULL, octets + size)
    memcpy(PyBytes_AS_STRING(frame), made, octets)
    memcpy(PyBytes_AS_STRING(frame) + octets, PyUnicode_DATA(text), size)
    return frame
