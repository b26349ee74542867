/* Loads a store with small puts over many connections from one thread, and says how many per second
 * were answered.
 *
 *   puts_load confcastd|confcastd-floor|etcd-json|etcd-grpc|etcd-get PORT CONNECTIONS STREAMS
 *             SECONDS SIZE KEYS
 *
 * A client is a connection with one request in flight (no pipelining); over gRPC a connection
 * carries STREAMS of them, as gRPC clients do.  Each puts a document of SIZE bytes under the next
 * of KEYS names.  Requests are made before the clock starts, answers are read no further than is
 * needed to know that they are whole and a success, so that the generator costs the same for each
 * store: epoll, one recv() and one send() per put.
 *
 * confcastd: PUT /v1/config/bench/service/sN; confcastd-floor: GET /healthz, which does nothing and
 * shows what HTTP alone costs.  etcd-json: POST /v3/kv/put of etcd's HTTP gateway.
 * etcd-grpc: etcdserverpb.KV/Put over HTTP/2 (RFC 9113) by hand: headers without state (RFC 7541
 * section 6.2.2), and a put has succeeded when its stream brought a message before it ended (an
 * error brings trailers alone).  etcd-get: KV/Range of what etcd-grpc has put under these names, by
 * what the server holds (serializable, the cheapest kind); an answer without the document ends it.
 *
 * Prints one line, "puts" being the requests of any mode:
 * {"puts":n,"us":n,"p50_us":n,"p99_us":n,"cpu_us":n}, cpu_us being the generator's own.  Any other
 * answer than a success ends it with exit code 1. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "perf/bench.h"

enum {
    CLIENTS_MAX = 1024,
    STREAMS_MAX = 1024,
    REQUEST_MAX = 8192,
    INPUT_SIZE = 64 * 1024,
    EVENTS_MAX = 64,
    LATENCY_US_MAX = 1000000, /* slower ones count as this */
    FRAME_HEADER_SIZE = 9,
    FRAME_DATA = 0,
    FRAME_HEADERS = 1,
    FRAME_RST_STREAM = 3,
    FRAME_SETTINGS = 4,
    FRAME_PING = 6,
    FRAME_GOAWAY = 7,
    FLAG_ACK = 1,
    FLAG_END_STREAM = 1,
    FLAG_END_HEADERS = 4,
};

enum mode {
    MODE_CONFCASTD,
    MODE_FLOOR,
    MODE_ETCD_JSON,
    MODE_ETCD_GRPC,
    MODE_ETCD_GET
};

struct request {
    char *bytes;
    size_t size;
};

struct client {
    int fd;
    uint32_t next_stream;
    size_t input_size;
    uint64_t sent_ns[STREAMS_MAX]; /* of stream 2 n + 1 in slot n % STREAMS_MAX; HTTP/1.1: slot 0 */
    bool has_message[STREAMS_MAX]; /* gRPC: the stream brought one that is large enough */
    uint8_t input[INPUT_SIZE];
};

static enum mode mode;
static size_t answer_min = 5; /* gRPC: larger messages are a success */
static struct request *requests;
static size_t request_count;
static size_t request_idx;
static uint64_t put_count;
static bool is_over;
static uint32_t latencies[LATENCY_US_MAX + 1];

