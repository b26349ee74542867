#include "controlplane/store/store.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/store/internal.h"

enum {
    OPS_COUNT_FIRST = 32
};

void (*cfc_store_crash_hook)(const char *point);

void
cfc_store_batch_init(struct cfc_store_batch *batch)
{
    memset(batch, 0, sizeof(*batch));
}

void
cfc_store_batch_clear(struct cfc_store_batch *batch)
{
    for (size_t i = 0; i < batch->op_count; i++) {
        free(batch->ops[i].bytes);
    }
    free(batch->ops);
    cfc_store_batch_init(batch);
}

static bool
is_write(enum cfc_store_op_kind kind)
{
    return kind == CFC_STORE_PUT || kind == CFC_STORE_DELETE;
}

static bool
writes_key(const struct cfc_store_batch *batch, const void *key, size_t key_size)
{
    for (size_t i = 0; i < batch->op_count; i++) {
        const struct cfc_store_op *op = &batch->ops[i];

        if (is_write(op->kind) && op->key_size == key_size &&
            memcmp(op->bytes, key, key_size) == 0) {
            return true;
        }
    }
    return false;
}

static int
check_key(const void *key, size_t key_size)
{
    return key != NULL && key_size >= 1 && key_size <= CFC_STORE_KEY_SIZE_MAX
               ? CONFCAST_OK
               : CONFCAST_ERR_INVALID;
}

static int
check_room(const struct cfc_store_batch *batch, size_t key_size, size_t value_size)
{
    if (batch->op_count == CFC_STORE_BATCH_OPS_MAX || value_size > CFC_STORE_BATCH_SIZE_MAX ||
        batch->size + key_size + value_size > CFC_STORE_BATCH_SIZE_MAX) {
        return CONFCAST_ERR_LIMIT;
    }
    return CONFCAST_OK;
}

