/* The floor: what an HTTP server costs when it does nothing but system calls.
 *
 * One epoll set, one recv and one send a readable socket, a canned answer a request. A request ends
 * at its empty line; how many of them arrived is all that is read from the bytes, so that pipelined
 * requests get as many answers in one send. No parsing, no limits, no time-outs, no bodies: it is a
 * yardstick, not a server.
 *
 *     cc -O2 -o floor floor.c && ./floor PORT
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    MAX_DESCRIPTORS = 65536,
    MAX_EVENTS = 256,
    RECEIVE_SIZE = 65536,
    ANSWERS_A_SEND = 64,
    CARRY = 3, /* an empty line may be cut after at most three of its four bytes */
};

static const char END[] = "\r\n\r\n";
static const char ANSWER[] =
    "HTTP/1.1 200 OK\r\n"
    "date: Sun, 22 Nov 2026 00:00:00 GMT\r\n"
    "server: floor\r\n"
    "content-type: text/plain\r\n"
    "content-length: 13\r\n"
    "\r\n"
    "Hello, World!";
enum { ANSWER_SIZE = sizeof ANSWER - 1 };

static char answers[ANSWERS_A_SEND * ANSWER_SIZE];
static char buffer[CARRY + RECEIVE_SIZE];
/* The last bytes of a connection that are not yet part of a whole request. */
static struct {
    unsigned char size;
    char bytes[CARRY];
} carried[MAX_DESCRIPTORS];

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void watch(int epoll, int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) fail("epoll_ctl");
}

static int listen_on(int port) {
    int one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((unsigned short)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) fail("socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) fail("bind");
    if (listen(fd, 1024) < 0) fail("listen");
    return fd;
}

static void accept_all(int epoll, int listener) {
    int one = 1, fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        if (fd >= MAX_DESCRIPTORS) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        carried[fd].size = 0;
        watch(epoll, fd);
    }
    if (errno != EAGAIN && errno != ECONNABORTED) fail("accept4");
}

/* How many requests end in what arrived, with what was carried over in front of it. */
static int count_requests(int fd, ssize_t received) {
    char *at = buffer + CARRY - carried[fd].size, *end = buffer + CARRY + received, *found;
    int requests = 0;
    memcpy(at, carried[fd].bytes, carried[fd].size);
    while ((found = memmem(at, (size_t)(end - at), END, sizeof END - 1)) != NULL) {
        requests++;
        at = found + sizeof END - 1;
    }
    carried[fd].size = (unsigned char)(end - at < CARRY ? end - at : CARRY);
    memcpy(carried[fd].bytes, end - carried[fd].size, carried[fd].size);
    return requests;
}

static void serve(int fd) {
    ssize_t received = recv(fd, buffer + CARRY, RECEIVE_SIZE, 0);
    if (received < 0 && errno == EAGAIN) return;
    if (received <= 0) {
        close(fd);
        return;
    }
    for (int left = count_requests(fd, received); left > 0; left -= ANSWERS_A_SEND) {
        ssize_t size = (ssize_t)ANSWER_SIZE * (left < ANSWERS_A_SEND ? left : ANSWERS_A_SEND);
        if (send(fd, answers, (size_t)size, MSG_NOSIGNAL) != size) {
            /* A client that does not read: a yardstick has no write queue. The load sees a reset. */
            close(fd);
            return;
        }
    }
}

int main(int argc, char **argv) {
    struct epoll_event events[MAX_EVENTS];
    if (argc != 2) {
        fprintf(stderr, "usage: %s PORT\n", argv[0]);
        return 2;
    }
    for (int i = 0; i < ANSWERS_A_SEND; i++) memcpy(answers + i * ANSWER_SIZE, ANSWER, ANSWER_SIZE);
    int listener = listen_on(atoi(argv[1]));
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) fail("epoll_create1");
    watch(epoll, listener);
    for (;;) {
        int count = epoll_wait(epoll, events, MAX_EVENTS, -1);
        if (count < 0 && errno != EINTR) fail("epoll_wait");
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == listener)
                accept_all(epoll, listener);
            else
                serve(events[i].data.fd);
        }
    }
}
