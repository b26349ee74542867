#include "controlplane/model/record.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/json/json_load.h"
#include "controlplane/model/record_text.h"

void
cfc_be64_put(uint8_t *p, uint64_t v)
{
    for (int i = 7; i >= 0; i--) {
        p[i] = (uint8_t)v;
        v >>= 8;
    }
}

uint64_t
cfc_be64_get(const uint8_t *p)
{
    uint64_t v = 0;

    for (int i = 0; i < 8; i++) {
        v = v << 8 | p[i];
    }
    return v;
}

static void
key_add(struct cfc_record_key *key, const void *bytes, size_t size)
{
    assert(key->size + size <= sizeof(key->bytes));
    memcpy(key->bytes + key->size, bytes, size);
    key->size += size;
}

struct cfc_record_key
cfc_record_key_bytes(char table, const void *bytes, size_t size)
{
    struct cfc_record_key key;

    key.bytes[0] = (uint8_t)table;
    key.bytes[1] = '/';
    key.size = 2;
    key_add(&key, bytes, size);
    return key;
}

struct cfc_record_key
cfc_record_key_named(char table, const char *name)
{
    return cfc_record_key_bytes(table, name, strlen(name));
}

struct cfc_record_key
cfc_record_key_numbered(char table, const char *name, uint64_t number)
{
    /* With its NUL: no name is then the beginning of another one. */
    struct cfc_record_key key = cfc_record_key_bytes(table, name, strlen(name) + 1);
    uint8_t bytes[8];

    cfc_be64_put(bytes, number);
    key_add(&key, bytes, sizeof(bytes));
    return key;
}

struct cfc_record_key
cfc_record_key_number(char table, uint64_t number)
{
    uint8_t bytes[8];

    cfc_be64_put(bytes, number);
    return cfc_record_key_bytes(table, bytes, sizeof(bytes));
}

void
cfc_record_put(struct cfc_store_batch *batch, const struct cfc_record_key *key, json_t *record)
{
    char *text = record != NULL ? cfc_json_dump(record, JSON_COMPACT | JSON_SORT_KEYS) : NULL;

    json_decref(record);
    if (text == NULL) {
        if (batch->error == CONFCAST_OK) {
            batch->error = CONFCAST_ERR_NO_MEMORY;
        }
        return;
    }
    cfc_store_put(batch, key->bytes, key->size, text, strlen(text));
    free(text);
}

void
cfc_record_guard(struct cfc_store_batch *batch, const struct cfc_record_key *key, uint64_t mod_seq)
{
    if (mod_seq == 0) {
        cfc_store_compare_absent(batch, key->bytes, key->size);
    } else {
        cfc_store_compare_seq(batch, key->bytes, key->size, mod_seq);
    }
}

int
cfc_record_parse(const void *bytes, size_t size, json_t **record)
{
    bool is_out_of_memory;

    *record = cfc_json_load(bytes, size, JSON_REJECT_DUPLICATES, NULL, &is_out_of_memory);
    if (json_is_object(*record)) {
        return CONFCAST_OK;
    }
    json_decref(*record);
    *record = NULL;
    return is_out_of_memory ? CONFCAST_ERR_NO_MEMORY : CONFCAST_ERR_CORRUPT;
}

int
cfc_record_get(struct cfc_store *store, const struct cfc_record_key *key, json_t **record,
               uint64_t *mod_seq)
{
    struct cfc_store_value value;
    int error = cfc_store_get(store, key->bytes, key->size, &value);

    *record = NULL;
    if (error != CONFCAST_OK) {
        return error;
    }
    error = cfc_record_parse(value.bytes, value.size, record);
    if (mod_seq != NULL) {
        *mod_seq = value.mod_seq;
    }
    cfc_store_value_free(&value);
    return error;
}

bool
cfc_record_string(const json_t *record, const char *name, char *out, size_t out_size)
{
    const json_t *value = json_object_get(record, name);
    size_t size = json_string_length(value);

    if (!json_is_string(value) || size >= out_size) {
        return false;
    }
    memcpy(out, json_string_value(value), size + 1);
    return true;
}

bool
cfc_record_u64(const json_t *record, const char *name, uint64_t *out)
{
    const json_t *value = json_object_get(record, name);

    if (!json_is_integer(value) || json_integer_value(value) < 0) {
        return false;
    }
    *out = (uint64_t)json_integer_value(value);
    return true;
}

