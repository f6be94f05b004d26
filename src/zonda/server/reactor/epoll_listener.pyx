"""A listening socket in the epoll set, whose connections become transports there."""

import os
import socket as _socket

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.errno cimport (
    EAGAIN, ECONNABORTED, EHOSTDOWN, EHOSTUNREACH, EINTR, ENETDOWN, ENETUNREACH, ENONET, ENOPROTOOPT, EOPNOTSUPP,
    EPERM, EPROTO, errno,
)
from libc.stdint cimport uint32_t
from libc.string cimport memcmp, strlen

from zonda.server.reactor.epoll cimport EpollReactor, Source, os_error
from zonda.server.reactor.epoll_tls cimport TLSTransport
from zonda.server.reactor.epoll_transport cimport EpollTransport
from zonda.server.reactor.interface cimport Listener
from zonda.server.reactor.linux cimport (
    AF_INET, AF_INET6, EPOLLIN, IPPROTO_TCP, SOCK_CLOEXEC, SOCK_NONBLOCK, TCP_NODELAY, accept4, c_close, getsockname,
    inet_ntop, ntohs, setsockopt, sockaddr, sockaddr_in, sockaddr_in6, sockaddr_storage, socklen_t,
)

from zonda.server.reactor.interface import COURTESY

__all__ = ["EpollListener"]

cdef enum:
    ACCEPT_BATCH = 64        # connections accepted a wake-up


cdef class ListenerSource(Source):
    cdef EpollListener listener

    cdef object ready(self, uint32_t events):
        self.listener.accept_batch()

    cdef object close(self):
        self.listener.close()


cdef class EpollListener(Listener):
    """A listening socket in the epoll set."""
    cdef EpollReactor reactor
    cdef ListenerSource source
    cdef object sock, factory, refused
    cdef object admission            # asked how many to accept, or None
    cdef object tls                  # provider of ssl contexts, or None
    cdef object retry
    cdef object server
    cdef bint internet, paused

    def __init__(self, EpollReactor reactor, sock, factory, refused, tls=None, admission=None):
        self.tls = tls
        self.admission = admission
        self.reactor = reactor
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
                self.back_off(os_error(errno))
                return number
            try:
                if self.tls is None:
                    transport = EpollTransport.__new__(EpollTransport)
                    transport.__init__(self.reactor, fd)
                else:
                    transport = TLSTransport(self.reactor, fd, self.tls())
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


cdef object _address(sockaddr_storage *storage, socklen_t size):
    """``(host, port)`` of an internet address, None of any other."""
    cdef char text[64]
    cdef int port
    if storage.ss_family == AF_INET:
        inet_ntop(AF_INET, &(<sockaddr_in *> storage).sin_addr, text, 64)
        port = ntohs((<sockaddr_in *> storage).sin_port)
        return (PyBytes_FromStringAndSize(text, strlen(text)).decode("ascii"), port)
    if storage.ss_family == AF_INET6:
        inet_ntop(AF_INET6, &(<sockaddr_in6 *> storage).sin6_addr, text, 64)
        port = ntohs((<sockaddr_in6 *> storage).sin6_port)
        return (PyBytes_FromStringAndSize(text, strlen(text)).decode("ascii"), port)
    return None


cdef bint _is_local(sockaddr_storage *storage):
    """Whether a peer is on this machine, as far as its address tells."""
    cdef unsigned char *octets
    if storage.ss_family == AF_INET:
        return (<unsigned char *> &(<sockaddr_in *> storage).sin_addr)[0] == 127
    if storage.ss_family == AF_INET6:
        octets = <unsigned char *> &(<sockaddr_in6 *> storage).sin6_addr
        return memcmp(octets, b"\0" * 15 + b"\1", 16) == 0
    return True
