/* Validation of a body, and the index from JSON Pointer (RFC 6901) to value that is built in the
 * same pass.
 *
 * The index is private to one process and build: it never leaves it.  It is read-only once built,
 * so that any number of threads may look up.  It points into the body by offsets: the body must
 * stay where it is and unchanged as long as the index is used.
 *
 * A pointer is hashed segment by segment, each one's XXH3 seeded with the hash before it and the
 * first with the index's seed: one pass over a pointer, and building costs each key once. */
#ifndef CFC_SNAPSHOT_INDEX_H
#define CFC_SNAPSHOT_INDEX_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/base/alloc.h"
#include "protocol/snapshot/body.h"

/* Seeds that a build tries before it gives up on colliding hashes. */
#define CFC_INDEX_TRIES_MAX 4

/* In a key's segment_offset: its last segment holds a '~'. */
#define CFC_INDEX_KEY_ESCAPED (UINT32_C(1) << 31)

struct cfc_index_slot {
    uint64_t hash;
    uint32_t value; /* offset of the value's tag in the body; 0 = free slot */
    uint32_t entry; /* what precedes the value: offset of its key, or element number (index.c) */
};

struct cfc_index {
    const uint8_t *body;          /* borrowed */
    struct cfc_index_slot *slots; /* cache lines of four slots */
    void *memory;                 /* the allocation that holds them */
    uint64_t seed;                /* the seed in use: the one asked for unless hashes collided */
    uint32_t line_count;
    uint32_t node_count; /* values in the body, the root included */
    uint32_t body_size;
};

/* A prepared JSON Pointer: parse and hash once, look up often.  The text is borrowed and must
 * outlive the key. */
struct cfc_index_key {
    uint64_t hash; /* under `seed` */
    uint64_t seed;
    const char *pointer;
    uint32_t size;           /* bytes of the pointer */
    uint32_t segment_offset; /* where its last segment begins; CFC_INDEX_KEY_ESCAPED added */
};

/* Checks everything that body.h says about the layout, and allocates nothing.
 *   CONFCAST_ERR_LIMIT          size above CFC_BODY_SIZE_MAX, or node_count above
 * CFC_BODY_NODES_MAX CONFCAST_ERR_VERSION        no body, or one of a later version
 *   CONFCAST_ERR_DEPTH          more than CFC_DEPTH_MAX containers inside each other
 *   CONFCAST_ERR_ENCODING       ill-formed UTF-8 or NUL in a key or string
 *   CONFCAST_ERR_DUPLICATE_KEY
 *   CONFCAST_ERR_CANONICAL      keys out of order, a varint or number not in its one form
 *   CONFCAST_ERR_BODY           anything else: truncated, trailing bytes, a tag or count that lies
 * On any of them: refuse the content, keep the last good one and report the code. */
int cfc_body_validate(const void *body, size_t size);

/* The same checks, and the index.  `seed` should be secret and random per process.  When two
 * pointers of the body have one hash, the build starts over under another seed derived from it;
 * CONFCAST_ERR_LIMIT if that does not help after CFC_INDEX_TRIES_MAX seeds.  Allocates once,
 * about 32 bytes per value, after size and node_count were found within their limits and
 * node_count <= size; CONFCAST_ERR_NO_MEMORY.  On an error `index` is all zero and nothing is left
 * allocated. */
int cfc_index_build(struct cfc_index *index, const void *body, size_t size, uint64_t seed,
                    const struct cfc_alloc *alloc);

/* The same in steps, while the body comes: struct cfc_index_pass is one build under way.  It is as
 * quick as a build in one go, and little is left to do when the last byte is here.
 *
 * `body` stays where it is from begin on, with room for `size` bytes, and what step() was told of
 * does not change any more.  NULL: no memory. */
struct cfc_index_pass;
struct cfc_index_pass *cfc_index_begin(const void *body, size_t size, uint64_t seed,
                                       const struct cfc_alloc *alloc);

/* The first `available_size` bytes are here, no fewer than last time and `size` at most.  AGAIN:
 * sound so far; OK: sound, and all of it is here; else the error of cfc_index_build(), again and
 * again: abandon it. */
int cfc_index_step(struct cfc_index_pass *pass, size_t available_size);

/* All bytes are here: does what is left, gives what cfc_index_build() would give, and frees the
 * pass in any case. */
int cfc_index_end(struct cfc_index_pass *pass, struct cfc_index *index);
void cfc_index_abandon(struct cfc_index_pass *pass); /* NULL is fine */

/* Frees the index and leaves it all zero; fine on an all-zero one.  `alloc` is the one it was built
 * with. */
void cfc_index_free(struct cfc_index *index, const struct cfc_alloc *alloc);

/* Prepares a pointer: "" (the root) or segments that each begin with '/', with ~0 and ~1 for '~'
 * and '/'.  Pass the seed of the indexes it will meet: lookup hashes again, slowly, where seeds
 * differ.  CONFCAST_ERR_INVALID when it is no JSON Pointer or above CFC_BODY_SIZE_MAX; `key` then
 * finds nothing. */
int cfc_index_key_init(struct cfc_index_key *key, const char *pointer, size_t size, uint64_t seed);

/* The value at the pointer, or NULL when the body has none.  Allocates nothing.  Reads one line of
 * the index and the bytes before the value; the last segment is compared with them. */
const struct cfc_value *cfc_index_lookup(const struct cfc_index *index,
                                         const struct cfc_index_key *key);

#endif
