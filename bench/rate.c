/* Load at a fixed rate, for latency: requests start at their appointed times whether or not the
 * server keeps up, and a latency counts from the appointed time, not from when the request could be
 * sent at last. A closed loop (wrk) stops asking while the server stalls, and so hides the stall.
 *
 * Request i is due at start + i / RATE and goes to the connection that has been idle longest; if
 * none is idle it waits, and the wait is part of its latency. One request at a time a connection.
 * The loop spins rather than sleeps: a timer's slack would be measured as the server's latency.
 *
 *     cc -O2 -o rate rate.c && ./rate PORT RATE SECONDS CONNECTIONS REQUEST_FILE [TRICKLERS]
 *
 * TRICKLERS more connections attack the server meanwhile as slow loris does: each sends a request
 * whose head never ends, an octet a second. One that the server ends comes again ("reopened").
 *
 * Prints one line of JSON, times in microseconds; the first tenth is a warm-up and not recorded.
 * "stall" is the longest turn of the loop: time in which this program, not the server, was late.
 * Exits 1, and says why, if any answer is not a whole 200 or is missing GRACE_NS after the end.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    MAX_CONNECTIONS = 1024,
    MAX_SECONDS = 600,
    MAX_RATE = 1000000,
    MAX_REQUESTS = 50000000,
    MAX_REQUEST_SIZE = 65536,
    MAX_ANSWER_SIZE = 65536,
    MAX_EVENTS = 256,
    MAX_TRICKLERS = 16384,
    SETTLE_MS = 500, /* in which the server may deal with the tricklers' coming */
};
static const int64_t SECOND_NS = 1000000000;
static const int64_t GRACE_NS = 5 * SECOND_NS;

static const char TRICKLE_HEAD[] = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n";
static const char TRICKLE[] = "X-Slow: loris\r\n"; /* over and over */

typedef struct {
    int fd;
    int64_t due; /* when the request in flight was to be sent; nanoseconds */
    int64_t number;
    size_t size;
    char answer[MAX_ANSWER_SIZE + 1];
} Connection;

static Connection connections[MAX_CONNECTIONS];
/* Idle connections, longest idle first: a ring with room for all of them. */
static Connection *idle[MAX_CONNECTIONS];
static int idle_first, idle_count, connection_count;

typedef struct {
    int fd;
    int begun;   /* TRICKLE_HEAD is sent */
    size_t next; /* octet of TRICKLE */
} Trickler;

static Trickler tricklers[MAX_TRICKLERS];
static int trickler_count, reopened;

static void die(const char *what) {
    fprintf(stderr, "rate: %s\n", what);
    exit(1);
}

static void fail(const char *call) {
    perror(call);
    exit(1);
}

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * SECOND_NS + t.tv_nsec;
}

static long number_between(const char *text, long low, long high, const char *name) {
    char *end;
    long value = strtol(text, &end, 10);
    if (*text == '\0' || *end != '\0' || value < low || value > high) {
        fprintf(stderr, "rate: %s must be a number from %ld to %ld, not %s\n", name, low, high, text);
        exit(2);
    }
    return value;
}

static size_t read_request(const char *path, char *request) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) fail(path);
    size_t size = fread(request, 1, MAX_REQUEST_SIZE, file);
    if (size == 0 || !feof(file)) die("the request file is empty or too long");
    fclose(file);
    return size;
}

static void set_idle(Connection *connection) {
    idle[(idle_first + idle_count++) % connection_count] = connection;
}

static Connection *take_idle(void) {
    Connection *connection = idle[idle_first];
    idle_first = (idle_first + 1) % connection_count;
    idle_count--;
    return connection;
}

/* With SOCK_NONBLOCK it may still be connecting when this returns. */
static int connect_to(int port, int flags) {
    int one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((unsigned short)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    if (fd < 0) fail("socket");
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS)
        fail("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0) fail("fcntl");
    return fd;
}

static void open_trickler(Trickler *trickler, int port, int flags) {
    trickler->fd = connect_to(port, flags);
    trickler->begun = 0;
    trickler->next = 0;
}

/* Sends the next octet, or the beginning; a connection that the server has ended is opened again. */
static void trickle(Trickler *trickler, int port) {
    const char *bytes = trickler->begun ? &TRICKLE[trickler->next] : TRICKLE_HEAD;
    size_t size = trickler->begun ? 1 : sizeof TRICKLE_HEAD - 1;
    if (send(trickler->fd, bytes, size, MSG_NOSIGNAL) > 0) {
        if (trickler->begun) trickler->next = (trickler->next + 1) % (sizeof TRICKLE - 1);
        trickler->begun = 1;
    } else if (errno != EAGAIN) {
        close(trickler->fd);
        open_trickler(trickler, port, SOCK_NONBLOCK); /* the load must not wait for it */
        reopened++;
    }
}

static void open_connection(int epoll, Connection *connection, int port) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    int fd = connect_to(port, 0);
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) fail("epoll_ctl");
    connection->fd = fd;
    set_idle(connection);
}

