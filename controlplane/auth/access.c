#include "controlplane/auth/access.h"

#include <sodium.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "confcast/error.h"
#include "controlplane/log/log.h"
#include "protocol/base/text_copy.h"

#define BEARER "Bearer "

/* ---- Records ----------------------------------------------------------------------------------
 */

bool
cfc_identity_name_check(const char *name, bool may_be_uid)
{
    size_t size = strlen(name);
    bool is_uid = strncmp(name, "uid:", 4) == 0;

    for (size_t i = 0; i < size; i++) {
        if (name[i] < 0x21 || name[i] > 0x7e) {
            return false;
        }
    }
    if (is_uid && (!may_be_uid || size == 4 || strspn(name + 4, "0123456789") != size - 4)) {
        return false;
    }
    return size >= 1 && size <= CFC_AUTHOR_SIZE_MAX;
}

int
cfc_grant_from_json(const json_t *roles, const json_t *scope, struct cfc_grant *grant)
{
    const char *path = json_string_value(scope);
    size_t i;
    json_t *word;

    memset(grant, 0, sizeof(*grant));
    if (json_array_size(roles) == 0 || path == NULL || strlen(path) != json_string_length(scope)) {
        return CONFCAST_ERR_INVALID;
    }
    json_array_foreach(roles, i, word)
    {
        enum cfc_role role;

        if (!json_is_string(word) ||
            cfc_role_parse(json_string_value(word), &role) != CONFCAST_OK) {
            return CONFCAST_ERR_INVALID;
        }
        grant->roles |= (uint8_t)(1u << role);
    }
    if (strcmp(path, "*") == 0) {
        return CONFCAST_OK;
    }
    if (cfc_scope_check(path, strlen(path)) != CONFCAST_OK) {
        return CONFCAST_ERR_INVALID;
    }
    memcpy(grant->scope, path, strlen(path) + 1);
    return CONFCAST_OK;
}

static bool
copy_name(const json_t *value, char out[CFC_AUTHOR_SIZE_MAX + 1], bool may_be_uid)
{
    const char *name = json_string_value(value);

    if (name == NULL || !cfc_identity_name_check(name, may_be_uid)) {
        return false;
    }
    memcpy(out, name, strlen(name) + 1);
    return true;
}

static int
read_token(const json_t *record, struct cfc_access_token *token)
{
    const char *id = json_string_value(json_object_get(record, "id"));
    const char *digest = json_string_value(json_object_get(record, "digest"));
    json_int_t expires = json_integer_value(json_object_get(record, "expires_unix_ns"));

    if (id == NULL || !cfc_token_id_parse(id, &token->id) || digest == NULL || expires <= 0 ||
        sodium_hex2bin(token->digest.bytes, sizeof(token->digest.bytes), digest, strlen(digest),
                       NULL, NULL, NULL) != 0 ||
        strlen(digest) != 2 * sizeof(token->digest.bytes) ||
        !copy_name(json_object_get(record, "identity"), token->identity, false) ||
        cfc_grant_from_json(json_object_get(record, "roles"), json_object_get(record, "scope"),
                            &token->grant) != CONFCAST_OK) {
        return CONFCAST_ERR_CORRUPT;
    }
    token->expires_unix_ns = (uint64_t)expires;
    return CONFCAST_OK;
}

