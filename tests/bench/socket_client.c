/* Load client of the socket benchmarks: opens many WebSockets and looks at the text frames that each of them gets.
 *
 *     socket_client PORT PATH SOCKETS ROOMS MODE
 *
 * ROOMS: 0 = every socket opens PATH; else socket i opens PATH followed by i % ROOMS. MODE:
 *
 *     count   Frames are counted. Of every 50th socket they are read: the price must be the one before plus 1, so nothing
 *             is missing, twice or out of order.
 *     time    Every frame is read: its price is the microsecond of CLOCK_MONOTONIC at which it was published, and must be
 *             above the one before.
 *     deaf    Nothing is ever read, not even pings.
 *
 * It prints "ready" when every socket is open. Then it takes lines on standard input, one at a time:
 *
 *     N       Answers "N" as soon as every socket has got N text frames since the start.
 *     clear   Forgets the times taken so far. Answers "clear".
 *     report  Answers "COUNT P50 P99 MAX": of the times from publishing to reading since `clear`, in microseconds.
 *
 * Pings of both kinds are answered. Any breach, and any socket that the server closes, ends the program with a line on standard error
 * and status 1. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SAMPLE_EVERY 50
#define READ_BYTES (256 * 1024)
#define MOST_READ 1024           /* bytes of a text frame that is read */
#define MOST_CONTROL 125
#define SHORTEST_PRICE 80        /* bytes */
#define HEADER_BYTES 10
#define DEAF_BUFFER_BYTES 4096

enum mode { COUNT, TIME, DEAF };

struct connection {
    int fd;
    int reads;                   /* are its text frames read, or only counted? */
    uint64_t frames;             /* text frames begun and ended */
    uint64_t skip;               /* payload bytes of the frame in hand still to come */
    uint64_t size;               /* of the payload of the frame in hand */
    int opcode;                  /* of the frame in hand */
    unsigned char header[HEADER_BYTES];
    int header_have;
    unsigned char *payload;      /* of the frame in hand: what is read, and control frames */
    uint64_t payload_have;
    double price;
};

static enum mode mode;
static struct connection *connections;
static int sockets, behind;      /* behind: sockets that have not reached `wanted` */
static uint64_t wanted;
static unsigned char buffer[READ_BYTES];
static uint32_t *times;          /* microseconds */
static size_t times_have, times_room;

static void fail(const char *what) {
    fprintf(stderr, "socket_client: %s (%s)\n", what, errno ? strerror(errno) : "no system error");
    exit(1);
}

static double now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1e6 + now.tv_nsec / 1e3;
}

static void keep_time(double us) {
    if (times_have == times_room) {
        times_room = times_room ? 2 * times_room : 1 << 16;
        if (!(times = realloc(times, times_room * sizeof *times))) fail("realloc");
    }
    times[times_have++] = us < 0 ? 0 : us < UINT32_MAX ? us : UINT32_MAX;
}

static void say(struct connection *c, int opcode, const void *data, size_t size) {
    unsigned char frame[2 + 4 + MOST_CONTROL] = {(unsigned char)(0x80 | opcode), (unsigned char)(0x80 | size), 0, 0, 0, 0};
    memcpy(frame + 6, data, size);  /* masked with zeros */
    if (write(c->fd, frame, 6 + size) < 0) fail("write");
}

/* Every socket reads what is too short to be a price: pings of the extended profile. */
static int is_read(const struct connection *c) {
    return c->reads || c->opcode != 1 || c->size < SHORTEST_PRICE;
}

static void check_price(struct connection *c) {
    c->payload[c->payload_have] = 0;
    char *found = strstr((char *)c->payload, "\"price\":");
    if (!found) fail("a frame without a price");
    double price = strtod(found + 8, NULL);
    if (mode == TIME ? price <= c->price : c->frames && price != c->price + 1)
        fail("a price is missing, twice or out of order");
    c->price = price;
    if (mode == TIME) keep_time(now_us() - price);
}

static void frame_ended(struct connection *c) {
    static const char heard[] = "{\"type\":\"pong\"}";
    if (c->opcode == 1 && c->size < SHORTEST_PRICE) {
        if (!memmem(c->payload, c->size, "\"ping\"", 6)) fail("a short text that is no ping");
        say(c, 1, heard, sizeof heard - 1);
    } else if (c->opcode == 1) {
        if (c->reads) check_price(c);
        if (++c->frames == wanted) behind--;
    } else if (c->opcode == 9) {
        say(c, 10, c->payload, c->payload_have);
    } else {
        fprintf(stderr, "closed: %d %.*s\n", c->size < 2 ? 0 : c->payload[0] << 8 | c->payload[1],
                c->size < 2 ? 0 : (int)c->size - 2, c->payload + 2);
        fail("the server closed a socket");
    }
    c->payload_have = 0;
    c->header_have = 0;
}

/* The payload length that a header says; -1 where the header is not whole yet. */
static int64_t length(const unsigned char *header, int have) {
    if (have < 2) return -1;
    if (header[1] < 126) return header[1];
    if (header[1] == 126) return have < 4 ? -1 : header[2] << 8 | header[3];
    fail("a frame of more than 65535 bytes, or a masked one");
    return -1;
}