/* Whether the whole answer is here. It must be a 200 with a Content-Length and nothing after it. */
static int answered(Connection *c) {
    c->answer[c->size] = '\0';
    char *body = strstr(c->answer, "\r\n\r\n");
    if (body == NULL) return 0;
    if (strncmp(c->answer, "HTTP/1.1 200 ", 13) != 0) die("an answer is not 200");
    char *field = strcasestr(c->answer, "\r\ncontent-length:");
    if (field == NULL || field > body) die("an answer has no Content-Length");
    size_t whole = (size_t)(body + 4 - c->answer) + strtoul(field + 17, NULL, 10);
    if (c->size > whole) die("an answer is longer than its Content-Length");
    return c->size == whole;
}

/* Reads what has come; returns whether that completes the answer. */
static int receive(Connection *c) {
    ssize_t size = recv(c->fd, c->answer + c->size, MAX_ANSWER_SIZE - c->size, 0);
    if (size < 0 && errno == EAGAIN) return 0;
    if (size < 0) fail("recv");
    if (size == 0) die("the server closed a connection, or an answer is too long");
    c->size += (size_t)size;
    return answered(c);
}

static int ascending(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static double quantile_us(const int64_t *sorted, int64_t count, double q) {
    int64_t index = (int64_t)(q * (double)count);
    return (double)sorted[index < count ? index : count - 1] / 1e3;
}

int main(int argc, char **argv) {
    static char request[MAX_REQUEST_SIZE];
    struct epoll_event events[MAX_EVENTS];
    if (argc != 6 && argc != 7) {
        fprintf(stderr, "usage: %s PORT RATE SECONDS CONNECTIONS REQUEST_FILE [TRICKLERS]\n", argv[0]);
        return 2;
    }
    int port = (int)number_between(argv[1], 1, 65535, "PORT");
    int64_t rate = number_between(argv[2], 1, MAX_RATE, "RATE");
    int64_t seconds = number_between(argv[3], 1, MAX_SECONDS, "SECONDS");
    connection_count = (int)number_between(argv[4], 1, MAX_CONNECTIONS, "CONNECTIONS");
    size_t request_size = read_request(argv[5], request);
    if (argc == 7) trickler_count = (int)number_between(argv[6], 0, MAX_TRICKLERS, "TRICKLERS");
    int64_t total = rate * seconds, warm_up = total / 10;
    if (total > MAX_REQUESTS) die("RATE times SECONDS is too large");
    int64_t *latencies = malloc((size_t)total * sizeof *latencies);
    if (latencies == NULL) fail("malloc");

    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) fail("epoll_create1");
    for (int i = 0; i < connection_count; i++) open_connection(epoll, &connections[i], port);
    for (int i = 0; i < trickler_count; i++) {
        open_trickler(&tricklers[i], port, 0);
        trickle(&tricklers[i], port);
    }
    if (trickler_count > 0) usleep(SETTLE_MS * 1000);

    int64_t sent = 0, completed = 0, recorded = 0, trickled = 0, stall = 0;
    int64_t start = now_ns(), last = start;
    while (completed < total) {
        int64_t now = now_ns();
        /* The loop never sleeps, so a long turn means that something else had this core. */
        if (now - last > stall) stall = now - last;
        last = now;
        if (now > start + seconds * SECOND_NS + GRACE_NS) {
            fprintf(stderr, "rate: %ld of %ld requests unanswered: the server is too slow for %ld/s\n",
                    (long)(total - completed), (long)total, (long)rate);
            return 1;
        }
        while (sent < total && idle_count > 0) {
            /* From the count, not by adding a step: a rounded step would drift. */
            int64_t due = start + sent / rate * SECOND_NS + sent % rate * SECOND_NS / rate;
            if (due > now) break;
            Connection *c = take_idle();
            c->due = due;
            c->number = sent++;
            c->size = 0;
            if (send(c->fd, request, request_size, MSG_NOSIGNAL) != (ssize_t)request_size)
                die("a request could not be written whole");
        }
        /* One a turn at the most, so that no request has to wait for more than one. */
        if (trickler_count > 0 && start + trickled * SECOND_NS / trickler_count <= now)
            trickle(&tricklers[trickled++ % trickler_count], port);
        int count = epoll_wait(epoll, events, MAX_EVENTS, 0);
        if (count < 0 && errno != EINTR) fail("epoll_wait");
        for (int i = 0; i < count; i++) {
            Connection *c = events[i].data.ptr;
            if (!receive(c)) continue;
            if (c->number >= warm_up) latencies[recorded++] = now_ns() - c->due;
            completed++;
            set_idle(c);
        }
    }
    qsort(latencies, (size_t)recorded, sizeof *latencies, ascending);
    printf("{\"requests\": %ld, \"recorded\": %ld, \"seconds\": %.3f, \"p50\": %.1f, \"p99\": %.1f, "
           "\"p999\": %.1f, \"max\": %.1f, \"stall\": %.1f, \"reopened\": %d}\n",
           (long)completed, (long)recorded, (double)(now_ns() - start) / 1e9,
           quantile_us(latencies, recorded, 0.50), quantile_us(latencies, recorded, 0.99),
           quantile_us(latencies, recorded, 0.999), (double)latencies[recorded - 1] / 1e3,
           (double)stall / 1e3, reopened);
    return 0;
}
