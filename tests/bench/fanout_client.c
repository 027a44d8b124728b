/* Load client of bench_fanout.py: opens many WebSockets in one room and counts the text frames that each of them gets.
 *
 *     fanout_client PORT PATH SOCKETS
 *
 * It prints "ready" when every socket is open. Each line "N" on standard input asks for the moment at which every socket
 * has got N text frames since the start; the answer is "N". Pings are answered. Of every 50th socket the frames are read:
 * their price must be the one before plus 1, so nothing is missing, twice or out of order. Any breach ends the program
 * with a line on standard error and status 1. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define SAMPLE_EVERY 50
#define READ_BYTES (256 * 1024)
#define MOST_SAMPLE 4096
#define HEADER_BYTES 10

struct connection {
    int fd, sampled;
    uint64_t frames;             /* text frames begun and ended */
    uint64_t skip;               /* payload bytes of the frame in hand still to come */
    int opcode;                  /* of the frame in hand */
    unsigned char header[HEADER_BYTES];
    int header_have;
    unsigned char *payload;      /* of the frame in hand: sampled sockets and control frames */
    uint64_t payload_have;
    double price;
};

static struct connection *connections;
static int sockets, behind;      /* behind: sockets that have not reached `wanted` */
static uint64_t wanted;
static unsigned char buffer[READ_BYTES];

static void fail(const char *what) {
    fprintf(stderr, "fanout_client: %s (%s)\n", what, errno ? strerror(errno) : "no system error");
    exit(1);
}

static void pong(struct connection *c) {
    unsigned char frame[2 + 4 + 125] = {0x8a, (unsigned char)(0x80 | c->payload_have), 0, 0, 0, 0};
    memcpy(frame + 6, c->payload, c->payload_have);  /* masked with zeros */
    if (write(c->fd, frame, 6 + c->payload_have) < 0) fail("pong");
}

static void check_price(struct connection *c) {
    c->payload[c->payload_have] = 0;
    char *found = strstr((char *)c->payload, "\"price\":");
    if (!found) fail("a frame without a price");
    double price = strtod(found + 8, NULL);
    if (c->frames && price != c->price + 1) fail("a price is missing, twice or out of order");
    c->price = price;
}

static void frame_ended(struct connection *c) {
    if (c->opcode == 1) {
        if (c->sampled) check_price(c);
        if (++c->frames == wanted) behind--;
    } else if (c->opcode == 9) {
        pong(c);
    } else {
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
            if (c->sampled || c->opcode != 1) {
                if (c->payload_have + part >= MOST_SAMPLE) fail("a frame larger than expected");
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
        if (bytes == 0) frame_ended(c);
        c->skip = bytes;
    }
}

static void receive(struct connection *c) {
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
    if (strncmp((char *)buffer, "HTTP/1.1 101", 12)) fail("the handshake was refused");
    if ((c->payload = malloc(MOST_SAMPLE)) == NULL) fail("malloc");
    take(c, (unsigned char *)end + 4, buffer + have - (unsigned char *)end - 4);
    if (fcntl(c->fd, F_SETFL, O_NONBLOCK)) fail("fcntl");
}

static void want(uint64_t frames) {
    wanted = frames;
    behind = 0;
    for (int i = 0; i < sockets; i++) behind += connections[i].frames < wanted;
}

int main(int argc, char **argv) {
    if (argc != 4) return fprintf(stderr, "usage: fanout_client PORT PATH SOCKETS\n"), 2;
    sockets = atoi(argv[3]);
    if (!(connections = calloc(sockets, sizeof *connections))) fail("calloc");
    int epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[512];
    epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &event);
    for (int i = 0; i < sockets; i++) {
        connections[i].sampled = i % SAMPLE_EVERY == 0;
        open_one(&connections[i], atoi(argv[1]), argv[2]);
        event.data.ptr = &connections[i];
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, connections[i].fd, &event)) fail("epoll_ctl");
    }
    printf("ready\n");
    fflush(stdout);
    int asked = 0;
    for (;;) {
        int count = epoll_wait(epoll, events, 512, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr) {
                receive(events[i].data.ptr);
                continue;
            }
            char line[64];
            if (!fgets(line, sizeof line, stdin)) return 0;  /* the bench is over; it writes one line at a time */
            want(strtoull(line, NULL, 10));
            asked = 1;
        }
        if (asked && !behind) {
            printf("%llu\n", (unsigned long long)wanted);
            fflush(stdout);
            asked = 0;
        }
    }
}
