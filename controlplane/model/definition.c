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

static int
read_blob(struct cfc_store *store, const struct cfc_store_value *reference,
          struct cfc_store_value *text)
{
    struct cfc_digest digest;
    int error;

    if (reference->size != 1 + sizeof(digest.bytes)) {
        return CONFCAST_ERR_CORRUPT;
    }
    memcpy(digest.bytes, reference->bytes + 1, sizeof(digest.bytes));
    error = cfc_store_get_blob(store, &digest, text);
    return error == CONFCAST_ERR_NOT_FOUND ? CONFCAST_ERR_CORRUPT : error;
}

int
cfc_definition_read_text(struct cfc_store *store, const char *path, uint64_t revision,
                         struct cfc_store_value *text)
{
    struct cfc_record_key key = cfc_record_key_numbered('t', path, revision);
    struct cfc_store_value value;
    int error = cfc_store_get(store, key.bytes, key.size, &value);

    if (error != CONFCAST_OK) {
        return error;
    }
    if (value.size >= 1 && value.bytes[0] == TEXT_INLINE) {
        /* The NUL behind the value comes along. */
        memmove(value.bytes, value.bytes + 1, value.size);
        value.size--;
        *text = value;
        return CONFCAST_OK;
    }
    error = value.size >= 1 && value.bytes[0] == TEXT_BLOB ? read_blob(store, &value, text)
                                                           : CONFCAST_ERR_CORRUPT;
    cfc_store_value_free(&value);
    return error;
}

static int
add_blob(struct cfc_store *store, struct cfc_store_batch *batch, const struct cfc_record_key *key,
         const struct cfc_definition_meta *meta, const char *text)
{
    uint8_t reference[1 + sizeof(meta->digest.bytes)] = {TEXT_BLOB};
    int error = cfc_store_put_blob(store, &meta->digest, text, meta->size);

    if (error == CONFCAST_OK) {
        memcpy(reference + 1, meta->digest.bytes, sizeof(meta->digest.bytes));
        cfc_store_put(batch, key->bytes, key->size, reference, sizeof(reference));
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
    cfc_record_put(batch, &meta_key, cfc_definition_to_json(meta));
    if (text == NULL) {
        return CONFCAST_OK;
    }
    if (!is_inline) {
        return add_blob(store, batch, &text_key, meta, text);
    }
    cfc_store_put2(batch, text_key.bytes, text_key.size, inline_mark, sizeof(inline_mark), text,
                   meta->size);
    return CONFCAST_OK;
}
