"""The reactor on Linux: an epoll set of our own inside the application's event loop.

The epoll descriptor itself is readable when one of its sources is ready, so it is registered once
with whatever loop the application runs on. When the loop reports it, ``_ready`` drains a bounded
batch: for each readable stream one ``recv`` and one ``data_received``, for what that wrote one
``send``. Level-triggered: what is left over is reported again.

Descriptors are reused by the kernel, even within one batch, so an event carries the generation of
the stream that it was registered for. A descriptor is taken out of the set before it is closed: a
forked child that still holds the file would otherwise keep it in the set for ever.
"""

import os
import socket as _socket
from concurrent.futures import ThreadPoolExecutor

from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.errno cimport (
    EAGAIN, ECONNABORTED, EHOSTDOWN, EHOSTUNREACH, EINTR, EINVAL, EIO, ENETDOWN, ENETUNREACH, ENOMEM,
    ENONET, ENOPROTOOPT, EOPNOTSUPP, EOVERFLOW, EPERM, EPROTO, errno,
)
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset, strerror, strlen
from libc.time cimport time
from posix.types cimport off_t

from zonda.server.reactor.interface cimport Connection, FileSegment, Listener, Reactor, Transport

from zonda.server.reactor.interface import BULK_SIZE, COURTESY, LOW_WATER, READ_SIZE, Connection, FileFaultError, FileSegment, Listener, Reactor, Transport

__all__ = ["EpollReactor"]

cdef extern from "Python.h":
    PyObject *new_bytes "PyBytes_FromStringAndSize"(const char *source, Py_ssize_t size)
    int _PyBytes_Resize(PyObject **object, Py_ssize_t size) except -1

cdef extern from "sys/epoll.h" nogil:
    ctypedef union epoll_data_t:
        uint64_t u64
    struct epoll_event:
        uint32_t events
        epoll_data_t data
    int epoll_create1(int flags)
    int epoll_ctl(int epfd, int op, int fd, epoll_event *event)
    int epoll_wait(int epfd, epoll_event *events, int maxevents, int timeout)
    enum:
        EPOLLIN
        EPOLLOUT
        EPOLLERR
        EPOLLHUP
        EPOLLRDHUP
        EPOLL_CTL_ADD
        EPOLL_CTL_DEL
        EPOLL_CTL_MOD
        EPOLL_CLOEXEC

cdef extern from "sys/socket.h" nogil:
    ctypedef unsigned int socklen_t
    struct sockaddr:
        unsigned short sa_family
    struct sockaddr_storage:
        unsigned short ss_family
    struct msghdr:
        void *msg_name
        socklen_t msg_namelen
        iovec *msg_iov
        size_t msg_iovlen
    struct linger_t "linger":
        int l_onoff
        int l_linger
    int accept4(int fd, sockaddr *address, socklen_t *size, int flags)
    int getsockname(int fd, sockaddr *address, socklen_t *size)
    int setsockopt(int fd, int level, int name, const void *value, socklen_t size)
    int c_shutdown "shutdown"(int fd, int how)
    ssize_t recv(int fd, void *buffer, size_t size, int flags)
    ssize_t c_send "send"(int fd, const void *buffer, size_t size, int flags)
    ssize_t sendmsg(int fd, const msghdr *message, int flags)
    enum:
        AF_INET
        AF_INET6
        MSG_NOSIGNAL
        MSG_MORE
        SHUT_WR
        SOCK_CLOEXEC
        SOCK_NONBLOCK
        SOL_SOCKET
        SO_LINGER

cdef extern from "sys/uio.h" nogil:
    struct iovec:
        void *iov_base
        size_t iov_len
    ssize_t preadv2(int fd, const iovec *parts, int count, off_t offset, int flags)
    enum:
        RWF_NOWAIT

cdef extern from "sys/sendfile.h" nogil:
    ssize_t sendfile(int out_fd, int in_fd, off_t *offset, size_t count)

cdef extern from "netinet/in.h" nogil:
    struct in_addr:
        pass
    struct in6_addr:
        pass
    struct sockaddr_in:
        unsigned short sin_port
        in_addr sin_addr
    struct sockaddr_in6:
        unsigned short sin6_port
        in6_addr sin6_addr
    unsigned short ntohs(unsigned short port)
    enum:
        IPPROTO_TCP

cdef extern from "netinet/tcp.h" nogil:
    enum:
        TCP_NODELAY

