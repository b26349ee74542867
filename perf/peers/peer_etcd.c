/* etcd: the sender puts, receivers watch.  gRPC over HTTP/2 by nghttp2, protobuf by hand: field
 * numbers of etcdserverpb (PutRequest, WatchRequest, WatchResponse) and mvccpb (Event, KeyValue),
 * frames of five bytes and a message.
 *
 * A value holds at most 1 MiB of the object behind a header of ours; the limit of etcd is 1.5 MiB a
 * request.  --mode is how many puts are under way at once, 4 unless said. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "perf/peers/peer.h"

enum {
    VALUE_SIZE = 1 << 20,
    FRAME_HEAD = 5,
    REQUEST_SIZE_MAX = VALUE_SIZE + 256,
    ANSWER_SIZE_MAX = 64 << 20,
    READ_SIZE = 1 << 18,
    WINDOW_SIZE = INT32_MAX,
    PUTS_MAX = 16,
    PUTS_DEFAULT = 4,
};

static const char key_prefix[] = "o/";

/* ---- protobuf and gRPC ---- */

struct span {
    const uint8_t *at;
    const uint8_t *end;
};

static uint8_t *
write_varint(uint8_t *at, uint64_t value)
{
    while (value >= 0x80) {
        *at++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *at++ = (uint8_t)value;
    return at;
}

static uint8_t *
write_bytes(uint8_t *at, uint32_t field, const void *bytes, size_t size)
{
    at = write_varint(at, (uint64_t)field << 3 | 2);
    at = write_varint(at, size);
    memcpy(at, bytes, size);
    return at + size;
}

static void
write_frame_head(uint8_t *frame, size_t message_size)
{
    frame[0] = 0;
    for (int i = 0; i < 4; i++) {
        frame[1 + i] = (uint8_t)(message_size >> (24 - 8 * i));
    }
}

static uint64_t
read_varint(struct span *span)
{
    uint64_t value = 0;

    for (uint32_t shift = 0; span->at < span->end && shift < 64; shift += 7) {
        uint8_t byte = *span->at++;

        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            break;
        }
    }
    return value;
}

/* The next field; *inside is empty unless it holds bytes.  0 at the end. */
static uint32_t
read_field(struct span *span, struct span *inside)
{
    uint64_t tag;

    *inside = (struct span){.at = span->at, .end = span->at};
    if (span->at >= span->end) {
        return 0;
    }
    tag = read_varint(span);
    if ((tag & 7) == 2) {
        uint64_t size = read_varint(span);

        if (size > (uint64_t)(span->end - span->at)) {
            fputs("peer_etcd: a field that is cut off\n", stderr);
            exit(1);
        }
        *inside = (struct span){.at = span->at, .end = span->at + size};
        span->at += size;
    } else {
        read_varint(span);
    }
    return (uint32_t)(tag >> 3);
}

/* ---- HTTP/2 ---- */

struct call;

struct link {
    int fd;
    nghttp2_session *session;
    char authority[64];
};

/* One request and its answer.  The request is one frame. */
struct call {
    int32_t stream_id;
    const char *method;
    bool is_open; /* the stream stays open behind the frame */
    uint8_t *frame;
    size_t frame_size;
    size_t frame_sent;
    void (*on_bytes)(struct call *call, const uint8_t *bytes, size_t size);
    size_t answer_size;
    bool is_done;
};

