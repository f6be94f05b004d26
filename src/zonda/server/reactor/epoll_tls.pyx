"""TLS in the epoll set: an ``ssl`` object straight on the descriptor, without a memory BIO.

A transport begins without one, so that a peer that is silent costs no more than a plain connection,
and goes through these states::

    OPENING     the first octets are looked at and left where they are: TLS begins with 0x16. This is
                where a PROXY header would be consumed, before anything else looks at the stream
    SHAKING     the handshake; each step is taken when epoll reports that it can be
    SECURE      what is read and written is encrypted
    CLEAR       the peer began with HTTP: it is answered as it spoke
    DEAF        nothing can be decrypted any more; what comes is dropped until the end of the stream

What differs from a plain stream once it is SECURE:

- A read asks for as much as one record can hold, so it takes a record whole and leaves nothing
  decrypted behind in OpenSSL, of which epoll would know nothing. After a full record another is
  likely to wait: those are read on, and handed over as one piece.
- A write that the socket did not take whole is repeated with the same octets before any other
  (``waiting``): OpenSSL has encrypted them already.
- Reading can wait for room to write (to answer a key update), and writing for something to read.
- The end of the stream is told by close_notify as well, which may have to wait for room.

What is used is the object below Python's ``SSLSocket``, which calls it for all it does: that spares
a Python frame for each call, some 300 bytes a connection, and a second owner of the descriptor
(``SSLSocket`` closes it when the peer has left between ``accept`` and the handshake).
"""

import socket as _socket
from ssl import SSLEOFError, SSLError, SSLWantReadError, SSLWantWriteError, SSLZeroReturnError

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport uint32_t
from libc.string cimport memcpy, strerror

from zonda.server.reactor.epoll cimport EpollReactor, os_error
from zonda.server.reactor.epoll_transport cimport EpollTransport, in_memory, shortened
from zonda.server.reactor.interface cimport Connection, FileSegment
from zonda.server.reactor.linux cimport EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP, MSG_PEEK, pread, recv

from zonda.server.reactor.interface import BULK_SIZE, TLS_RECORD, TLS_RECORD_SIZE, FileFaultError, is_http

__all__ = ["TLSTransport"]

cdef enum:
    OPENING
    SHAKING
    SECURE
    CLEAR
    DEAF

cdef enum:
    FLUSH_LIMIT = 1048576    # bytes written before others have their turn
    OPENING_SIZE = 16        # octets looked at to tell TLS from HTTP
    FILE_PART = 65536        # bytes of a file read at once: what the socket does not take is read again
    DISCARD_SIZE = 65536     # bytes dropped at once

cdef Py_ssize_t RECORD = TLS_RECORD_SIZE
cdef Py_ssize_t BULK = BULK_SIZE
cdef unsigned char HANDSHAKE_RECORD = TLS_RECORD

# Used within one call and with the GIL held throughout.
cdef char _opening[OPENING_SIZE]
cdef char _discarded[DISCARD_SIZE]


