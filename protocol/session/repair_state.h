/* The inside of repair, for the files that make it up: repair.c (its life and how a repair goes
 * from state to state), repair_ask.c (what is asked for and who gets it how), repair_out.c (the
 * frames that go out).  Nobody else includes this. */
#ifndef CFC_SESSION_REPAIR_STATE_H
#define CFC_SESSION_REPAIR_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/session/repair.h"
#include "protocol/wire/loss.h"

static inline bool
cfc_repair_is_head(const struct cfc_repair *r)
{
    return r->object.want == CFC_WANT_HEAD;
}

static inline bool
cfc_repair_is_served(const struct cfc_asker *asker)
{
    return asker->mask == 0 && asker->rows == 0;
}

/* Whether others than an asker are likely to lack something of the same block. */
static inline bool
cfc_repair_are_others_likely(const struct cfc_repair_tx *rt, const struct cfc_repair *r)
{
    return rt->lacking * r->block_symbols / CFC_BLOCK_SYMBOLS_MAX >= CFC_LOSS_ONE * 3 / 8;
}

static inline uint32_t
cfc_repair_bits(uint64_t mask)
{
    return (uint32_t)__builtin_popcountll(mask);
}

/* What an object hashes to. */
uint64_t cfc_repair_key(const struct cfc_nack_entry *object);

/* The only writer of `state`; a repair goes to the end of its list. */
void cfc_repair_enter(struct cfc_repair_tx *rt, uint32_t slot, enum cfc_repair_state state,
                      uint64_t due_ns);

/* An asker waits for its turn, and no longer; nothing happens when that is so already. */
void cfc_repair_begin_waiting(struct cfc_repair_tx *rt, uint32_t slot, struct cfc_asker *asker);
void cfc_repair_end_waiting(struct cfc_repair_tx *rt, uint32_t slot, struct cfc_asker *asker);

/* From GATHERING or QUIET to UNICAST or MULTICAST, as is_multicast says. */
void cfc_repair_begin_sending(struct cfc_repair_tx *rt, uint32_t slot);

/* Lets time pass: gathered repairs become ready, quiet ones end. */
void cfc_repair_advance(struct cfc_repair_tx *rt, uint64_t now_ns);

/* All of it went out: QUIET or FREE. */
void cfc_repair_finish(struct cfc_repair_tx *rt, uint32_t slot, uint64_t now_ns);

void cfc_repair_close(struct cfc_repair_tx *rt, uint32_t slot);

#endif
