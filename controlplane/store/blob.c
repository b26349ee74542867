/* Blobs: pieces under (digest, index), and last of all a manifest under (digest, the highest
 * index), whose presence says that all pieces are there. */
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/store/internal.h"
#include "controlplane/store/store.h"

enum {
    PIECE_KEY_SIZE = 36,
    MANIFEST_SIZE = 8
};

#define MANIFEST_IDX UINT32_MAX

static void
piece_key(uint8_t key[PIECE_KEY_SIZE], const struct cfc_digest *digest, uint32_t idx)
{
    memcpy(key, digest->bytes, sizeof(digest->bytes));
    key[32] = (uint8_t)(idx >> 24);
    key[33] = (uint8_t)(idx >> 16);
    key[34] = (uint8_t)(idx >> 8);
    key[35] = (uint8_t)idx;
}

static uint32_t
piece_count(uint64_t size)
{
    return (uint32_t)((size + CFC_STORE_BLOB_CHUNK_SIZE - 1) / CFC_STORE_BLOB_CHUNK_SIZE);
}

/* CONFCAST_OK and the blob's size, or CONFCAST_ERR_NOT_FOUND. */
static int
read_manifest(struct cfc_store *store, const struct cfc_digest *digest, uint64_t *size)
{
    struct cfc_store_value value = {0};
    uint8_t key[PIECE_KEY_SIZE];
    int error;

    piece_key(key, digest, MANIFEST_IDX);
    error = store->ops->piece_get(store, key, sizeof(key), &value);
    if (error != CONFCAST_OK) {
        return error;
    }
    if (value.size == MANIFEST_SIZE) {
        *size = cfc_get_u64(value.bytes);
    }
    if (value.size != MANIFEST_SIZE || *size > CFC_STORE_BLOB_SIZE_MAX) {
        error = CONFCAST_ERR_CORRUPT;
    }
    cfc_store_value_free(&value);
    return error;
}

int
cfc_store_put_blob(struct cfc_store *store, const struct cfc_digest *digest, const void *bytes,
                   size_t size)
{
    const uint8_t *p = bytes;
    uint8_t manifest[MANIFEST_SIZE];
    uint8_t key[PIECE_KEY_SIZE];
    uint64_t known_size;
    int error;

    if (size > CFC_STORE_BLOB_SIZE_MAX) {
        return CONFCAST_ERR_LIMIT;
    }
    error = read_manifest(store, digest, &known_size);
    if (error != CONFCAST_ERR_NOT_FOUND) {
        return error;
    }
    for (uint32_t i = 0; i < piece_count(size); i++) {
        size_t offset = (size_t)i * CFC_STORE_BLOB_CHUNK_SIZE;
        size_t left = size - offset;

        piece_key(key, digest, i);
        error = store->ops->piece_put(store, key, sizeof(key), p + offset,
                                      left < CFC_STORE_BLOB_CHUNK_SIZE ? left
                                                                       : CFC_STORE_BLOB_CHUNK_SIZE);
        if (error != CONFCAST_OK) {
            return error;
        }
        cfc_store_crash_point("blob:piece");
    }
    piece_key(key, digest, MANIFEST_IDX);
    cfc_put_u64(manifest, size);
    error = store->ops->piece_put(store, key, sizeof(key), manifest, sizeof(manifest));
    if (error == CONFCAST_OK) {
        cfc_store_crash_point("blob:complete");
    }
    return error;
}

static int
append_piece(struct cfc_store *store, const struct cfc_digest *digest, uint32_t idx, uint8_t *out,
             size_t size)
{
    struct cfc_store_value value = {0};
    uint8_t key[PIECE_KEY_SIZE];
    int error;

    piece_key(key, digest, idx);
    error = store->ops->piece_get(store, key, sizeof(key), &value);
    if (error == CONFCAST_ERR_NOT_FOUND) {
        return CONFCAST_ERR_CORRUPT;
    }
    if (error != CONFCAST_OK) {
        return error;
    }
    if (value.size == size) {
        memcpy(out, value.bytes, size);
    } else {
        error = CONFCAST_ERR_CORRUPT;
    }
    cfc_store_value_free(&value);
    return error;
}

int
cfc_store_blob_size(struct cfc_store *store, const struct cfc_digest *digest, uint64_t *size)
{
    return read_manifest(store, digest, size);
}

int
cfc_store_get_blob_part(struct cfc_store *store, const struct cfc_digest *digest, uint64_t offset,
                        uint8_t *out, size_t size)
{
    if (offset % CFC_STORE_BLOB_CHUNK_SIZE != 0 || size > CFC_STORE_BLOB_CHUNK_SIZE ||
        offset >= CFC_STORE_BLOB_SIZE_MAX) {
        return CONFCAST_ERR_INVALID;
    }
    return append_piece(store, digest, (uint32_t)(offset / CFC_STORE_BLOB_CHUNK_SIZE), out, size);
}

static int
check_digest(const struct cfc_digest *digest, const void *bytes, size_t size)
{
    struct cfc_sha256 *sha = cfc_sha256_new();
    struct cfc_digest found;

    if (sha == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    cfc_sha256_once(sha, NULL, bytes, size, &found);
    cfc_sha256_free(sha);
    return cfc_digest_equal(digest, &found) ? CONFCAST_OK : CONFCAST_ERR_CORRUPT;
}

int
cfc_store_get_blob(struct cfc_store *store, const struct cfc_digest *digest,
                   struct cfc_store_value *value)
{
    uint64_t size = 0;
    int error;

    memset(value, 0, sizeof(*value));
    error = read_manifest(store, digest, &size);
    if (error != CONFCAST_OK) {
        return error;
    }
    value->bytes = malloc(size + 1);
    if (value->bytes == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    value->size = size;
    value->bytes[size] = 0;
    for (uint32_t i = 0; error == CONFCAST_OK && i < piece_count(size); i++) {
        size_t offset = (size_t)i * CFC_STORE_BLOB_CHUNK_SIZE;
        size_t left = size - offset;

        error = append_piece(store, digest, i, value->bytes + offset,
                             left < CFC_STORE_BLOB_CHUNK_SIZE ? left : CFC_STORE_BLOB_CHUNK_SIZE);
    }
    if (error == CONFCAST_OK) {
        error = check_digest(digest, value->bytes, value->size);
    }
    if (error != CONFCAST_OK) {
        cfc_store_value_free(value);
    }
    return error;
}

int
cfc_store_delete_blob(struct cfc_store *store, const struct cfc_digest *digest)
{
    uint8_t key[PIECE_KEY_SIZE];
    uint64_t size;
    int error = read_manifest(store, digest, &size);

    if (error != CONFCAST_OK) {
        return error == CONFCAST_ERR_NOT_FOUND ? CONFCAST_OK : error;
    }
    /* The manifest goes first: what is left after a crash is unreachable, not half a blob. */
    piece_key(key, digest, MANIFEST_IDX);
    error = store->ops->piece_delete(store, key, sizeof(key));
    for (uint32_t i = 0; error == CONFCAST_OK && i < piece_count(size); i++) {
        piece_key(key, digest, i);
        error = store->ops->piece_delete(store, key, sizeof(key));
    }
    return error;
}
