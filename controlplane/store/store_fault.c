#include <stdlib.h>

#include "confcast/error.h"
#include "controlplane/store/store.h"

struct store_fault {
    struct cfc_store base;
    struct cfc_store *inner;
    struct cfc_store_fault plan;
};

static bool
is_failing(struct store_fault *fault)
{
    struct cfc_store_fault *plan = &fault->plan;

    plan->call_count++;
    return plan->fail_at != 0 && (plan->call_count == plan->fail_at ||
                                  (plan->is_lasting && plan->call_count > plan->fail_at));
}

static int
fault_get(struct cfc_store *store, const void *key, size_t key_size, struct cfc_store_value *value)
{
    struct store_fault *fault = (struct store_fault *)store;

    if (is_failing(fault)) {
        return fault->plan.error;
    }
    return fault->inner->ops->get(fault->inner, key, key_size, value);
}

static int
fault_scan(struct cfc_store *store, const void *prefix, size_t prefix_size, const void *from,
           size_t from_size, cfc_store_scan_fn fn, void *arg)
{
    struct store_fault *fault = (struct store_fault *)store;

    if (is_failing(fault)) {
        return fault->plan.error;
    }
    return fault->inner->ops->scan(fault->inner, prefix, prefix_size, from, from_size, fn, arg);
}

static int
fault_stage(struct cfc_store *store, const struct cfc_store_batch *batch, uint64_t *seq)
{
    struct store_fault *fault = (struct store_fault *)store;

    if (!is_failing(fault)) {
        return fault->inner->ops->stage(fault->inner, batch, seq);
    }
    if (fault->plan.is_after) {
        (void)fault->inner->ops->stage(fault->inner, batch, seq);
    }
    return fault->plan.error;
}

static int
fault_sync(struct cfc_store *store)
{
    struct store_fault *fault = (struct store_fault *)store;

    if (!is_failing(fault)) {
        return fault->inner->ops->sync(fault->inner);
    }
    if (fault->plan.is_after) {
        (void)fault->inner->ops->sync(fault->inner);
    }
    return fault->plan.error;
}

static int
fault_settle(struct cfc_store *store)
{
    struct store_fault *fault = (struct store_fault *)store;

    return is_failing(fault) ? fault->plan.error : fault->inner->ops->settle(fault->inner);
}

static uint64_t
fault_durable_seq(const struct cfc_store *store)
{
    return cfc_store_durable_seq(((const struct store_fault *)store)->inner);
}

static int
fault_checkpoint(struct cfc_store *store, struct cfc_checkpoint *out)
{
    struct store_fault *fault = (struct store_fault *)store;

    if (is_failing(fault)) {
        return fault->plan.error;
    }
    return fault->inner->ops->checkpoint(fault->inner, out);
}

static void
fault_checkpoint_end(struct cfc_store *store)
{
    struct store_fault *fault = (struct store_fault *)store;

    fault->inner->ops->checkpoint_end(fault->inner);
}

static uint64_t
fault_seq(const struct cfc_store *store)
{
    return cfc_store_seq(((const struct store_fault *)store)->inner);
}

static int
fault_piece_put(struct cfc_store *store, const void *key, size_t key_size, const void *bytes,
                size_t size)
{
    struct store_fault *fault = (struct store_fault *)store;
    struct cfc_store *inner = fault->inner;

    if (!is_failing(fault)) {
        return inner->ops->piece_put(inner, key, key_size, bytes, size);
    }
    if (fault->plan.is_after) {
        (void)inner->ops->piece_put(inner, key, key_size, bytes, size);
    }
    return fault->plan.error;
}

static int
fault_piece_get(struct cfc_store *store, const void *key, size_t key_size,
                struct cfc_store_value *value)
{
    struct store_fault *fault = (struct store_fault *)store;

    if (is_failing(fault)) {
        return fault->plan.error;
    }
    return fault->inner->ops->piece_get(fault->inner, key, key_size, value);
}

static int
fault_piece_delete(struct cfc_store *store, const void *key, size_t key_size)
{
    struct store_fault *fault = (struct store_fault *)store;

    if (is_failing(fault)) {
        return fault->plan.error;
    }
    return fault->inner->ops->piece_delete(fault->inner, key, key_size);
}

static void
fault_close(struct cfc_store *store)
{
    cfc_store_close(((struct store_fault *)store)->inner);
    free(store);
}

static const struct cfc_store_ops fault_ops = {
    .get = fault_get,
    .scan = fault_scan,
    .stage = fault_stage,
    .sync = fault_sync,
    .settle = fault_settle,
    .seq = fault_seq,
    .durable_seq = fault_durable_seq,
    .piece_put = fault_piece_put,
    .piece_get = fault_piece_get,
    .piece_delete = fault_piece_delete,
    .checkpoint = fault_checkpoint,
    .checkpoint_end = fault_checkpoint_end,
    .close = fault_close,
};

int
cfc_store_fault_open(struct cfc_store *inner, struct cfc_store **store)
{
    struct store_fault *fault = calloc(1, sizeof(*fault));

    if (fault == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    fault->base.ops = &fault_ops;
    fault->inner = inner;
    *store = &fault->base;
    return CONFCAST_OK;
}

struct cfc_store_fault *
cfc_store_fault_plan(struct cfc_store *store)
{
    return &((struct store_fault *)store)->plan;
}
