/* The apply states in memory: by consumer, and per scope with counts and the list of those behind.
 *
 * A report costs the same whatever the size of the fleet, and so does a newly published version:
 * nothing is recounted then, since nobody can have followed it before.  States lie in pages of 32;
 * changed pages are written to the store in batches when the caller ticks.  A kill loses at most
 * what was not written yet, which the next reports of the same consumers bring again.
 *
 * Memory: a consumer takes 120 bytes and its id, 16 to 32 bytes of index, and 144 bytes for each
 * scope that it follows.  Consumers that are silent for `forget_after_ns` are forgotten, and at
 * CFC_CONSUMER_COUNT_MAX the one that is silent for longest makes room.
 *
 * Called under the service's lock.  apply_table.c has consumers and reports,
 * apply_count.c counts and views, apply_page.c the store, apply_lag.c who lacks which version since
 * when. */
#ifndef CFC_MODEL_APPLY_TABLE_H
#define CFC_MODEL_APPLY_TABLE_H

#include <uthash.h>

#include "controlplane/model/catalog.h"
#include "controlplane/store/store.h"

enum {
    CFC_CONSUMER_COUNT_MAX = 1 << 20,
    CFC_APPLY_PAGE_COUNT = 32,      /* states of one page */
    CFC_APPLY_WHEEL_COUNT = 64,     /* slots in the time that makes a consumer stale */
    CFC_APPLY_LACK_COUNT_MAX = 12,  /* published versions told apart among those who lag */
    CFC_APPLY_REASON_COUNT = 128,   /* error numbers counted apart; 0 takes the others */
    CFC_APPLY_FLUSH_BATCH_MAX = 128 /* commits of one tick */
};

/* Labels are shared by the consumers that have the same. */
struct cfc_apply_labels {
    uint64_t use_count;
    UT_hash_handle hh;
    char text[];
};

/* Two live consumers of one id. */
struct cfc_apply_clone {
    struct cfc_apply_consumer *consumer;
    uint64_t unix_ns; /* last sign of it */
    struct cfc_apply_clone *prev;
    struct cfc_apply_clone *next;
};

struct cfc_apply_consumer {
    struct cfc_apply_entry *states;  /* one per scope, in the order of reports */
    struct cfc_apply_entry *hint;    /* where the next state is looked for first */
    struct cfc_apply_consumer *prev; /* among the stale */
    struct cfc_apply_consumer *next; /* in its slot of the wheel, or among the stale */
    struct cfc_apply_labels *labels; /* NULL = none are known */
    struct cfc_apply_clone *clone;   /* NULL = there is no sign of another one */
    uint64_t seen_unix_ns;           /* last report */
    uint64_t incarnation;            /* the highest that was heard */
    uint64_t life_unix_ns;           /* when it was heard first, in this process */
    struct cfc_consumer_memo memo;   /* key 0 = none */
    bool is_stale;
    bool is_timely;    /* its clock is right */
    bool takes_deltas; /* it said so */
    uint8_t id_size;
    char id[]; /* with a NUL */
};

struct cfc_apply_entry {
    struct cfc_apply_consumer *consumer; /* NULL = this place of the page is free */
    struct cfc_scope *scope;
    struct cfc_report_entry entry;
    uint64_t incarnation;
    uint64_t report_seq;
    uint64_t highest_applied;
    uint64_t good;                   /* the highest version that it lacks nothing of; equal to the
                                      * published one: it is in the list `current` */
    struct cfc_apply_entry *sibling; /* of the same consumer */
    struct cfc_apply_entry *prev;    /* in its scope's list */
    struct cfc_apply_entry *next;
    uint32_t counted;    /* what the scope's counts hold of it; parts only while ... */
    uint32_t generation; /* ... this is the scope's */
    bool is_silent;      /* stale, and it was not when the head went out */
    uint8_t place;       /* in its page */
};

struct cfc_apply_page {
    uint64_t number;
    uint32_t used; /* bit per place */
    bool is_dirty;
    bool is_stored;
    bool is_roomy; /* in the list of those with a free place */
    struct cfc_apply_page *next_dirty;
    struct cfc_apply_page *prev_roomy;
    struct cfc_apply_page *next_roomy;
    struct cfc_apply_entry entries[CFC_APPLY_PAGE_COUNT];
};

/* A published version, and how many consumers lack it and nothing older. */
struct cfc_apply_lack {
    uint64_t version;
    uint64_t unix_ns; /* when it was published */
    uint64_t count;
};

