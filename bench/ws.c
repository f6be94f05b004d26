/* Load on a WebSocket echo (RFC 6455) in a closed loop: one message in flight a connection; when it
 * has come back whole, octet for octet and of its kind, the next is sent.
 *
 *     cc -O2 -o ws ws.c && ./ws PORT SECONDS CONNECTIONS text|binary MESSAGE_FILE
 *
 * Prints one line of JSON. The clock runs from the first message, after all handshakes, to the last
 * echo: what is in flight when SECONDS have passed is waited for and counted. A round with anything
 * wrong in it does not count: exits 1, and says why, if a handshake is refused, an echo differs, a
 * frame breaks the protocol, a connection is closed, or nothing comes for GRACE_NS.
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
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum {
    MAX_CONNECTIONS = 1024,
    MAX_SECONDS = 600,
    MAX_MESSAGE_SIZE = 1 << 20,
    MAX_ANSWER_HEAD = 8192,
    MAX_EVENTS = 256,
    RECEIVE_SIZE = 262144,
    FRAME_HEAD = 14, /* the longest: two octets, a length of eight, a mask of four */
    MAX_CONTROL = 125,
    CONTROL_ROOM = 4 * (FRAME_HEAD + MAX_CONTROL), /* Pongs that may wait behind a message */
};
enum { CONTINUATION = 0x0, TEXT = 0x1, BINARY = 0x2, CLOSE = 0x8, PING = 0x9, PONG = 0xA };
static const int64_t SECOND_NS = 1000000000;
static const int64_t GRACE_NS = 5 * SECOND_NS;
static const int64_t CLOSING_NS = SECOND_NS;

/* Key and answer are those that section 1.3 of the RFC computes: a server cannot tell that they are
 * always the same, and no SHA-1 is needed here. */
static const char HANDSHAKE[] =
    "GET / HTTP/1.1\r\n"
    "Host: 127.0.0.1\r\n"
    "Upgrade: websocket\r\n"
    "Connection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "\r\n";
static const char ACCEPT[] = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

typedef struct {
    int fd;
    int waiting;             /* for the echo of its message */
    unsigned char *out;      /* frames to be sent */
    size_t out_size, out_sent;
    unsigned char head[10];  /* of the frame that comes in, as far as it has come */
    size_t head_size;
    uint64_t left;           /* octets of that frame's payload still to come */
    size_t echoed;           /* octets of the message that have come back */
    int within;              /* a fragmented message */
    unsigned char control[MAX_CONTROL];
    size_t control_size;
} Connection;

static Connection connections[MAX_CONNECTIONS];
static unsigned char message[MAX_MESSAGE_SIZE + 1], received[RECEIVE_SIZE];
static size_t message_size;
static int message_opcode, connection_count, waiting_count;
static int64_t messages, stop_at;
static uint64_t random_state;

static void die(const char *what) {
    fprintf(stderr, "ws: %s\n", what);
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
        fprintf(stderr, "ws: %s must be a number from %ld to %ld, not %s\n", name, low, high, text);
        exit(2);
    }
    return value;
}

static void read_message(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) fail(path);
    message_size = fread(message, 1, sizeof message, file);
    if (message_size == 0 || message_size > MAX_MESSAGE_SIZE) die("the message is empty or too long");
    fclose(file);
}

/* A mask for each frame, as section 5.3 asks: xorshift, seeded by the kernel. */
static uint32_t next_mask(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 32);
}

/* Appends a frame to what the connection is to send. */
static void put_frame(Connection *c, int opcode, const unsigned char *payload, size_t size) {
    unsigned char *at = c->out + c->out_size;
    uint32_t mask = next_mask();
    *at++ = (unsigned char)(0x80 | opcode);
    if (size < 126) {
        *at++ = (unsigned char)(0x80 | size);
    } else {
        int octets = size < 65536 ? 2 : 8;
        *at++ = (unsigned char)(0x80 | (octets == 2 ? 126 : 127));
        while (octets-- > 0) *at++ = (unsigned char)((uint64_t)size >> (8 * octets));
    }
    memcpy(at, &mask, sizeof mask);
    at += sizeof mask;
    uint64_t mask_twice = (uint64_t)mask << 32 | mask, word;
    size_t i = 0;
    for (; i + sizeof word <= size; i += sizeof word) {
        memcpy(&word, payload + i, sizeof word);
        word ^= mask_twice;
        memcpy(at + i, &word, sizeof word);
    }
    for (; i < size; i++) at[i] = payload[i] ^ ((unsigned char *)&mask)[i % sizeof mask];
    c->out_size = (size_t)(at + size - c->out);
}