cdef extern from "arpa/inet.h" nogil:
    const char *inet_ntop(int family, const void *address, char *text, socklen_t size)

cdef extern from "sys/ioctl.h" nogil:
    int ioctl(int fd, unsigned long request, void *argument)

cdef extern from "linux/sockios.h" nogil:
    enum:
        SIOCOUTQ

cdef extern from "unistd.h" nogil:
    int c_close "close"(int fd)
    ssize_t pread(int fd, void *buffer, size_t size, off_t offset)

cdef enum:
    BATCH = 64               # events drained at once
    TURNS = 4                # times that is done a wake-up
    ACCEPT_BATCH = 64        # connections accepted a wake-up
    PARTS = 64               # pieces of one gathered write
    SMALL_PART = 4096        # what is copied together rather than gathered
    SCRATCH = 65536 + 4096   # room for the small parts of one write
    FILE_PART = 262144       # bytes of a file sent at once
    FILE_PARTS = 4           # times that is done before others have their turn

# Used within one call and with the GIL held throughout, so that servers in several threads of one
# process can share them.
cdef char _read_buffer[65536]
cdef char _scratch[SCRATCH]
cdef char _file_buffer[FILE_PART]

cdef object _file_readers = None

cdef OSError _os_error(int number):
    return OSError(number, strerror(number).decode("utf-8", "replace"))

cdef object _address(sockaddr_storage *storage, socklen_t size):
    """``(host, port)`` of an internet address, None of any other."""
    cdef char text[64]
    if storage.ss_family == AF_INET:
        inet_ntop(AF_INET, &(<sockaddr_in *> storage).sin_addr, text, 64)
        return (PyBytes_FromStringAndSize(text, strlen(text)).decode("ascii"), int(ntohs((<sockaddr_in *> storage).sin_port)))
    if storage.ss_family == AF_INET6:
        inet_ntop(AF_INET6, &(<sockaddr_in6 *> storage).sin6_addr, text, 64)
        return (PyBytes_FromStringAndSize(text, strlen(text)).decode("ascii"), int(ntohs((<sockaddr_in6 *> storage).sin6_port)))
    return None


cdef class Source:
    """Something registered in the epoll set: a listener, or the descriptor side of a stream."""
    cdef EpollReactor reactor
    cdef int fd
    cdef uint32_t generation
    cdef uint32_t interest

    cdef object ready(self, uint32_t events):
        raise NotImplementedError

    cdef int want(self, uint32_t interest) except -1:
        """Be told of ``interest`` from now on."""
        cdef epoll_event event
        if interest == self.interest or self.fd < 0:
            return 0
        event.events = interest
        event.data.u64 = (<uint64_t> self.generation << 32) | <uint32_t> self.fd
        if epoll_ctl(self.reactor.epoll, EPOLL_CTL_MOD, self.fd, &event) < 0:
            raise _os_error(errno)
        self.interest = interest
        return 0


cdef class StreamSource(Source):
    cdef EpollTransport transport

    cdef object ready(self, uint32_t events):
        self.transport.ready(events)


