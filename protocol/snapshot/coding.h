/* Coding of a body for the wire: raw, zstd, or zstd with another body as prefix (delta).
 *
 * A coder holds zstd contexts, made on first use through the allocator handed in.  It belongs to
 * one thread at a time. */
#ifndef CFC_SNAPSHOT_CODING_H
#define CFC_SNAPSHOT_CODING_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/base/alloc.h"
#include "protocol/base/limits.h"
#include "protocol/wire/content.h"

struct cfc_coder;

/* NULL when there is no memory.  `alloc` is copied and must stay usable until cfc_coder_free(). */
struct cfc_coder *cfc_coder_new(const struct cfc_alloc *alloc);
void cfc_coder_free(struct cfc_coder *coder);

/* Room that the encoders below need for a body of `body_size` bytes. */
size_t cfc_coding_bound(size_t body_size);

/* Codes `body` by zstd level 3 into `coded` and sets *encoding to ZSTD; where that does not shrink
 * it, copies it and sets RAW.  The bytes depend on the zstd version: name a coding by its own
 * digests, never by the content id alone.  CONFCAST_ERR_INVALID when body_size is 0 or capacity is
 * below cfc_coding_bound(body_size); CONFCAST_ERR_LIMIT above CFC_BODY_SIZE_MAX;
 * CONFCAST_ERR_NO_MEMORY.
 */
int cfc_coding_encode(struct cfc_coder *coder, const void *body, size_t body_size, void *coded,
                      size_t capacity, size_t *coded_size, enum cfc_encoding *encoding);

/* Codes `body` against `base` as ZSTD_DELTA.  The caller decides whether the result is small enough
 * to be worth it.  The two must not overlap.  Errors as above, base_size counting like body_size.
 */
int cfc_coding_encode_delta(struct cfc_coder *coder, const void *base, size_t base_size,
                            const void *body, size_t body_size, void *coded, size_t capacity,
                            size_t *coded_size);

/* Checks coded bytes against the signed `body_size` without decoding or allocating: to be called
 * before room for the body is allocated.
 *   CONFCAST_ERR_UNSUPPORTED  encoding is none that this build knows
 *   CONFCAST_ERR_LIMIT        body_size or coded_size above CFC_BODY_SIZE_MAX
 *   CONFCAST_ERR_ZEMPTY       no bytes, or a skippable frame
 *   CONFCAST_ERR_ZSIZE        the frame states no size or another one; RAW of another size
 *   CONFCAST_ERR_ZWINDOW      the frame needs a window above 2^CFC_ZSTD_WINDOW_LOG_MAX
 *   CONFCAST_ERR_ZTRAILING    bytes after the frame
 *   CONFCAST_ERR_ZSTD         damaged, not zstd, a reserved bit, a dictionary id or a checksum
 * On any of them: drop the coding, ask for another or for the content again. */
int cfc_coding_check(enum cfc_encoding encoding, const void *coded, size_t coded_size,
                     size_t body_size);

/* Checks as above, then decodes into `body`, which has room for exactly body_size bytes. ZSTD_DELTA
 * needs the base's body; the other encodings ignore it.  Further errors: CONFCAST_ERR_NO_BASE when
 * DELTA comes without a base (ask for the full coding), CONFCAST_ERR_ZSTD when the bytes do not
 * decode to body_size bytes (also what a wrong base mostly gives; the content id tells for sure),
 * CONFCAST_ERR_NO_MEMORY.  After an error `body` holds garbage. */
int cfc_coding_decode(struct cfc_coder *coder, enum cfc_encoding encoding, const void *coded,
                      size_t coded_size, const void *base, size_t base_size, void *body,
                      size_t body_size);

/* Decoding in steps, while the coded bytes come: begin, add one piece after the other, end.  A
 * coder has one decoding under way; anything else that it decodes ends that one.  The errors are
 * those of check and decode, where they come to light; after one there is nothing to do but to
 * begin again.
 *
 * `body` has room for body_size bytes and stays where it is, and so does `base`, until the end. The
 * first *body_done bytes of it are final.  The first piece is at least CFC_CODING_PIECE_MIN bytes,
 * or all; pieces together are at most coded_size bytes (assert). */
enum {
    CFC_CODING_PIECE_MIN = 18 /* no header of a zstd frame is longer */
};
int cfc_coding_begin(struct cfc_coder *coder, enum cfc_encoding encoding, size_t coded_size,
                     const void *base, size_t base_size, void *body, size_t body_size);
int cfc_coding_add(struct cfc_coder *coder, const void *coded, size_t size, size_t *body_done);

/* OK when all coded bytes were added and gave the whole body, ZSTD otherwise. */
int cfc_coding_end(const struct cfc_coder *coder);

#endif
