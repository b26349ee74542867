/* Makes state durable in the background, on a thread of its own: per scope the newest head and the
 * newest served version, and contents.  What fails is tried again, after a second at first and a
 * minute at last. */
#ifndef CFC_CONSUMER_PERSISTER_H
#define CFC_CONSUMER_PERSISTER_H

#include "consumer/cache.h"

struct cfc_persister;

/* Called on the persister's thread when cfc_persister_poll() has something. */
typedef void cfc_persister_notify_fn(void *arg);

/* Writes into `cache`, which must outlive it.  NO_MEMORY, RESOURCE. */
int cfc_persister_start(struct cfc_cache *cache, cfc_persister_notify_fn *notify, void *arg,
                        struct cfc_persister **out);

/* Tries what is pending once more and ends the thread; poll still works. */
void cfc_persister_stop(struct cfc_persister *p);

/* Stops it and frees it.  NULL is fine. */
void cfc_persister_free(struct cfc_persister *p);

/* Room for a scope, before anything is put for it.  NO_MEMORY. */
int cfc_persister_add_scope(struct cfc_persister *p, uint32_t scope_idx, uint64_t scope_id);

/* The head accepted last. */
void cfc_persister_put_head(struct cfc_persister *p, uint32_t scope_idx, const uint8_t *frame,
                            size_t size);

/* What is served, whose content is `loaded`. */
void cfc_persister_put_serving(struct cfc_persister *p, uint32_t scope_idx,
                               const struct cfc_cache_serving *serving, struct cfc_loaded *loaded);

/* A content that a head names.  Best effort: it is stored when it is served at the latest. */
void cfc_persister_put_content(struct cfc_persister *p, struct cfc_loaded *loaded);

/* Between the two, what is put does not wake the thread yet: that costs whoever has a content to
 * publish more than the put itself.  Only for the one thread that puts. */
void cfc_persister_hold(struct cfc_persister *p);
void cfc_persister_let_go(struct cfc_persister *p);

struct cfc_persisted {
    uint32_t scope_idx;
    int code; /* CONFCAST_OK, or why the newest state does not survive power loss yet */
    struct cfc_cache_serving
        durable; /* the newest that does now; version 0 = none since last time */
};

/* What became of a scope's state since it was asked for last.  OK or AGAIN. */
int cfc_persister_poll(struct cfc_persister *p, struct cfc_persisted *out);

#endif
