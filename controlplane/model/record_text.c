#include "controlplane/model/record_text.h"

#include <assert.h>
#include <string.h>

#include "confcast/error.h"
#include "protocol/base/heap.h"
#include "protocol/snapshot/json_write.h"

static void
add(struct cfc_record_text *text, const void *bytes, size_t size)
{
    if (text->error == CONFCAST_OK) {
        text->error = cfc_buffer_add(&text->out, bytes, size);
    }
}

static void
add_string(struct cfc_record_text *text, const char *value)
{
    if (text->error == CONFCAST_OK) {
        text->error = cfc_json_write_string(&text->out, value, strlen(value));
    }
}

/* Names are ours: nothing in them has to be escaped. */
static void
add_name(struct cfc_record_text *text, const char *name)
{
    assert(text->last == NULL || strcmp(text->last, name) < 0);
    add(text, text->last == NULL ? "\"" : ",\"", text->last == NULL ? 1 : 2);
    add(text, name, strlen(name));
    add(text, "\":", 2);
    text->last = name;
}

void
cfc_record_text_begin(struct cfc_record_text *text)
{
    cfc_buffer_init(&text->out, &cfc_heap, CFC_RECORD_TEXT_SIZE_MAX);
    text->last = NULL;
    text->error = CONFCAST_OK;
    add(text, "{", 1);
}

void
cfc_record_text_string(struct cfc_record_text *text, const char *name, const char *value)
{
    add_name(text, name);
    add_string(text, value);
}

void
cfc_record_text_digest(struct cfc_record_text *text, const char *name,
                       const struct cfc_digest *digest)
{
    char hex[65];

    cfc_digest_to_hex(digest, hex);
    add_name(text, name);
    add(text, "\"", 1);
    add(text, hex, 64);
    add(text, "\"", 1);
}

void
cfc_record_text_number(struct cfc_record_text *text, const char *name, uint64_t value)
{
    char digits[20];
    size_t at = sizeof(digits);

    assert(value <= INT64_MAX);
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    add_name(text, name);
    add(text, digits + at, sizeof(digits) - at);
}

void
cfc_record_text_flag(struct cfc_record_text *text, const char *name, bool value)
{
    add_name(text, name);
    add(text, value ? "true" : "false", value ? 4 : 5);
}

int
cfc_record_text_end(struct cfc_record_text *text, const char **bytes, size_t *size)
{
    add(text, "}", 1);
    *bytes = (const char *)text->out.bytes;
    *size = text->out.size;
    return text->error;
}

void
cfc_record_text_free(struct cfc_record_text *text)
{
    cfc_buffer_free(&text->out);
}

void
cfc_record_text_put(struct cfc_record_text *text, struct cfc_store_batch *batch,
                    const struct cfc_record_key *key)
{
    const char *bytes;
    size_t size;
    int error = cfc_record_text_end(text, &bytes, &size);

    if (error == CONFCAST_OK) {
        cfc_store_put(batch, key->bytes, key->size, bytes, size);
    } else if (batch->error == CONFCAST_OK) {
        batch->error = error;
    }
    cfc_record_text_free(text);
}
