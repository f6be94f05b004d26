cimport cython

# It holds no references that could come round to it.
@cython.no_gc
cdef class Request:
    cdef public str method
    cdef public bytes target
    cdef public bytes raw_path
    cdef public str path
    cdef public bytes query_string
    cdef public list headers
    cdef public str http_version
    cdef public bint is_http_10
    cdef public bint keep_alive
    cdef public long long content_length
    cdef public bint chunked
    cdef public bint expects_continue
    cdef public bytes upgrade

    cpdef set_up(self)
