"""A stream socket in the epoll set: one ``recv`` a read, one ``send`` for all that it wrote."""

import os
import socket as _socket
from concurrent.futures import ThreadPoolExecutor

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF
from libc.errno cimport EAGAIN, EINTR, EINVAL, EIO, ENOMEM, EOVERFLOW, errno
from libc.stdint cimport uint32_t
from libc.string cimport memcpy, memset, strerror
from posix.types cimport off_t

from zonda.server.reactor.epoll cimport EpollReactor, Source, os_error
from zonda.server.reactor.interface cimport Connection, FileSegment, Transport
from zonda.server.reactor.linux cimport (
    EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP, MSG_MORE, MSG_NOSIGNAL, RWF_NOWAIT, SHUT_WR, SIOCOUTQ,
    SO_LINGER, SOL_SOCKET, _PyBytes_Resize, c_close, c_send, c_shutdown, ioctl, iovec, linger_t, msghdr, new_bytes,
    pread, preadv2, recv, sendfile, sendmsg, setsockopt,
)

from zonda.server.reactor.interface import BULK_SIZE, LOW_WATER, READ_SIZE, FileFaultError

__all__ = ["EpollTransport"]

cdef enum:
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

cdef Py_ssize_t READ_SIZE_C = READ_SIZE
cdef Py_ssize_t BULK_SIZE_C = BULK_SIZE
cdef Py_ssize_t LOW_WATER_C = LOW_WATER


cdef class StreamSource(Source):
    """The descriptor side of a stream."""

    cdef object ready(self, uint32_t events):
        self.transport.ready(events)

    cdef object fail(self, error):
        self.transport.fail(error)

    cdef object close(self):
        self.transport.close()


cdef class EpollTransport(Transport):
    """A stream socket in the epoll set."""

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
        # Held: what it reads may leave the transport to another connection.
        cdef Connection connection = self.connection
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
                connection.data_received(data)
            finally:
                self.corked = False
            if self.queue and not self.closed:
                self.flush()
        elif count == 0:
            self.saw_end = True
            self.source.want(self.source.interest & ~(EPOLLIN | EPOLLRDHUP))
            self.corked = True
            try:
                connection.eof_received()
            finally:
                self.corked = False
            if self.queue and not self.closed:
                self.flush()
        elif errno != EAGAIN and errno != EINTR:
            self.fail(os_error(errno))

    cdef object socket_error(self):
        try:
            number = _socket.socket(fileno=os.dup(self.source.fd))
        except OSError as error:
            return error
        with number:
            code = number.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR)
        return os_error(code) if code else ConnectionResetError("the peer has closed the connection")

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
            self.reactor.fail_later(self.source, error)
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
            if not self.shut():
                return
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
                raise os_error(errno)
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
            if segment.offset >= self.warm_to and not in_memory(segment.fd, segment.offset, part):
                self.warm(segment, part)
                return False
            if self.is_local:
                count = self.copy_file(segment, part)
            else:
                count = self.splice_file(segment, part)
            if count < 0:
                if errno == EAGAIN or errno == EINTR:
                    return False
                raise os_error(errno)
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
            raise shortened(segment)
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
            raise shortened(segment)
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
            self.shut()

    cdef bint shut(self) except -1:
        """Tell the peer that nothing follows. False when that has to wait for room."""
        self.is_shut = True
        c_shutdown(self.source.fd, SHUT_WR)
        return True

    cpdef close(self):
        if not self.closed:
            self.release()
            self.connection.lost(None)

    cpdef drop_queue(self):
        Transport.drop_queue(self)
        self.first_offset = 0

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


cdef object shortened(FileSegment segment):
    return FileFaultError(f"a file became {segment.remaining} bytes shorter while it was sent")


cdef bint in_memory(int fd, off_t offset, size_t size):
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
