/* One atomic step: definitions that are written and releases that move, together.
 *
 * begin items in their order, decide what follows from all of them, commit one guarded batch, and
 * memory follows.  Every put, delete and release action is a step, of one item or of several.
 * Called under the service's lock, but for cfc_step_read(). */
#ifndef CFC_MODEL_STEP_H
#define CFC_MODEL_STEP_H

#include "controlplane/model/definition.h"
#include "controlplane/model/preview.h"
#include "controlplane/model/service_internal.h"

struct cfc_step_item {
    const struct cfc_batch_item *order;
    struct cfc_scope *scope;
    /* PUT and DELETE: */
    struct cfc_definition_meta meta; /* of the next revision */
    struct cfc_json_nulls nulls;     /* that no config will have */
    uint64_t key_count;              /* values of the document, the root among them */
    char *text;                      /* canonical; NULL = a tombstone */
    json_t *root;                    /* of the text */
    struct cfc_pending_doc pending;
    /* RELEASE, and DELETE where something is released: */
    bool has_release;
    struct cfc_release_change release; /* its impact is the step's, not its own */
    struct cfc_what_if what_if;
};

enum {
    /* Big bodies that one step makes without the lock; with more of them, or when what they are
     * made of changes again and again, it makes the others under it. */
    CFC_STEP_COOK_COUNT_MAX = 64
};

struct cfc_step {
    struct cfc_change later; /* the change, once it has waited for validators or big bodies */
    struct cfc_change_state change;
    struct cfc_step_item *items;
    size_t count;
    struct cfc_impact impact;
    struct cfc_preview preview; /* of a dry run */
    struct cfc_retired retired; /* by the commit */
    bool is_decided;
    struct cfc_config_body *cooked[CFC_STEP_COOK_COUNT_MAX]; /* kept alive until the commit */
    uint32_t cooked_count;
};

/* Checks the items and reads their documents, before the lock is taken.  *failed is the item that
 * an error is about.  CONFCAST_ERR_SCOPE_NAME, _INVALID (an item twice), _LIMIT (too many items),
 * errors of cfc_json_parse_object(). */
int cfc_step_read(struct cfc_service *service, struct cfc_step *step,
                  const struct cfc_batch_item *orders, size_t count, size_t *failed,
                  struct cfc_refusal *refusal);

/* Applies the orders to what is there, each to what those before it leave.  Errors of put, delete
 * and release. */
int cfc_step_begin(struct cfc_service *service, struct cfc_step *step, size_t *failed,
                   struct cfc_refusal *refusal);

/* Every decision that follows.  With `put_off` (empty) big merges are: CONFCAST_ERR_AGAIN, and its
 * recipe is the caller's.  Errors of cfc_impact_compute(). */
int cfc_step_decide(struct cfc_service *service, struct cfc_step *step, struct cfc_recipe *put_off,
                    struct cfc_refusal *refusal);

/* One batch, guarded; `answer` (taken over) is kept under the idempotency key.  CONFCAST_ERR_LIMIT:
 * it does not fit into one batch of the store. */
int cfc_step_commit(struct cfc_service *service, struct cfc_step *step, json_t *answer,
                    uint64_t *seq);

/* Forgets what begin and decide have made, so that they can be called again. */
void cfc_step_reset(struct cfc_step *step);
void cfc_step_free(struct cfc_step *step);

#endif
