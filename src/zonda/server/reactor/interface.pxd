from zonda.server.reactor.wheel cimport TimerOwner, TimerWheel

cdef class FileSegment:
    cdef public int fd
    cdef public long long offset
    cdef public long long remaining

cdef class Transport:
    cdef public Connection connection
    cdef public list queue
    cdef public Py_ssize_t queued
    cdef public long long sent
    cdef public bint corked
    cdef public bint closed
    cdef public object client
    cdef public object server
    cdef public object ssl
    cdef public dict tls

    cpdef write(self, bytes data)
    cpdef added(self, Py_ssize_t size)
    cpdef flush(self)
    cpdef long long taken(self) except -1
    cpdef pause_reading(self)
    cpdef resume_reading(self)
    cpdef shutdown_write(self)
    cpdef close(self)
    cpdef abort(self)
    cpdef drop_queue(self)

cdef class Connection(TimerOwner):
    cpdef data_received(self, bytes data)
    cpdef eof_received(self)
    cpdef peer_closing(self)
    cpdef write_blocked(self)
    cpdef flushed(self)
    cpdef lost(self, error)
    cpdef resume(self)
    cpdef handshake_done(self)
    cpdef handshake_failed(self, error)
    cpdef not_tls(self, bytes opening)

cdef class Listener:
    pass

cdef class Reactor:
    cdef readonly object loop
    cdef readonly TimerWheel wheel
    cdef list _scheduled
    cpdef long long seconds(self) except -1
    cpdef schedule(self, Connection connection)
