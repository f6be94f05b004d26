"""The reactor on Linux: an epoll set of our own inside the application's event loop.

The epoll descriptor itself is readable when one of its sources is ready, so it is registered once
with whatever loop the application runs on. When the loop reports it, ``_ready`` drains a bounded
batch: for each readable stream one ``recv`` and one ``data_received``, for what that wrote one
``send``. Level-triggered: what is left over is reported again.

Descriptors are reused by the kernel, even within one batch, so an event carries the generation of
the stream that it was registered for. A descriptor is taken out of the set before it is closed: a
forked child that still holds the file would otherwise keep it in the set for ever.

This module is the set; ``epoll_listener`` and ``epoll_transport`` are what is registered in it, and
``linux.pxd`` declares what they use of C.
"""

from libc.errno cimport EPROTO, errno
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport strerror
from libc.time cimport time

from zonda.server.reactor.interface cimport Reactor
from zonda.server.reactor.linux cimport (
    EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, c_close, epoll_create1, epoll_ctl, epoll_event,
    epoll_wait,
)

__all__ = ["EpollReactor"]

cdef enum:
    BATCH = 64               # events drained at once
    TURNS = 4                # times that is done a wake-up
    HANDSHAKES = 16          # steps of TLS handshakes taken a wake-up: a signature takes long


cdef OSError os_error(int number):
    return OSError(number, strerror(number).decode("utf-8", "replace"))


cdef class Source:
    """Something registered in the epoll set: a listener, or the descriptor side of a stream."""

    cdef object ready(self, uint32_t events):
        """Epoll reports ``events``."""
        raise NotImplementedError

    cdef object fail(self, error):
        """End with ``error``, which nobody below can handle: a source goes, the others go on."""

    cdef object close(self):
        """The reactor closes."""
        raise NotImplementedError

    cdef int want(self, uint32_t interest) except -1:
        """Be told of ``interest`` from now on."""
        cdef epoll_event event
        if interest == self.interest or self.fd < 0:
            return 0
        event.events = interest
        event.data.u64 = (<uint64_t> self.generation << 32) | <uint32_t> self.fd
        if epoll_ctl(self.reactor.epoll, EPOLL_CTL_MOD, self.fd, &event) < 0:
            raise os_error(errno)
        self.interest = interest
        return 0


cdef class EpollReactor(Reactor):
    """The epoll set of one worker, registered with its event loop."""

    name = "epoll"

    def __init__(self, loop):
        Reactor.__init__(self, loop)
        self.sources = []
        self.failed = []
        self.epoll = epoll_create1(EPOLL_CLOEXEC)
        if self.epoll < 0:
            raise os_error(errno)
        loop.add_reader(self.epoll, self._ready)

    cpdef long long seconds(self) except -1:
        return time(NULL)

    cdef object register(self, Source source, int fd, uint32_t interest):
        cdef epoll_event event
        self.generation += 1
        source.reactor = self
        source.generation = self.generation
        event.events = interest
        event.data.u64 = (<uint64_t> self.generation << 32) | <uint32_t> fd
        if epoll_ctl(self.epoll, EPOLL_CTL_ADD, fd, &event) < 0:
            raise os_error(errno)
        source.fd = fd
        source.interest = interest
        while len(self.sources) <= fd:
            self.sources.append(None)
        self.sources[fd] = source

    cdef object unregister(self, Source source):
        cdef epoll_event event
        if source.fd >= 0:
            epoll_ctl(self.epoll, EPOLL_CTL_DEL, source.fd, &event)
            self.sources[source.fd] = None
            source.fd = -1

    cdef object fail_later(self, Source source, error):
        if not self.failed:
            self.loop.call_soon(self._run_failed)
        self.failed.append((source, error))

    def _run_failed(self):
        failed = self.failed
        self.failed = []
        for source, error in failed:
            (<Source> source).fail(error)

    def _ready(self):
        cdef epoll_event events[BATCH]
        cdef int count, turn
        self.handshakes = HANDSHAKES
        for turn in range(TURNS):
            # A turn of the event loop costs as much as a small request: while more has come
            # meanwhile, go on without one.
            if self.epoll < 0:
                return
            count = epoll_wait(self.epoll, events, BATCH, 0)
            if count <= 0:
                return
            self.handle(events, count)

    cdef object handle(self, epoll_event *events, int count):
        cdef int i
        cdef uint32_t fd
        cdef object found
        cdef Source source
        for i in range(count):
            fd = <uint32_t> events[i].data.u64
            found = self.sources[fd]
            if found is None:
                continue
            source = <Source> found
            if source.generation != <uint32_t> (events[i].data.u64 >> 32):
                continue
            try:
                source.ready(events[i].events)
            except Exception as error:
                self._broken(source, error)

    def _broken(self, Source source, error):
        """A fault of ours, or of the application's own callables: it ends one connection, no more."""
        self.loop.call_exception_handler(
            {"message": "a connection failed and was closed", "exception": error}
        )
        source.fail(os_error(EPROTO))

    def listen(self, sock, factory, refused, tls=None, admission=None):
        # Here, since the listener's module stands on this one.
        from zonda.server.reactor.epoll_listener import EpollListener
        return EpollListener(self, sock, factory, refused, tls, admission)

    def close(self):
        Reactor.close(self)
        for source in list(self.sources):
            if source is not None:
                (<Source> source).close()
        if self.epoll >= 0:
            self.loop.remove_reader(self.epoll)
            c_close(self.epoll)
            self.epoll = -1
