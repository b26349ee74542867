/* The store in memory: two sorted arrays.  For tests; nothing of it is durable. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/store/internal.h"
#include "controlplane/store/store.h"

struct entry {
    uint8_t *key;
    size_t key_size;
    uint8_t *value;
    size_t value_size;
    uint64_t mod_seq;
};

struct table {
    struct entry *entries; /* ascending by key */
    size_t count;
    size_t capacity;
};

struct store_mem {
    struct cfc_store base;
    struct table keys;
    struct table pieces;
    uint64_t seq;
};

static int
compare_keys(const void *a, size_t a_size, const void *b, size_t b_size)
{
    size_t size = a_size < b_size ? a_size : b_size;
    int order = size > 0 ? memcmp(a, b, size) : 0;

    return order != 0 ? order : (a_size > b_size) - (a_size < b_size);
}

/* The index of the first entry that is not below the key. */
static size_t
lower_bound(const struct table *table, const void *key, size_t key_size)
{
    size_t low = 0;
    size_t high = table->count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const struct entry *e = &table->entries[mid];

        if (compare_keys(e->key, e->key_size, key, key_size) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

static struct entry *
find(const struct table *table, const void *key, size_t key_size)
{
    size_t i = lower_bound(table, key, key_size);

    if (i < table->count &&
        compare_keys(table->entries[i].key, table->entries[i].key_size, key, key_size) == 0) {
        return &table->entries[i];
    }
    return NULL;
}

static void
entry_free(struct entry *entry)
{
    free(entry->key);
    free(entry->value);
}

static int
table_reserve(struct table *table, size_t extra_count)
{
    size_t capacity = table->count + extra_count;
    struct entry *entries;

    if (capacity <= table->capacity) {
        return CONFCAST_OK;
    }
    capacity += capacity / 2;
    entries = realloc(table->entries, capacity * sizeof(*entries));
    if (entries == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    table->entries = entries;
    table->capacity = capacity;
    return CONFCAST_OK;
}

static void
table_delete(struct table *table, const void *key, size_t key_size)
{
    struct entry *e = find(table, key, key_size);
    size_t i;

    if (e == NULL) {
        return;
    }
    i = (size_t)(e - table->entries);
    entry_free(e);
    memmove(e, e + 1, (table->count - i - 1) * sizeof(*e));
    table->count--;
}

/* Takes over the entry's memory; table_reserve() has made room. */
static void
table_put(struct table *table, const struct entry *entry)
{
    size_t i;

    table_delete(table, entry->key, entry->key_size);
    i = lower_bound(table, entry->key, entry->key_size);
    assert(table->count < table->capacity);
    memmove(&table->entries[i + 1], &table->entries[i],
            (table->count - i) * sizeof(*table->entries));
    table->entries[i] = *entry;
    table->count++;
}

static int
entry_make(struct entry *entry, const void *key, size_t key_size, const void *value,
           size_t value_size, uint64_t mod_seq)
{
    entry->key = malloc(key_size);
    entry->value = malloc(value_size + 1);
    if (entry->key == NULL || entry->value == NULL) {
        entry_free(entry);
        return CONFCAST_ERR_NO_MEMORY;
    }
    memcpy(entry->key, key, key_size);
    if (value_size > 0) {
        memcpy(entry->value, value, value_size);
    }
    entry->key_size = key_size;
    entry->value_size = value_size;
    entry->mod_seq = mod_seq;
    return CONFCAST_OK;
}

static int
table_get(const struct table *table, const void *key, size_t key_size,
          struct cfc_store_value *value)
{
    const struct entry *e = find(table, key, key_size);

    if (e == NULL) {
        return CONFCAST_ERR_NOT_FOUND;
    }
    return cfc_store_value_set(value, e->value, e->value_size, e->mod_seq);
}

static int
mem_get(struct cfc_store *store, const void *key, size_t key_size, struct cfc_store_value *value)
{
    return table_get(&((struct store_mem *)store)->keys, key, key_size, value);
}

static int
mem_scan(struct cfc_store *store, const void *prefix, size_t prefix_size, const void *from,
         size_t from_size, cfc_store_scan_fn fn, void *arg)
{
    const struct table *table = &((struct store_mem *)store)->keys;
    bool starts_later = compare_keys(from, from_size, prefix, prefix_size) > 0;
    size_t i = starts_later ? lower_bound(table, from, from_size)
                            : lower_bound(table, prefix, prefix_size);

    for (; i < table->count; i++) {
        const struct entry *e = &table->entries[i];
        struct cfc_store_item item = {.key = e->key,
                                      .key_size = e->key_size,
                                      .value = e->value,
                                      .value_size = e->value_size,
                                      .mod_seq = e->mod_seq};
        int result;

        if (e->key_size < prefix_size ||
            (prefix_size > 0 && memcmp(e->key, prefix, prefix_size) != 0)) {
            break;
        }
        result = fn(arg, &item);
        if (result != 0) {
            return result;
        }
    }
    return CONFCAST_OK;
}

static int
mem_stage(struct cfc_store *store, const struct cfc_store_batch *batch, uint64_t *seq)
{
    struct store_mem *mem = (struct store_mem *)store;
    struct entry *made;
    uint64_t next_seq = cfc_store_batch_seq(batch, mem->seq);
    size_t made_count = 0;
    int error = cfc_store_check_compares(store, batch);

    if (error != CONFCAST_OK) {
        return error;
    }
    if (!cfc_store_batch_has_writes(batch)) {
        *seq = mem->seq;
        return CONFCAST_OK;
    }
    made = calloc(batch->op_count, sizeof(*made));
    error = made != NULL ? table_reserve(&mem->keys, batch->op_count) : CONFCAST_ERR_NO_MEMORY;
    for (size_t i = 0; error == CONFCAST_OK && i < batch->op_count; i++) {
        const struct cfc_store_op *op = &batch->ops[i];

        if (op->kind == CFC_STORE_PUT) {
            error = entry_make(&made[made_count], op->bytes, op->key_size, op->bytes + op->key_size,
                               op->value_size, next_seq);
            made_count += error == CONFCAST_OK;
        }
    }
    if (error != CONFCAST_OK) {
        for (size_t i = 0; i < made_count; i++) {
            entry_free(&made[i]);
        }
        free(made);
        return error;
    }
    for (size_t i = 0; i < batch->op_count; i++) {
        if (batch->ops[i].kind == CFC_STORE_DELETE) {
            table_delete(&mem->keys, batch->ops[i].bytes, batch->ops[i].key_size);
        }
    }
    for (size_t i = 0; i < made_count; i++) {
        table_put(&mem->keys, &made[i]);
    }
    free(made);
    mem->seq = next_seq;
    *seq = next_seq;
    return CONFCAST_OK;
}

static int
mem_sync(struct cfc_store *store)
{
    (void)store;
    return CONFCAST_OK;
}

static int
mem_checkpoint(struct cfc_store *store, struct cfc_checkpoint *out)
{
    (void)store;
    (void)out;
    return CONFCAST_ERR_UNSUPPORTED;
}

static uint64_t
mem_seq(const struct cfc_store *store)
{
    return ((const struct store_mem *)store)->seq;
}

static int
mem_piece_put(struct cfc_store *store, const void *key, size_t key_size, const void *bytes,
              size_t size)
{
    struct table *table = &((struct store_mem *)store)->pieces;
    struct entry entry;
    int error = table_reserve(table, 1);

    if (error == CONFCAST_OK) {
        error = entry_make(&entry, key, key_size, bytes, size, 0);
    }
    if (error == CONFCAST_OK) {
        table_put(table, &entry);
    }
    return error;
}

static int
mem_piece_get(struct cfc_store *store, const void *key, size_t key_size,
              struct cfc_store_value *value)
{
    return table_get(&((struct store_mem *)store)->pieces, key, key_size, value);
}

static int
mem_piece_delete(struct cfc_store *store, const void *key, size_t key_size)
{
    table_delete(&((struct store_mem *)store)->pieces, key, key_size);
    return CONFCAST_OK;
}

static void
table_free(struct table *table)
{
    for (size_t i = 0; i < table->count; i++) {
        entry_free(&table->entries[i]);
    }
    free(table->entries);
}

static void
mem_close(struct cfc_store *store)
{
    struct store_mem *mem = (struct store_mem *)store;

    table_free(&mem->keys);
    table_free(&mem->pieces);
    free(mem);
}

static const struct cfc_store_ops mem_ops = {
    .get = mem_get,
    .scan = mem_scan,
    .stage = mem_stage,
    .sync = mem_sync,
    .settle = mem_sync,
    .seq = mem_seq,
    .durable_seq = mem_seq,
    .piece_put = mem_piece_put,
    .piece_get = mem_piece_get,
    .piece_delete = mem_piece_delete,
    .checkpoint = mem_checkpoint,
    .close = mem_close,
};

int
cfc_store_mem_open(struct cfc_store **store)
{
    struct store_mem *mem = calloc(1, sizeof(*mem));

    if (mem == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    mem->base.ops = &mem_ops;
    *store = &mem->base;
    return CONFCAST_OK;
}
