from libc.stdint cimport uint32_t
from posix.types cimport off_t

from zonda.server.reactor.epoll cimport EpollReactor, Source
from zonda.server.reactor.interface cimport FileSegment, Transport

cdef bint in_memory(int fd, off_t offset, size_t size)
cdef object shortened(FileSegment segment)

cdef class StreamSource(Source):
    cdef EpollTransport transport

cdef class EpollTransport(Transport):
    cdef EpollReactor reactor
    cdef StreamSource source
    cdef Py_ssize_t first_offset     # bytes of queue[0] that are sent already
    cdef bint reading
    cdef bint saw_end                # the peer's end has been reported
    cdef bint writing_ends           # shut down once the queue is empty
    cdef bint is_shut
    cdef bint blocked                # the connection has been told that part of the queue is left
    cdef bint bulk                   # the last read filled the buffer
    cdef bint is_local               # the peer is on this machine
    cdef bint warming                # a thread reads the next part of a file
    cdef off_t warm_to               # how far into the file at queue[0] a thread has read

    cdef object ready(self, uint32_t events)
    cdef object read_ready(self)
    cdef object socket_error(self)
    cdef object fail(self, object error)
    cdef bint send_parts(self) except -1
    cdef bint send_file(self, FileSegment segment) except -1
    cdef ssize_t splice_file(self, FileSegment segment, size_t part) except -2
    cdef ssize_t copy_file(self, FileSegment segment, size_t part) except -2
    cdef warm(self, FileSegment segment, size_t part)
    cdef bint shut(self) except -1
    cdef object reset_on_close(self)
    cdef object release(self)
