/* Schemas and settings: put, get, history, and loading them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/json/json_body.h"
#include "controlplane/model/rules.h"
#include "controlplane/model/service_internal.h"
#include "protocol/base/scope.h"
#include "protocol/base/time.h"

/* The tables of a kind: its latest revisions, and all of them. */
static const struct {
    const char *word;
    char head;
    char revisions;
} tables[CFC_RULE_COUNT] = {{"schema", 'j', 'k'}, {"settings", 'e', 'f'}};

/* A rule on its way through. */
struct rule_write {
    struct cfc_change_state change;
    enum cfc_rule_kind kind;
    struct cfc_scope *scope;
    json_t *root;
    char *text;
    struct cfc_definition_meta meta;
    struct cfc_schema *schema;
    struct cfc_settings settings;
};

/* ---- In memory --------------------------------------------------------------------------------
 */

static struct cfc_rules *
ensure_rules(struct cfc_scope *scope)
{
    if (scope->rules == NULL) {
        scope->rules = calloc(1, sizeof(*scope->rules));
    }
    return scope->rules;
}

/* What a text means; `why` gets a sentence. */
static int
understand(enum cfc_rule_kind kind, json_t *root, struct cfc_schema **schema,
           struct cfc_settings *settings, struct cfc_refusal *refusal)
{
    struct cfc_schema_error detail;
    char why[160];
    int error;

    if (kind == CFC_RULE_SETTINGS) {
        error = cfc_settings_parse(root, settings, why);
        if (error != CONFCAST_OK) {
            cfc_refusal_say(refusal, why);
        }
        return error;
    }
    error = cfc_schema_compile(root, schema, &detail);
    if (error != CONFCAST_OK && error != CONFCAST_ERR_NO_MEMORY && refusal != NULL) {
        snprintf(refusal->message, sizeof(refusal->message), "%s: %s",
                 detail.schema_pointer[0] != '\0' ? detail.schema_pointer : "the root",
                 detail.message);
    }
    return error;
}

/* The rules of a scope follow; schema and settings are taken over. */
static void
install(struct cfc_rules *rules, enum cfc_rule_kind kind, uint64_t revision, uint64_t seq,
        struct cfc_schema *schema, const struct cfc_settings *settings)
{
    rules->heads[kind] = (struct cfc_rule_head){.revision = revision, .seq = seq};
    if (kind == CFC_RULE_SCHEMA) {
        cfc_schema_free(rules->schema);
        rules->schema = schema;
    } else {
        cfc_settings_clear(&rules->settings);
        rules->settings = *settings;
    }
}

struct rule_load {
    struct cfc_service *service;
    enum cfc_rule_kind kind;
};