cdef class EpollTransport(Transport):
    """A stream socket in the epoll set."""
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

    def __init__(self, EpollReactor reactor, int fd):
        Transport.__init__(self)
        self.reactor = reactor
        self.reading = True
        self.source = StreamSource.__new__(StreamSource)
        self.source.transport = self
        reactor.register(self.source, fd, EPOLLIN | EPOLLRDHUP)

    def fileno(self):
        """The descriptor, -1 when closed."""
        return self.source.fd

    # What epoll reports

    cdef object ready(self, uint32_t events):
        if events & EPOLLIN and self.reading and not self.saw_end:
            self.read_ready()
            if self.closed:
                return
        elif events & EPOLLRDHUP and not self.saw_end and not events & (EPOLLHUP | EPOLLERR):
            # Reading is paused, and the peer has sent its end. Once told, no more of it: epoll
            # would report it for as long as it is true.
            self.source.want(self.source.interest & ~EPOLLRDHUP)
            self.connection.peer_closing()
            if self.closed:
                return
        if events & (EPOLLERR | EPOLLHUP) and (events & EPOLLERR or not self.reading or self.saw_end):
            self.fail(self.socket_error())
            return
        if events & EPOLLOUT:
            self.flush()

    cdef object read_ready(self):
        cdef ssize_t count
        cdef PyObject *fresh
        cdef bytes data
        if self.bulk:
            # The peer has much to say: read into the object that is handed on.
            fresh = new_bytes(NULL, BULK_SIZE_C)
            if fresh == NULL:
                raise MemoryError
            count = recv(self.source.fd, PyBytes_AS_STRING(<object> fresh), BULK_SIZE_C, 0)
            self.bulk = count >= READ_SIZE_C
            if 0 < count < BULK_SIZE_C:
                _PyBytes_Resize(&fresh, count)  # nobody else has seen it: shrinks in place
            if count > 0:
                data = <bytes> <object> fresh
            Py_DECREF(<object> fresh)
        else:
            count = recv(self.source.fd, _read_buffer, READ_SIZE_C, 0)
            if count > 0:
                data = PyBytes_FromStringAndSize(_read_buffer, count)
                self.bulk = count == READ_SIZE_C
        if count > 0:
            self.corked = True
            try:
                self.connection.data_received(data)
            finally:
                self.corked = False
            if self.queue and not self.closed:
                self.flush()
        elif count == 0:
            self.saw_end = True
            self.source.want(self.source.interest & ~(EPOLLIN | EPOLLRDHUP))
            self.corked = True
            try:
                self.connection.eof_received()
            finally:
                self.corked = False
            if self.queue and not self.closed:
                self.flush()
        elif errno != EAGAIN and errno != EINTR:
            self.fail(_os_error(errno))

    cdef object socket_error(self):
        try:
            number = _socket.socket(fileno=os.dup(self.source.fd))
        except OSError as error:
            return error
        with number:
            code = number.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR)
        return _os_error(code) if code else ConnectionResetError("the peer has closed the connection")

    cdef object fail(self, object error):
        if not self.closed:
            if isinstance(error, FileFaultError):
                self.reset_on_close()
            self.release()
            self.connection.lost(error)

    # Output

    cpdef flush(self):
        cdef object first
        cdef int file_parts = 0
        if self.closed or self.warming:
            return
        try:
            while self.queue and file_parts < FILE_PARTS:
                first = self.queue[0]
                if type(first) is bytes:
                    if not self.send_parts():
                        break
                else:
                    file_parts += 1
                    if not self.send_file(<FileSegment> first):
                        break
        except OSError as error:
            # Told from the event loop: whoever is writing must not find itself closed in between.
            self.drop_queue()
            self.reactor.fail_later(self, error)
            return
        if self.queue:
            if not self.warming and not self.source.interest & EPOLLOUT:
                self.source.want(self.source.interest | EPOLLOUT)
            if not self.blocked:
                self.blocked = True
                self.connection.write_blocked()
            if self.queued <= LOW_WATER_C:
                self.connection.flushed()
            return
        if self.source.interest & EPOLLOUT:
            self.source.want(self.source.interest & ~EPOLLOUT)
        if self.writing_ends and not self.is_shut:
            self.is_shut = True
            c_shutdown(self.source.fd, SHUT_WR)
            self.blocked = True  # whoever ends the connection waits for this
        if self.blocked:
            self.blocked = False
            self.connection.flushed()

    cdef bint send_parts(self) except -1:
        """Send the bytes at the head of the queue in one call. False when the socket is full."""
        cdef iovec parts[PARTS]
        cdef msghdr message
        cdef Py_ssize_t number = 0, taken = 0, used = 0, total = 0, size, offset = self.first_offset
        cdef Py_ssize_t available = len(self.queue)
        cdef list queue = self.queue
        cdef char *start
        cdef bint copied = False
        cdef ssize_t count
        cdef int flags = MSG_NOSIGNAL
        cdef object part
        while taken < available:
            part = queue[taken]
            if type(part) is not bytes:
                flags |= MSG_MORE
                break
            size = PyBytes_GET_SIZE(part) - offset
            start = PyBytes_AS_STRING(part) + offset
            if size <= SMALL_PART and available > 1 and used + size <= SCRATCH:
                memcpy(_scratch + used, start, size)
                if copied:
                    parts[number - 1].iov_len += size
                else:
                    if number == PARTS:
                        break
                    parts[number].iov_base = _scratch + used
                    parts[number].iov_len = size
                    number += 1
                    copied = True
                used += size
            else:
                if number == PARTS:
                    break
                parts[number].iov_base = start
                parts[number].iov_len = size
                number += 1
                copied = False
            total += size
            offset = 0
            taken += 1
        while True:
            if number == 1:
                count = c_send(self.source.fd, parts[0].iov_base, parts[0].iov_len, flags)
            else:
                memset(&message, 0, sizeof(message))
                message.msg_iov = parts
                message.msg_iovlen = number
                count = sendmsg(self.source.fd, &message, flags)
            if count >= 0:
                break
            if errno == EAGAIN:
                return False
            if errno != EINTR:
                raise _os_error(errno)
        self.sent += count
        self.queued -= count
        if count == total:
            self.first_offset = 0
            if taken == available:
                queue.clear()
            else:
                del queue[:taken]
            return True
        # Part of it: find the first byte that is left.
        offset = self.first_offset
        taken = 0
        while True:
            size = PyBytes_GET_SIZE(queue[taken]) - offset
            if count < size:
                self.first_offset = offset + count
                break
            count -= size
            offset = 0
            taken += 1
        del queue[:taken]
        return False

    cdef bint send_file(self, FileSegment segment) except -1:
        """Send a bounded part of a file. False when the socket is full, or the part is not in memory."""
        cdef size_t part = <size_t> min(segment.remaining, FILE_PART)
        cdef ssize_t count = 0
        if part > 0:
            if segment.offset >= self.warm_to and not _in_memory(segment.fd, segment.offset, part):
                self.warm(segment, part)
                return False
            if self.is_local:
                count = self.copy_file(segment, part)
            else:
                count = self.splice_file(segment, part)
            if count < 0:
                if errno == EAGAIN or errno == EINTR:
                    return False
                raise _os_error(errno)
            segment.offset += count
            segment.remaining -= count
            self.sent += count
            self.queued -= count
        if segment.remaining == 0:
            segment.close()
            self.warm_to = 0
            del self.queue[0]
            return True
        return count == <ssize_t> part

    cdef ssize_t splice_file(self, FileSegment segment, size_t part) except -2:
        """Send from the page cache, without a copy. -1 and errno when the socket refuses."""
        cdef off_t offset = segment.offset
        cdef int target = self.source.fd, fd = segment.fd
        cdef ssize_t count
        with nogil:
            count = sendfile(target, fd, &offset, part)
        if count == 0:
            raise _shortened(segment)
        if count < 0 and errno in (EIO, EINVAL, ENOMEM, EOVERFLOW):
            raise FileFaultError(errno, strerror(errno).decode("utf-8", "replace"))
        return count

    cdef ssize_t copy_file(self, FileSegment segment, size_t part) except -2:
        """Read and send. -1 and errno when the socket refuses.

        sendfile hands on 64 KiB at a time, and where the receiver is on this machine each of these
        wakes it: a copy and one larger send cost less than two thirds of that.
        """
        cdef int target = self.source.fd, fd = segment.fd
        cdef off_t offset = segment.offset
        cdef ssize_t count
        # The GIL is kept from here to the send: a server in another thread of this process shares
        # the buffer. The part is in memory, so neither call waits.
        count = pread(fd, _file_buffer, part, offset)
        if count == 0:
            raise _shortened(segment)
        if count < 0:
            raise FileFaultError(errno, strerror(errno).decode("utf-8", "replace"))
        count = c_send(target, _file_buffer, count, MSG_NOSIGNAL)
        return count

    cdef warm(self, FileSegment segment, size_t part):
        """Read a part of a file on a thread, so that sendfile will find it in memory."""
        global _file_readers
        if _file_readers is None:
            _file_readers = ThreadPoolExecutor(4, "zonda-file-reader")
        self.warming = True
        self.warm_to = segment.offset + <off_t> part
        fd = os.dup(segment.fd)
        loop = self.reactor.loop
        offset = segment.offset

        def read():
            try:
                left = part
                at = offset
                while left > 0:
                    size = len(os.pread(fd, min(left, 131072), at))
                    if size == 0:
                        break
                    at += size
                    left -= size
            except OSError:
                pass  # sendfile meets the same error, where it can be told
            finally:
                os.close(fd)
                try:
                    loop.call_soon_threadsafe(self.warmed)
                except RuntimeError:
                    pass  # the loop is closed, and the transport with it

        _file_readers.submit(read)

    def warmed(self):
        """A thread has read the next part of a file."""
        self.warming = False
        if not self.closed:
            self.flush()

    # Control

    cpdef pause_reading(self):
        if self.reading and not self.closed:
            self.reading = False
            if not self.saw_end:
                self.source.want(self.source.interest & ~EPOLLIN)

    cpdef resume_reading(self):
        if not self.reading and not self.closed:
            self.reading = True
            if not self.saw_end:
                self.source.want(self.source.interest | EPOLLIN | EPOLLRDHUP)

    cpdef shutdown_write(self):
        if self.closed or self.writing_ends:
            return
        self.writing_ends = True
        if not self.queue:
            self.is_shut = True
            c_shutdown(self.source.fd, SHUT_WR)

    cpdef close(self):
        if not self.closed:
            self.release()
            self.connection.lost(None)

    cpdef long long taken(self) except -1:
        cdef int left = 0
        if not self.closed:
            ioctl(self.source.fd, SIOCOUTQ, &left)
        return self.sent - left

    cdef object reset_on_close(self):
        cdef linger_t option
        option.l_onoff = 1
        option.l_linger = 0
        setsockopt(self.source.fd, SOL_SOCKET, SO_LINGER, &option, sizeof(option))

    cpdef abort(self):
        if not self.closed:
            self.reset_on_close()
            self.release()
            self.connection.lost(None)

    cdef object release(self):
        cdef int fd = self.source.fd
        self.closed = True
        self.reactor.unregister(self.source)
        c_close(fd)
        self.drop_queue()