static ssize_t
on_send(nghttp2_session *session, const uint8_t *bytes, size_t size, int flags, void *user)
{
    const struct link *link = user;
    ssize_t sent = send(link->fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);

    (void)session;
    (void)flags;
    if (sent < 0) {
        return errno == EAGAIN ? NGHTTP2_ERR_WOULDBLOCK : NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return sent;
}

static ssize_t
on_read(nghttp2_session *session, int32_t stream_id, uint8_t *to, size_t room, uint32_t *flags,
        nghttp2_data_source *source, void *user)
{
    struct call *call = source->ptr;
    size_t left = call->frame_size - call->frame_sent;
    size_t size = left < room ? left : room;

    (void)session;
    (void)stream_id;
    (void)user;
    if (left == 0) {
        return NGHTTP2_ERR_DEFERRED; /* and nobody resumes it: the stream stays open */
    }
    memcpy(to, call->frame + call->frame_sent, size);
    call->frame_sent += size;
    if (size == left && !call->is_open) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return (ssize_t)size;
}

static int
on_data(nghttp2_session *session, uint8_t flags, int32_t stream_id, const uint8_t *bytes,
        size_t size, void *user)
{
    struct call *call = nghttp2_session_get_stream_user_data(session, stream_id);

    (void)flags;
    (void)user;
    call->answer_size += size;
    if (call->on_bytes != NULL) {
        call->on_bytes(call, bytes, size);
    }
    return 0;
}

/* grpc-status comes as a header or as a trailer. */
static int
on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
          size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags, void *user)
{
    static const char status[] = "grpc-status";

    (void)session;
    (void)frame;
    (void)flags;
    (void)user;
    if (name_size == sizeof(status) - 1 && memcmp(name, status, name_size) == 0 &&
        (value_size != 1 || value[0] != '0')) {
        fprintf(stderr, "peer_etcd: grpc-status %.*s\n", (int)value_size, value);
        exit(1);
    }
    return 0;
}

static int
on_close(nghttp2_session *session, int32_t stream_id, uint32_t error_code, void *user)
{
    struct call *call = nghttp2_session_get_stream_user_data(session, stream_id);

    (void)user;
    if (error_code != 0 || call->answer_size == 0) {
        fprintf(stderr, "peer_etcd: stream closed with %u, %zu bytes of answer\n", error_code,
                call->answer_size);
        exit(1);
    }
    call->is_done = true;
    return 0;
}

static void
connect_to(const struct peer *peer, struct link *link)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(peer->port),
                                  .sin_addr.s_addr = inet_addr(peer->address)};
    const nghttp2_settings_entry windows = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW_SIZE};
    nghttp2_session_callbacks *callbacks;
    int on = 1;

    link->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (link->fd < 0 || connect(link->fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0) {
        peer_die("connecting");
    }
    snprintf(link->authority, sizeof(link->authority), "%s:%u", peer->address, peer->port);
    if (nghttp2_session_callbacks_new(&callbacks) != 0) {
        peer_die("nghttp2");
    }
    nghttp2_session_callbacks_set_send_callback(callbacks, on_send);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    if (nghttp2_session_client_new(&link->session, callbacks, link) != 0 ||
        nghttp2_submit_settings(link->session, NGHTTP2_FLAG_NONE, &windows, 1) != 0 ||
        nghttp2_session_set_local_window_size(link->session, NGHTTP2_FLAG_NONE, 0, WINDOW_SIZE) !=
            0) {
        peer_die("nghttp2");
    }
    nghttp2_session_callbacks_del(callbacks);
}

static nghttp2_nv
header(const char *name, const char *value)
{
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name,
                        .namelen = strlen(name),
                        .value = (uint8_t *)(uintptr_t)value,
                        .valuelen = strlen(value)};
}

static void
begin_call(struct link *link, struct call *call)
{
    const nghttp2_nv headers[] = {header(":method", "POST"),
                                  header(":scheme", "http"),
                                  header(":path", call->method),
                                  header(":authority", link->authority),
                                  header("content-type", "application/grpc"),
                                  header("te", "trailers")};
    nghttp2_data_provider provider = {.source.ptr = call, .read_callback = on_read};

    call->frame_sent = 0;
    call->answer_size = 0;
    call->is_done = false;
    call->stream_id = nghttp2_submit_request(link->session, NULL, headers,
                                             sizeof(headers) / sizeof(*headers), &provider, call);
    if (call->stream_id < 0) {
        peer_die("nghttp2_submit_request");
    }
}