cdef class TLSTransport(EpollTransport):
    """A stream socket in the epoll set that speaks TLS."""

    def __init__(self, EpollReactor reactor, int fd, context):
        self.context = context
        self.state = OPENING
        EpollTransport.__init__(self, reactor, fd)

    # What epoll reports

    cdef object ready(self, uint32_t events):
        if self.state == SECURE:
            if self.read_wants_write and events & (EPOLLOUT | EPOLLERR | EPOLLHUP):
                self.read_wants_write = False
                if self.reading and not self.saw_end:
                    self.source.want(self.source.interest | EPOLLIN)
                    self.read_ready()
                    if self.closed:
                        return
            if self.write_wants_read and events & (EPOLLIN | EPOLLERR | EPOLLHUP):
                self.write_wants_read = False
                if not self.reading or self.saw_end:
                    self.source.want(self.source.interest & ~EPOLLIN)
                self.flush()
                if self.closed:
                    return
            EpollTransport.ready(self, events)
        elif self.state >= CLEAR:
            EpollTransport.ready(self, events)
        else:
            self.negotiate()

    cdef object negotiate(self):
        if self.reactor.handshakes <= 0:
            return  # others have their turn; epoll reports this one again
        self.reactor.handshakes -= 1
        try:
            if self.state == OPENING and not self.begin():
                return
            if not self.shake_hands():
                return
        except (SSLEOFError, SSLZeroReturnError) as error:
            self.fail(error)
        except SSLError as error:
            # OpenSSL has told the peer why; it will read that if the connection ends in order.
            self.state = DEAF
            self.source.want(EPOLLIN | EPOLLRDHUP)
            self.connection.handshake_failed(error)
        except OSError as error:
            self.fail(error)
        else:
            self.connection.handshake_done()

    cdef bint begin(self) except -1:
        """Look at what the peer begins with. True when that is TLS."""
        cdef ssize_t count = recv(self.source.fd, _opening, OPENING_SIZE, MSG_PEEK)
        cdef bytes opening
        if count < 0:
            if errno != EAGAIN and errno != EINTR:
                self.fail(os_error(errno))
            return False
        if count == 0:
            self.fail(None)
            return False
        if <unsigned char> _opening[0] != HANDSHAKE_RECORD:
            opening = PyBytes_FromStringAndSize(_opening, count)
            if is_http(opening):
                self.state = CLEAR
            else:
                self.state = DEAF
            self.connection.not_tls(opening)
            return False
        self.sock = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM, 0, self.source.fd)
        self.sock.setblocking(False)
        self.ssl = self.context._wrap_socket(self.sock, True)
        self.context = None
        self.state = SHAKING
        return True

    cdef bint shake_hands(self) except -1:
        """Take a step of the handshake. True when it is done."""
        try:
            self.ssl.do_handshake()
        except SSLWantReadError:
            self.source.want(EPOLLIN | EPOLLRDHUP)
        except SSLWantWriteError:
            self.source.want(EPOLLOUT)
        else:
            self.source.want(EPOLLIN | EPOLLRDHUP)
            self.state = SECURE
            self.record_read = self.ssl.read
            self.record_write = self.ssl.write
            return True
        return False

    cdef object read_ready(self):
        cdef bytes data, more
        cdef list pieces
        cdef Py_ssize_t total
        if self.state == DEAF:
            self.discard()
            return
        if self.state == CLEAR:
            EpollTransport.read_ready(self)
            return
        self.held = False
        try:
            data = self.read_record()
        except OSError as error:
            self.fail(error)
            return
        if data is None:
            return
        total = PyBytes_GET_SIZE(data)
        if total == RECORD:
            # The peer has much to say.
            pieces = [data]
            try:
                while total < BULK:
                    more = self.read_record()
                    if more is None:
                        break
                    if not more:
                        self.held = True
                        break
                    pieces.append(more)
                    total += PyBytes_GET_SIZE(more)
                    if PyBytes_GET_SIZE(more) < RECORD:
                        break
            except OSError:
                self.held = True  # to be met again behind what has come before it
            data = b"".join(pieces)
        if data:
            self.received(data)
            if self.held and self.reading and not self.closed:
                self.read_ready()
        else:
            self.ended()

    cdef object received(self, bytes data):
        # Held: what it reads may leave the transport to another connection.
        cdef Connection connection = self.connection
        self.corked = True
        try:
            connection.data_received(data)
        finally:
            self.corked = False
        if self.queue and not self.closed:
            self.flush()

    cdef object ended(self):
        self.saw_end = True
        self.source.want(self.source.interest & ~(EPOLLIN | EPOLLRDHUP))
        self.corked = True
        try:
            self.connection.eof_received()
        finally:
            self.corked = False
        if self.queue and not self.closed:
            self.flush()

    cdef object discard(self):
        cdef ssize_t count = recv(self.source.fd, _discarded, DISCARD_SIZE, 0)
        if count == 0:
            self.ended()
        elif count < 0 and errno != EAGAIN and errno != EINTR:
            self.fail(os_error(errno))

    cdef bytes read_record(self):
        """What one record holds, None when none has come whole, ``b""`` at the end."""
        try:
            return self.record_read(RECORD)
        except SSLWantReadError:
            return None
        except SSLWantWriteError:
            # Not to be told of what cannot be read yet: epoll would repeat it without end.
            self.read_wants_write = True
            self.source.want((self.source.interest & ~EPOLLIN) | EPOLLOUT)
            return None
        except SSLZeroReturnError:
            return b""  # as OpenSSL has it once our own close_notify is sent

    cpdef resume_reading(self):
        EpollTransport.resume_reading(self)
        if self.held and not self.closed:
            # Not from here: the application may be what called. And behind what the connection
            # schedules next, which has not looked yet at all that came before the end.
            loop = self.reactor.loop
            loop.call_soon(loop.call_soon, self.read_held)

    def read_held(self):
        """Read what epoll will not report."""
        if self.held and self.reading and not self.closed and not self.saw_end:
            try:
                self.read_ready()
            except Exception as error:
                self.reactor._broken(self.source, error)

    # Output

    cpdef flush(self):
        self.flushed_now = 0
        EpollTransport.flush(self)
        if self.read_wants_write:
            self.source.want(self.source.interest | EPOLLOUT)
        elif self.write_wants_read:
            self.source.want(self.source.interest & ~EPOLLOUT)

    cpdef drop_queue(self):
        EpollTransport.drop_queue(self)
        self.waiting = None

    cdef bint send_parts(self) except -1:
        cdef object record
        if self.state != SECURE:
            if self.state == CLEAR:
                return EpollTransport.send_parts(self)
            self.drop_queue()
            return True
        record = self.waiting
        if record is None:
            record = self.next_record()
            if record is None:
                return True
        if not self.write_record(record):
            return False
        self.advance(len(record))
        # A peer on this machine can take as fast as we encrypt.
        self.flushed_now += len(record)
        return self.flushed_now < FLUSH_LIMIT

    cdef bint write_record(self, record) except -1:
        """Write one record. False when it has to be written again, later."""
        try:
            self.record_write(record)
        except SSLWantWriteError:
            self.waiting = record
            return False
        except SSLWantReadError:
            self.waiting = record
            self.write_wants_read = True
            self.source.want(self.source.interest | EPOLLIN)
            return False
        self.waiting = None
        return True

    cdef object next_record(self):
        """The bytes at the head of the queue that go into one record; None if they are empty."""
        cdef list queue = self.queue
        cdef Py_ssize_t offset = self.first_offset, size, used = 0, total = 0, number = 0
        cdef object part = queue[0]
        cdef bytes record
        cdef char *target
        size = PyBytes_GET_SIZE(part) - offset
        if size >= RECORD:
            if offset == 0 and size == RECORD:
                return part
            return memoryview(part)[offset:offset + RECORD]
        if offset == 0 and len(queue) == 1 and size:
            return part
        for part in queue:
            if type(part) is not bytes:
                break
            total += PyBytes_GET_SIZE(part)
            number += 1
            if total - offset >= RECORD:
                break
        total = min(total - offset, RECORD)
        if total == 0:
            del queue[:number]
            self.first_offset = 0
            return None
        record = PyBytes_FromStringAndSize(NULL, total)
        target = PyBytes_AS_STRING(record)
        for part in queue:
            size = min(PyBytes_GET_SIZE(part) - offset, total - used)
            memcpy(target + used, PyBytes_AS_STRING(part) + offset, size)
            used += size
            offset = 0
            if used == total:
                break
        return record

    cdef object advance(self, Py_ssize_t count):
        """``count`` bytes at the head of the queue are written."""
        cdef list queue = self.queue
        cdef Py_ssize_t offset = self.first_offset, taken = 0, size
        self.sent += count
        self.queued -= count
        while count > 0:
            size = PyBytes_GET_SIZE(queue[taken]) - offset
            if count < size:
                offset += count
                break
            count -= size
            offset = 0
            taken += 1
        self.first_offset = offset
        if taken:
            del queue[:taken]

    cdef bint send_file(self, FileSegment segment) except -1:
        cdef size_t part
        cdef ssize_t count = 0
        cdef Py_ssize_t start, size
        cdef bytes data
        cdef object record
        if self.state != SECURE:
            if self.state == CLEAR:
                return EpollTransport.send_file(self, segment)
            self.drop_queue()
            return True
        record = self.waiting
        if record is not None:
            if not self.write_record(record):
                return False
            self.sent_of_file(segment, len(record))
        part = <size_t> min(segment.remaining, FILE_PART)
        if part > 0:
            if segment.offset >= self.warm_to and not in_memory(segment.fd, segment.offset, part):
                self.warm(segment, part)
                return False
            data = PyBytes_FromStringAndSize(NULL, part)
            count = pread(segment.fd, PyBytes_AS_STRING(data), part, segment.offset)
            if count == 0:
                raise shortened(segment)
            if count < 0:
                raise FileFaultError(errno, strerror(errno).decode("utf-8", "replace"))
            start = 0
            while start < count:
                size = min(count - start, RECORD)
                # A copy, so that a record that has to wait keeps no more than itself.
                record = PyBytes_FromStringAndSize(PyBytes_AS_STRING(data) + start, size)
                if not self.write_record(record):
                    return False
                self.sent_of_file(segment, size)
                start += size
        if segment.remaining == 0:
            segment.close()
            self.warm_to = 0
            del self.queue[0]
        return True

    cdef object sent_of_file(self, FileSegment segment, Py_ssize_t size):
        segment.offset += size
        segment.remaining -= size
        self.sent += size
        self.queued -= size

    # The end

    cdef bint shut(self) except -1:
        if self.state == SECURE:
            try:
                self.ssl.shutdown()
            except SSLWantReadError:
                pass  # our close_notify is sent, the peer's is to come
            except SSLWantWriteError:
                # There is no room for it. Until there is, the connection must not be closed: it
                # counts as an octet that the peer has not taken.
                self.queued = 1
                self.source.want(self.source.interest | EPOLLOUT)
                if not self.blocked:
                    self.blocked = True
                    self.connection.write_blocked()
                return False
            except OSError:
                # The peer has sent something that OpenSSL does not read behind our close_notify,
                # which is sent all the same; or it is gone, which reading will tell.
                self.state = DEAF
            self.queued = 0
        return EpollTransport.shut(self)

    cdef object release(self):
        self.record_read = self.record_write = self.ssl = self.context = None
        if self.sock is not None:
            self.sock.detach()  # the descriptor is closed once, below
            self.sock = None
        EpollTransport.release(self)