cdef object _shortened(FileSegment segment):
    return FileFaultError(f"a file became {segment.remaining} bytes shorter while it was sent")


cdef bint _is_local(sockaddr_storage *storage):
    """Whether a peer is on this machine, as far as its address tells."""
    cdef unsigned char *octets
    if storage.ss_family == AF_INET:
        return (<unsigned char *> &(<sockaddr_in *> storage).sin_addr)[0] == 127
    if storage.ss_family == AF_INET6:
        octets = <unsigned char *> &(<sockaddr_in6 *> storage).sin6_addr
        return memcmp(octets, b"\0" * 15 + b"\1", 16) == 0
    return True


cdef bint _in_memory(int fd, off_t offset, size_t size):
    """Whether sendfile will not wait for the disk, as far as can be told cheaply."""
    cdef char octet
    cdef iovec part
    part.iov_base = &octet
    part.iov_len = 1
    if preadv2(fd, &part, 1, offset + <off_t> size - 1, RWF_NOWAIT) < 0 and errno == EAGAIN:
        return False
    if preadv2(fd, &part, 1, offset, RWF_NOWAIT) < 0 and errno == EAGAIN:
        return False
    return True  # also where the file system cannot say


cdef class ListenerSource(Source):
    cdef EpollListener listener

    cdef object ready(self, uint32_t events):
        self.listener.accept_batch()


