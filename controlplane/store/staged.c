#define HASH_NONFATAL_OOM        1
#define uthash_nonfatal_oom(obj) (is_out_of_memory = true)

#include "controlplane/store/staged.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/store/internal.h"
#include "protocol/base/endian.h"

enum {
    SEQ_SIZE = 8
};

/* The values of one batch, and behind them the bytes of their keys and values. */
struct cfc_staged_chunk {
    struct cfc_staged_chunk *next;
    size_t count;
    struct cfc_staged_value values[];
};

void
cfc_staged_init(struct cfc_staged *staged)
{
    memset(staged, 0, sizeof(*staged));
}

void
cfc_staged_clear(struct cfc_staged *staged)
{
    struct cfc_staged_chunk *next;

    HASH_CLEAR(hh, staged->values);
    for (struct cfc_staged_chunk *chunk = staged->chunks; chunk != NULL; chunk = next) {
        next = chunk->next;
        free(chunk);
    }
    cfc_staged_init(staged);
}

static bool
is_write(const struct cfc_store_op *op)
{
    return op->kind == CFC_STORE_PUT || op->kind == CFC_STORE_DELETE;
}

static size_t
chunk_size(const struct cfc_store_batch *batch)
{
    size_t size = sizeof(struct cfc_staged_chunk);

    for (size_t i = 0; i < batch->op_count; i++) {
        const struct cfc_store_op *op = &batch->ops[i];

        if (is_write(op)) {
            size += sizeof(struct cfc_staged_value) + 1 + op->key_size + SEQ_SIZE + op->value_size;
        }
    }
    return size;
}

static uint8_t *
fill_value(struct cfc_staged_value *value, const struct cfc_store_op *op, uint64_t seq, char table,
           uint8_t *room)
{
    *value = (struct cfc_staged_value){.key = room, .key_size = 1 + op->key_size};
    room[0] = (uint8_t)table;
    memcpy(room + 1, op->bytes, op->key_size);
    room += value->key_size;
    if (op->kind == CFC_STORE_DELETE) {
        return room;
    }
    value->value = room;
    value->value_size = SEQ_SIZE + op->value_size;
    cfc_put_u64(room, seq);
    memcpy(room + SEQ_SIZE, op->bytes + op->key_size, op->value_size);
    return room + value->value_size;
}

static struct cfc_staged_chunk *
make_chunk(const struct cfc_store_batch *batch, size_t size, uint64_t seq, char table)
{
    struct cfc_staged_chunk *chunk = malloc(size);
    uint8_t *room;

    if (chunk == NULL) {
        return NULL;
    }
    chunk->count = 0;
    for (size_t i = 0; i < batch->op_count; i++) {
        chunk->count += is_write(&batch->ops[i]);
    }
    room = (uint8_t *)&chunk->values[chunk->count];
    for (size_t i = 0, n = 0; i < batch->op_count; i++) {
        if (is_write(&batch->ops[i])) {
            room = fill_value(&chunk->values[n++], &batch->ops[i], seq, table, room);
        }
    }
    return chunk;
}

static struct cfc_staged_value *
find(const struct cfc_staged *staged, const void *key, size_t key_size)
{
    struct cfc_staged_value *value = NULL;

    HASH_FIND(hh, staged->values, key, key_size, value);
    return value;
}

/* Makes the keys of a chunk known that are not yet.  False without memory; nothing is known then
 * that was not before. */
static bool
add_keys(struct cfc_staged *staged, struct cfc_staged_chunk *chunk)
{
    bool is_out_of_memory = false;
    size_t i;

    for (i = 0; i < chunk->count && !is_out_of_memory; i++) {
        struct cfc_staged_value *value = &chunk->values[i];

        if (find(staged, value->key, value->key_size) == NULL) {
            HASH_ADD_KEYPTR(hh, staged->values, value->key, value->key_size, value);
        }
    }
    for (size_t n = 0; is_out_of_memory && n + 1 < i; n++) {
        struct cfc_staged_value *value = &chunk->values[n];

        if (find(staged, value->key, value->key_size) == value) {
            HASH_DELETE(hh, staged->values, value);
        }
    }
    return !is_out_of_memory;
}

int
cfc_staged_add(struct cfc_staged *staged, const struct cfc_store_batch *batch, uint64_t seq,
               char table)
{
    size_t size = chunk_size(batch);
    struct cfc_staged_chunk *chunk = make_chunk(batch, size, seq, table);

    if (chunk == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    if (!add_keys(staged, chunk)) {
        free(chunk);
        return CONFCAST_ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < chunk->count; i++) {
        const struct cfc_staged_value *newest = &chunk->values[i];
        struct cfc_staged_value *known = find(staged, newest->key, newest->key_size);

        known->value = newest->value;
        known->value_size = newest->value_size;
    }
    chunk->next = staged->chunks;
    staged->chunks = chunk;
    staged->size += size;
    staged->seq = seq;
    return CONFCAST_OK;
}

const struct cfc_staged_value *
cfc_staged_find(const struct cfc_staged *staged, const void *key, size_t key_size)
{
    return find(staged, key, key_size);
}

static int
compare_keys(const struct cfc_staged_value *a, const struct cfc_staged_value *b)
{
    size_t size = a->key_size < b->key_size ? a->key_size : b->key_size;
    int order = memcmp(a->key, b->key, size);

    return order != 0 ? order : (a->key_size > b->key_size) - (a->key_size < b->key_size);
}

const struct cfc_staged_value *
cfc_staged_sort(const struct cfc_staged *staged)
{
    /* The order is a list of its own: who looks for a key meanwhile does not use it. */
    struct cfc_staged_value *first = staged->values;

    HASH_SORT(first, compare_keys);
    return first;
}
