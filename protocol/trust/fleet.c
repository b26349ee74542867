#include "protocol/trust/fleet.h"

#include <arpa/inet.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "protocol/base/scope.h"
#include "protocol/base/time.h"
#include "protocol/trust/sign.h"
#include "protocol/trust/strict_json.h"

#define NOT_AFTER_MAX_S UINT64_C(9999999999) /* the year 2286; fits 64 bits in nanoseconds */

static int
address_of(const char *text, uint16_t port, struct cfc_fleet_address *out)
{
    memset(out, 0, sizeof(*out));
    out->port = port;
    if (inet_pton(AF_INET, text, out->bytes) == 1) {
        out->family = 4;
        return CONFCAST_OK;
    }
    if (inet_pton(AF_INET6, text, out->bytes) == 1) {
        out->family = 6;
        return CONFCAST_OK;
    }
    return CONFCAST_ERR_INVALID;
}

/* Decimal without sign, blanks or leading zeroes, 1..65535. */
static int
port_of(const char *text, uint16_t *port)
{
    size_t size = strlen(text);
    uint32_t value = 0;

    if (size < 1 || size > 5 || strspn(text, "0123456789") != size || text[0] == '0') {
        return CONFCAST_ERR_INVALID;
    }
    for (size_t i = 0; i < size; i++) {
        value = value * 10 + (uint32_t)(text[i] - '0');
    }
    *port = (uint16_t)value;
    return value <= UINT16_MAX ? CONFCAST_OK : CONFCAST_ERR_INVALID;
}

int
cfc_fleet_address_parse(const char *text, uint16_t port_default, struct cfc_fleet_address *out)
{
    char host[64];
    const char *end = strrchr(text, ':');
    const char *start = text;
    uint16_t port = port_default;

    if (text[0] == '[') {
        start = text + 1;
        end = strchr(text, ']');
        if (end == NULL || (end[1] != '\0' && end[1] != ':')) {
            return CONFCAST_ERR_INVALID;
        }
        if (end[1] == ':' && port_of(end + 2, &port) != CONFCAST_OK) {
            return CONFCAST_ERR_INVALID;
        }
    } else if (end != NULL && strchr(text, ':') == end) {
        if (port_of(end + 1, &port) != CONFCAST_OK) {
            return CONFCAST_ERR_INVALID;
        }
    } else {
        end = text + strlen(text);
    }
    if (end == start || (size_t)(end - start) >= sizeof(host) || port == 0) {
        return CONFCAST_ERR_INVALID;
    }
    memcpy(host, start, (size_t)(end - start));
    host[end - start] = '\0';
    return address_of(host, port, out);
}

static bool
is_multicast(const struct cfc_fleet_address *a)
{
    return a->family == 4 ? (a->bytes[0] & 0xf0) == 0xe0 : a->bytes[0] == 0xff;
}

static void
add_to_address(struct cfc_fleet_address *a, uint32_t addend)
{
    uint8_t *low = a->bytes + (a->family == 4 ? 0 : 12);
    uint32_t value;

    memcpy(&value, low, sizeof(value));
    value = htonl(ntohl(value) + addend);
    memcpy(low, &value, sizeof(value));
}

void
cfc_fleet_group(const struct cfc_fleet *fleet, uint64_t scope_id, struct cfc_fleet_address *out)
{
    *out = fleet->group_base;
    add_to_address(out, (uint32_t)(scope_id % fleet->group_count));
}

void
cfc_fleet_control_group(const struct cfc_fleet *fleet, struct cfc_fleet_address *out)
{
    *out = fleet->group_base;
    add_to_address(out, fleet->group_count);
}

static int
read_address(const json_t *object, const char *key, uint16_t port, struct cfc_fleet_address *out)
{
    char text[64];
    int rc = cfc_strict_string(object, key, 1, sizeof(text), text);

    if (rc != CONFCAST_OK) {
        return rc;
    }
    return address_of(text, port, out) == CONFCAST_OK ? CONFCAST_OK : CONFCAST_ERR_RANGE;
}

