/* The contents that a client holds for heads in force, and those that it held until lately: going
 * back to one of these is a matter of one frame, without a disk.  It belongs to the client's loop
 * thread. */
#ifndef CFC_CONSUMER_CONTENTS_H
#define CFC_CONSUMER_CONTENTS_H

#include <stdint.h>

#include "consumer/view.h"

enum {
    CFC_CONTENTS_KEPT_MAX = 8,           /* kept at one time; the one kept for longest goes first */
    CFC_CONTENTS_KEPT_SIZE_MAX = 8 << 20 /* bytes of their bodies together */
};

struct cfc_contents {
    struct cfc_loaded **held;
    uint32_t held_count;
    uint32_t held_capacity;
    struct cfc_loaded *kept[CFC_CONTENTS_KEPT_MAX]; /* oldest first */
    uint32_t kept_count;
    uint64_t kept_size;
};

/* All zero is empty. */
void cfc_contents_free(struct cfc_contents *c);

/* A content that is held, or NULL. */
struct cfc_loaded *cfc_contents_find(const struct cfc_contents *c, const struct cfc_digest *id);

/* Takes the reference over, also on NO_MEMORY. */
int cfc_contents_hold(struct cfc_contents *c, struct cfc_loaded *loaded);

/* Holds it no more, and keeps it for a while if it is small enough. */
void cfc_contents_release(struct cfc_contents *c, const struct cfc_digest *id);

/* A content that was kept, whose reference is the caller's, or NULL. */
struct cfc_loaded *cfc_contents_take_kept(struct cfc_contents *c, const struct cfc_digest *id);

#endif
