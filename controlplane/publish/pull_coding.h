/* One coding of a content for consumers that pull: made once, immutable, counted, and written as
 * the frames that an engine would send (CONTENT, pages, symbols), so that a consumer checks it on
 * the same way.  Symbols are as big as frames allow and there is no erasure code: TCP loses
 * nothing, and what is lost with a connection is pulled again.
 *
 * References may be taken and dropped by any thread. */
#ifndef CFC_PUBLISH_PULL_CODING_H
#define CFC_PUBLISH_PULL_CODING_H

#include <stdatomic.h>
#include <stdint.h>

#include "controlplane/model/decision.h"
#include "protocol/snapshot/coding.h"
#include "protocol/snapshot/tree.h"
#include "protocol/trust/sign.h"

enum {
    /* Codings for pull have numbers of their own, since their symbols are others than those of the
     * engine; deltas differ by their base. */
    CFC_PULL_CODING_FULL = CFC_CODING_PULLED,
    CFC_PULL_CONTENT_FRAME_MAX = 1024,
};

struct cfc_pull_coding {
    atomic_uint ref_count;
    struct cfc_digest id;
    struct cfc_digest base; /* zero: full */
    struct cfc_tree tree;   /* its content's fields are the frame's */
    uint8_t *coded;
    size_t coded_size;
    uint8_t *digests;                          /* of the tree */
    uint64_t wire_size;                        /* bytes of all frames */
    uint8_t frame[CFC_PULL_CONTENT_FRAME_MAX]; /* CONTENT */
    size_t frame_size;
};

struct cfc_pull_coding_config {
    struct cfc_signer signer;
    uint32_t shard;
};

/* Codes `body`, against `base` when that is not NULL.  One thread at a time uses `coder` and `sha`.
 * NO_MEMORY, LIMIT, or the signer's error. */
int cfc_pull_coding_new(const struct cfc_pull_coding_config *config, struct cfc_coder *coder,
                        struct cfc_sha256 *sha, const struct cfc_config_body *body,
                        const struct cfc_config_body *base, struct cfc_pull_coding **out);
struct cfc_pull_coding *cfc_pull_coding_ref(struct cfc_pull_coding *coding);
void cfc_pull_coding_unref(struct cfc_pull_coding *coding); /* NULL is fine */

/* Bytes of memory that it holds. */
size_t cfc_pull_coding_memory(const struct cfc_pull_coding *coding);

/* Where a walk over the frames stands; begin with zeros. */
struct cfc_pull_walk {
    uint8_t stage; /* CONTENT, pages, symbols, over */
    uint32_t level;
    uint32_t idx; /* page of the level, or symbol */
};

/* The next frame into `frame` of CFC_FRAME_SIZE_MAX bytes.  CONFCAST_OK or AGAIN: that was all. */
int cfc_pull_coding_next(const struct cfc_pull_coding *coding, struct cfc_pull_walk *walk,
                         uint8_t *frame, size_t *size);

#endif
