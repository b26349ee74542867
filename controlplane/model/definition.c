#include "controlplane/model/definition.h"

#include <string.h>

#include "confcast/error.h"
#include "controlplane/model/record.h"

enum {
    TEXT_INLINE = 'i',
    TEXT_BLOB = 'b'
};

int
cfc_definition_read_meta(struct cfc_store *store, const char *path, uint64_t revision,
                         struct cfc_definition_meta *meta)
{
    struct cfc_record_key key = cfc_record_key_numbered('d', path, revision);
    json_t *record;
    int error = cfc_record_get(store, &key, &record, NULL);

    if (error != CONFCAST_OK) {
        return error;
    }
    error = cfc_definition_from_json(record, revision, meta);
    json_decref(record);
    return error;
}

int
cfc_definition_find_text(struct cfc_store *store, const char *path, uint64_t revision,
                         struct cfc_definition_text *text)
{
    struct cfc_record_key key = cfc_record_key_numbered('t', path, revision);
    struct cfc_store_value value;
    int error = cfc_store_get(store, key.bytes, key.size, &value);

    *text = (struct cfc_definition_text){.size = 0};
    if (error != CONFCAST_OK) {
        return error;
    }
    if (value.size >= 1 && value.bytes[0] == TEXT_INLINE) {
        /* The NUL behind the value comes along. */
        memmove(value.bytes, value.bytes + 1, value.size);
        value.size--;
        text->value = value;
        text->size = value.size;
        return CONFCAST_OK;
    }
    if (value.size == 1 + sizeof(text->digest.bytes) && value.bytes[0] == TEXT_BLOB) {
        memcpy(text->digest.bytes, value.bytes + 1, sizeof(text->digest.bytes));
        error = cfc_store_blob_size(store, &text->digest, &text->size);
    } else {
        error = CONFCAST_ERR_CORRUPT;
    }
    cfc_store_value_free(&value);
    return error == CONFCAST_ERR_NOT_FOUND ? CONFCAST_ERR_CORRUPT : error;
}

int
cfc_definition_read_text(struct cfc_store *store, const char *path, uint64_t revision,
                         struct cfc_store_value *text)
{
    struct cfc_definition_text found;
    int error = cfc_definition_find_text(store, path, revision, &found);

    if (error != CONFCAST_OK) {
        return error;
    }
    if (found.value.bytes != NULL) {
        *text = found.value;
        return CONFCAST_OK;
    }
    error = cfc_store_get_blob(store, &found.digest, text);
    return error == CONFCAST_ERR_NOT_FOUND ? CONFCAST_ERR_CORRUPT : error;
}

/* "This revision owns this blob": texts that are equal share one. */
static struct cfc_record_key
owner_key(const struct cfc_digest *digest, const char *path, uint64_t revision)
{
    uint8_t bytes[sizeof(digest->bytes) + CFC_SCOPE_SIZE_MAX + 1 + 8];
    size_t size = sizeof(digest->bytes);

    memcpy(bytes, digest->bytes, size);
    memcpy(bytes + size, path, strlen(path) + 1);
    size += strlen(path) + 1;
    cfc_be64_put(bytes + size, revision);
    return cfc_record_key_bytes('x', bytes, size + 8);
}

static int
add_blob(struct cfc_store *store, struct cfc_store_batch *batch, const char *path,
         const struct cfc_record_key *key, const struct cfc_definition_meta *meta, const char *text)
{
    struct cfc_record_key owner = owner_key(&meta->digest, path, meta->revision);
    uint8_t reference[1 + sizeof(meta->digest.bytes)] = {TEXT_BLOB};
    int error = cfc_store_put_blob(store, &meta->digest, text, meta->size);

    if (error == CONFCAST_OK) {
        memcpy(reference + 1, meta->digest.bytes, sizeof(meta->digest.bytes));
        cfc_store_put(batch, key->bytes, key->size, reference, sizeof(reference));
        cfc_store_put(batch, owner.bytes, owner.size, "", 0);
    }
    return error;
}

int
cfc_definition_add(struct cfc_store *store, struct cfc_store_batch *batch, const char *path,
                   const struct cfc_definition_meta *meta, const char *text, bool is_inline)
{
    static const uint8_t inline_mark[1] = {TEXT_INLINE};
    struct cfc_record_key meta_key = cfc_record_key_numbered('d', path, meta->revision);
    struct cfc_record_key text_key = cfc_record_key_numbered('t', path, meta->revision);

    cfc_record_guard(batch, &meta_key, 0);
    cfc_definition_put(batch, &meta_key, meta);
    if (text == NULL) {
        return CONFCAST_OK;
    }
    if (!is_inline) {
        return add_blob(store, batch, path, &text_key, meta, text);
    }
    cfc_store_put2(batch, text_key.bytes, text_key.size, inline_mark, sizeof(inline_mark), text,
                   meta->size);
    return CONFCAST_OK;
}