cdef class EpollListener(Listener):
    """A listening socket in the epoll set."""
    cdef EpollReactor reactor
    cdef ListenerSource source
    cdef object sock, factory, refused, admission
    cdef object retry
    cdef object server
    cdef bint internet, paused

    def __init__(self, EpollReactor reactor, sock, factory, refused, admission):
        self.reactor = reactor
        self.admission = admission
        self.sock = sock
        self.factory = factory
        self.refused = refused
        self.internet = sock.family in (_socket.AF_INET, _socket.AF_INET6)
        # A Unix socket's server is its path and no port (ASGI HTTP spec, "server").
        name = sock.getsockname()
        self.server = None if self.internet or not name else (os.fsdecode(name), None)
        self.source = ListenerSource.__new__(ListenerSource)
        self.source.listener = self
        reactor.register(self.source, sock.fileno(), EPOLLIN)

    cdef bint accept_batch(self) except -1:
        """Accept a bounded number of connections. False when none is left, or none can be had."""
        cdef int limit = ACCEPT_BATCH
        if self.admission is not None:
            limit = min(limit, self.admission.allowed())
            if limit <= 0:
                self.source.want(0)
                self.retry = self.reactor.loop.call_later(COURTESY, self.take_overdue)
                return False
        return self.accept(limit) == limit

    cdef int accept(self, int limit) except -1:
        """Accept up to ``limit`` connections; how many there were."""
        cdef sockaddr_storage storage
        cdef socklen_t size
        cdef int fd, number, one = 1
        cdef EpollTransport transport
        for number in range(limit):
            if self.paused or self.source.fd < 0:
                return number
            size = sizeof(storage)
            fd = accept4(self.source.fd, <sockaddr *> &storage, &size, SOCK_NONBLOCK | SOCK_CLOEXEC)
            if fd < 0:
                if errno == EAGAIN:
                    return number
                if errno in (EINTR, ECONNABORTED, EPROTO, EPERM, ENETDOWN, ENETUNREACH, EHOSTDOWN,
                             EHOSTUNREACH, ENONET, ENOPROTOOPT, EOPNOTSUPP):
                    continue  # the peer is gone already, or its network is: take the next
                self.back_off(_os_error(errno))
                return number
            transport = EpollTransport.__new__(EpollTransport)
            try:
                transport.__init__(self.reactor, fd)
            except BaseException:
                c_close(fd)
                raise
            transport.is_local = _is_local(&storage)
            if self.internet:
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one))
                transport.client = _address(&storage, size)
                size = sizeof(storage)
                if getsockname(fd, <sockaddr *> &storage, &size) == 0:
                    server = _address(&storage, size)
                    if server != self.server:
                        self.server = server
            transport.server = self.server
            try:
                transport.connection = self.factory(transport)
            except BaseException:
                transport.release()
                raise
        return limit

    cdef object back_off(self, error):
        """Stop accepting for a second: without descriptors the listener would stay ready and spin."""
        self.source.want(0)
        self.retry = self.reactor.loop.call_later(1.0, self.try_again)
        self.refused(error)

    def try_again(self):
        """Accept again after ``back_off``."""
        self.retry = None
        if not self.paused:
            self.source.want(EPOLLIN)

    def take_overdue(self):
        """Accept what others have left for long enough, and go on."""
        self.retry = None
        if not self.paused and self.source.fd >= 0:
            self.admission.took_overdue(self.accept(min(ACCEPT_BATCH, self.admission.overdue())))
            if not self.paused and self.retry is None:
                self.source.want(EPOLLIN)

    def pause(self):
        self.paused = True
        self.source.want(0)

    def resume(self):
        self.paused = False
        if self.retry is None:
            self.source.want(EPOLLIN)

    def close(self):
        cdef bint more = not self.paused and self.retry is None and self.source.fd >= 0
        if self.admission is not None:
            more = not self.paused and self.source.fd >= 0 and self.admission.is_last()
            self.admission = None
        while more:
            more = self.accept_batch()
        self.paused = True
        if self.retry is not None:
            self.retry.cancel()
            self.retry = None
        if self.source.fd >= 0:
            self.reactor.unregister(self.source)