static int
read_groups(const json_t *root, struct cfc_fleet *out)
{
    const json_t *groups = json_object_get(root, "groups");
    struct cfc_fleet_address control;
    uint64_t port = 0;
    uint64_t count = 0;
    int rc;

    if ((rc = cfc_strict_uint(root, "port", 1, UINT16_MAX, &port)) != CONFCAST_OK ||
        (rc = cfc_strict_uint(groups, "count", 1, CFC_GROUP_COUNT_MAX, &count)) != CONFCAST_OK ||
        (rc = read_address(groups, "base", (uint16_t)port, &out->group_base)) != CONFCAST_OK) {
        return rc;
    }
    out->group_count = (uint32_t)count;
    cfc_fleet_control_group(out, &control);
    return is_multicast(&out->group_base) && is_multicast(&control) &&
                   memcmp(control.bytes, out->group_base.bytes, sizeof(control.bytes)) > 0
               ? CONFCAST_OK
               : CONFCAST_ERR_RANGE;
}

static int
read_engines(const json_t *root, struct cfc_fleet *out)
{
    json_t *engines = NULL;
    int rc = cfc_strict_array(root, "engines", CFC_FLEET_ENGINES_MAX, &engines);

    if (rc != CONFCAST_OK) {
        return rc;
    }
    for (size_t i = 0; i < json_array_size(engines); i++) {
        const json_t *entry = json_array_get(engines, i);
        struct cfc_fleet_address *engine = &out->engines[i];
        uint64_t port = 0;

        if ((rc = cfc_strict_uint(entry, "port", 1, UINT16_MAX, &port)) != CONFCAST_OK ||
            (rc = read_address(entry, "address", (uint16_t)port, engine)) != CONFCAST_OK) {
            return rc;
        }
        if (engine->family != out->group_base.family || is_multicast(engine)) {
            return CONFCAST_ERR_RANGE;
        }
    }
    out->engine_count = (uint32_t)json_array_size(engines);
    return out->engine_count > 0 ? CONFCAST_OK : CONFCAST_ERR_RANGE;
}

static int
read_pull_urls(const json_t *root, struct cfc_fleet *out)
{
    json_t *urls = NULL;
    int rc = cfc_strict_array(root, "pull_urls", CFC_FLEET_PULL_URLS_MAX, &urls);

    if (rc != CONFCAST_OK) {
        return rc;
    }
    for (size_t i = 0; i < json_array_size(urls); i++) {
        const json_t *url = json_array_get(urls, i);

        if (!json_is_string(url)) {
            return CONFCAST_ERR_TYPE;
        }
        if (json_string_length(url) < 1 || json_string_length(url) > CFC_FLEET_URL_SIZE_MAX) {
            return CONFCAST_ERR_RANGE;
        }
        memcpy(out->pull_urls[i], json_string_value(url), json_string_length(url) + 1);
    }
    out->pull_url_count = (uint32_t)json_array_size(urls);
    return CONFCAST_OK;
}

/* The empty prefix means every scope, which a ring key writes as "no prefixes". */
static int
read_prefixes(const json_t *scopes, struct cfc_ring_key *key)
{
    if (json_array_size(scopes) == 0) {
        return CONFCAST_ERR_RANGE;
    }
    for (size_t i = 0; i < json_array_size(scopes); i++) {
        const json_t *scope = json_array_get(scopes, i);
        const char *text = json_string_value(scope);
        size_t size = json_string_length(scope);

        if (text == NULL) {
            return CONFCAST_ERR_TYPE;
        }
        if (size == 0 && json_array_size(scopes) == 1) {
            return CONFCAST_OK;
        }
        if (cfc_scope_check(text, size) != CONFCAST_OK) {
            return CONFCAST_ERR_RANGE;
        }
        memcpy(key->prefixes[key->prefix_count++], text, size + 1);
    }
    return CONFCAST_OK;
}