/* ---- Retention --------------------------------------------------------------------------------
 */

struct found_text {
    uint64_t revision;
    bool is_blob;
    struct cfc_digest digest;
};

struct text_search {
    uint64_t first;
    const uint64_t *kept;
    size_t kept_count;
    struct found_text found[CFC_RETIRE_COUNT_MAX];
    size_t count;
};

static bool
is_kept(const struct text_search *search, uint64_t revision)
{
    for (size_t i = 0; i < search->kept_count; i++) {
        if (search->kept[i] == revision) {
            return true;
        }
    }
    return false;
}

static int
look_at_text(void *arg, const struct cfc_store_item *item)
{
    struct text_search *search = arg;
    uint64_t revision = item->key_size >= 8 ? cfc_be64_get(item->key + item->key_size - 8) : 0;
    struct found_text *found = &search->found[search->count];

    if (revision >= search->first || search->count == CFC_RETIRE_COUNT_MAX) {
        return 1;
    }
    if (is_kept(search, revision)) {
        return 0;
    }
    *found = (struct found_text){.revision = revision};
    if (item->value_size == 1 + sizeof(found->digest.bytes) && item->value[0] == TEXT_BLOB) {
        found->is_blob = true;
        memcpy(found->digest.bytes, item->value + 1, sizeof(found->digest.bytes));
    }
    search->count++;
    return 0;
}

static int
retire_text(struct cfc_store *store, struct cfc_store_batch *batch, const char *path,
            const struct found_text *found, struct cfc_retired *retired)
{
    struct cfc_record_key text = cfc_record_key_numbered('t', path, found->revision);
    struct cfc_record_key meta = cfc_record_key_numbered('d', path, found->revision);
    json_t *record;
    int error = cfc_record_get(store, &meta, &record, NULL);

    if (error != CONFCAST_OK) {
        return error == CONFCAST_ERR_NOT_FOUND ? CONFCAST_ERR_CORRUPT : error;
    }
    if (json_object_set_new(record, "gone", json_true()) != 0) {
        json_decref(record);
        return CONFCAST_ERR_NO_MEMORY;
    }
    cfc_record_put(batch, &meta, record);
    cfc_store_delete(batch, text.bytes, text.size);
    if (found->is_blob) {
        struct cfc_record_key owner = owner_key(&found->digest, path, found->revision);

        cfc_store_delete(batch, owner.bytes, owner.size);
        if (retired->blob_count < CFC_RETIRE_COUNT_MAX) {
            retired->blobs[retired->blob_count++] = found->digest;
        }
    }
    return CONFCAST_OK;
}

int
cfc_definition_retire(struct cfc_store *store, struct cfc_store_batch *batch, const char *path,
                      uint64_t first, const uint64_t *kept, size_t kept_count,
                      struct cfc_retired *retired)
{
    struct cfc_record_key all = cfc_record_key_numbered('t', path, 0);
    struct text_search search = {.first = first, .kept = kept, .kept_count = kept_count};
    int error = cfc_store_scan(store, all.bytes, all.size - 8, NULL, 0, look_at_text, &search);

    error = error == 1 ? CONFCAST_OK : error;
    for (size_t i = 0; error == CONFCAST_OK && i < search.count; i++) {
        error = retire_text(store, batch, path, &search.found[i], retired);
    }
    return error;
}

static int
find_owner(void *arg, const struct cfc_store_item *item)
{
    (void)arg;
    (void)item;
    return 1; /* one is enough */
}

void
cfc_definition_delete_blobs(struct cfc_store *store, const struct cfc_retired *retired)
{
    for (size_t i = 0; i < retired->blob_count; i++) {
        struct cfc_record_key owners =
            cfc_record_key_bytes('x', retired->blobs[i].bytes, sizeof(retired->blobs[i].bytes));
        int found = cfc_store_scan(store, owners.bytes, owners.size, NULL, 0, find_owner, NULL);

        if (found == CONFCAST_OK) {
            (void)cfc_store_delete_blob(store, &retired->blobs[i]);
        }
    }
}