static int
load_item(void *arg, const struct cfc_store_item *item)
{
    struct rule_load *load = arg;
    char path[CFC_SCOPE_SIZE_MAX + 1];
    struct cfc_schema *schema = NULL;
    struct cfc_settings settings;
    struct cfc_rules *rules;
    struct cfc_scope *scope;
    json_t *record;
    uint64_t revision;
    size_t size = item->key_size - 2;
    int error;

    if (item->key_size < 3 || size > CFC_SCOPE_SIZE_MAX ||
        cfc_scope_check((const char *)item->key + 2, size) != CONFCAST_OK) {
        return CONFCAST_ERR_CORRUPT;
    }
    memcpy(path, item->key + 2, size);
    path[size] = '\0';
    scope = cfc_catalog_ensure(&load->service->catalog, path);
    rules = scope != NULL ? ensure_rules(scope) : NULL;
    if (rules == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    error = cfc_record_parse(item->value, item->value_size, &record);
    if (error != CONFCAST_OK) {
        return error;
    }
    error =
        cfc_record_u64(record, "revision", &revision)
            ? understand(load->kind, json_object_get(record, "document"), &schema, &settings, NULL)
            : CONFCAST_ERR_CORRUPT;
    if (error == CONFCAST_OK) {
        install(rules, load->kind, revision, item->mod_seq, schema, &settings);
    }
    json_decref(record);
    return error == CONFCAST_OK || error == CONFCAST_ERR_NO_MEMORY ? error : CONFCAST_ERR_CORRUPT;
}

int
cfc_rules_load(struct cfc_service *service)
{
    int error = CONFCAST_OK;

    for (int kind = 0; error == CONFCAST_OK && kind < CFC_RULE_COUNT; kind++) {
        struct rule_load load = {.service = service, .kind = (enum cfc_rule_kind)kind};
        char prefix[2] = {tables[kind].head, '/'};

        error = cfc_store_scan(service->store, prefix, 2, NULL, 0, load_item, &load);
    }
    return error;
}

/* ---- Putting ----------------------------------------------------------------------------------
 */

static int
read_rule(struct rule_write *write, const char *text, size_t size, struct cfc_refusal *refusal)
{
    struct cfc_json_error detail = {.message = ""};
    struct cfc_sha256 *sha;
    size_t canonical_size;
    int error = cfc_json_parse_object(text, size, CFC_RULE_SIZE_MAX, &write->root, &detail);

    if (error != CONFCAST_OK) {
        cfc_refusal_say(refusal, detail.message);
        return error;
    }
    error = cfc_json_to_text(write->root, &write->text, &canonical_size);
    if (error == CONFCAST_OK) {
        error = understand(write->kind, write->root, &write->schema, &write->settings, refusal);
    }
    if (error != CONFCAST_OK) {
        return error;
    }
    sha = cfc_sha256_new();
    if (sha == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    cfc_sha256_once(sha, NULL, write->text, canonical_size, &write->meta.digest);
    cfc_sha256_free(sha);
    write->meta.size = canonical_size;
    return CONFCAST_OK;
}

static json_t *
record_of(const struct rule_write *write)
{
    json_t *record = cfc_definition_to_json(&write->meta);

    if (record != NULL &&
        (json_object_set_new(record, "revision", json_integer((json_int_t)write->meta.revision)) !=
             0 ||
         json_object_set(record, "document", write->root) != 0)) {
        json_decref(record);
        record = NULL;
    }
    return record;
}

static uint64_t
bound_ms(struct cfc_service *service, const struct cfc_scope *scope)
{
    const struct cfc_settings *settings =
        cfc_settings_inherited(&service->catalog, scope->path, CFC_SETTING_PROPAGATION);

    return settings != NULL ? settings->propagation_ms : 0;
}

/* The status of a scope and of all below it shows the bound. */
static void
note_bound(struct cfc_service *service, const struct cfc_scope *scope, uint64_t before_ms)
{
    size_t size = strlen(scope->path);

    if (bound_ms(service, scope) == before_ms) {
        return;
    }
    for (struct cfc_scope *below = service->catalog.by_id; below != NULL;
         below = below->hh_id.next) {
        if (strncmp(below->path, scope->path, size) == 0 &&
            (below->path[size] == '/' || below->path[size] == '\0')) {
            below->apply.change = ++service->apply.change;
        }
    }
}

static int
commit_rule(struct cfc_service *service, struct rule_write *write, uint64_t *seq)
{
    struct cfc_rules *rules = ensure_rules(write->scope);
    struct cfc_record_key head = cfc_record_key_named(tables[write->kind].head, write->scope->path);
    struct cfc_record_key revision = cfc_record_key_numbered(
        tables[write->kind].revisions, write->scope->path, write->meta.revision);
    struct cfc_store_batch batch;
    char digest[65];
    int error;

    if (rules == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    cfc_digest_to_hex(&write->meta.digest, digest);
    cfc_store_batch_init(&batch);
    cfc_record_guard(&batch, &head, rules->heads[write->kind].seq);
    cfc_record_put(&batch, &head, record_of(write));
    cfc_record_put(&batch, &revision, record_of(write));
    cfc_change_record(
        service, &write->change, &batch, tables[write->kind].word, write->scope->path,
        write->meta.revision,
        json_pack("{sI ss}", "revision", (json_int_t)write->meta.revision, "digest", digest));
    error = cfc_service_commit(service, &batch, seq);
    cfc_store_batch_clear(&batch);
    if (error == CONFCAST_OK) {
        uint64_t before_ms = bound_ms(service, write->scope);

        install(rules, write->kind, write->meta.revision, *seq, write->schema, &write->settings);
        write->schema = NULL;
        memset(&write->settings, 0, sizeof(write->settings));
        note_bound(service, write->scope, before_ms);
    }
    return error;
}

static int
answer_replay(const json_t *answer, uint64_t seq, struct cfc_put_result *result)
{
    char digest[65];

    result->seq = seq;
    result->is_replay = true;
    return cfc_record_u64(answer, "revision", &result->revision) &&
                   cfc_record_string(answer, "digest", digest, sizeof(digest)) &&
                   cfc_digest_from_hex(digest, &result->digest)
               ? CONFCAST_OK
               : CONFCAST_ERR_CORRUPT;
}

/* Under the lock. */
static int
put_rule(struct cfc_service *service, struct rule_write *write, const struct cfc_put *put,
         struct cfc_put_result *result, struct cfc_refusal *refusal)
{
    uint64_t current;
    json_t *answer;
    uint64_t seq;
    int error = cfc_change_replay(service, &write->change, &answer, &seq);

    if (error == CONFCAST_OK) {
        error = answer_replay(answer, seq, result);
        json_decref(answer);
        return error;
    }
    if (error != CONFCAST_ERR_NOT_FOUND) {
        return error;
    }
    write->scope = cfc_catalog_ensure(&service->catalog, put->scope);
    if (write->scope == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    current = write->scope->rules != NULL ? write->scope->rules->heads[write->kind].revision : 0;
    if (put->has_expected_revision && put->expected_revision != current) {
        if (refusal != NULL) {
            refusal->has_revision = true;
            refusal->current_revision = current;
            snprintf(refusal->message, sizeof(refusal->message),
                     "the current revision is %llu, not the expected one",
                     (unsigned long long)current);
        }
        return CONFCAST_ERR_CONFLICT;
    }
    write->meta.revision = current + 1;
    write->meta.unix_ns = write->change.change->unix_ns;
    snprintf(write->meta.author, sizeof(write->meta.author), "%s", write->change.author);
    snprintf(write->meta.message, sizeof(write->meta.message), "%s", write->change.message);
    result->revision = write->meta.revision;
    result->digest = write->meta.digest;
    return write->change.change->is_dry_run ? CONFCAST_OK
                                            : commit_rule(service, write, &result->seq);
}

int
cfc_service_put_rule(struct cfc_service *service, const struct cfc_change *change,
                     enum cfc_rule_kind kind, const struct cfc_put *put,
                     struct cfc_put_result *result, struct cfc_refusal *refusal)
{
    struct rule_write write = {.kind = kind};
    char expected[32];
    const char *parts[] = {tables[kind].word, put->scope, expected,
                           change->message != NULL ? change->message : "", NULL};
    int error = cfc_scope_check(put->scope, strlen(put->scope));

    memset(result, 0, sizeof(*result));
    if (refusal != NULL) {
        memset(refusal, 0, sizeof(*refusal));
    }
    snprintf(expected, sizeof(expected), "%d %llu", (int)put->has_expected_revision,
             (unsigned long long)put->expected_revision);
    if (error == CONFCAST_OK) {
        error = read_rule(&write, put->text, put->text_size, refusal);
    }
    if (error == CONFCAST_OK && write.settings.scopes_max != 0 && strchr(put->scope, '/') != NULL) {
        cfc_refusal_say(refusal, "scopes_max: it belongs to the tenant, the first segment");
        error = CONFCAST_ERR_INVALID;
    }
    if (error == CONFCAST_OK) {
        error = cfc_change_begin(&write.change, change, parts, write.meta.digest.bytes,
                                 sizeof(write.meta.digest.bytes));
    }
    if (error == CONFCAST_OK) {
        error = cfc_service_enter(service);
    }
    if (error == CONFCAST_OK) {
        error = put_rule(service, &write, put, result, refusal);
        cfc_service_leave(service);
    }
    if (error != CONFCAST_OK && refusal != NULL && refusal->message[0] == '\0') {
        cfc_refusal_say(refusal, confcast_error_text(error));
    }
    cfc_schema_free(write.schema);
    cfc_settings_clear(&write.settings);
    free(write.text);
    json_decref(write.root);
    return error;
}

/* ---- Reading ----------------------------------------------------------------------------------
 */

static int
read_revision(struct cfc_service *service, enum cfc_rule_kind kind, const char *path,
              uint64_t revision, struct cfc_definition *out, bool wants_text)
{
    struct cfc_record_key key = cfc_record_key_numbered(tables[kind].revisions, path, revision);
    json_t *record;
    size_t size;
    int error = cfc_record_get(service->store, &key, &record, NULL);

    if (error != CONFCAST_OK) {
        return error;
    }
    error = cfc_definition_from_json(record, revision, &out->meta);
    if (error == CONFCAST_OK && wants_text) {
        error = cfc_json_to_text(json_object_get(record, "document"), &out->text, &size);
    }
    json_decref(record);
    return error;
}

static int
latest_of(struct cfc_service *service, enum cfc_rule_kind kind, const char *path, uint64_t *latest)
{
    struct cfc_scope *scope;

    if (cfc_scope_check(path, strlen(path)) != CONFCAST_OK) {
        return CONFCAST_ERR_SCOPE_NAME;
    }
    scope = cfc_catalog_find(&service->catalog, path);
    *latest = scope != NULL && scope->rules != NULL ? scope->rules->heads[kind].revision : 0;
    return *latest != 0 ? CONFCAST_OK : CONFCAST_ERR_NOT_FOUND;
}

int
cfc_service_get_rule(struct cfc_service *service, enum cfc_rule_kind kind, const char *path,
                     uint64_t revision, struct cfc_definition *out)
{
    uint64_t latest;
    int error;

    memset(out, 0, sizeof(*out));
    error = cfc_service_enter(service);
    if (error != CONFCAST_OK) {
        return error;
    }
    error = latest_of(service, kind, path, &latest);
    if (error == CONFCAST_OK) {
        error = read_revision(service, kind, path, revision != 0 ? revision : latest, out, true);
    }
    cfc_service_leave(service);
    return error;
}

int
cfc_service_rule_history(struct cfc_service *service, enum cfc_rule_kind kind, const char *path,
                         uint64_t before, size_t count_max, struct cfc_definition_meta **items,
                         size_t *count)
{
    uint64_t newest;
    int error;

    *items = NULL;
    *count = 0;
    error = cfc_service_enter(service);
    if (error != CONFCAST_OK) {
        return error;
    }
    error = latest_of(service, kind, path, &newest);
    if (error == CONFCAST_OK && before != 0 && before <= newest) {
        newest = before - 1;
    }
    count_max = error == CONFCAST_OK && count_max > newest ? (size_t)newest : count_max;
    *items = error == CONFCAST_OK ? calloc(count_max + 1, sizeof(**items)) : NULL;
    if (error == CONFCAST_OK && *items == NULL) {
        error = CONFCAST_ERR_NO_MEMORY;
    }
    for (; error == CONFCAST_OK && *count < count_max; (*count)++) {
        struct cfc_definition one = {.text = NULL};

        error = read_revision(service, kind, path, newest - *count, &one, false);
        (*items)[*count] = one.meta;
    }
    cfc_service_leave(service);
    if (error != CONFCAST_OK) {
        free(*items);
        *items = NULL;
        *count = 0;
    }
    return error;
}
