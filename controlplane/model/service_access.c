/* Records of tokens and roles: kept and audited like any other change, and not understood here. */
#include <string.h>

#include "confcast/error.h"
#include "controlplane/model/service_internal.h"

#define TABLE 'w'

static bool
is_name(const char *name)
{
    size_t size = strlen(name);

    return size >= 1 && size <= CFC_ACCESS_NAME_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789:") == size;
}

static int
refuse(struct cfc_refusal *refusal, int error, uint64_t version, const char *message)
{
    if (refusal != NULL) {
        refusal->has_revision = error == CONFCAST_ERR_CONFLICT;
        refusal->current_revision = version;
    }
    cfc_refusal_say(refusal, message);
    return error;
}

/* Under the lock: finds the version of the record that is there and holds it to the guards. */
static int
check(struct cfc_service *service, const struct cfc_record_key *key,
      const struct cfc_access_change *access, uint64_t *version, struct cfc_refusal *refusal)
{
    json_t *record = NULL;
    int error = cfc_record_get(service->store, key, &record, version);

    json_decref(record);
    if (error == CONFCAST_ERR_NOT_FOUND) {
        *version = 0;
        error = access->record != NULL ? CONFCAST_OK : error;
    }
    if (error == CONFCAST_OK && access->has_expected_version &&
        access->expected_version != *version) {
        return refuse(refusal, CONFCAST_ERR_CONFLICT, *version, "it has changed since");
    }
    return error;
}

static int
commit(struct cfc_service *service, const struct cfc_change_state *state,
       const struct cfc_access_change *access, const struct cfc_record_key *key, uint64_t version,
       struct cfc_access_result *result)
{
    struct cfc_store_batch batch;
    int error;

    cfc_store_batch_init(&batch);
    cfc_record_guard(&batch, key, version);
    if (access->record != NULL) {
        cfc_record_put(&batch, key, json_incref(access->record));
    } else {
        cfc_store_delete(&batch, key->bytes, key->size);
    }
    cfc_change_record(service, state, &batch, access->action, access->name, 0,
                      json_incref(access->answer));
    error = cfc_service_commit(service, &batch, &result->version);
    cfc_store_batch_clear(&batch);
    return error;
}

/* Under the lock. */
static int
put(struct cfc_service *service, const struct cfc_change_state *state,
    const struct cfc_access_change *access, struct cfc_access_result *result,
    struct cfc_refusal *refusal)
{
    struct cfc_record_key key = cfc_record_key_named(TABLE, access->name);
    uint64_t version = 0;
    int error = cfc_change_replay(service, state, &result->answer, &result->version);

    if (error == CONFCAST_OK) {
        result->is_replay = true;
        return CONFCAST_OK;
    }
    if (error != CONFCAST_ERR_NOT_FOUND) {
        return error;
    }
    error = check(service, &key, access, &version, refusal);
    if (error != CONFCAST_OK) {
        return error;
    }
    result->answer = json_incref(access->answer);
    return state->change->is_dry_run ? CONFCAST_OK
                                     : commit(service, state, access, &key, version, result);
}

int
cfc_service_put_access(struct cfc_service *service, const struct cfc_change *change,
                       const struct cfc_access_change *access, struct cfc_access_result *result,
                       struct cfc_refusal *refusal)
{
    const char *parts[] = {"access", access->action, access->request_name, NULL};
    struct cfc_change_state state;
    int error;

    memset(result, 0, sizeof(*result));
    if (refusal != NULL) {
        memset(refusal, 0, sizeof(*refusal));
    }
    if (!is_name(access->name)) {
        return CONFCAST_ERR_INVALID;
    }
    error = cfc_change_begin(&state, change, parts, access->request, access->request_size);
    if (error != CONFCAST_OK) {
        return error;
    }
    error = cfc_service_enter(service);
    if (error != CONFCAST_OK) {
        return error;
    }
    error = put(service, &state, access, result, refusal);
    cfc_service_leave(service);
    if (error != CONFCAST_OK) {
        json_decref(result->answer);
        result->answer = NULL;
    }
    return error;
}

static int
append(void *arg, const struct cfc_store_item *item)
{
    json_t *list = arg;
    json_t *record = NULL;
    json_t *entry;
    int error = cfc_record_parse(item->value, item->value_size, &record);

    if (error != CONFCAST_OK) {
        return error;
    }
    entry = json_pack("{ss% sI so}", "name", (const char *)item->key + 2, item->key_size - 2,
                      "version", (json_int_t)item->mod_seq, "record", record);
    return json_array_append_new(list, entry) == 0 ? CONFCAST_OK : CONFCAST_ERR_NO_MEMORY;
}

int
cfc_service_access(struct cfc_service *service, json_t **records)
{
    const char prefix[] = {TABLE, '/'};
    json_t *list = json_array();
    int error;

    *records = NULL;
    if (list == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    error = cfc_service_enter(service);
    if (error != CONFCAST_OK) {
        json_decref(list);
        return error;
    }
    error = cfc_store_scan(service->store, prefix, sizeof(prefix), NULL, 0, append, list);
    cfc_service_leave(service);
    if (error != CONFCAST_OK) {
        json_decref(list);
        return error;
    }
    *records = list;
    return CONFCAST_OK;
}
