#include "controlplane/store/meta.h"

#include <string.h>

#include "confcast/error.h"
#include "protocol/base/endian.h"

#define KEY_EPOCH         "m/epoch"
#define KEY_FLOOR         "m/floor"
#define KEY_PROOF_EPOCH   "m/proof-epoch"
#define KEY_PROOF_VERSION "m/proof-version"

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

static uint64_t
greater(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

int
cfc_store_get_proof(struct cfc_store *store, uint64_t *epoch, uint64_t *version)
{
    struct number proof_epoch;
    struct number proof_version;
    int error = get_number(store, KEY_PROOF_EPOCH, &proof_epoch);

    if (error == CONFCAST_OK) {
        error = get_number(store, KEY_PROOF_VERSION, &proof_version);
    }
    if (error == CONFCAST_OK) {
        *epoch = proof_epoch.value;
        *version = proof_version.value;
    }
    return error;
}

int
cfc_store_note_proof(struct cfc_store *store, uint64_t epoch, uint64_t version)
{
    struct cfc_store_batch batch;
    struct number seen_epoch;
    struct number seen_version;
    uint64_t seq;
    int error = get_number(store, KEY_PROOF_EPOCH, &seen_epoch);

    if (error == CONFCAST_OK) {
        error = get_number(store, KEY_PROOF_VERSION, &seen_version);
    }
    if (error != CONFCAST_OK || (epoch <= seen_epoch.value && version <= seen_version.value)) {
        return error;
    }
    cfc_store_batch_init(&batch);
    put_number(&batch, KEY_PROOF_EPOCH, &seen_epoch, greater(epoch, seen_epoch.value));
    put_number(&batch, KEY_PROOF_VERSION, &seen_version, greater(version, seen_version.value));
    error = cfc_store_commit(store, &batch, &seq);
    cfc_store_batch_clear(&batch);
    return error;
}

int
cfc_store_restore(struct cfc_store *store, uint64_t epoch_seen, uint64_t seq_seen, uint64_t *epoch)
{
    struct cfc_store_batch batch;
    struct number seen;
    struct number floor;
    uint64_t proof_epoch;
    uint64_t proof_version;
    uint64_t next_epoch;
    uint64_t next_floor;
    uint64_t seq;
    int error;

    if (epoch_seen > SEEN_MAX || seq_seen > SEEN_MAX) {
        return CONFCAST_ERR_INVALID;
    }
    error = cfc_store_get_proof(store, &proof_epoch, &proof_version);
    if (error == CONFCAST_OK) {
        error = get_number(store, KEY_EPOCH, &seen);
    }
    if (error == CONFCAST_OK) {
        error = get_number(store, KEY_FLOOR, &floor);
    }
    if (error != CONFCAST_OK) {
        return error;
    }
    next_epoch = greater(greater(epoch_seen, proof_epoch), seen.value) + 1;
    next_floor = greater(greater(seq_seen, proof_version), cfc_store_seq(store)) + 1;
    cfc_store_batch_init(&batch);
    batch.seq_min = next_floor;
    put_number(&batch, KEY_EPOCH, &seen, next_epoch);
    put_number(&batch, KEY_FLOOR, &floor, next_floor);
    cfc_store_delete(&batch, KEY_PROOF_EPOCH, strlen(KEY_PROOF_EPOCH));
    cfc_store_delete(&batch, KEY_PROOF_VERSION, strlen(KEY_PROOF_VERSION));
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
