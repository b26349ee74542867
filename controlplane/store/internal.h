/* What the implementations of a store share.  For controlplane/store/ only. */
#ifndef CFC_STORE_INTERNAL_H
#define CFC_STORE_INTERNAL_H

#include "controlplane/store/store.h"

enum {
    CFC_STORE_PATH_MAX = 4096 /* bytes of a path with its NUL */
};

/* A checkpoint: a folder of plain files that together are the engine's database at one moment. */
struct cfc_checkpoint {
    char path[CFC_STORE_PATH_MAX];
    uint64_t epoch;
    uint64_t sequence;
};

/* Copies bytes into a value for the caller.  CONFCAST_ERR_NO_MEMORY. */
int cfc_store_value_set(struct cfc_store_value *value, const void *bytes, size_t size,
                        uint64_t mod_seq);

/* CONFCAST_OK when every compare of the batch holds now; CONFCAST_ERR_CONFLICT; errors of get. */
int cfc_store_check_compares(struct cfc_store *store, const struct cfc_store_batch *batch);

/* The sequence that this batch gets after `last_seq`. */
uint64_t cfc_store_batch_seq(const struct cfc_store_batch *batch, uint64_t last_seq);

static inline void
cfc_store_crash_point(const char *point)
{
    if (cfc_store_crash_hook != NULL) {
        cfc_store_crash_hook(point);
    }
}

#endif