/* Sends what can be sent; then waits for something to come, at most that long, and takes it. */
static void
turn(struct link *link, int wait_ms)
{
    static uint8_t bytes[READ_SIZE];
    struct pollfd waits[2] = {{.fd = link->fd, .events = POLLIN},
                              {.fd = STDIN_FILENO, .events = POLLIN}};
    ssize_t got;

    if (nghttp2_session_send(link->session) != 0) {
        peer_die("nghttp2_session_send");
    }
    waits[0].events = (short)(POLLIN | (nghttp2_session_want_write(link->session) ? POLLOUT : 0));
    if (poll(waits, wait_ms < 0 ? 2 : 1, wait_ms) <= 0 || (waits[0].revents & ~POLLOUT) == 0) {
        return;
    }
    got = recv(link->fd, bytes, sizeof(bytes), 0);
    if (got <= 0 || nghttp2_session_mem_recv(link->session, bytes, (size_t)got) != got) {
        peer_die("the connection");
    }
}

/* ---- Sender ---- */

struct sender {
    struct link link;
    struct call puts[PUTS_MAX];
    uint32_t put_count;
};

static void
open_puts(struct sender *sender, const struct peer *peer)
{
    *sender = (struct sender){.put_count = PUTS_DEFAULT};
    if (peer->mode[0] != '\0') {
        sender->put_count = (uint32_t)strtoul(peer->mode, NULL, 10);
    }
    if (sender->put_count < 1 || sender->put_count > PUTS_MAX) {
        fputs("peer_etcd: --mode 1..16\n", stderr);
        exit(2);
    }
    connect_to(peer, &sender->link);
    for (uint32_t i = 0; i < sender->put_count; i++) {
        sender->puts[i] = (struct call){.method = "/etcdserverpb.KV/Put",
                                        .frame = peer_memory(REQUEST_SIZE_MAX),
                                        .is_done = true};
    }
}

static void
begin_put(struct sender *sender, struct call *put, const struct peer_order *order, size_t offset,
          size_t size)
{
    struct peer_header part = {
        .round = order->round, .size = (uint32_t)order->size, .offset = (uint32_t)offset};
    uint8_t *at = put->frame + FRAME_HEAD;
    char key[32];
    int key_size = snprintf(key, sizeof(key), "%s%zu", key_prefix, offset / VALUE_SIZE);

    at = write_bytes(at, 1, key, (size_t)key_size);
    at = write_varint(at, 2 << 3 | 2);
    at = write_varint(at, sizeof(part) + size);
    memcpy(at, &part, sizeof(part));
    memcpy(at + sizeof(part), order->bytes + offset, size);
    at += sizeof(part) + size;
    put->frame_size = (size_t)(at - put->frame);
    write_frame_head(put->frame, put->frame_size - FRAME_HEAD);
    begin_call(&sender->link, put);
}

static void
send_object(struct sender *sender, const struct peer_order *order)
{
    uint32_t busy = 1;
    size_t done = 0;

    while (done < order->size || busy > 0) {
        busy = 0;
        for (uint32_t i = 0; i < sender->put_count; i++) {
            size_t size = order->size - done < VALUE_SIZE ? order->size - done : VALUE_SIZE;

            if (sender->puts[i].is_done && size > 0) {
                begin_put(sender, &sender->puts[i], order, done, size);
                done += size;
            }
            busy += sender->puts[i].is_done ? 0 : 1;
        }
        if (busy > 0) {
            turn(&sender->link, 1000);
        }
    }
}

static void
run_sender(const struct peer *peer)
{
    static struct sender sender;
    struct peer_order order;

    open_puts(&sender, peer);
    peer_say_ready();
    for (;;) {
        uint64_t begin_ns;

        while (!peer_is_told()) {
            turn(&sender.link, -1); /* The server's pings want an answer. */
        }
        if (!peer_next_order(&order)) {
            return;
        }
        begin_ns = peer_now_ns();
        send_object(&sender, &order);
        peer_say_sent(order.round, begin_ns, peer_now_ns());
    }
}

/* ---- Receiver ---- */