static int
read_release_key(const json_t *entry, struct cfc_keyring *ring)
{
    struct cfc_ring_key key = {0};
    uint8_t id[CFC_KEY_ID_SIZE];
    uint8_t computed[CFC_KEY_ID_SIZE];
    json_t *scopes = NULL;
    uint64_t not_after_s = 0;
    int rc;

    if ((rc = cfc_strict_hex(entry, "id", id, sizeof(id))) != CONFCAST_OK ||
        (rc = cfc_strict_hex(entry, "public_key", key.public_key, sizeof(key.public_key))) !=
            CONFCAST_OK ||
        (rc = cfc_strict_uint(entry, "not_after", 0, NOT_AFTER_MAX_S, &not_after_s)) !=
            CONFCAST_OK ||
        (rc = cfc_strict_array(entry, "scopes", CFC_KEYRING_PREFIXES_MAX, &scopes)) !=
            CONFCAST_OK ||
        (rc = read_prefixes(scopes, &key)) != CONFCAST_OK) {
        return rc;
    }
    cfc_key_id(key.public_key, computed);
    if (memcmp(id, computed, sizeof(id)) != 0) {
        return CONFCAST_ERR_RANGE;
    }
    key.not_after_unix_ns = not_after_s * CFC_S;
    return cfc_keyring_add(ring, &key) == CONFCAST_OK ? CONFCAST_OK : CONFCAST_ERR_RANGE;
}

static int
read_release_keys(const json_t *root, struct cfc_fleet *out)
{
    json_t *keys = NULL;
    int rc = cfc_strict_array(root, "release_keys", CFC_KEYRING_KEYS_MAX, &keys);

    for (size_t i = 0; rc == CONFCAST_OK && i < json_array_size(keys); i++) {
        rc = read_release_key(json_array_get(keys, i), &out->release_keys);
    }
    if (rc == CONFCAST_OK && out->release_keys.key_count == 0) {
        return CONFCAST_ERR_RANGE;
    }
    return rc;
}

static int
read_members(const json_t *root, struct cfc_fleet *out)
{
    int rc;

    if ((rc = cfc_strict_string(root, "name", 1, sizeof(out->name), out->name)) != CONFCAST_OK ||
        (rc = cfc_strict_uint(root, "sequence", 1, UINT64_MAX, &out->sequence)) != CONFCAST_OK ||
        (rc = read_groups(root, out)) != CONFCAST_OK ||
        (rc = read_engines(root, out)) != CONFCAST_OK ||
        (rc = read_pull_urls(root, out)) != CONFCAST_OK) {
        return rc;
    }
    return read_release_keys(root, out);
}

/* Domain string with its NUL, then the canonical form of `object`, which must hold no signature. */
static uint8_t *
signed_form(const json_t *object, size_t *size)
{
    static const char domain[] = CFC_DOMAIN_FLEET_SIG;
    size_t text_size = 0;
    char *text = cfc_strict_dump(object, &text_size);
    uint8_t *message = text != NULL ? malloc(sizeof(domain) + text_size) : NULL;

    if (message != NULL) {
        memcpy(message, domain, sizeof(domain));
        memcpy(message + sizeof(domain), text, text_size);
        *size = sizeof(domain) + text_size;
    }
    free(text);
    return message;
}

