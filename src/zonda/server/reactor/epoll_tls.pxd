from libc.stdint cimport uint32_t

from zonda.server.reactor.epoll_transport cimport EpollTransport
from zonda.server.reactor.interface cimport FileSegment

cdef class TLSTransport(EpollTransport):
    cdef object context              # until the peer begins
    cdef object sock                 # what the ssl object reads from; the descriptor is not its own
    cdef object record_read          # read and write of the ssl object, one record at a time
    cdef object record_write
    cdef object waiting              # a record that has to be written again, unchanged
    cdef int state
    cdef Py_ssize_t flushed_now      # bytes written since flush began
    cdef bint read_wants_write
    cdef bint write_wants_read
    cdef bint held                   # what epoll will not report again is still to be read

    cdef object negotiate(self)
    cdef bint begin(self) except -1
    cdef bint shake_hands(self) except -1
    cdef object received(self, bytes data)
    cdef object ended(self)
    cdef object discard(self)
    cdef bytes read_record(self)
    cdef bint write_record(self, record) except -1
    cdef object next_record(self)
    cdef object advance(self, Py_ssize_t count)
    cdef object sent_of_file(self, FileSegment segment, Py_ssize_t size)
