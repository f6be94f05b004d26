"""What the modules of the epoll reactor use of Linux and of CPython's C interface."""

from cpython.object cimport PyObject
from libc.stdint cimport uint32_t, uint64_t
from posix.types cimport off_t

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
        MSG_PEEK
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