static int
read_bindings(const json_t *record, struct cfc_access_binding **bindings, size_t *count)
{
    const json_t *list = json_object_get(record, "bindings");
    size_t i;
    json_t *item;

    *count = json_array_size(list);
    *bindings = calloc(*count + 1, sizeof(**bindings));
    if (*bindings == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    json_array_foreach(list, i, item)
    {
        struct cfc_access_binding *b = &(*bindings)[i];

        if (!copy_name(json_object_get(item, "identity"), b->identity, true) ||
            cfc_grant_from_json(json_object_get(item, "roles"), json_object_get(item, "scope"),
                                &b->grant) != CONFCAST_OK) {
            return CONFCAST_ERR_CORRUPT;
        }
    }
    return CONFCAST_OK;
}

struct tables {
    struct cfc_access_token *tokens;
    struct cfc_access_binding *bindings;
    size_t token_count;
    size_t binding_count;
};

static void
free_tables(struct tables *tables)
{
    free(tables->tokens);
    free(tables->bindings);
}

static int
read_records(const json_t *records, struct tables *tables)
{
    size_t i;
    json_t *item;
    int rc = CONFCAST_OK;

    tables->tokens = calloc(json_array_size(records) + 1, sizeof(*tables->tokens));
    if (tables->tokens == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    json_array_foreach(records, i, item)
    {
        const char *name = json_string_value(json_object_get(item, "name"));
        const json_t *record = json_object_get(item, "record");

        if (rc == CONFCAST_OK && strncmp(name, "token:", 6) == 0) {
            rc = read_token(record, &tables->tokens[tables->token_count++]);
        } else if (rc == CONFCAST_OK && strcmp(name, "roles") == 0) {
            rc = read_bindings(record, &tables->bindings, &tables->binding_count);
        }
    }
    return rc;
}

/* The write lock is held while the store is read, so that of two reloads the later one wins. */
static int
load(struct cfc_access *access)
{
    struct tables tables = {0};
    json_t *records = NULL;
    int rc;

    pthread_rwlock_wrlock(&access->lock);
    rc = cfc_service_access(access->service, &records);
    if (rc == CONFCAST_OK) {
        rc = read_records(records, &tables);
        json_decref(records);
    }
    if (rc == CONFCAST_OK) {
        free(access->tokens);
        free(access->bindings);
        access->tokens = tables.tokens;
        access->token_count = tables.token_count;
        access->bindings = tables.bindings;
        access->binding_count = tables.binding_count;
        atomic_fetch_add(&access->generation, 1);
    } else {
        free_tables(&tables);
    }
    atomic_store(&access->needs_load, rc != CONFCAST_OK);
    pthread_rwlock_unlock(&access->lock);
    return rc;
}

int
cfc_access_open(struct cfc_access *access, struct cfc_service *service, bool is_required)
{
    int rc;

    memset(access, 0, sizeof(*access));
    access->service = service;
    access->is_required = is_required;
    access->own_uid = geteuid();
    cfc_rate_init(&access->rate, 0);
    pthread_rwlock_init(&access->lock, NULL);
    rc = load(access);
    if (rc != CONFCAST_OK) {
        cfc_rate_destroy(&access->rate);
        pthread_rwlock_destroy(&access->lock);
    }
    return rc;
}

void
cfc_access_limit(struct cfc_access *access, uint32_t requests_per_s)
{
    cfc_rate_destroy(&access->rate);
    cfc_rate_init(&access->rate, requests_per_s);
}

void
cfc_access_close(struct cfc_access *access)
{
    free(access->tokens);
    free(access->bindings);
    cfc_rate_destroy(&access->rate);
    pthread_rwlock_destroy(&access->lock);
}

void
cfc_access_reload(struct cfc_access *access)
{
    load(access);
}

size_t
cfc_access_token_count(struct cfc_access *access)
{
    size_t count;

    pthread_rwlock_rdlock(&access->lock);
    count = access->token_count;
    pthread_rwlock_unlock(&access->lock);
    return count;
}

uint64_t
cfc_access_generation(const struct cfc_access *access)
{
    return atomic_load(&access->generation);
}

/* ---- Who asks ---------------------------------------------------------------------------------
 */

const char *
cfc_denial_word(enum cfc_denial denial)
{
    static const char *const words[CFC_DENIAL_COUNT] = {
#define WORD_(name, word) word,
        CFC_DENIALS(WORD_)
#undef WORD_
    };

    return words[denial];
}

/* True once a second, for one of the threads that ask. */
static bool
is_time_to_log(struct cfc_access *access, enum cfc_denial denial)
{
    unsigned long long now_s = (unsigned long long)time(NULL);
    unsigned long long last_s = atomic_load(&access->logged_s[denial]);

    return now_s != last_s &&
           atomic_compare_exchange_strong(&access->logged_s[denial], &last_s, now_s);
}

void
cfc_access_deny(struct cfc_access *access, enum cfc_denial denial, const char *who,
                const char *what)
{
    atomic_fetch_add_explicit(&access->denials[denial], 1, memory_order_relaxed);
    if (!is_time_to_log(access, denial)) {
        atomic_fetch_add(&access->unlogged_counts[denial], 1);
        return;
    }
    cfc_log(CFC_LOG_WARN, "access", "denied reason=%s who=%s at=%s unlogged=%llu",
            cfc_denial_word(denial), who != NULL ? who : "-", what != NULL ? what : "-",
            atomic_exchange(&access->unlogged_counts[denial], 0));
}

static int
deny(struct cfc_access *access, enum cfc_denial denial, const struct cfc_credentials *credentials)
{
    cfc_access_deny(access, denial, credentials->certificate_name, credentials->peer);
    return CONFCAST_ERR_AUTHORITY;
}

static int
set_name(struct cfc_identity *identity, const char *name, enum cfc_proof proof)
{
    cfc_text_copy(identity->name, sizeof(identity->name), name);
    identity->proof = proof;
    return CONFCAST_OK;
}

/* Goes through all tokens whatever it finds, and compares one digest in any case. */
static const struct cfc_access_token *
find_token(const struct cfc_access *access, const char *text)
{
    static const struct cfc_access_token none;
    const struct cfc_access_token *found = &none;
    struct cfc_digest digest;
    uint64_t id;
    bool is_equal;

    cfc_token_digest(text, &digest);
    cfc_token_id(text, &id);
    for (size_t i = 0; i < access->token_count; i++) {
        found = access->tokens[i].id == id ? &access->tokens[i] : found;
    }
    is_equal = cfc_token_digest_equal(&found->digest, &digest);
    return is_equal && found != &none ? found : NULL;
}

static int
identify_bearer(struct cfc_access *access, const struct cfc_credentials *credentials,
                struct cfc_identity *identity)
{
    const char *text = credentials->authorization + sizeof(BEARER) - 1;
    const struct cfc_access_token *token;

    if (strncasecmp(credentials->authorization, BEARER, sizeof(BEARER) - 1) != 0 ||
        strlen(text) > CFC_TOKEN_TEXT_MAX) {
        return deny(access, CFC_DENIAL_BAD_TOKEN, credentials);
    }
    token = find_token(access, text);
    if (token == NULL) {
        return deny(access, CFC_DENIAL_BAD_TOKEN, credentials);
    }
    if (token->expires_unix_ns <= credentials->unix_ns) {
        return deny(access, CFC_DENIAL_EXPIRED_TOKEN, credentials);
    }
    identity->grants[identity->grant_count++] = token->grant;
    return set_name(identity, token->identity, CFC_PROOF_TOKEN);
}

static void
add_bindings(const struct cfc_access *access, struct cfc_identity *identity)
{
    for (size_t i = 0; i < access->binding_count && identity->grant_count < CFC_GRANTS_MAX; i++) {
        if (strcmp(access->bindings[i].identity, identity->name) == 0) {
            identity->grants[identity->grant_count++] = access->bindings[i].grant;
        }
    }
}

static int
identify_peer(struct cfc_access *access, uint32_t uid, struct cfc_identity *identity)
{
    char name[16];

    snprintf(name, sizeof(name), "uid:%u", uid);
    set_name(identity, name, CFC_PROOF_PEER);
    identity->is_all = !access->is_required || uid == 0 || uid == access->own_uid;
    add_bindings(access, identity);
    return CONFCAST_OK;
}

static int
identify(struct cfc_access *access, const struct cfc_credentials *credentials,
         struct cfc_identity *identity)
{
    if (credentials->has_certificate &&
        (credentials->certificate_name == NULL ||
         !cfc_identity_name_check(credentials->certificate_name, false))) {
        return deny(access, CFC_DENIAL_CERTIFICATE, credentials);
    }
    if (credentials->authorization != NULL) {
        return identify_bearer(access, credentials, identity);
    }
    if (credentials->has_certificate) {
        set_name(identity, credentials->certificate_name, CFC_PROOF_CERTIFICATE);
        add_bindings(access, identity);
        return CONFCAST_OK;
    }
    if (credentials->is_unix) {
        return identify_peer(access, credentials->peer_uid, identity);
    }
    if (access->is_required) {
        return deny(access, CFC_DENIAL_NO_CREDENTIAL, credentials);
    }
    identity->is_all = true;
    return set_name(identity, "anonymous", CFC_PROOF_NONE);
}

void
cfc_identity_clear(struct cfc_identity *identity)
{
    memset(identity, 0, offsetof(struct cfc_identity, grants));
}

int
cfc_access_identify(struct cfc_access *access, const struct cfc_credentials *credentials,
                    struct cfc_identity *identity)
{
    int rc;

    cfc_identity_clear(identity);
    /* A revoked token must not live on because memory could not be brought up to date. */
    if (atomic_load(&access->needs_load) && load(access) != CONFCAST_OK) {
        return CONFCAST_ERR_IO;
    }
    pthread_rwlock_rdlock(&access->lock);
    rc = identify(access, credentials, identity);
    pthread_rwlock_unlock(&access->lock);
    return rc;
}

bool
cfc_identity_allows(const struct cfc_identity *identity, enum cfc_right right, const char *scope)
{
    if (right == CFC_RIGHT_UNSET || right == CFC_RIGHT_IN_BODY || right >= CFC_RIGHT_COUNT) {
        return false;
    }
    if (right == CFC_RIGHT_CONSUME || identity->is_consumer) {
        return identity->is_consumer && (right == CFC_RIGHT_CONSUME || right == CFC_RIGHT_PUBLIC);
    }
    return identity->is_all || right == CFC_RIGHT_PUBLIC ||
           cfc_grants_allow(identity->grants, identity->grant_count, right, scope);
}

bool
cfc_identity_allows_somewhere(const struct cfc_identity *identity, enum cfc_right right)
{
    bool may = cfc_identity_allows(identity, right, NULL);

    for (uint32_t i = 0; i < identity->grant_count && !may; i++) {
        may = cfc_identity_allows(identity, right, identity->grants[i].scope);
    }
    return may;
}

bool
cfc_access_may_ask(struct cfc_access *access, const struct cfc_identity *identity, uint64_t mono_ns,
                   uint64_t *wait_ns)
{
    *wait_ns = 0;
    return identity->proof <= CFC_PROOF_PEER ||
           cfc_rate_take(&access->rate, identity->name, mono_ns, wait_ns);
}