/* What a scope needs besides its counts; made with its first consumer. */
struct cfc_apply_detail {
    struct cfc_apply_lack lacks[CFC_APPLY_LACK_COUNT_MAX]; /* oldest first; the last one is what is
                                                            * published */
    uint32_t lack_count;
    uint32_t reasons[CFC_APPLY_REASON_COUNT]; /* of the rejections that are counted */
};

struct cfc_apply_slot {
    uint64_t hash;
    struct cfc_apply_consumer *consumer; /* NULL = free */
};

struct cfc_apply_table {
    struct cfc_apply_slot *slots; /* open addressing, by the hash of the id */
    size_t slot_count;            /* a power of two, or 0 */
    size_t consumer_count;
    size_t state_count;
    uint64_t seed; /* of that hash */

    struct cfc_apply_consumer *wheel[CFC_APPLY_WHEEL_COUNT]; /* those alive, by when they would
                                                              * become stale */
    uint64_t wheel_slot;     /* the last one that was looked at, counted from 1970; 0 = none */
    uint64_t stale_after_ns; /* > 0 */
    uint64_t start_unix_ns;  /* first look at the wheel: nobody is late before then */
    struct cfc_apply_consumer *stale; /* the longest silent first */

    struct cfc_apply_page **pages;
    size_t page_count;
    size_t page_capacity;
    struct cfc_apply_page *roomy;
    struct cfc_apply_page *dirty; /* first and last of the ones to write */
    struct cfc_apply_page *dirty_last;
    size_t dirty_count;
    struct cfc_scope *published; /* scopes whose publication is to be written */

    struct cfc_apply_labels *labels; /* by text */
    struct cfc_apply_clone *clones;
    struct cfc_apply_totals totals;
    uint64_t change;          /* rises with every change of any scope's counts */
    struct cfc_scope *recent; /* scopes that changed, the latest first */
    bool is_loaded;
};

/* `stale_after_ns` > 0. */
void cfc_apply_table_init(struct cfc_apply_table *table, uint64_t stale_after_ns, uint64_t seed);
void cfc_apply_table_free(struct cfc_apply_table *table);

/* A consumer by its id; NULL when it never reported. */
struct cfc_apply_consumer *cfc_apply_table_find(const struct cfc_apply_table *table, const char *id,
                                                size_t id_size);

enum cfc_apply_verdict {
    CFC_APPLY_TAKEN,
    CFC_APPLY_REPEATED,
    CFC_APPLY_REFUSED,
};

struct cfc_apply_source {
    const char *id;
    size_t id_size;
    uint64_t incarnation;
    uint64_t report_seq;
    uint64_t unix_ns;                    /* now */
    struct cfc_apply_consumer *consumer; /* NULL until it is known; filled in */
};

/* One entry of a report.  A version above the published one proves that it was published.
 * CONFCAST_ERR_NO_MEMORY, CONFCAST_ERR_LIMIT (too many consumers, none of them silent). */
int cfc_apply_table_report(struct cfc_apply_table *table, struct cfc_apply_source *source,
                           struct cfc_scope *scope, const struct cfc_report_entry *entry,
                           enum cfc_apply_verdict *verdict);

/* Whether the clock of a consumer is right. */
void cfc_apply_table_clock(struct cfc_apply_table *table, struct cfc_apply_consumer *consumer,
                           bool is_timely);

/* Whether a consumer takes deltas. */
void cfc_apply_table_deltas(struct cfc_apply_table *table, struct cfc_apply_consumer *consumer,
                            bool takes_deltas);

/* A consumer that said hello is known before its first report. CONFCAST_ERR_NO_MEMORY, _LIMIT. */
int cfc_apply_table_hello(struct cfc_apply_table *table, struct cfc_apply_source *source);

/* Labels "k=v,k=v" of a known consumer; "" takes them away.  CONFCAST_ERR_NO_MEMORY. */
int cfc_apply_table_label(struct cfc_apply_table *table, struct cfc_apply_consumer *consumer,
                          const char *labels);

/* Somebody else uses this consumer's id.  Without memory the next sign will do. */
void cfc_apply_table_note_clone(struct cfc_apply_table *table, struct cfc_apply_consumer *consumer,
                                uint64_t unix_ns);

/* A version was handed over for sending; lower ones than before are ignored. */
void cfc_apply_table_published(struct cfc_apply_table *table, struct cfc_scope *scope,
                               uint64_t version, uint64_t unix_ns);

/* Marks consumers that are silent for too long, forgets those that are for `forget_after_ns` (at
 * most some thousands of them), and clones of which there was no sign for long. */
