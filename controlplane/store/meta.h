/* Facts about the whole store, kept as ordinary keys under "m/": who owns it, and what it must
 * never fall below. */
#ifndef CFC_STORE_META_H
#define CFC_STORE_META_H

#include "controlplane/store/store.h"

/* Takes ownership: raises the epoch by one in a guarded batch and returns it.  The daemon calls
 * this once after opening, before it publishes anything.  The first epoch is 1.
 * CONFCAST_ERR_CONFLICT: somebody else raised it at the same moment: stop.  Plus the errors of a
 * commit. */
int cfc_store_take_epoch(struct cfc_store *store, uint64_t *epoch);

/* The current epoch; 0 when nobody took it yet. */
int cfc_store_get_epoch(struct cfc_store *store, uint64_t *epoch);

/* After a backup was put back: raises the epoch above `epoch_seen`, lifts the sequence to at least
 * `seq_seen` + 1 and remembers that as the floor of every version, all in one batch.  Give the
 * highest values that anybody saw (FRESH, consumers, the operator's memory); 0 when unknown;
 * CONFCAST_ERR_INVALID above 2^52.  What consumers have proved counts too, and is settled by it. */
int cfc_store_restore(struct cfc_store *store, uint64_t epoch_seen, uint64_t seq_seen,
                      uint64_t *epoch);

/* A consumer proved a head above what this store holds: remembers the highest such, so that later
 * starts know too.  cfc_store_restore() settles it. */
int cfc_store_note_proof(struct cfc_store *store, uint64_t epoch, uint64_t version);
/* Both 0 when there is none. */
int cfc_store_get_proof(struct cfc_store *store, uint64_t *epoch, uint64_t *version);

/* version(scope) is never below this; 0 unless a restore set it. */
int cfc_store_get_floor(struct cfc_store *store, uint64_t *floor);

#endif
