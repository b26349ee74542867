/* Quarantine for frames of contents that came before what names them: a SYMBOL or PAGE before its
 * CONTENT, any of them before the HEAD.  They wait here, unverified, until that comes; then the
 * receiver takes them as if they had come just now, with all checks.
 *
 * Bounded whatever is sent: at most CFC_EARLY_SIZE_MAX bytes, the oldest go first, and none stays
 * longer than CFC_EARLY_AGE_NS, so that a flood of strange contents (fault 31) costs this much and
 * no more, and only for that long.  Of frames for the same place all are kept as far as there is
 * room, and the one that verifies wins (fault 9).  One thread owns it; no clock. */
#ifndef CFC_SESSION_EARLY_RX_H
#define CFC_SESSION_EARLY_RX_H

#include <stddef.h>
#include <stdint.h>

#include "protocol/base/alloc.h"
#include "protocol/base/time.h"

enum {
    CFC_EARLY_SIZE_MAX = 256 * 1024 /* of frames with their headers in memory */
};

/* Longer than the second repeat of a head takes to come. */
#define CFC_EARLY_AGE_NS (60 * CFC_MS)

struct cfc_early_frame {
    struct cfc_early_frame *next;
    uint64_t came_ns;
    size_t size;
    uint8_t bytes[];
};

struct cfc_early_rx {
    struct cfc_alloc alloc;
    struct cfc_early_frame *first; /* the oldest */
    struct cfc_early_frame *last;
    size_t used_size;
};

void cfc_early_rx_init(struct cfc_early_rx *early, const struct cfc_alloc *alloc);
void cfc_early_rx_free(struct cfc_early_rx *early);

/* Keeps a copy of a frame, as long as there is memory for it. */
void cfc_early_rx_put(struct cfc_early_rx *early, const uint8_t *bytes, size_t size,
                      uint64_t now_ns);

/* Takes the frame after `previous` (NULL: the first) out; it is the caller's, to be given back. */
struct cfc_early_frame *cfc_early_rx_take(struct cfc_early_rx *early,
                                          struct cfc_early_frame *previous);
void cfc_early_rx_give_back(struct cfc_early_rx *early, struct cfc_early_frame *frame);

/* Forgets what is too old. */
void cfc_early_rx_expire(struct cfc_early_rx *early, uint64_t now_ns);

/* When something is to be forgotten; CFC_NEVER. */
static inline uint64_t
cfc_early_rx_deadline(const struct cfc_early_rx *early)
{
    return early->first != NULL ? early->first->came_ns + CFC_EARLY_AGE_NS : CFC_NEVER;
}

#endif
