/* The apply states in memory: by consumer, and per scope with counts and the list of those behind.
 *
 * Reports cost the same whatever the size of the fleet; a new published version recounts the
 * consumers of its scope once.  Changed states are written to the store in batches when the caller
 * ticks.  Called under the service's lock. */
#ifndef CFC_MODEL_APPLY_TABLE_H
#define CFC_MODEL_APPLY_TABLE_H

#include <uthash.h>

#include "controlplane/model/catalog.h"
#include "controlplane/store/store.h"

enum {
    CFC_CONSUMER_COUNT_MAX = 1 << 20
};

struct cfc_apply_consumer {
    char *id;
    uint64_t seen_unix_ns;
    bool is_stale;
    bool is_timely;                  /* its clock is right */
    struct cfc_apply_entry *states;  /* one per scope */
    struct cfc_apply_consumer *prev; /* in the list of those heard, the longest silent first */
    struct cfc_apply_consumer *next;
    UT_hash_handle hh;
};

struct cfc_apply_entry {
    struct cfc_apply_consumer *consumer;
    struct cfc_scope *scope;
    struct cfc_report_entry entry;
    uint64_t incarnation;
    uint64_t report_seq;
    uint64_t highest_applied;
    uint32_t counted;                /* what the scope's counts hold of it */
    bool is_silent;                  /* stale, and it was not when the head went out */
    bool is_current;                 /* which of the scope's lists it is in */
    bool is_dirty;                   /* not written yet */
    struct cfc_apply_entry *sibling; /* of the same consumer */
    struct cfc_apply_entry *prev;    /* in its scope's list */
    struct cfc_apply_entry *next;
    struct cfc_apply_entry *dirty_next;
};

struct cfc_apply_table {
    struct cfc_apply_consumer *by_id;
    struct cfc_apply_consumer *heard; /* those that are not stale */
    struct cfc_apply_entry *dirty;    /* first and last of the ones to write */
    struct cfc_apply_entry *dirty_last;
};

void cfc_apply_table_free(struct cfc_apply_table *table);

enum cfc_apply_verdict {
    CFC_APPLY_TAKEN,
    CFC_APPLY_REPEATED,
    CFC_APPLY_REFUSED,
};

/* One entry of a report.  A version above the published one proves that it was published.
 * CONFCAST_ERR_NO_MEMORY, CONFCAST_ERR_LIMIT (too many consumers). */
int cfc_apply_table_report(struct cfc_apply_table *table, struct cfc_scope *scope,
                           const char *consumer, uint64_t incarnation, uint64_t report_seq,
                           const struct cfc_report_entry *entry, uint64_t unix_ns,
                           enum cfc_apply_verdict *verdict);

/* Whether the clock of a consumer is right; an unknown consumer is ignored. */
void cfc_apply_table_clock(struct cfc_apply_table *table, const char *consumer, bool is_timely);

/* A version was handed over for sending; lower ones than before are ignored. */
void cfc_apply_table_published(struct cfc_scope *scope, uint64_t version, uint64_t unix_ns);

/* Marks consumers that were silent for longer than `after_ns`. */
void cfc_apply_table_find_stale(struct cfc_apply_table *table, uint64_t unix_ns, uint64_t after_ns);

/* Writes up to one batch of changed states.  *is_done: none is left.  Errors of a commit: they stay
 * due. */
int cfc_apply_table_flush(struct cfc_apply_table *table, struct cfc_store *store, uint64_t *seq,
                          bool *is_done);

/* Reads what was written; the catalog has its scopes already.  Known consumers count as stale until
 * they are heard again, unless they were heard within `after_ns` before `find_stale`. */
int cfc_apply_table_load(struct cfc_apply_table *table, struct cfc_catalog *catalog,
                         struct cfc_store *store);

void cfc_apply_view_of(const struct cfc_apply_entry *state, struct cfc_apply_view *view);

/* Orders pointers to consumers by id, for qsort. */
int cfc_apply_compare_consumers(const void *a, const void *b);

#endif