static void take(struct connection *c, const unsigned char *data, size_t size) {
    while (size) {
        if (c->skip) {
            size_t part = c->skip < size ? c->skip : size;
            if (is_read(c)) {
                if (c->payload_have + part > (c->reads ? MOST_READ : MOST_CONTROL)) fail("a frame larger than expected");
                memcpy(c->payload + c->payload_have, data, part);
                c->payload_have += part;
            }
            c->skip -= part, data += part, size -= part;
            if (!c->skip) frame_ended(c);
            continue;
        }
        c->header[c->header_have++] = *data++, size--;
        int64_t bytes = length(c->header, c->header_have);
        if (bytes < 0) continue;
        c->opcode = c->header[0] & 15;
        c->size = bytes;
        if (bytes == 0) frame_ended(c);
        c->skip = bytes;
    }
}

static void receive(struct connection *c) {
    if (mode == DEAF) fail("the server hung up");  /* nothing else wakes a deaf socket */
    for (;;) {
        ssize_t got = read(c->fd, buffer, sizeof buffer);
        if (got == 0) fail("the server hung up");
        if (got < 0) {
            if (errno == EAGAIN) return;
            fail("read");
        }
        take(c, buffer, got);
        if ((size_t)got < sizeof buffer) return;
    }
}

/* Opens one socket and does the handshake, waiting for it. */
static void open_one(struct connection *c, int port, const char *path) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if ((c->fd = socket(AF_INET, SOCK_STREAM, 0)) < 0) fail("socket");
    int few = DEAF_BUFFER_BYTES;
    if (mode == DEAF && setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &few, sizeof few)) fail("setsockopt");
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address)) fail("connect");
    int size = snprintf((char *)buffer, sizeof buffer,
                        "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n", path, port);
    if (write(c->fd, buffer, size) != size) fail("handshake");
    size_t have = 0;
    char *end = NULL;
    while (!end) {
        ssize_t got = read(c->fd, buffer + have, sizeof buffer - have - 1);
        if (got <= 0) fail("no answer to the handshake");
        have += got;
        buffer[have] = 0;
        end = strstr((char *)buffer, "\r\n\r\n");
    }
    if (strncmp((char *)buffer, "HTTP/1.1 101", 12)) {
        fprintf(stderr, "%s\n", buffer);
        fail("the handshake was refused");
    }
    if (!(c->payload = malloc((c->reads ? MOST_READ : MOST_CONTROL) + 1))) fail("malloc");
    if (mode != DEAF) take(c, (unsigned char *)end + 4, buffer + have - (unsigned char *)end - 4);
    if (fcntl(c->fd, F_SETFL, O_NONBLOCK)) fail("fcntl");
}

/* Reads all that has come; 1 where a line on standard input waits too. */
static int serve(int epoll, int wait_ms) {
    struct epoll_event events[512];
    int count = 512, asked = 0;
    for (; count == 512; wait_ms = 0) {
        count = epoll_wait(epoll, events, 512, wait_ms);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr) receive(events[i].data.ptr);
            else asked = 1;
        }
    }
    return asked;
}

static void watch(int epoll, int fd, struct connection *c) {
    struct epoll_event event = {.events = c && mode == DEAF ? EPOLLRDHUP : EPOLLIN, .data.ptr = c};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) fail("epoll_ctl");
}

static void open_all(int epoll, int port, const char *path, int rooms) {
    for (int i = 0; i < sockets; i++) {
        struct connection *c = &connections[i];
        char room[512];
        c->reads = mode == TIME || (mode == COUNT && i % SAMPLE_EVERY == 0);
        int size = rooms ? snprintf(room, sizeof room, "%s%d", path, i % rooms) : snprintf(room, sizeof room, "%s", path);
        if (size >= (int)sizeof room) fail("a path that long");
        open_one(c, port, room);
        watch(epoll, c->fd, c);
        if (i % 32 == 0) serve(epoll, 0);  /* the first ones are pinged before the last ones are open */
    }
}

static int by_size(const void *one, const void *other) {
    uint32_t a = *(const uint32_t *)one, b = *(const uint32_t *)other;
    return (a > b) - (a < b);
}

static void report(void) {
    qsort(times, times_have, sizeof *times, by_size);
    uint32_t p50 = times_have ? times[times_have / 2] : 0, p99 = times_have ? times[times_have * 99 / 100] : 0;
    printf("%zu %u %u %u\n", times_have, p50, p99, times_have ? times[times_have - 1] : 0);
}

static void want(uint64_t frames) {
    wanted = frames;
    behind = 0;
    for (int i = 0; i < sockets; i++) behind += connections[i].frames < wanted;
}

int main(int argc, char **argv) {
    if (argc != 6) return fprintf(stderr, "usage: socket_client PORT PATH SOCKETS ROOMS count|time|deaf\n"), 2;
    mode = strcmp(argv[5], "time") == 0 ? TIME : strcmp(argv[5], "deaf") == 0 ? DEAF : COUNT;
    sockets = atoi(argv[3]);
    if (!(connections = calloc(sockets, sizeof *connections))) fail("calloc");
    int epoll = epoll_create1(0), waiting = 0;
    open_all(epoll, atoi(argv[1]), argv[2], atoi(argv[4]));
    watch(epoll, 0, NULL);
    printf("ready\n");
    fflush(stdout);
    for (;;) {
        char line[64];
        if (serve(epoll, -1)) {
            if (!fgets(line, sizeof line, stdin)) return 0;  /* the bench is over; it writes one line at a time */
            if (strcmp(line, "report\n") == 0) {
                report();
            } else if (strcmp(line, "clear\n") == 0) {
                times_have = 0;
                printf("clear\n");
            } else {
                want(strtoull(line, NULL, 10));
                waiting = 1;
            }
        }
        if (waiting && !behind) {
            printf("%llu\n", (unsigned long long)wanted);
            waiting = 0;
        }
        fflush(stdout);
    }
}
