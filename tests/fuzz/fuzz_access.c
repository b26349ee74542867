/* Names, scopes, tokens and grants from anybody, against rules that are written down here a second
 * time. */
#include <jansson.h>
#include <stdbool.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/auth/access.h"
#include "protocol/base/limits.h"
#include "protocol/base/scope.h"
#include "tests/fuzz/target.h"

/* 1 to 8 segments of [a-z0-9][a-z0-9._-]{0,62}. */
static bool
is_scope(const char *path, size_t size)
{
    static const char first[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    static const char rest[] = "abcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t segments = 0;
    size_t at = 0;

    if (memchr(path, '\0', size) != NULL || size > 511) {
        return false;
    }
    for (;;) {
        size_t length = 0;

        while (at + length < size &&
               strchr(length == 0 ? first : rest, path[at + length]) != NULL) {
            length++;
        }
        segments++;
        if (length < 1 || length > 63 || segments > 8) {
            return false;
        }
        at += length;
        if (at == size) {
            return true;
        }
        if (path[at++] != '/') {
            return false;
        }
    }
}

static bool
is_id(const char *text)
{
    return strlen(text) == 16 && strspn(text, "0123456789abcdef") == 16;
}

static void
check_token(const char *text)
{
    struct cfc_digest digest;
    struct cfc_digest again;
    uint64_t id;
    bool is_whole = strlen(text) == CFC_TOKEN_TEXT_SIZE &&
                    strncmp(text, CFC_TOKEN_PREFIX, sizeof(CFC_TOKEN_PREFIX) - 1) == 0 &&
                    text[sizeof(CFC_TOKEN_PREFIX) - 1 + 16] == '_' &&
                    strspn(text + sizeof(CFC_TOKEN_PREFIX) - 1, "0123456789abcdef") == 16 &&
                    strspn(text + sizeof(CFC_TOKEN_PREFIX) + 16, "0123456789abcdef") == 64;

    CFC_FUZZ_CHECK(cfc_token_id(text, &id) == is_whole);
    CFC_FUZZ_CHECK(is_whole || id == 0);
    CFC_FUZZ_CHECK(cfc_token_id_parse(text, &id) == is_id(text));
    cfc_token_digest(text, &digest);
    cfc_token_digest(text, &again);
    CFC_FUZZ_CHECK(cfc_token_digest_equal(&digest, &again));
    again.bytes[31] ^= 1;
    CFC_FUZZ_CHECK(!cfc_token_digest_equal(&digest, &again));
}

/* Names that are accepted go into logs, the store and comparisons. */
static void
check_name(const char *name)
{
    if (cfc_identity_name_check(name, true)) {
        CFC_FUZZ_CHECK(strlen(name) >= 1 && strlen(name) <= CFC_AUTHOR_SIZE_MAX);
        for (const char *p = name; *p != '\0'; p++) {
            CFC_FUZZ_CHECK(*p > 0x20 && *p < 0x7f);
        }
    }
    if (cfc_identity_name_check(name, false)) {
        CFC_FUZZ_CHECK(cfc_identity_name_check(name, true) && strncmp(name, "uid:", 4) != 0);
    }
}

/* A grant holds its scope, what is below it, and nothing else. */
static void
check_rights(const struct cfc_grant *grant, const char *scope)
{
    size_t size = strlen(grant->scope);
    bool is_below = size == 0 || (strncmp(scope, grant->scope, size) == 0 &&
                                  (scope[size] == '\0' || scope[size] == '/'));

    for (int right = CFC_RIGHT_UNSET; right < CFC_RIGHT_COUNT; right++) {
        bool may = cfc_grants_allow(grant, 1, (enum cfc_right)right, scope);

        CFC_FUZZ_CHECK(!may || is_below);
        CFC_FUZZ_CHECK(!may || right != CFC_RIGHT_UNSET);
    }
    CFC_FUZZ_CHECK(!is_below || cfc_grants_allow(grant, 1, CFC_RIGHT_READ, scope));
    CFC_FUZZ_CHECK(cfc_grants_allow(grant, 1, CFC_RIGHT_READ, NULL) == (size == 0));
}

static void
check_grant(const json_t *binding)
{
    static const char *const scopes[] = {"acme", "acme/eu", "acme2", "other", "a"};
    const json_t *scope = json_object_get(binding, "scope");
    struct cfc_grant grant;
    int rc = cfc_grant_from_json(json_object_get(binding, "roles"), scope, &grant);

    CFC_FUZZ_CHECK(rc == CONFCAST_OK || rc == CONFCAST_ERR_INVALID);
    if (rc != CONFCAST_OK) {
        return;
    }
    CFC_FUZZ_CHECK(grant.roles != 0 && grant.roles < 1u << CFC_ROLE_COUNT);
    if (strcmp(json_string_value(scope), "*") == 0) {
        CFC_FUZZ_CHECK(grant.scope[0] == '\0');
    } else {
        CFC_FUZZ_CHECK(is_scope(grant.scope, strlen(grant.scope)));
        CFC_FUZZ_CHECK(strcmp(grant.scope, json_string_value(scope)) == 0);
    }
    for (size_t i = 0; i < sizeof(scopes) / sizeof(scopes[0]); i++) {
        check_rights(&grant, scopes[i]);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char *text = malloc(size + 1);
    json_t *binding = json_loadb((const char *)bytes, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);

    CFC_FUZZ_CHECK(text != NULL);
    memcpy(text, bytes, size);
    text[size] = '\0';
    CFC_FUZZ_CHECK((cfc_scope_check((const char *)bytes, size) == CONFCAST_OK) ==
                   is_scope(text, size));
    check_token(text);
    check_name(text);
    check_grant(binding);
    json_decref(binding);
    free(text);
    return 0;
}
