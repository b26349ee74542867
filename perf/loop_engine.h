/* An engine that benchmarks of the consumer are fed by: a socket on the loopback interface, a fleet
 * and a consumer of its own in a temporary folder, signed heads, and contents as the frames that a
 * publisher's coding gives.  Nothing is lost on the way, and what the consumer sends is not read.
 *
 * Ends the process when anything fails. */
#ifndef CFC_PERF_LOOP_ENGINE_H
#define CFC_PERF_LOOP_ENGINE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "confcast/confcast.h"
#include "protocol/trust/digest.h"
#include "protocol/trust/fleet.h"
#include "protocol/trust/keyring.h"
#include "protocol/wire/head.h"

#define LOOP_SCOPE "acme/checkout/prod"

struct loop_engine {
    char dir[64];
    char fleet_path[128];
    char credential_path[128];
    char state_dir[128];
    struct cfc_sha256 *sha;
    struct cfc_signing_key root;
    struct cfc_signing_key release;
    struct cfc_signer signer;
    struct cfc_fleet fleet;
    int fd;
    struct sockaddr_in group;
    struct confcast_options options; /* of a consumer: all that it needs to open */
};

/* One frame after the other: CONTENT, then each page before the symbols of its block. */
struct loop_content {
    struct cfc_digest id;
    uint8_t *body;
    size_t body_size;
    uint8_t *coded;
    size_t coded_size;
    uint8_t encoding;
    uint8_t *frames;
    uint32_t *offsets; /* of each frame in `frames`, and the end of the last */
    uint32_t frame_count;
};

enum loop_kind {
    LOOP_RANDOM, /* strings of 64 KiB, 7 bits of chance a byte: zstd takes an eighth off */
    LOOP_CONFIG  /* services with some fields each: zstd takes most of it off */
};

void loop_must(const char *what, int error);
void loop_open(struct loop_engine *e, const char *state_root);
void loop_close(struct loop_engine *e); /* removes the folder */

/* Empties the state folder. */
void loop_forget(struct loop_engine *e);

/* A body of about `size` bytes that no other seed gives. */
void loop_make(struct loop_engine *e, struct loop_content *c, enum loop_kind kind, size_t size,
               uint64_t seed);
void loop_free(struct loop_content *c);

/* A head for all with one content, now. */
struct cfc_head loop_head(uint64_t version, const struct cfc_digest *content);
void loop_send_head(struct loop_engine *e, const struct cfc_head *head);

/* On a connected socket, which is the engine's `fd` for what consumers are to get. */
void loop_send_frames(int fd, const struct loop_content *c, uint32_t first, uint32_t count);

#endif