/* Sends what there is, as far as the socket takes it: the rest when it is writable again. */
static void flush(Connection *c) {
    while (c->out_sent < c->out_size) {
        ssize_t sent = send(c->fd, c->out + c->out_sent, c->out_size - c->out_sent, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) return;
        if (sent < 0) fail("send");
        c->out_sent += (size_t)sent;
    }
    c->out_size = c->out_sent = 0;
}

static void send_message(Connection *c) {
    put_frame(c, message_opcode, message, message_size);
    c->waiting = 1;
    waiting_count++;
    flush(c);
}

/* How long a frame's head is, as far as can be told yet. */
static size_t head_needs(const Connection *c) {
    int length = c->head_size < 2 ? 0 : c->head[1] & 0x7F;
    return length == 126 ? 4 : length == 127 ? 10 : 2;
}

/* A frame has begun: its head is whole. */
static void begin_frame(Connection *c) {
    int opcode = c->head[0] & 0x0F, final = c->head[0] & 0x80;
    if (c->head[0] & 0x70) die("a frame has a reserved bit set: no extension was agreed");
    if (c->head[1] & 0x80) die("a server's frame is masked");
    c->left = c->head[1];
    if (c->head[1] >= 126) {
        c->left = 0;
        for (size_t i = 2; i < c->head_size; i++) c->left = c->left << 8 | c->head[i];
    }
    if (opcode >= CLOSE) {
        if (!final || c->left > MAX_CONTROL) die("a control frame is fragmented or too long");
        c->control_size = 0;
        return;
    }
    if (!c->waiting) die("a message came that nobody is waiting for");
    if (opcode != (c->within ? CONTINUATION : message_opcode)) die("an echo is of another kind");
    if (c->left > message_size - c->echoed) die("an echo is longer than its message");
    c->within = !final;
}

/* A frame has ended. Returns whether that completes an echo. */
static int end_frame(Connection *c) {
    int opcode = c->head[0] & 0x0F;
    c->head_size = 0;
    if (opcode == CLOSE) {
        unsigned code = c->control_size < 2 ? 1005u : (unsigned)(c->control[0] << 8 | c->control[1]);
        fprintf(stderr, "ws: the server closed a WebSocket: %u %.*s\n", code,
                c->control_size < 2 ? 0 : (int)c->control_size - 2, (char *)c->control + 2);
        exit(1);
    }
    if (opcode == PING) {
        /* A Pong may be left out where a later one follows (section 5.5.3). */
        if (c->out_size + FRAME_HEAD + c->control_size < message_size + CONTROL_ROOM) {
            put_frame(c, PONG, c->control, c->control_size);
            flush(c);
        }
        return 0;
    }
    if (opcode == PONG) return 0;
    if (opcode > CLOSE) die("a control frame is of no known kind");
    if (c->within) return 0;
    if (c->echoed != message_size) die("an echo is shorter than its message");
    return 1;
}

/* Reads frames from what has come, and sends the next message when the last one is back. */
static void take(Connection *c, const unsigned char *at, const unsigned char *end) {
    for (;;) {
        while (c->head_size < head_needs(c)) {
            if (at == end) return;
            c->head[c->head_size++] = *at++;
            if (c->head_size == head_needs(c)) begin_frame(c);
        }
        size_t size = (size_t)(end - at) < c->left ? (size_t)(end - at) : (size_t)c->left;
        if (c->head[0] & CLOSE) {
            memcpy(c->control + c->control_size, at, size);
            c->control_size += size;
        } else {
            if (memcmp(at, message + c->echoed, size) != 0) die("an echo differs from its message");
            c->echoed += size;
        }
        at += size;
        c->left -= size;
        if (c->left > 0) return;
        if (!end_frame(c)) continue;
        messages++;
        c->waiting = 0;
        c->echoed = 0;
        waiting_count--;
        if (now_ns() < stop_at) send_message(c);
    }
}

/* Reads until the socket is empty, since its events are edges: a short read says so, unless the end
 * of the connection stands behind it. */
static void receive(Connection *c, int ended) {
    ssize_t size;
    do {
        size = recv(c->fd, received, RECEIVE_SIZE, 0);
        if (size < 0 && errno == EAGAIN) return;
        if (size < 0) fail("recv");
        if (size == 0) die("the server ended a connection");
        take(c, received, received + size);
    } while (size == RECEIVE_SIZE || ended);
}