void
cfc_digest_to_hex(const struct cfc_digest *digest, char hex[65])
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < sizeof(digest->bytes); i++) {
        hex[2 * i] = digits[digest->bytes[i] >> 4];
        hex[2 * i + 1] = digits[digest->bytes[i] & 15];
    }
    hex[64] = '\0';
}

static int
nibble(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool
cfc_digest_from_hex(const char *hex, struct cfc_digest *digest)
{
    if (strlen(hex) != 64) {
        return false;
    }
    for (size_t i = 0; i < sizeof(digest->bytes); i++) {
        int high = nibble(hex[2 * i]);
        int low = nibble(hex[2 * i + 1]);

        if (high < 0 || low < 0) {
            return false;
        }
        digest->bytes[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static json_t *
integer(uint64_t v)
{
    return json_integer((json_int_t)v);
}

static json_t *
rollout_to_json(const struct cfc_release *release)
{
    const struct cfc_release_plan *plan = &release->plan;

    return json_pack("{so so so so so so so ss sb}", "activation",
                     integer((uint64_t)plan->activation), "activate_at",
                     integer(plan->activate_unix_ns), "prepared_ppm",
                     integer(plan->require_prepared_ppm), "bake_s", integer(plan->bake_s),
                     "confirm_within_s", integer(plan->confirm_within_s), "confirm_by",
                     integer(release->confirm_by_unix_ns), "since", integer(release->stage_unix_ns),
                     "reason", release->reason, "waiting", (int)release->is_waiting);
}

json_t *
cfc_release_to_json(const struct cfc_release *release, const char *author, const char *message)
{
    char strategy[CFC_STRATEGY_TEXT_MAX];
    json_t *quarantined = json_array();
    json_t *record;

    cfc_strategy_format(&release->strategy, strategy);
    for (uint32_t i = 0; i < release->quarantined_count; i++) {
        if (json_array_append_new(quarantined, integer(release->quarantined[i])) != 0) {
            json_decref(quarantined);
            return NULL;
        }
    }
    record = json_pack(
        "{ss ss so so so so so ss ss so so ss ss}", "state", cfc_release_state_word(release->state),
        "origin", cfc_release_state_word(release->origin), "release_version",
        integer(release->release_version), "active", integer(release->active_revision), "previous",
        integer(release->previous_revision), "candidate", integer(release->candidate_revision),
        "stage", integer(release->stage_idx), "strategy", strategy, "action",
        cfc_release_action_word(release->last_action), "unix_ns", integer(release->changed_unix_ns),
        "quarantined", quarantined, "author", author != NULL ? author : "", "message",
        message != NULL ? message : "");
    if (record != NULL && cfc_release_has_candidate(release) &&
        json_object_set_new(record, "rollout", rollout_to_json(release)) != 0) {
        json_decref(record);
        record = NULL;
    }
    return record;
}

/* A rollout that an earlier build began has none of this. */
static bool
read_rollout(const json_t *record, struct cfc_release *release)
{
    struct cfc_release_plan *plan = &release->plan;
    const json_t *rollout = json_object_get(record, "rollout");
    uint64_t activation;
    uint64_t prepared;

    if (rollout == NULL) {
        return true;
    }
    if (!cfc_record_u64(rollout, "activation", &activation) || activation > CFC_ACTIVATE_AT ||
        !cfc_record_u64(rollout, "activate_at", &plan->activate_unix_ns) ||
        !cfc_record_u64(rollout, "prepared_ppm", &prepared) || prepared > CFC_STAGE_PPM_ALL ||
        !cfc_record_u64(rollout, "bake_s", &plan->bake_s) || plan->bake_s > CFC_BAKE_S_MAX ||
        !cfc_record_u64(rollout, "confirm_within_s", &plan->confirm_within_s) ||
        plan->confirm_within_s > CFC_CONFIRM_WITHIN_S_MAX ||
        !cfc_record_u64(rollout, "confirm_by", &release->confirm_by_unix_ns) ||
        !cfc_record_u64(rollout, "since", &release->stage_unix_ns) ||
        !cfc_record_string(rollout, "reason", release->reason, sizeof(release->reason))) {
        return false;
    }
    plan->activation = (enum cfc_activation)activation;
    plan->require_prepared_ppm = (uint32_t)prepared;
    release->is_waiting = json_is_true(json_object_get(rollout, "waiting"));
    return cfc_release_has_candidate(release);
}

static bool
read_quarantined(const json_t *record, struct cfc_release *release)
{
    const json_t *list = json_object_get(record, "quarantined");
    size_t count = json_array_size(list);

    if (!json_is_array(list) || count > CFC_QUARANTINE_COUNT_MAX) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        json_int_t revision = json_integer_value(json_array_get(list, i));

        if (revision <= 0) {
            return false;
        }
        release->quarantined[i] = (uint64_t)revision;
    }
    release->quarantined_count = (uint32_t)count;
    return true;
}

int
cfc_release_from_json(const json_t *record, struct cfc_release *release,
                      char author[CFC_AUTHOR_SIZE_MAX + 1], char message[CFC_MESSAGE_SIZE_MAX + 1])
{
    char state[16];
    char origin[16];
    char action[16];
    char strategy[CFC_STRATEGY_TEXT_MAX];
    uint64_t stage = 0;

    cfc_release_init(release);
    if (!cfc_record_string(record, "state", state, sizeof(state)) ||
        !cfc_record_string(record, "origin", origin, sizeof(origin)) ||
        !cfc_record_string(record, "action", action, sizeof(action)) ||
        !cfc_record_string(record, "strategy", strategy, sizeof(strategy)) ||
        !cfc_record_u64(record, "release_version", &release->release_version) ||
        !cfc_record_u64(record, "active", &release->active_revision) ||
        !cfc_record_u64(record, "previous", &release->previous_revision) ||
        !cfc_record_u64(record, "candidate", &release->candidate_revision) ||
        !cfc_record_u64(record, "stage", &stage) ||
        !cfc_record_u64(record, "unix_ns", &release->changed_unix_ns) ||
        !read_quarantined(record, release) ||
        cfc_release_state_parse(state, &release->state) != CONFCAST_OK ||
        cfc_release_state_parse(origin, &release->origin) != CONFCAST_OK ||
        cfc_release_action_parse(action, &release->last_action) != CONFCAST_OK ||
        cfc_strategy_parse(strategy, &release->strategy) != CONFCAST_OK ||
        !read_rollout(record, release) ||
        stage > release->strategy.stage_count - (release->plan.confirm_within_s == 0) ||
        cfc_release_has_candidate(release) != (release->candidate_revision != 0)) {
        return CONFCAST_ERR_CORRUPT;
    }
    release->stage_idx = (uint32_t)stage;
    if (author != NULL && !cfc_record_string(record, "author", author, CFC_AUTHOR_SIZE_MAX + 1)) {
        return CONFCAST_ERR_CORRUPT;
    }
    if (message != NULL &&
        !cfc_record_string(record, "message", message, CFC_MESSAGE_SIZE_MAX + 1)) {
        return CONFCAST_ERR_CORRUPT;
    }
    return CONFCAST_OK;
}

json_t *
cfc_definition_to_json(const struct cfc_definition_meta *meta)
{
    char digest[65];

    cfc_digest_to_hex(&meta->digest, digest);
    return json_pack("{so ss ss ss so sb}", "unix_ns", integer(meta->unix_ns), "author",
                     meta->author, "message", meta->message, "digest", digest, "size",
                     integer(meta->size), "tombstone", meta->is_tombstone);
}

void
cfc_definition_put(struct cfc_store_batch *batch, const struct cfc_record_key *key,
                   const struct cfc_definition_meta *meta)
{
    struct cfc_record_text text;

    cfc_record_text_begin(&text);
    cfc_record_text_string(&text, "author", meta->author);
    cfc_record_text_digest(&text, "digest", &meta->digest);
    cfc_record_text_string(&text, "message", meta->message);
    cfc_record_text_number(&text, "size", meta->size);
    cfc_record_text_flag(&text, "tombstone", meta->is_tombstone);
    cfc_record_text_number(&text, "unix_ns", meta->unix_ns);
    cfc_record_text_put(&text, batch, key);
}

int
cfc_definition_from_json(const json_t *record, uint64_t revision, struct cfc_definition_meta *meta)
{
    char digest[65];

    memset(meta, 0, sizeof(*meta));
    meta->revision = revision;
    meta->is_tombstone = json_is_true(json_object_get(record, "tombstone"));
    meta->is_gone = json_is_true(json_object_get(record, "gone"));
    if (!cfc_record_u64(record, "unix_ns", &meta->unix_ns) ||
        !cfc_record_u64(record, "size", &meta->size) ||
        !cfc_record_string(record, "author", meta->author, sizeof(meta->author)) ||
        !cfc_record_string(record, "message", meta->message, sizeof(meta->message)) ||
        !cfc_record_string(record, "digest", digest, sizeof(digest)) ||
        !cfc_digest_from_hex(digest, &meta->digest)) {
        return CONFCAST_ERR_CORRUPT;
    }
    return CONFCAST_OK;
}