static int
reserve_op(struct cfc_store_batch *batch)
{
    size_t capacity = batch->op_capacity != 0 ? 2 * batch->op_capacity : OPS_COUNT_FIRST;
    struct cfc_store_op *ops;

    if (batch->op_count < batch->op_capacity) {
        return CONFCAST_OK;
    }
    ops = realloc(batch->ops, capacity * sizeof(*ops));
    if (ops == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    batch->ops = ops;
    batch->op_capacity = capacity;
    return CONFCAST_OK;
}

/* Adds an operation; the room for its value is to be filled, NULL on an error. */
static uint8_t *
add(struct cfc_store_batch *batch, enum cfc_store_op_kind kind, const void *key, size_t key_size,
    size_t value_size, uint64_t mod_seq)
{
    struct cfc_store_op *op;

    if (batch->error == CONFCAST_OK) {
        batch->error = check_key(key, key_size);
    }
    if (batch->error == CONFCAST_OK) {
        batch->error = check_room(batch, key_size, value_size);
    }
    if (batch->error == CONFCAST_OK && is_write(kind) && writes_key(batch, key, key_size)) {
        batch->error = CONFCAST_ERR_INVALID;
    }
    if (batch->error == CONFCAST_OK) {
        batch->error = reserve_op(batch);
    }
    if (batch->error != CONFCAST_OK) {
        return NULL;
    }
    op = &batch->ops[batch->op_count];
    op->bytes = malloc(key_size + value_size);
    if (op->bytes == NULL) {
        batch->error = CONFCAST_ERR_NO_MEMORY;
        return NULL;
    }
    memcpy(op->bytes, key, key_size);
    op->kind = kind;
    op->key_size = key_size;
    op->value_size = value_size;
    op->mod_seq = mod_seq;
    batch->op_count++;
    batch->size += key_size + value_size;
    return op->bytes + key_size;
}

static void
add_value(struct cfc_store_batch *batch, enum cfc_store_op_kind kind, const void *key,
          size_t key_size, const void *value, size_t value_size)
{
    uint8_t *room = add(batch, kind, key, key_size, value_size, 0);

    if (room != NULL && value_size > 0) {
        memcpy(room, value, value_size);
    }
}

void
cfc_store_compare_value(struct cfc_store_batch *batch, const void *key, size_t key_size,
                        const void *value, size_t value_size)
{
    add_value(batch, CFC_STORE_COMPARE_VALUE, key, key_size, value, value_size);
}

void
cfc_store_compare_absent(struct cfc_store_batch *batch, const void *key, size_t key_size)
{
    (void)add(batch, CFC_STORE_COMPARE_ABSENT, key, key_size, 0, 0);
}

void
cfc_store_compare_seq(struct cfc_store_batch *batch, const void *key, size_t key_size,
                      uint64_t mod_seq)
{
    (void)add(batch, CFC_STORE_COMPARE_SEQ, key, key_size, 0, mod_seq);
}

void
cfc_store_put(struct cfc_store_batch *batch, const void *key, size_t key_size, const void *value,
              size_t value_size)
{
    add_value(batch, CFC_STORE_PUT, key, key_size, value, value_size);
}

void
cfc_store_put2(struct cfc_store_batch *batch, const void *key, size_t key_size, const void *head,
               size_t head_size, const void *tail, size_t tail_size)
{
    uint8_t *room;

    if (head_size > CFC_STORE_BATCH_SIZE_MAX || tail_size > CFC_STORE_BATCH_SIZE_MAX) {
        head_size = CFC_STORE_BATCH_SIZE_MAX;
        tail_size = CFC_STORE_BATCH_SIZE_MAX;
    }
    room = add(batch, CFC_STORE_PUT, key, key_size, head_size + tail_size, 0);
    if (room != NULL) {
        memcpy(room, head, head_size);
        memcpy(room + head_size, tail, tail_size);
    }
}

void
cfc_store_delete(struct cfc_store_batch *batch, const void *key, size_t key_size)
{
    (void)add(batch, CFC_STORE_DELETE, key, key_size, 0, 0);
}

int
cfc_store_get(struct cfc_store *store, const void *key, size_t key_size,
              struct cfc_store_value *value)
{
    memset(value, 0, sizeof(*value));
    if (check_key(key, key_size) != CONFCAST_OK) {
        return CONFCAST_ERR_INVALID;
    }
    return store->ops->get(store, key, key_size, value);
}

void
cfc_store_value_free(struct cfc_store_value *value)
{
    free(value->bytes);
    memset(value, 0, sizeof(*value));
}

int
cfc_store_value_set(struct cfc_store_value *value, const void *bytes, size_t size, uint64_t mod_seq)
{
    value->bytes = malloc(size + 1);
    if (value->bytes == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    if (size > 0) {
        memcpy(value->bytes, bytes, size);
    }
    value->bytes[size] = 0;
    value->size = size;
    value->mod_seq = mod_seq;
    return CONFCAST_OK;
}

int
cfc_store_scan(struct cfc_store *store, const void *prefix, size_t prefix_size, const void *from,
               size_t from_size, cfc_store_scan_fn fn, void *arg)
{
    if (prefix_size > CFC_STORE_KEY_SIZE_MAX || from_size > CFC_STORE_KEY_SIZE_MAX) {
        return CONFCAST_ERR_INVALID;
    }
    return store->ops->scan(store, prefix, prefix_size, from, from_size, fn, arg);
}

static bool
compare_holds(const struct cfc_store_op *op, int found, const struct cfc_store_value *value)
{
    switch (op->kind) {
    case CFC_STORE_COMPARE_VALUE:
        return found == CONFCAST_OK && value->size == op->value_size &&
               (op->value_size == 0 ||
                memcmp(value->bytes, op->bytes + op->key_size, op->value_size) == 0);
    case CFC_STORE_COMPARE_ABSENT:
        return found == CONFCAST_ERR_NOT_FOUND;
    case CFC_STORE_COMPARE_SEQ:
        return found == CONFCAST_OK && value->mod_seq == op->mod_seq;
    case CFC_STORE_PUT:
    case CFC_STORE_DELETE:
        break;
    }
    return true;
}

int
cfc_store_check_compares(struct cfc_store *store, const struct cfc_store_batch *batch)
{
    bool has_seen_all = batch->seen_seq != 0 && batch->seen_seq == store->ops->seq(store);

    for (size_t i = 0; i < batch->op_count; i++) {
        const struct cfc_store_op *op = &batch->ops[i];
        struct cfc_store_value value = {0};
        bool holds;
        int error;

        if (is_write(op->kind) || (has_seen_all && op->kind == CFC_STORE_COMPARE_SEQ)) {
            continue;
        }
        error = store->ops->get(store, op->bytes, op->key_size, &value);
        if (error != CONFCAST_OK && error != CONFCAST_ERR_NOT_FOUND) {
            return error;
        }
        holds = compare_holds(op, error, &value);
        cfc_store_value_free(&value);
        if (!holds) {
            return CONFCAST_ERR_CONFLICT;
        }
    }
    return CONFCAST_OK;
}

bool
cfc_store_batch_has_writes(const struct cfc_store_batch *batch)
{
    for (size_t i = 0; i < batch->op_count; i++) {
        if (is_write(batch->ops[i].kind)) {
            return true;
        }
    }
    return false;
}

uint64_t
cfc_store_batch_seq(const struct cfc_store_batch *batch, uint64_t last_seq)
{
    return batch->seq_min > last_seq + 1 ? batch->seq_min : last_seq + 1;
}

int
cfc_store_stage(struct cfc_store *store, const struct cfc_store_batch *batch, uint64_t *seq)
{
    return batch->error != CONFCAST_OK ? batch->error : store->ops->stage(store, batch, seq);
}

uint64_t
cfc_store_size(struct cfc_store *store)
{
    return store->ops->size != NULL ? store->ops->size(store) : 0;
}

int
cfc_store_sync(struct cfc_store *store)
{
    return store->ops->sync(store);
}

int
cfc_store_settle(struct cfc_store *store)
{
    return store->ops->settle(store);
}

int
cfc_store_commit(struct cfc_store *store, const struct cfc_store_batch *batch, uint64_t *seq)
{
    int error = cfc_store_stage(store, batch, seq);

    if (error != CONFCAST_OK || *seq <= cfc_store_durable_seq(store)) {
        return error;
    }
    error = cfc_store_sync(store);
    return error == CONFCAST_OK || cfc_store_settle(store) == CONFCAST_OK ? CONFCAST_OK : error;
}

uint64_t
cfc_store_durable_seq(const struct cfc_store *store)
{
    return store->ops->durable_seq(store);
}

uint64_t
cfc_store_seq(const struct cfc_store *store)
{
    return store->ops->seq(store);
}

void
cfc_store_close(struct cfc_store *store)
{
    if (store != NULL) {
        store->ops->close(store);
    }
}