static int
check_signature(json_t *root, const uint8_t *pinned_root, struct cfc_fleet *out)
{
    uint8_t signature[CFC_SIGNATURE_SIZE];
    uint8_t *message;
    size_t size = 0;
    int rc;

    if ((rc = cfc_strict_hex(root, "root_key", out->root_key, sizeof(out->root_key))) !=
            CONFCAST_OK ||
        (rc = cfc_strict_hex(root, "signature", signature, sizeof(signature))) != CONFCAST_OK) {
        return rc;
    }
    if (pinned_root != NULL && memcmp(pinned_root, out->root_key, sizeof(out->root_key)) != 0) {
        return CONFCAST_ERR_AUTHORITY;
    }
    json_object_del(root, "signature");
    message = signed_form(root, &size);
    if (message == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    rc = crypto_sign_ed25519_verify_detached(signature, message, size, out->root_key) == 0
             ? CONFCAST_OK
             : CONFCAST_ERR_SIGNATURE;
    free(message);
    return rc;
}

static int
check_format(const json_t *root)
{
    char format[32];
    int rc = cfc_strict_string(root, "format", 1, sizeof(format), format);

    if (rc == CONFCAST_ERR_TYPE) {
        return rc;
    }
    return rc == CONFCAST_OK && strcmp(format, CFC_FLEET_FORMAT) == 0 ? CONFCAST_OK
                                                                      : CONFCAST_ERR_VERSION;
}

int
cfc_fleet_parse(const void *bytes, size_t size, const uint8_t *pinned_root, struct cfc_fleet *out)
{
    json_t *root = NULL;
    int rc;

    memset(out, 0, sizeof(*out));
    rc = cfc_strict_load(bytes, size, CFC_FLEET_FILE_SIZE_MAX, &root);
    if (rc != CONFCAST_OK) {
        return rc;
    }
    if ((rc = check_format(root)) != CONFCAST_OK ||
        (rc = check_signature(root, pinned_root, out)) != CONFCAST_OK ||
        (rc = read_members(root, out)) != CONFCAST_OK) {
        memset(out, 0, sizeof(*out));
    }
    json_decref(root);
    return rc;
}

static int
set_hex(json_t *object, const char *key, const uint8_t *bytes, size_t size)
{
    char text[2 * CFC_SIGNATURE_SIZE + 1];

    sodium_bin2hex(text, sizeof(text), bytes, size);
    return json_object_set_new(object, key, json_string(text)) == 0 ? CONFCAST_OK
                                                                    : CONFCAST_ERR_NO_MEMORY;
}

static int
add_signature(json_t *object, const struct cfc_signing_key *root)
{
    uint8_t signature[CFC_SIGNATURE_SIZE];
    uint8_t *message;
    size_t size = 0;

    if (set_hex(object, "root_key", root->public_key, sizeof(root->public_key)) != CONFCAST_OK) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    message = signed_form(object, &size);
    if (message == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    crypto_sign_ed25519_detached(signature, NULL, message, size, root->secret);
    free(message);
    return set_hex(object, "signature", signature, sizeof(signature));
}

/* A file that its readers would refuse must not leave the tool that signs it. */
static int
check_readable(const char *text, size_t size, const struct cfc_signing_key *root)
{
    struct cfc_fleet *fleet = malloc(sizeof(*fleet));
    int rc = fleet != NULL ? cfc_fleet_parse(text, size, root->public_key, fleet)
                           : CONFCAST_ERR_NO_MEMORY;

    free(fleet);
    return rc;
}

int
cfc_fleet_seal(const void *bytes, size_t size, const struct cfc_signing_key *root, char **out,
               size_t *out_size)
{
    json_t *object = NULL;
    char *text = NULL;
    int rc = cfc_strict_load(bytes, size, CFC_FLEET_FILE_SIZE_MAX, &object);

    *out = NULL;
    if (rc != CONFCAST_OK) {
        return rc;
    }
    json_object_del(object, "signature");
    rc = add_signature(object, root);
    if (rc != CONFCAST_OK) {
        goto out_object;
    }
    text = cfc_strict_dump(object, out_size);
    rc = text != NULL ? check_readable(text, *out_size, root) : CONFCAST_ERR_NO_MEMORY;
    if (rc != CONFCAST_OK) {
        free(text);
        goto out_object;
    }
    *out = text;
out_object:
    json_decref(object);
    return rc;
}
