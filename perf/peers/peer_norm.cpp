/* NORM (RFC 5740) by libnorm: each object is one NORM_OBJECT_DATA with a header of ours in front.
 *
 * C++ because the header of the library wants it.  Environment: NORM_GRTT_S, NORM_PARITY,
 * NORM_AUTO, NORM_BLOCK, NORM_BACKOFF change what README.md explains. */
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <normApi.h>
#include <poll.h>
#include <unistd.h>

#include "perf/peers/peer.h"

namespace {

constexpr UINT32 BUFFER_SPACE = 128u << 20;
constexpr UINT16 SEGMENT_SIZE = 1424; /* with NORM's headers 1,500 bytes of IP */
constexpr UINT16 BLOCK_SIZE = 64;
constexpr UINT16 PARITY = 16;
constexpr unsigned GROUP_SIZE = 10;
constexpr UINT32 CACHE_COUNT_MAX = 5000;
constexpr UINT32 HELD_OBJECTS = 4; /* copies that may still be asked for */
constexpr double GRTT_S = 0.002;
constexpr double BACKOFF = 1.0;

double
setting(const char *name, double value)
{
    const char *word = getenv(name);

    return word != nullptr ? strtod(word, nullptr) : value;
}

NormSessionHandle
open_session(const struct peer *peer, NormInstanceHandle instance)
{
    NormSessionHandle session =
        NormCreateSession(instance, peer->group, peer->port, peer->is_sender ? 1000 : peer->number);

    if (session == NORM_SESSION_INVALID ||
        !NormSetMulticastInterface(session, peer->interface_name)) {
        peer_die("session");
    }
    NormSetRxPortReuse(session, true, nullptr, nullptr, 0);
    return session;
}

void
run_sender(const struct peer *peer, NormInstanceHandle instance, NormSessionHandle session)
{
    uint8_t *held[HELD_OBJECTS] = {};
    struct peer_order order;

    NormSetTxRate(session, peer->rate_mbit * 1e6);
    NormSetGrttEstimate(session, setting("NORM_GRTT_S", GRTT_S));
    NormSetBackoffFactor(session, setting("NORM_BACKOFF", BACKOFF));
    NormSetGroupSize(session, GROUP_SIZE);
    if (setting("NORM_PROBE", 0) == 0) {
        NormSetGrttProbingMode(session, NORM_PROBE_NONE);
    }
    NormSetTxCacheBounds(session, 2 * BUFFER_SPACE, 8, CACHE_COUNT_MAX);
    if (!NormStartSender(session, 1, BUFFER_SPACE, SEGMENT_SIZE,
                         static_cast<UINT16>(setting("NORM_BLOCK", BLOCK_SIZE)),
                         static_cast<UINT16>(setting("NORM_PARITY", PARITY)))) {
        peer_die("sender");
    }
    NormSetAutoParity(session, static_cast<unsigned char>(setting("NORM_AUTO", 0)));
    NormSetTxSocketBuffer(session, PEER_SOCKET_BUFFER);
    peer_say_ready();
    for (uint32_t i = 0; peer_next_order(&order); i++) {
        struct peer_header header = {order.round, static_cast<uint32_t>(order.size), 0};
        uint8_t *&copy = held[i % HELD_OBJECTS];
        uint64_t begin_ns;
        NormEvent event;

        /* The library sends from memory of the caller, which it may come back to. */
        copy = static_cast<uint8_t *>(realloc(copy, sizeof(header) + order.size));
        if (copy == nullptr) {
            peer_die("memory");
        }
        memcpy(copy, &header, sizeof(header));
        memcpy(copy + sizeof(header), order.bytes, order.size);
        begin_ns = peer_now_ns();
        if (NormDataEnqueue(session, reinterpret_cast<char *>(copy),
                            static_cast<UINT32>(sizeof(header) + order.size), nullptr,
                            0) == NORM_OBJECT_INVALID) {
            peer_die("enqueue");
        }
        peer_say_sent(order.round, begin_ns, peer_now_ns());
        while (NormGetNextEvent(instance, &event, false) && event.type != NORM_EVENT_INVALID) {
        }
    }
}

void
take(const NormEvent &event)
{
    struct peer_header header;
    const char *bytes = NormDataAccessData(event.object);
    uint64_t now_ns = peer_now_ns();

    if (NormObjectGetSize(event.object) < static_cast<NormSize>(sizeof(header))) {
        return;
    }
    memcpy(&header, bytes, sizeof(header));
    if (NormObjectGetSize(event.object) != static_cast<NormSize>(sizeof(header) + header.size)) {
        return;
    }
    peer_say_got(header.round, now_ns, reinterpret_cast<const uint8_t *>(bytes) + sizeof(header),
                 header.size);
}

void
run_receiver(NormInstanceHandle instance, NormSessionHandle session)
{
    struct pollfd waits[2] = {{NormGetDescriptor(instance), POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};

    NormSetDefaultUnicastNack(session, setting("NORM_UNICAST", 0) != 0);
    NormSetDefaultSyncPolicy(session, NORM_SYNC_CURRENT);
    NormSetRxCacheLimit(session, 256);
    if (!NormStartReceiver(session, BUFFER_SPACE)) {
        peer_die("receiver");
    }
    NormSetRxSocketBuffer(session, PEER_SOCKET_BUFFER);
    peer_say_ready();
    while (poll(waits, 2, -1) >= 0 && waits[1].revents == 0) {
        NormEvent event;

        if (!NormGetNextEvent(instance, &event, false)) {
            continue;
        }
        if (event.type == NORM_RX_OBJECT_COMPLETED) {
            take(event);
        } else if (event.type == NORM_RX_OBJECT_ABORTED) {
            peer_say_lost(0, peer_now_ns(), 0);
        }
    }
}

} // namespace

int
main(int argc, char **argv)
{
    struct peer peer;
    NormInstanceHandle instance;
    NormSessionHandle session;

    peer_init(&peer, argc, argv);
    instance = NormCreateInstance(false);
    session = open_session(&peer, instance);
    if (peer.is_sender) {
        run_sender(&peer, instance, session);
    } else {
        run_receiver(instance, session);
    }
    fflush(stdout);
    _exit(0); /* Ending the library's thread in order takes seconds. */
}
