from libc.stdint cimport uint32_t

from zonda.server.reactor.interface cimport Reactor
from zonda.server.reactor.linux cimport epoll_event

cdef OSError os_error(int number)

cdef class Source:
    cdef EpollReactor reactor
    cdef int fd                  # -1 while it is not registered
    cdef uint32_t generation
    cdef uint32_t interest

    cdef object ready(self, uint32_t events)
    cdef object fail(self, error)
    cdef object close(self)
    cdef int want(self, uint32_t interest) except -1

cdef class EpollReactor(Reactor):
    cdef int epoll
    cdef list sources            # by descriptor
    cdef uint32_t generation
    cdef list failed
    cdef int handshakes          # steps of handshakes that may still be taken this wake-up

    cdef object register(self, Source source, int fd, uint32_t interest)
    cdef object unregister(self, Source source)
    cdef object fail_later(self, Source source, error)
    cdef object handle(self, epoll_event *events, int count)