void cfc_apply_table_tick(struct cfc_apply_table *table, uint64_t unix_ns,
                          uint64_t forget_after_ns);

/* ---- apply_count.c ----------------------------------------------------------------------------
 */

/* A state changes between begin and end: its entry and what it is good for, or what is known of its
 * consumer.  Lists and counts follow. */
struct cfc_apply_change {
    bool was_current;
    bool was_rejected;
    uint32_t counted;
    uint64_t good;
};

struct cfc_apply_change cfc_apply_change_begin(struct cfc_apply_entry *state);
void cfc_apply_change_end(struct cfc_apply_table *table, struct cfc_apply_entry *state,
                          const struct cfc_apply_change *change);

/* A state, filled or zero, of a consumer and a scope becomes part of lists and counts, or ceases to
 * be. */
void cfc_apply_count_enter(struct cfc_apply_table *table, struct cfc_apply_entry *state);
void cfc_apply_count_leave(struct cfc_apply_table *table, struct cfc_apply_entry *state);

/* The highest version of which a consumer that says this lacks nothing. */
uint64_t cfc_apply_good_of(const struct cfc_scope *scope, const struct cfc_report_entry *entry);
/* Whether it is known to serve what is published. */
bool cfc_apply_is_current(const struct cfc_apply_entry *state);
/* Something of a scope's status changed; its release and rollout are part of it. */
void cfc_apply_note_change(struct cfc_apply_table *table, struct cfc_scope *scope);

/* ---- apply_page.c -----------------------------------------------------------------------------
 */

/* A free place; NULL without memory. */
struct cfc_apply_entry *cfc_apply_place_take(struct cfc_apply_table *table);
void cfc_apply_place_free(struct cfc_apply_table *table, struct cfc_apply_entry *state);
void cfc_apply_mark_dirty(struct cfc_apply_table *table, struct cfc_apply_entry *state);
void cfc_apply_mark_published(struct cfc_apply_table *table, struct cfc_scope *scope);
void cfc_apply_pages_free(struct cfc_apply_table *table);

/* Writes up to one batch of changed pages.  *is_done: none is left.  Errors of a commit: they stay
 * due. */
int cfc_apply_table_flush(struct cfc_apply_table *table, struct cfc_store *store, uint64_t *seq,
                          bool *is_done);

/* Reads what was written, once: later on memory is always ahead of the store.  The catalog has its
 * scopes and decisions already.  Counts are as they were; a consumer that was alive gets
 * stale_after_ns from the first tick on to be heard again. */
int cfc_apply_table_load(struct cfc_apply_table *table, struct cfc_catalog *catalog,
                         struct cfc_store *store);

/* A consumer as one of its states was written with it. */
struct cfc_apply_restored {
    const char *id;
    size_t id_size;
    char labels[CFC_LABELS_TEXT_MAX + 1]; /* "" where they stand with another state */
    uint64_t seen_unix_ns;
    bool is_stale;
    bool takes_deltas;
};

/* For loading: makes a filled place of a page part of the table.  CONFCAST_ERR_EXISTS: the consumer
 * has a state of this scope already. */
int cfc_apply_table_restore(struct cfc_apply_table *table, const struct cfc_apply_restored *read,
                            struct cfc_scope *scope, struct cfc_apply_entry *place);

/* ---- apply_lag.c ------------------------------------------------------------------------------
 */

/* When the oldest version that a consumer with `good` lacks was published; 0 = it lacks none. */
struct cfc_apply_lack *cfc_apply_lack_of(struct cfc_scope_apply *apply, uint64_t good);
/* A new version, which all lack that lacked nothing. */
void cfc_apply_lack_push(struct cfc_scope_apply *apply, uint64_t version, uint64_t unix_ns);
/* Consumers that lack something since before `unix_ns`. */
uint64_t cfc_apply_lack_count(const struct cfc_scope_apply *apply, uint64_t unix_ns);
/* Since when the one that lags most does; 0 = none lacks anything. */
uint64_t cfc_apply_lack_oldest(const struct cfc_scope_apply *apply);
void cfc_apply_lag_observe(struct cfc_lag_histogram *histogram, uint64_t lag_ns);

/* ---- Views ------------------------------------------------------------------------------------
 */

void cfc_apply_view_of(const struct cfc_apply_entry *state, struct cfc_apply_view *view);
void cfc_apply_status_of(const struct cfc_scope *scope, uint64_t unix_ns, uint64_t bound_ns,
                         struct cfc_scope_status *status);

/* Orders pointers to consumers by id, for qsort. */
int cfc_apply_compare_consumers(const void *a, const void *b);

#endif
