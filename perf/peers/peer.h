/* What the programs of a peer share: their options, the orders that the harness writes to their
 * standard input, and the JSON lines that they answer with.  README.md says what each line means.
 *
 * One thread uses this.  Functions that fail say why on standard error and exit: a benchmark that
 * goes on without what it was told to do would print wrong figures. */
#ifndef CFC_PERF_PEERS_PEER_H
#define CFC_PERF_PEERS_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    PEER_BULK_SIZE = 1 << 20, /* from this size on a receiver digests when it is told to */
    PEER_RECEIVERS_MAX = 256,
    PEER_SIZE_MAX = 128 << 20,     /* of an object */
    PEER_SOCKET_BUFFER = 32 << 20, /* bytes of each UDP socket */
};

struct peer {
    bool is_sender;
    const char *interface_name;
    const char *address; /* of the sender */
    const char *group;
    uint16_t port;
    uint32_t number;         /* of this receiver, from 1 */
    uint32_t receiver_count; /* that the sender waits for, where it can see them */
    double rate_mbit;        /* of payload; 0 for as fast as it goes */
    const char *mode;        /* a word that the program itself knows, or "" */
};

/* What is to be sent: a line "ROUND PATH". */
struct peer_order {
    uint32_t round;
    const char *path;
    uint8_t *bytes; /* of the file; the next order overwrites these and the path */
    size_t size;
};

/* In front of what is sent, where the peer has no name of its own for it.  Little endian by the
 * machine: both ends are one. */
struct peer_header {
    uint32_t round;
    uint32_t size; /* of the whole object */
    uint32_t offset;
};

/* Reads the command line: send|receive, then options (see README.md). */
void peer_init(struct peer *peer, int argc, char **argv);

/* The next order, its file read; false when the harness has closed the pipe.  Blocks. */
bool peer_next_order(struct peer_order *order);

/* Whether the harness has closed the pipe or written a line that waits.  Does not block. */
bool peer_is_told(void);

/* Nanoseconds of CLOCK_MONOTONIC, which all namespaces of a machine share. */
uint64_t peer_now_ns(void);

/* {"event":"ready"}: a receiver that joined, a sender that has all it needs. */
void peer_say_ready(void);

/* {"event":"sent",...} */
void peer_say_sent(uint32_t round, uint64_t begin_ns, uint64_t end_ns);

/* {"event":"got",...}, and then {"event":"verified",...} with the SHA-256 of the bytes: at once
 * when they are few, else when the harness writes a line, since receivers that still wait for
 * theirs would pay for it. */
void peer_say_got(uint32_t round, uint64_t got_ns, const uint8_t *bytes, size_t size);

/* {"event":"lost",...}: silence, and only `size` bytes of the object have come. */
void peer_say_lost(uint32_t round, uint64_t last_ns, size_t size);

/* Memory of that many bytes, touched. */
uint8_t *peer_memory(size_t size);

#if defined(__GNUC__)
__attribute__((noreturn))
#endif
void
peer_die(const char *what);

/* A UDP socket with room, multicast by the interface of the peer; bound and joined when it is a
 * receiver's, connected to the group when it is the sender's. */
int peer_udp_socket(const struct peer *peer);

#ifdef __cplusplus
}
#endif

#endif