/* Reads and checks the answer to the handshake; what follows it is frames. */
static void shake_hands(Connection *c) {
    static char answer[MAX_ANSWER_HEAD + 1];
    size_t size = 0;
    char *end = NULL;
    if (send(c->fd, HANDSHAKE, sizeof HANDSHAKE - 1, MSG_NOSIGNAL) != sizeof HANDSHAKE - 1)
        die("a handshake could not be sent");
    while (end == NULL) {
        ssize_t more = recv(c->fd, answer + size, MAX_ANSWER_HEAD - size, 0);
        if (more <= 0) die("a handshake was not answered");
        size += (size_t)more;
        answer[size] = '\0';
        end = strstr(answer, "\r\n\r\n");
    }
    char *accept = strcasestr(answer, "\r\nsec-websocket-accept:");
    if (strncmp(answer, "HTTP/1.1 101 ", 13) != 0 || accept == NULL || accept > end)
        die("a handshake was refused");
    accept += 23;
    accept += strspn(accept, " \t");
    if (strncmp(accept, ACCEPT, sizeof ACCEPT - 1) != 0) die("Sec-WebSocket-Accept is wrong");
    char *extensions = strcasestr(answer, "\r\nsec-websocket-extensions:");
    if (extensions != NULL && extensions < end) die("an extension was not offered, yet accepted");
    end += 4;
    take(c, (unsigned char *)end, (unsigned char *)answer + size);
}

static void open_connection(int epoll, Connection *c, int port) {
    int one = 1;
    struct timeval patience = {.tv_sec = GRACE_NS / SECOND_NS};
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((unsigned short)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.ptr = c};
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0) fail("socket");
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address) < 0) fail("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c->out = malloc(message_size + FRAME_HEAD + CONTROL_ROOM);
    if (c->out == NULL) fail("malloc");
    shake_hands(c);
    if (fcntl(c->fd, F_SETFL, O_NONBLOCK) < 0) fail("fcntl");
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event) < 0) fail("epoll_ctl");
}

/* Ends all connections as a client should; a server that does not answer is not waited for long. */
static void close_all(int epoll) {
    struct epoll_event events[MAX_EVENTS];
    int left = connection_count;
    int64_t patience = now_ns() + CLOSING_NS;
    for (int i = 0; i < connection_count; i++) {
        put_frame(&connections[i], CLOSE, (const unsigned char *)"\x03\xe8", 2); /* 1000 */
        flush(&connections[i]);
    }
    while (left > 0 && now_ns() < patience) {
        int count = epoll_wait(epoll, events, MAX_EVENTS, 10);
        for (int i = 0; i < count; i++) {
            Connection *c = events[i].data.ptr;
            ssize_t size;
            while ((size = recv(c->fd, received, RECEIVE_SIZE, 0)) > 0) {}
            if (size < 0 && errno == EAGAIN) continue;
            close(c->fd);
            left--;
        }
    }
}

int main(int argc, char **argv) {
    struct epoll_event events[MAX_EVENTS];
    if (argc != 6 || (strcmp(argv[4], "text") != 0 && strcmp(argv[4], "binary") != 0)) {
        fprintf(stderr, "usage: %s PORT SECONDS CONNECTIONS text|binary MESSAGE_FILE\n", argv[0]);
        return 2;
    }
    int port = (int)number_between(argv[1], 1, 65535, "PORT");
    int64_t seconds = number_between(argv[2], 1, MAX_SECONDS, "SECONDS");
    connection_count = (int)number_between(argv[3], 1, MAX_CONNECTIONS, "CONNECTIONS");
    message_opcode = strcmp(argv[4], "text") == 0 ? TEXT : BINARY;
    read_message(argv[5]);
    if (getrandom(&random_state, sizeof random_state, 0) != sizeof random_state) fail("getrandom");
    random_state |= 1; /* never zero, which xorshift would not leave */

    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) fail("epoll_create1");
    for (int i = 0; i < connection_count; i++) open_connection(epoll, &connections[i], port);

    int64_t start = now_ns(), heard = start;
    stop_at = start + seconds * SECOND_NS;
    for (int i = 0; i < connection_count; i++) send_message(&connections[i]);
    while (waiting_count > 0) {
        int count = epoll_wait(epoll, events, MAX_EVENTS, 100);
        if (count < 0 && errno != EINTR) fail("epoll_wait");
        int64_t now = now_ns();
        if (count > 0) heard = now;
        if (now > heard + GRACE_NS || now > stop_at + GRACE_NS) {
            fprintf(stderr, "ws: %d messages did not come back\n", waiting_count);
            return 1;
        }
        for (int i = 0; i < count; i++) {
            Connection *c = events[i].data.ptr;
            if (events[i].events & EPOLLOUT) flush(c);
            if (events[i].events & ~(uint32_t)EPOLLOUT)
                receive(c, (events[i].events & (EPOLLRDHUP | EPOLLHUP)) != 0);
        }
    }
    int64_t took = now_ns() - start;
    close_all(epoll);
    printf("{\"messages\": %ld, \"seconds\": %.6f}\n", (long)messages, (double)took / 1e9);
    return 0;
}
