/* What batches have written and the database does not have yet: the newest value of each key.
 *
 * A generation gathers whole batches, so that what is written from it at once is all or nothing for
 * each of them, and a key that several of them wrote is written once.  Not thread-safe: the store
 * locks.  For controlplane/store/ only. */
#ifndef CFC_STORE_STAGED_H
#define CFC_STORE_STAGED_H

#include <uthash.h>

#include "controlplane/store/store.h"

/* One key as the database will have it. */
struct cfc_staged_value {
    UT_hash_handle hh; /* by key */
    const uint8_t *key;
    size_t key_size;
    const uint8_t *value; /* what is stored; NULL = the key is deleted */
    size_t value_size;
};

struct cfc_staged_chunk;

struct cfc_staged {
    struct cfc_staged_value *values;
    struct cfc_staged_chunk *chunks; /* one per batch, with all that is above */
    size_t size;                     /* bytes of the chunks */
    uint64_t seq;                    /* of the last batch; 0 = none */
};

void cfc_staged_init(struct cfc_staged *staged);
/* Frees what is held and formats it anew. */
void cfc_staged_clear(struct cfc_staged *staged);

/* Adds what a batch writes under its sequence, all or nothing.  Stored are the keys behind `table`,
 * and the values behind their sequence (8 bytes, little-endian).  CONFCAST_ERR_NO_MEMORY. */
int cfc_staged_add(struct cfc_staged *staged, const struct cfc_store_batch *batch, uint64_t seq,
                   char table);

/* The newest value of a stored key, until the next call that changes anything; NULL = unknown here,
 * which says nothing about the database. */
const struct cfc_staged_value *cfc_staged_find(const struct cfc_staged *staged, const void *key,
                                               size_t key_size);

/* All of them in the order of their keys, by hh.next; NULL = none.  Other threads may call
 * cfc_staged_find() meanwhile. */
const struct cfc_staged_value *cfc_staged_sort(const struct cfc_staged *staged);

#endif
