#include "protocol/trust/credential.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "protocol/base/scope.h"
#include "protocol/trust/strict_json.h"

static int
check_format(const json_t *root)
{
    char format[32];
    int rc = cfc_strict_string(root, "format", 1, sizeof(format), format);

    if (rc == CONFCAST_ERR_TYPE) {
        return rc;
    }
    return rc == CONFCAST_OK && strcmp(format, CFC_CREDENTIAL_FORMAT) == 0 ? CONFCAST_OK
                                                                           : CONFCAST_ERR_VERSION;
}

static int
add_label(struct cfc_credential *out, const char *key, const json_t *value)
{
    struct cfc_credential_label *label;
    const char *text = json_string_value(value);

    if (text == NULL) {
        return CONFCAST_ERR_TYPE;
    }
    if (out->label_count == CFC_LABEL_COUNT_MAX) {
        return CONFCAST_ERR_RANGE;
    }
    if (cfc_label_check(key, strlen(key), text, strlen(text)) != CONFCAST_OK) {
        return CONFCAST_ERR_INVALID;
    }
    label = &out->labels[out->label_count++];
    memcpy(label->key, key, strlen(key) + 1);
    memcpy(label->value, text, strlen(text) + 1);
    return CONFCAST_OK;
}

static int
compare_labels(const void *a, const void *b)
{
    const struct cfc_credential_label *left = a;
    const struct cfc_credential_label *right = b;

    return strcmp(left->key, right->key);
}

static int
read_labels(json_t *root, struct cfc_credential *out)
{
    json_t *labels = json_object_get(root, "labels");
    const char *key;
    json_t *value;
    int rc = CONFCAST_OK;

    if (!json_is_object(labels)) {
        return CONFCAST_ERR_TYPE;
    }
    json_object_foreach(labels, key, value)
    {
        rc = add_label(out, key, value);
        if (rc != CONFCAST_OK) {
            return rc;
        }
    }
    qsort(out->labels, out->label_count, sizeof(out->labels[0]), compare_labels);
    return CONFCAST_OK;
}

static int
read_members(json_t *root, struct cfc_credential *out)
{
    int rc;

    if ((rc = check_format(root)) != CONFCAST_OK ||
        (rc = cfc_strict_string(root, "id", 1, sizeof(out->id), out->id)) != CONFCAST_OK ||
        (rc = cfc_strict_string(root, "fleet", 1, sizeof(out->fleet), out->fleet)) != CONFCAST_OK ||
        (rc = cfc_strict_hex(root, "root_key", out->root_key, sizeof(out->root_key))) !=
            CONFCAST_OK ||
        (rc = cfc_strict_hex(root, "session_key", out->session_key.bytes,
                             sizeof(out->session_key.bytes))) != CONFCAST_OK ||
        (rc = cfc_strict_hex(root, "report_key", out->report_key.bytes,
                             sizeof(out->report_key.bytes))) != CONFCAST_OK) {
        return rc;
    }
    if (cfc_consumer_id_check(out->id, strlen(out->id)) != CONFCAST_OK) {
        return CONFCAST_ERR_INVALID;
    }
    return read_labels(root, out);
}

int
cfc_credential_parse(const void *bytes, size_t size, struct cfc_credential *out)
{
    json_t *root = NULL;
    int rc;

    memset(out, 0, sizeof(*out));
    rc = cfc_strict_load(bytes, size, CFC_CREDENTIAL_FILE_SIZE_MAX, &root);
    if (rc != CONFCAST_OK) {
        return rc;
    }
    rc = read_members(root, out);
    if (rc != CONFCAST_OK) {
        sodium_memzero(out, sizeof(*out));
    }
    json_decref(root);
    return rc;
}

static json_t *
hex_value(const uint8_t *bytes, size_t size)
{
    char text[2 * CFC_KEY_SIZE + 1];
    json_t *value;

    sodium_bin2hex(text, sizeof(text), bytes, size);
    value = json_string(text);
    sodium_memzero(text, sizeof(text));
    return value;
}

static json_t *
label_object(const struct cfc_credential *c)
{
    json_t *labels = json_object();

    for (uint32_t i = 0; i < c->label_count && labels != NULL; i++) {
        if (json_object_set_new(labels, c->labels[i].key, json_string(c->labels[i].value)) != 0) {
            json_decref(labels);
            return NULL;
        }
    }
    return labels;
}

int
cfc_credential_write(const struct cfc_credential *c, char **out, size_t *out_size)
{
    struct cfc_credential check;
    json_t *root;
    char *text;
    int rc;

    *out = NULL;
    /* json_pack() takes each reference with "o" and fails as a whole when one of them is NULL. */
    root = json_pack("{ss ss ss so so so so}", "format", CFC_CREDENTIAL_FORMAT, "id", c->id,
                     "fleet", c->fleet, "root_key", hex_value(c->root_key, sizeof(c->root_key)),
                     "session_key", hex_value(c->session_key.bytes, sizeof(c->session_key.bytes)),
                     "report_key", hex_value(c->report_key.bytes, sizeof(c->report_key.bytes)),
                     "labels", label_object(c));
    if (root == NULL) {
        return CONFCAST_ERR_INVALID;
    }
    text = cfc_strict_dump(root, out_size);
    json_decref(root);
    if (text == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    rc = cfc_credential_parse(text, *out_size, &check);
    sodium_memzero(&check, sizeof(check));
    if (rc != CONFCAST_OK) {
        sodium_memzero(text, *out_size);
        free(text);
        return rc;
    }
    *out = text;
    return CONFCAST_OK;
}