struct watch {
    struct call call; /* first: one is the other's address */
    uint8_t *answer;  /* a frame, as much as came */
    size_t answer_size;
    uint8_t *bytes; /* of the object */
    uint32_t round;
    size_t got;
};

static void
take_value(struct watch *watch, struct span value)
{
    struct peer_header header;
    size_t size = (size_t)(value.end - value.at);

    if (size < sizeof(header)) {
        return;
    }
    memcpy(&header, value.at, sizeof(header));
    size -= sizeof(header);
    if (header.size > PEER_SIZE_MAX || header.offset > header.size ||
        size > header.size - header.offset) {
        return;
    }
    watch->got = header.round == watch->round ? watch->got + size : size;
    watch->round = header.round;
    memcpy(watch->bytes + header.offset, value.at + sizeof(header), size);
    if (watch->got == header.size) {
        peer_say_got(header.round, peer_now_ns(), watch->bytes, watch->got);
    }
}

/* WatchResponse.events (11) -> Event.kv (2) -> KeyValue.value (5); its field 3 says that the watch
 * was made. */
static void
take_answer(struct watch *watch, struct span answer)
{
    struct span event, pair, value;
    uint32_t field;

    while ((field = read_field(&answer, &event)) != 0) {
        if (field == 3) {
            peer_say_ready();
        }
        while (field == 11 && event.at < event.end) {
            if (read_field(&event, &pair) != 2) {
                continue;
            }
            while (pair.at < pair.end) {
                if (read_field(&pair, &value) == 5) {
                    take_value(watch, value);
                }
            }
        }
    }
}

static void
on_answer(struct call *call, const uint8_t *bytes, size_t size)
{
    struct watch *watch = (struct watch *)call;
    size_t done = 0;

    if (size > ANSWER_SIZE_MAX - watch->answer_size) {
        peer_die("an answer of more than 64 MiB");
    }
    memcpy(watch->answer + watch->answer_size, bytes, size);
    watch->answer_size += size;
    while (watch->answer_size - done >= FRAME_HEAD) {
        const uint8_t *head = watch->answer + done;
        size_t message =
            (size_t)head[1] << 24 | (size_t)head[2] << 16 | (size_t)head[3] << 8 | (size_t)head[4];

        if (watch->answer_size - done < FRAME_HEAD + message) {
            break;
        }
        take_answer(watch,
                    (struct span){.at = head + FRAME_HEAD, .end = head + FRAME_HEAD + message});
        done += FRAME_HEAD + message;
    }
    if (done > 0) {
        memmove(watch->answer, watch->answer + done, watch->answer_size - done);
        watch->answer_size -= done;
    }
}

static void
write_request(struct call *call)
{
    static const char range_end[] = "o0"; /* the first key behind all that begin with "o/" */
    uint8_t create[64];
    uint8_t *at = write_bytes(create, 1, key_prefix, strlen(key_prefix));

    at = write_bytes(at, 2, range_end, strlen(range_end));
    at = write_bytes(call->frame + FRAME_HEAD, 1, create, (size_t)(at - create));
    call->frame_size = (size_t)(at - call->frame);
    write_frame_head(call->frame, call->frame_size - FRAME_HEAD);
}

static void
run_receiver(const struct peer *peer)
{
    static uint8_t frame[128];
    static struct watch watch = {.call = {.method = "/etcdserverpb.Watch/Watch",
                                          .is_open = true,
                                          .frame = frame,
                                          .on_bytes = on_answer},
                                 .round = UINT32_MAX};
    struct link link;

    watch.answer = peer_memory(ANSWER_SIZE_MAX);
    watch.bytes = peer_memory(PEER_SIZE_MAX);
    connect_to(peer, &link);
    write_request(&watch.call);
    begin_call(&link, &watch.call);
    while (!peer_is_told()) {
        turn(&link, -1);
    }
}

int
main(int argc, char **argv)
{
    struct peer peer;

    peer_init(&peer, argc, argv);
    if (peer.is_sender) {
        run_sender(&peer);
    } else {
        run_receiver(&peer);
    }
    return 0;
}
