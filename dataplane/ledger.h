/* What the control plane has handed over to the engine, and in which connection: so that after
 * SYNCED the engine can drop what was not mentioned again, and so that an arena is let go of with
 * its last content.  It keeps the books only: contents and heads themselves are in the sender.  One
 * thread owns a ledger. */
#ifndef CFC_DATAPLANE_LEDGER_H
#define CFC_DATAPLANE_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/arena.h"
#include "protocol/trust/digest.h"

struct cfc_ledger;

/* Arena numbers that the control plane is to be told of. */
struct cfc_ledger_free {
    uint32_t count;
    uint64_t arenas[2];
};

/* `arenas` is the caller's and outlives the ledger.  contents_max and scopes_max as the sender's.
 * NULL when out of memory. */
struct cfc_ledger *cfc_ledger_new(struct cfc_arenas *arenas, uint32_t contents_max,
                                  uint32_t scopes_max, uint64_t seed);
void cfc_ledger_free(struct cfc_ledger *l);

/* From here on only what is mentioned again counts as current; arena numbers mean other arenas. */
void cfc_ledger_begin_connection(struct cfc_ledger *l);

/* The sender took a content into `slot` (is_new), or has had it there already.  It is held in
 * `arena` from now on. */
void cfc_ledger_put_content(struct cfc_ledger *l, uint32_t slot, const struct cfc_digest *content,
                            uint32_t arena, bool is_new, struct cfc_ledger_free *out);

/* The sender released a slot: nothing points into its memory any more. */
void cfc_ledger_release_content(struct cfc_ledger *l, uint32_t slot, struct cfc_ledger_free *out);

/* The sender was told to drop a content; its slots stay in the books until they are released. */
void cfc_ledger_drop_content(struct cfc_ledger *l, const struct cfc_digest *content);

/* CONFCAST_OK or LIMIT. */
int cfc_ledger_put_head(struct cfc_ledger *l, uint64_t scope_id);
void cfc_ledger_drop_head(struct cfc_ledger *l, uint64_t scope_id);

/* The next content or head that this connection did not mention and that was not dropped yet;
 * false when there is none.  The caller drops it in the sender and here before it asks again. */
bool cfc_ledger_stale_content(struct cfc_ledger *l, struct cfc_digest *content);
bool cfc_ledger_stale_head(struct cfc_ledger *l, uint64_t *scope_id);

uint32_t cfc_ledger_content_count(const struct cfc_ledger *l); /* slots in the books */
uint32_t cfc_ledger_head_count(const struct cfc_ledger *l);

#endif
