#include "controlplane/store/meta.h"

#include <string.h>

#include "confcast/error.h"
#include "protocol/base/endian.h"

#define KEY_EPOCH "m/epoch"
#define KEY_FLOOR "m/floor"

/* JSON carries epochs and versions as integers, so they end where those do. */
#define SEEN_MAX (UINT64_C(1) << 52)

struct number {
    uint64_t value;   /* 0 when the key is not there */
    uint64_t mod_seq; /* 0 when the key is not there */
};

static int
get_number(struct cfc_store *store, const char *key, struct number *number)
{
    struct cfc_store_value value;
    int error = cfc_store_get(store, key, strlen(key), &value);

    memset(number, 0, sizeof(*number));
    if (error != CONFCAST_OK) {
        return error == CONFCAST_ERR_NOT_FOUND ? CONFCAST_OK : error;
    }
    if (value.size == sizeof(uint64_t)) {
        number->value = cfc_get_u64(value.bytes);
        number->mod_seq = value.mod_seq;
    } else {
        error = CONFCAST_ERR_CORRUPT;
    }
    cfc_store_value_free(&value);
    return error;
}

/* Replaces what get_number() saw, if it is still there. */
static void
put_number(struct cfc_store_batch *batch, const char *key, const struct number *seen,
           uint64_t value)
{
    uint8_t bytes[sizeof(uint64_t)];

    cfc_put_u64(bytes, value);
    if (seen->mod_seq == 0) {
        cfc_store_compare_absent(batch, key, strlen(key));
    } else {
        cfc_store_compare_seq(batch, key, strlen(key), seen->mod_seq);
    }
    cfc_store_put(batch, key, strlen(key), bytes, sizeof(bytes));
}

int
cfc_store_take_epoch(struct cfc_store *store, uint64_t *epoch)
{
    struct cfc_store_batch batch;
    struct number seen;
    uint64_t seq;
    int error = get_number(store, KEY_EPOCH, &seen);

    if (error != CONFCAST_OK) {
        return error;
    }
    cfc_store_batch_init(&batch);
    put_number(&batch, KEY_EPOCH, &seen, seen.value + 1);
    error = cfc_store_commit(store, &batch, &seq);
    cfc_store_batch_clear(&batch);
    if (error == CONFCAST_OK) {
        *epoch = seen.value + 1;
    }
    return error;
}

int
cfc_store_get_epoch(struct cfc_store *store, uint64_t *epoch)
{
    struct number seen;
    int error = get_number(store, KEY_EPOCH, &seen);

    *epoch = seen.value;
    return error;
}

int
cfc_store_restore(struct cfc_store *store, uint64_t epoch_seen, uint64_t seq_seen, uint64_t *epoch)
{
    struct cfc_store_batch batch;
    struct number seen;
    struct number floor;
    uint64_t next_epoch;
    uint64_t next_floor;
    uint64_t seq;
    int error;

    if (epoch_seen > SEEN_MAX || seq_seen > SEEN_MAX) {
        return CONFCAST_ERR_INVALID;
    }
    error = get_number(store, KEY_EPOCH, &seen);
    if (error == CONFCAST_OK) {
        error = get_number(store, KEY_FLOOR, &floor);
    }
    if (error != CONFCAST_OK) {
        return error;
    }
    next_epoch = (epoch_seen > seen.value ? epoch_seen : seen.value) + 1;
    next_floor = seq_seen + 1;
    if (next_floor <= cfc_store_seq(store)) {
        next_floor = cfc_store_seq(store) + 1;
    }
    cfc_store_batch_init(&batch);
    batch.seq_min = next_floor;
    put_number(&batch, KEY_EPOCH, &seen, next_epoch);
    put_number(&batch, KEY_FLOOR, &floor, next_floor);
    error = cfc_store_commit(store, &batch, &seq);
    cfc_store_batch_clear(&batch);
    if (error == CONFCAST_OK) {
        *epoch = next_epoch;
    }
    return error;
}

int
cfc_store_get_floor(struct cfc_store *store, uint64_t *floor)
{
    struct number seen;
    int error = get_number(store, KEY_FLOOR, &seen);

    *floor = seen.value;
    return error;
}
