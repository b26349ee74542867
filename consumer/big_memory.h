/* Memory for what is big: contents under collection, bodies and their indexes.  What is given back
 * is kept for a minute, since the next content is likely to be as large: clearing 100 MB of fresh
 * pages costs more than decoding them.  What is kept is the system's to take (MADV_FREE) when it
 * runs short.  Any thread. */
#ifndef CFC_CONSUMER_BIG_MEMORY_H
#define CFC_CONSUMER_BIG_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CFC_BIG_SIZE_MIN = 2 << 20,  /* below it malloc() is as good */
    CFC_BIG_PIECES_MAX = 64,     /* in use and kept; beyond them malloc() has to do */
    CFC_BIG_KEPT_PIECES_MAX = 4, /* kept at one time */
};
#define CFC_BIG_KEPT_SIZE_MAX (UINT64_C(320) << 20) /* bytes kept at one time */
#define CFC_BIG_KEPT_NS       (UINT64_C(60) * 1000000000)

/* NULL: it is too small for this, there are too many pieces, or no memory.  What it holds is
 * anything. */
void *cfc_big_alloc(size_t size);

/* False: `p` did not come from here. */
bool cfc_big_free(void *p);

/* Gives the system what was not needed for CFC_BIG_KEPT_NS.  Call it every now and then; cheap. */
void cfc_big_tend(uint64_t now_ns);

/* Bytes that are kept and not in use. */
uint64_t cfc_big_kept_size(void);

/* Gives the system all that is kept. */
void cfc_big_release(void);

/* Around fork(), as the other threads may be in here: the parent locks before it and unlocks after
 * it.  The child, which hardly needs as much as its parent did, gives back its copies of what is
 * kept; only async-signal-safe functions are called for it. */
void cfc_big_lock(void);
void cfc_big_unlock(void);
void cfc_big_unlock_in_child(void);

#endif