cdef class EpollReactor(Reactor):
    """The epoll set of one worker, registered with its event loop."""
    cdef int epoll
    cdef list sources            # by descriptor
    cdef uint32_t generation
    cdef list failed

    name = "epoll"

    def __init__(self, loop):
        Reactor.__init__(self, loop)
        self.sources = []
        self.failed = []
        self.epoll = epoll_create1(EPOLL_CLOEXEC)
        if self.epoll < 0:
            raise _os_error(errno)
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
            raise _os_error(errno)
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

    cdef object fail_later(self, EpollTransport transport, error):
        if not self.failed:
            self.loop.call_soon(self._run_failed)
        self.failed.append((transport, error))

    def _run_failed(self):
        failed = self.failed
        self.failed = []
        for transport, error in failed:
            (<EpollTransport> transport).fail(error)

    def _ready(self):
        cdef epoll_event events[BATCH]
        cdef int count, turn
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

    def _broken(self, source, error):
        """A fault of ours, or of the application's own callables: it ends one connection, no more."""
        self.loop.call_exception_handler(
            {"message": "a connection failed and was closed", "exception": error}
        )
        if isinstance(source, StreamSource):
            (<StreamSource> source).transport.fail(_os_error(EPROTO))

    def listen(self, sock, factory, refused, admission=None):
        return EpollListener(self, sock, factory, refused, admission)

    def close(self):
        Reactor.close(self)
        for source in list(self.sources):
            if isinstance(source, StreamSource):
                (<StreamSource> source).transport.close()
            elif isinstance(source, ListenerSource):
                (<ListenerSource> source).listener.close()
        if self.epoll >= 0:
            self.loop.remove_reader(self.epoll)
            c_close(self.epoll)
            self.epoll = -1


cdef Py_ssize_t READ_SIZE_C = READ_SIZE
cdef Py_ssize_t BULK_SIZE_C = BULK_SIZE
cdef Py_ssize_t LOW_WATER_C = LOW_WATER