static void
die(const char *what)
{
    fprintf(stderr, "puts_load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static bool
is_grpc(void)
{
    return mode == MODE_ETCD_GRPC || mode == MODE_ETCD_GET;
}

/* ---- Requests ---------------------------------------------------------------------------------
 */

static void
base64(const char *text, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t size = strlen(text);

    for (size_t i = 0; i < size; i += 3) {
        uint32_t b1 = i + 1 < size ? (uint8_t)text[i + 1] : 0;
        uint32_t b2 = i + 2 < size ? (uint8_t)text[i + 2] : 0;
        uint32_t v = (uint32_t)(uint8_t)text[i] << 16 | b1 << 8 | b2;

        *out++ = digits[v >> 18];
        *out++ = digits[v >> 12 & 63];
        *out++ = i + 1 < size ? digits[v >> 6 & 63] : '=';
        *out++ = i + 2 < size ? digits[v & 63] : '=';
    }
    *out = '\0';
}

static void
put_frame_header(uint8_t *p, size_t size, uint8_t type, uint8_t flags, uint32_t stream)
{
    p[0] = (uint8_t)(size >> 16);
    p[1] = (uint8_t)(size >> 8);
    p[2] = (uint8_t)size;
    p[3] = type;
    p[4] = flags;
    p[5] = (uint8_t)(stream >> 24);
    p[6] = (uint8_t)(stream >> 16);
    p[7] = (uint8_t)(stream >> 8);
    p[8] = (uint8_t)stream;
}

/* A string of HPACK or a protobuf field, shorter than 16,384 bytes (HPACK: 127). */
static size_t
put_string(uint8_t *p, const char *text)
{
    size_t size = strlen(text);
    size_t n = 0;

    if (size >= 128) {
        p[n++] = (uint8_t)(size | 128);
        p[n++] = (uint8_t)(size >> 7);
    } else {
        p[n++] = (uint8_t)size;
    }
    memcpy(p + n, text, size);
    return n + size;
}

/* HEADERS and DATA of one put or get; the stream's number is filled in when it is sent. */
static size_t
make_grpc(uint8_t *p, const char *key, const char *document)
{
    uint8_t *headers = p + FRAME_HEADER_SIZE;
    uint8_t *data;
    uint8_t *message;
    size_t n = 0;

    headers[n++] = 0x83; /* :method POST */
    headers[n++] = 0x86; /* :scheme http */
    headers[n++] = 0x04; /* :path */
    n += put_string(headers + n,
                    mode == MODE_ETCD_GET ? "/etcdserverpb.KV/Range" : "/etcdserverpb.KV/Put");
    headers[n++] = 0x01; /* :authority */
    n += put_string(headers + n, "127.0.0.1");
    headers[n++] = 0x0f; /* content-type */
    headers[n++] = 0x10;
    n += put_string(headers + n, "application/grpc");
    headers[n++] = 0x00;
    n += put_string(headers + n, "te");
    n += put_string(headers + n, "trailers");
    put_frame_header(p, n, FRAME_HEADERS, FLAG_END_HEADERS, 0);

    data = headers + n;
    message = data + FRAME_HEADER_SIZE + 5;
    n = 0;
    message[n++] = 0x0a; /* PutRequest.key, RangeRequest.key */
    n += put_string(message + n, key);
    if (mode == MODE_ETCD_GET) {
        message[n++] = 0x38; /* RangeRequest.serializable */
        message[n++] = 1;
    } else {
        message[n++] = 0x12; /* PutRequest.value */
        n += put_string(message + n, document);
    }
    put_frame_header(data, 5 + n, FRAME_DATA, FLAG_END_STREAM, 0);
    message[-5] = 0;
    message[-4] = 0;
    message[-3] = 0;
    message[-2] = (uint8_t)(n >> 8);
    message[-1] = (uint8_t)n;
    return (size_t)(message + n - p);
}

static size_t
make_http(char *p, const char *key, const char *document, size_t number)
{
    static char key64[256];
    static char document64[REQUEST_MAX];

    if (mode == MODE_CONFCASTD) {
        return (size_t)snprintf(p, REQUEST_MAX,
                                "PUT /v1/config/bench/service/s%zu HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                                "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                                number, strlen(document), document);
    }
    if (mode == MODE_FLOOR) {
        return (size_t)snprintf(p, REQUEST_MAX, "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    }
    base64(key, key64);
    base64(document, document64);
    return (size_t)snprintf(p, REQUEST_MAX,
                            "POST /v3/kv/put HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                            "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n"
                            "{\"key\":\"%s\",\"value\":\"%s\"}",
                            strlen(key64) + strlen(document64) + 21, key64, document64);
}

static void
make_requests(size_t size, size_t count)
{
    static char buffer[2 * REQUEST_MAX];
    static char document[REQUEST_MAX];
    char key[64];
    int n = snprintf(document, sizeof(document), "{\"limit\":100,\"name\":\"");

    memset(document + n, 'x', size - (size_t)n - 2);
    memcpy(document + size - 2, "\"}", 3);
    requests = calloc(count, sizeof(*requests));
    if (requests == NULL) {
        die("memory");
    }
    request_count = count;
    for (size_t i = 0; i < count; i++) {
        snprintf(key, sizeof(key), "bench/service/s%zu", i);
        requests[i].size = is_grpc() ? make_grpc((uint8_t *)buffer, key, document)
                                     : make_http(buffer, key, document, i);
        requests[i].bytes = malloc(requests[i].size);
        if (requests[i].bytes == NULL || requests[i].size >= sizeof(buffer)) {
            die("memory");
        }
        memcpy(requests[i].bytes, buffer, requests[i].size);
    }
}

/* ---- Connections ------------------------------------------------------------------------------
 */

/* One request in flight and small ones: the socket takes them as a whole. */
static void
send_all(const struct client *c, const void *bytes, size_t size)
{
    if (send(c->fd, bytes, size, MSG_NOSIGNAL) != (ssize_t)size) {
        die("send");
    }
}

static void
put_next(struct client *c)
{
    struct request *r = &requests[request_idx++ % request_count];
    uint32_t stream = c->next_stream;

    if (is_grpc()) {
        uint8_t *p = (uint8_t *)r->bytes;
        size_t data = FRAME_HEADER_SIZE + ((size_t)p[1] << 8 | p[2]);

        for (int i = 0; i < 4; i++) {
            p[5 + i] = (uint8_t)(stream >> (24 - 8 * i));
            p[data + 5 + (size_t)i] = p[5 + i];
        }
        c->has_message[stream / 2 % STREAMS_MAX] = false;
        c->sent_ns[stream / 2 % STREAMS_MAX] = cfc_bench_now_ns();
        c->next_stream += 2;
    } else {
        c->sent_ns[0] = cfc_bench_now_ns();
    }
    send_all(c, r->bytes, r->size);
}

static void
count_put(struct client *c, uint32_t slot)
{
    uint64_t us = (cfc_bench_now_ns() - c->sent_ns[slot]) / 1000;

    latencies[us < LATENCY_US_MAX ? us : LATENCY_US_MAX]++;
    put_count++;
    if (!is_over) {
        put_next(c);
    }
}

/* Bytes of one whole answer at the start of the input, 0 when some are missing. */
static size_t
http_answer(const struct client *c)
{
    const char *text = (const char *)c->input;
    const char *end = memmem(text, c->input_size, "\r\n\r\n", 4);
    const char *length;
    size_t size;

    if (end == NULL) {
        return 0;
    }
    if (c->input_size < 12 || memcmp(text + 9, "200", 3) != 0) {
        fprintf(stderr, "puts_load: %.*s\n", (int)c->input_size, text);
        exit(1);
    }
    length = memmem(text, (size_t)(end - text), "Content-Length: ", 16);
    if (length == NULL) {
        die("an answer without a length");
    }
    size = (size_t)(end + 4 - text) + strtoul(length + 16, NULL, 10);
    return size <= c->input_size ? size : 0;
}

static void
on_frame(struct client *c, uint8_t type, uint8_t flags, uint32_t stream, const uint8_t *p,
         size_t size)
{
    uint32_t slot = stream / 2 % STREAMS_MAX;
    uint8_t ack[FRAME_HEADER_SIZE + 8];

    switch (type) {
    case FRAME_SETTINGS:
        if ((flags & FLAG_ACK) == 0) {
            put_frame_header(ack, 0, FRAME_SETTINGS, FLAG_ACK, 0);
            send_all(c, ack, FRAME_HEADER_SIZE);
        }
        break;
    case FRAME_PING:
        if ((flags & FLAG_ACK) == 0 && size == 8) {
            put_frame_header(ack, 8, FRAME_PING, FLAG_ACK, 0);
            memcpy(ack + FRAME_HEADER_SIZE, p, 8);
            send_all(c, ack, sizeof(ack));
        }
        break;
    case FRAME_DATA:
        c->has_message[slot] = c->has_message[slot] || size > answer_min;
        break;
    case FRAME_HEADERS:
        if ((flags & FLAG_END_STREAM) != 0) {
            if (!c->has_message[slot]) {
                die("a request was refused");
            }
            count_put(c, slot);
        }
        break;
    case FRAME_RST_STREAM:
    case FRAME_GOAWAY:
        die("the stream or connection was reset");
        break;
    default:
        break;
    }
}

/* Bytes of one whole frame, 0 when some are missing. */
static size_t
http2_frame(struct client *c)
{
    const uint8_t *p = c->input;
    size_t size;
    uint32_t stream;

    if (c->input_size < FRAME_HEADER_SIZE) {
        return 0;
    }
    size = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];
    if (c->input_size < FRAME_HEADER_SIZE + size) {
        return 0;
    }
    stream = (uint32_t)p[5] << 24 | (uint32_t)p[6] << 16 | (uint32_t)p[7] << 8 | p[8];
    on_frame(c, p[3], p[4], stream, p + FRAME_HEADER_SIZE, size);
    return FRAME_HEADER_SIZE + size;
}

static void
on_input(struct client *c)
{
    ssize_t got = recv(c->fd, c->input + c->input_size, INPUT_SIZE - c->input_size, 0);
    size_t used = 0;
    size_t size;

    if (got <= 0) {
        if (got < 0 && errno == EAGAIN) {
            return;
        }
        die("the connection ended");
    }
    c->input_size += (size_t)got;
    if (!is_grpc()) {
        if (http_answer(c) > 0) {
            c->input_size = 0;
            count_put(c, 0);
        }
        return;
    }
    do {
        size = http2_frame(c);
        used += size;
        c->input_size -= size;
        memmove(c->input, c->input + size, c->input_size);
    } while (size > 0);
}

static struct client *
connect_client(uint16_t port)
{
    static const uint8_t preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                                     "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
                                     "\x00\x00\x04\x08\x00\x00\x00\x00\x00\x7f\x00\x00\x00";
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct client *c = calloc(1, sizeof(*c));
    int one = 1;

    if (c == NULL) {
        die("memory");
    }
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->next_stream = 1;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        die("connect");
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (is_grpc()) {
        /* No settings of ours, and a receive window that needs no updates. */
        send_all(c, preface, sizeof(preface) - 1);
    }
    return c;
}

/* ---- The run ----------------------------------------------------------------------------------
 */

static uint64_t
quantile_us(double share)
{
    uint64_t wanted = (uint64_t)(share * (double)put_count);
    uint64_t seen = 0;

    for (size_t us = 0; us <= LATENCY_US_MAX; us++) {
        seen += latencies[us];
        if (seen > wanted) {
            return us;
        }
    }
    return LATENCY_US_MAX;
}

static void
print_result(uint64_t elapsed_ns)
{
    struct rusage usage;
    uint64_t cpu_us;

    getrusage(RUSAGE_SELF, &usage);
    cpu_us = (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
             (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    printf("{\"puts\":%llu,\"us\":%llu,\"p50_us\":%llu,\"p99_us\":%llu,\"cpu_us\":%llu}\n",
           (unsigned long long)put_count, (unsigned long long)(elapsed_ns / 1000),
           (unsigned long long)quantile_us(0.5), (unsigned long long)quantile_us(0.99),
           (unsigned long long)cpu_us);
}

static void
run(int epoll, uint64_t until_ns)
{
    struct epoll_event events[EVENTS_MAX];

    while (!is_over) {
        int count = epoll_wait(epoll, events, EVENTS_MAX, 5000);

        if (count <= 0) {
            die("nothing was answered for 5 s");
        }
        is_over = cfc_bench_now_ns() >= until_ns;
        for (int i = 0; i < count; i++) {
            on_input(events[i].data.ptr);
        }
    }
}

static bool
parse_mode(const char *word)
{
    static const char *const words[] = {"confcastd", "confcastd-floor", "etcd-json", "etcd-grpc",
                                        "etcd-get"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(word, words[i]) == 0) {
            mode = (enum mode)i;
            return true;
        }
    }
    return false;
}

int
main(int argc, char **argv)
{
    unsigned long n[6] = {0};
    int epoll = epoll_create1(0);
    uint64_t begin_ns;

    for (int i = 2; i < argc && i < 8; i++) {
        n[i - 2] = strtoul(argv[i], NULL, 10);
    }
    if (argc != 8 || !parse_mode(argv[1]) || n[0] == 0 || n[0] > 65535 || n[1] == 0 ||
        n[1] > CLIENTS_MAX || n[2] == 0 || n[2] > STREAMS_MAX || (n[2] > 1 && !is_grpc()) ||
        n[3] == 0 || n[4] < 32 || n[4] > 4096 || n[5] == 0) {
        fprintf(stderr, "usage: puts_load confcastd|confcastd-floor|etcd-json|etcd-grpc|etcd-get "
                        "PORT CONNECTIONS STREAMS SECONDS SIZE KEYS\n");
        return 2;
    }
    if (mode == MODE_ETCD_GET) {
        answer_min = n[4];
    }
    make_requests(n[4], n[5]);
    begin_ns = cfc_bench_now_ns();
    for (unsigned long i = 0; i < n[1]; i++) {
        struct client *c = connect_client((uint16_t)n[0]);
        struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = c}};

        epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event);
        for (unsigned long k = 0; k < n[2]; k++) {
            put_next(c);
        }
    }
    run(epoll, begin_ns + n[3] * UINT64_C(1000000000));
    print_result(cfc_bench_now_ns() - begin_ns);
    return 0;
}
