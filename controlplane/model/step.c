#include "controlplane/model/step.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/json/json_body.h"
#include "controlplane/model/rules.h"
#include "controlplane/store/internal.h"
#include "protocol/base/scope.h"
#include "protocol/base/text_copy.h"
#include "protocol/snapshot/body.h"

#define REVISION_MAX (UINT64_C(1) << 52)

/* ---- Reading ----------------------------------------------------------------------------------
 */

/* The canonical text of a document, by the body that also counts its values. */
static int
make_text(struct cfc_step_item *item, size_t *size)
{
    uint8_t *body;
    size_t body_size;
    int error = cfc_json_to_body(item->root, &body, &body_size);

    if (error != CONFCAST_OK) {
        return error;
    }
    item->key_count = cfc_body_node_count(body);
    error = cfc_json_body_to_text(body, body_size, &item->text, size);
    free(body);
    return error;
}

/* Parses and makes canonical. */
static int
read_document(struct cfc_service *service, struct cfc_step_item *item, struct cfc_refusal *refusal)
{
    const struct cfc_put *put = &item->order->put;
    struct cfc_json_error detail = {.message = ""};
    struct cfc_sha256 *sha;
    size_t size;
    int error;

    if (put->document != NULL) {
        item->root = json_incref(put->document);
        error = json_is_object(item->root) ? CONFCAST_OK : CONFCAST_ERR_SYNTAX;
    } else {
        error = cfc_json_parse_object(put->text, put->text_size, service->config.document_size_max,
                                      &item->root, &detail);
    }
    if (error != CONFCAST_OK) {
        cfc_refusal_say(refusal, detail.message);
        return error == CONFCAST_ERR_LIMIT ? CONFCAST_ERR_DOCUMENT_SIZE : error;
    }
    error = make_text(item, &size);
    if (error != CONFCAST_OK) {
        return error;
    }
    if (size > service->config.document_size_max) {
        cfc_refusal_say(refusal, "the document is too big in its canonical form");
        return CONFCAST_ERR_DOCUMENT_SIZE;
    }
    sha = cfc_sha256_new();
    if (sha == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    cfc_sha256_once(sha, NULL, item->text, size, &item->meta.digest);
    cfc_sha256_free(sha);
    cfc_json_find_nulls(item->root, &item->nulls);
    item->meta.size = size;
    return CONFCAST_OK;
}

/* A step writes one revision and moves one release of a scope, at most. */
static bool
is_twice(const struct cfc_batch_item *orders, size_t idx)
{
    const struct cfc_batch_item *order = &orders[idx];

    for (size_t i = 0; i < idx; i++) {
        bool is_one_release =
            (orders[i].kind == CFC_BATCH_RELEASE) != (order->kind == CFC_BATCH_RELEASE);
        bool has_delete = orders[i].kind == CFC_BATCH_DELETE || order->kind == CFC_BATCH_DELETE;

        if (strcmp(cfc_batch_item_scope(&orders[i]), cfc_batch_item_scope(order)) == 0 &&
            (!is_one_release || has_delete)) {
            return true;
        }
    }
    return false;
}

static int
read_item(struct cfc_service *service, struct cfc_step_item *item,
          const struct cfc_batch_item *orders, size_t idx, struct cfc_refusal *refusal)
{
    const char *scope = cfc_batch_item_scope(&orders[idx]);

    item->order = &orders[idx];
    if (cfc_scope_check(scope, strlen(scope)) != CONFCAST_OK) {
        return CONFCAST_ERR_SCOPE_NAME;
    }
    if (is_twice(orders, idx)) {
        cfc_refusal_say(refusal, "a batch writes a scope's definition once and moves its release "
                                 "once, and what it deletes it does nothing else with");
        return CONFCAST_ERR_INVALID;
    }
    switch (item->order->kind) {
    case CFC_BATCH_PUT:
        return read_document(service, item, refusal);
    case CFC_BATCH_DELETE:
        item->meta.is_tombstone = true;
        return CONFCAST_OK;
    case CFC_BATCH_RELEASE:
        return item->order->order.action < CFC_ACTION_COUNT ? CONFCAST_OK : CONFCAST_ERR_INVALID;
    }
    return CONFCAST_ERR_INVALID;
}

int
cfc_step_read(struct cfc_service *service, struct cfc_step *step,
              const struct cfc_batch_item *orders, size_t count, size_t *failed,
              struct cfc_refusal *refusal)
{
    int error = CONFCAST_OK;

    memset(step, 0, sizeof(*step));
    *failed = count;
    if (count == 0 || count > CFC_BATCH_ITEM_COUNT_MAX) {
        cfc_refusal_say(refusal, "a batch has 1 to 256 items");
        return count == 0 ? CONFCAST_ERR_INVALID : CONFCAST_ERR_LIMIT;
    }
    step->items = calloc(count, sizeof(*step->items));
    if (step->items == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    step->count = count;
    for (size_t i = 0; error == CONFCAST_OK && i < count; i++) {
        error = read_item(service, &step->items[i], orders, i, refusal);
        *failed = error != CONFCAST_OK ? i : count;
    }
    return error;
}

void
cfc_step_reset(struct cfc_step *step)
{
    cfc_impact_free(&step->impact);
    cfc_preview_free(&step->preview);
    for (size_t i = 0; i < step->count; i++) {
        step->items[i].has_release = false;
    }
    step->is_decided = false;
}

void
cfc_step_free(struct cfc_step *step)
{
    cfc_step_reset(step);
    for (size_t i = 0; i < step->count; i++) {
        free(step->items[i].text);
        json_decref(step->items[i].root);
    }
    for (uint32_t i = 0; i < step->cooked_count; i++) {
        cfc_config_body_unref(step->cooked[i]);
    }
    free(step->items);
    memset(step, 0, sizeof(*step));
}

/* ---- Beginning --------------------------------------------------------------------------------
 */

static void
refuse_revision(struct cfc_service *service, const struct cfc_scope *scope,
                struct cfc_refusal *refusal)
{
    struct cfc_definition_meta meta;

    if (refusal == NULL) {
        return;
    }
    refusal->has_revision = true;
    refusal->current_revision = scope->latest_revision;
    if (scope->latest_revision != 0 &&
        cfc_definition_read_meta(service->store, scope->path, scope->latest_revision, &meta) ==
            CONFCAST_OK) {
        snprintf(refusal->current_author, sizeof(refusal->current_author), "%s", meta.author);
    }
    snprintf(refusal->message, sizeof(refusal->message),
             "the current revision is %llu%s%s, not the expected one",
             (unsigned long long)scope->latest_revision,
             refusal->current_author[0] != '\0' ? " by " : "", refusal->current_author);
}

static bool
is_expected(const struct cfc_scope *scope, const struct cfc_put *put)
{
    if (!put->has_expected_revision || put->expected_revision == scope->latest_revision) {
        return true;
    }
    return put->expected_revision == 0 && scope->is_deleted;
}

static int
refuse_limit(struct cfc_refusal *refusal, int error, const char *what, uint64_t value, uint64_t max)
{
    if (refusal != NULL) {
        snprintf(refusal->message, sizeof(refusal->message),
                 "the document has %llu %s, its scope may have %llu", (unsigned long long)value,
                 what, (unsigned long long)max);
    }
    return error;
}

/* What the settings say of documents. */
static int
check_limits(struct cfc_service *service, const struct cfc_step_item *item, const char *path,
             struct cfc_refusal *refusal)
{
    const struct cfc_settings *size =
        cfc_settings_inherited(&service->catalog, path, CFC_SETTING_DOCUMENT_SIZE);
    const struct cfc_settings *keys =
        cfc_settings_inherited(&service->catalog, path, CFC_SETTING_DOCUMENT_KEYS);

    if (size != NULL && size->document_size_max != 0 && item->meta.size > size->document_size_max) {
        return refuse_limit(refusal, CONFCAST_ERR_DOCUMENT_SIZE, "bytes", item->meta.size,
                            size->document_size_max);
    }
    if (keys != NULL && keys->document_keys_max != 0 && item->key_count > keys->document_keys_max) {
        return refuse_limit(refusal, CONFCAST_ERR_KEYS, "values", item->key_count,
                            keys->document_keys_max);
    }
    return CONFCAST_OK;
}

/* Scopes of the same tenant that items before this one make known. */
static uint64_t
new_scopes_before(const struct cfc_step *step, const struct cfc_step_item *item)
{
    const char *path = item->order->put.scope;
    size_t tenant = strcspn(path, "/") + 1; /* with what ends the segment */
    uint64_t count = 0;

    for (const struct cfc_step_item *other = step->items; other < item; other++) {
        const char *other_path = cfc_batch_item_scope(other->order);

        count += other->order->kind == CFC_BATCH_PUT && !other->scope->is_known &&
                 strcspn(other_path, "/") + 1 == tenant &&
                 memcmp(other_path, path, tenant - 1) == 0;
    }
    return count;
}

/* Guards, and the next revision's number. */
static int
begin_write(struct cfc_service *service, const struct cfc_step *step, struct cfc_step_item *item,
            struct cfc_refusal *refusal)
{
    const struct cfc_put *put = &item->order->put;
    bool is_delete = item->order->kind == CFC_BATCH_DELETE;

    if (is_delete && cfc_catalog_find_known(&service->catalog, put->scope) == NULL) {
        return CONFCAST_ERR_NOT_FOUND;
    }
    if (cfc_catalog_find_known(&service->catalog, put->scope) == NULL) {
        /* Before there is an entry: what is refused leaves nothing behind. */
        int error = cfc_service_check_scope_count(service, put->scope,
                                                  new_scopes_before(step, item), refusal);

        if (error != CONFCAST_OK) {
            return error;
        }
    }
    item->scope = cfc_catalog_ensure(&service->catalog, put->scope);
    if (item->scope == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    if (!is_expected(item->scope, put)) {
        refuse_revision(service, item->scope, refusal);
        return CONFCAST_ERR_CONFLICT;
    }
    if (item->scope->latest_revision >= REVISION_MAX) {
        return CONFCAST_ERR_LIMIT;
    }
    if (is_delete && (item->scope->latest_revision == 0 || item->scope->is_deleted)) {
        return CONFCAST_ERR_NOT_FOUND;
    }
    if (!item->scope->is_known) {
        int error = cfc_service_check_scope_id(service, item->scope);

        if (error != CONFCAST_OK) {
            return error;
        }
    }
    if (!is_delete) {
        int error = check_limits(service, item, put->scope, refusal);

        if (error != CONFCAST_OK) {
            return error;
        }
    }
    item->meta.revision = item->scope->latest_revision + 1;
    item->meta.unix_ns = step->change.change->unix_ns;
    cfc_text_copy(item->meta.author, sizeof(item->meta.author), step->change.author);
    cfc_text_copy(item->meta.message, sizeof(item->meta.message), step->change.message);
    return CONFCAST_OK;
}

/* What ends with a definition: the release of it. */
static int
begin_delete(struct cfc_service *service, const struct cfc_step *step, struct cfc_step_item *item,
             struct cfc_refusal *refusal)
{
    struct cfc_release_request request = {.action = CFC_ACTION_DELETE,
                                          .unix_ns = step->change.change->unix_ns};
    enum cfc_release_state state = item->scope->release.state;

    if (state == CFC_RELEASE_EMPTY || state == CFC_RELEASE_DELETED) {
        return CONFCAST_OK;
    }
    item->has_release = true;
    return cfc_release_change_begin(service, item->scope, &request, step->change.change->unix_ns,
                                    &item->release, refusal);
}

/* The definition that the step writes for a scope, before this item. */
static const struct cfc_step_item *
find_write(const struct cfc_step *step, const struct cfc_step_item *before, const char *path)
{
    for (const struct cfc_step_item *item = step->items; item < before; item++) {
        if (item->order->kind == CFC_BATCH_PUT && strcmp(item->order->put.scope, path) == 0) {
            return item;
        }
    }
    return NULL;
}

static int
begin_release(struct cfc_service *service, const struct cfc_step *step, struct cfc_step_item *item,
              struct cfc_refusal *refusal)
{
    struct cfc_release_order order = item->order->order;
    const struct cfc_step_item *write = find_write(step, item, order.scope);
    int error = CONFCAST_OK;

    order.is_pending = false;
    if (write != NULL) {
        item->scope = write->scope;
        order.is_pending = order.action == CFC_ACTION_PROMOTE &&
                           (order.revision == 0 || order.revision == write->meta.revision);
        order.revision = order.is_pending ? write->meta.revision : order.revision;
    } else {
        error = cfc_service_find(service, order.scope, &item->scope);
    }
    if (error != CONFCAST_OK) {
        return error;
    }
    item->has_release = true;
    return cfc_release_order_begin(service, item->scope, &order, step->change.change->unix_ns,
                                   &item->release, refusal);
}

int
cfc_step_begin(struct cfc_service *service, struct cfc_step *step, size_t *failed,
               struct cfc_refusal *refusal)
{
    int error = CONFCAST_OK;

    *failed = step->count;
    for (size_t i = 0; error == CONFCAST_OK && i < step->count; i++) {
        struct cfc_step_item *item = &step->items[i];

        if (item->order->kind == CFC_BATCH_RELEASE) {
            error = begin_release(service, step, item, refusal);
        } else {
            error = begin_write(service, step, item, refusal);
        }
        if (error == CONFCAST_OK && item->order->kind == CFC_BATCH_DELETE) {
            error = begin_delete(service, step, item, refusal);
        }
        *failed = error != CONFCAST_OK ? i : step->count;
    }
    return error;
}

/* ---- Deciding ---------------------------------------------------------------------------------
 */

int
cfc_step_decide(struct cfc_service *service, struct cfc_step *step, struct cfc_recipe *put_off,
                struct cfc_refusal *refusal)
{
    struct cfc_scope *new_scopes[CFC_BATCH_ITEM_COUNT_MAX];
    struct cfc_impact_request request = {.new_scopes = new_scopes, .put_off = put_off};
    int error;

    for (size_t i = 0; i < step->count; i++) {
        struct cfc_step_item *item = &step->items[i];

        if (item->order->kind != CFC_BATCH_RELEASE && !item->scope->is_known) {
            new_scopes[request.new_count++] = item->scope;
        }
        if (item->root != NULL) {
            item->pending = (struct cfc_pending_doc){.scope = item->scope,
                                                     .revision = item->meta.revision,
                                                     .root = item->root,
                                                     .digest = &item->meta.digest,
                                                     .size = item->meta.size,
                                                     .next = request.pending};
            request.pending = &item->pending;
        }
        if (item->has_release) {
            item->what_if = (struct cfc_what_if){
                .scope = item->scope, .release = &item->release.release, .next = request.what_if};
            request.what_if = &item->what_if;
        }
    }
    error = cfc_impact_compute(service, &request, &step->impact, refusal);
    step->is_decided = error == CONFCAST_OK;
    if (error == CONFCAST_ERR_STATE && step->count == 1) {
        cfc_refusal_release(refusal, step->items[0].scope);
    }
    return error;
}

/* ---- Committing -------------------------------------------------------------------------------
 */

static const char *
action_of(const struct cfc_step_item *item)
{
    switch (item->order->kind) {
    case CFC_BATCH_PUT:
        return "put";
    case CFC_BATCH_DELETE:
        return "delete";
    case CFC_BATCH_RELEASE:
        break;
    }
    return cfc_release_action_word(item->order->order.action);
}

static uint64_t
audited_revision(const struct cfc_step_item *item)
{
    return item->order->kind != CFC_BATCH_RELEASE ? item->meta.revision
                                                  : cfc_release_subject(&item->release.release);
}

/* An entry per item; the answer is kept once. */
static void
add_audit(struct cfc_service *service, const struct cfc_step *step, struct cfc_store_batch *batch,
          json_t *answer)
{
    for (size_t i = 0; i < step->count; i++) {
        const struct cfc_step_item *item = &step->items[i];

        if (i == 0) {
            cfc_change_record(service, &step->change, batch, action_of(item), item->scope->path,
                              audited_revision(item), answer);
        } else {
            cfc_audit_add(service, &step->change, batch, action_of(item), item->scope->path,
                          audited_revision(item));
        }
    }
}

static void
keep_released(const struct cfc_release *release, uint64_t kept[3])
{
    kept[0] = release->active_revision;
    kept[1] = release->previous_revision;
    kept[2] = release->candidate_revision;
}

/* Lets go of what the settings do not ask to keep, as far as no release needs it. */
static int
retire(struct cfc_service *service, struct cfc_step *step, struct cfc_store_batch *batch,
       const struct cfc_step_item *item)
{
    const struct cfc_settings *settings =
        cfc_settings_inherited(&service->catalog, item->scope->path, CFC_SETTING_RETENTION);
    uint64_t kept[6] = {0};
    uint64_t count = settings != NULL ? settings->retained_revisions : 0;

    if (count == 0 || item->meta.revision <= count ||
        step->retired.blob_count == CFC_RETIRE_COUNT_MAX) {
        return CONFCAST_OK;
    }
    keep_released(&item->scope->release, kept);
    for (size_t i = 0; i < step->count; i++) {
        if (step->items[i].has_release && step->items[i].scope == item->scope) {
            keep_released(&step->items[i].release.release, kept + 3);
        }
    }
    return cfc_definition_retire(service->store, batch, item->scope->path,
                                 item->meta.revision - count + 1, kept,
                                 sizeof(kept) / sizeof(kept[0]), &step->retired);
}

static int
add_items(struct cfc_service *service, struct cfc_step *step, struct cfc_store_batch *batch)
{
    size_t inline_size = 0;
    int error = CONFCAST_OK;

    for (size_t i = 0; error == CONFCAST_OK && i < step->count; i++) {
        struct cfc_step_item *item = &step->items[i];

        if (item->order->kind != CFC_BATCH_RELEASE) {
            bool is_inline = inline_size + item->meta.size <= CFC_DEFINITION_INLINE_MAX;

            inline_size += is_inline ? item->meta.size : 0;
            error = cfc_service_add_scope(service, batch, item->scope, item->meta.revision,
                                          item->text == NULL);
            if (error == CONFCAST_OK) {
                error = cfc_definition_add(service->store, batch, item->scope->path, &item->meta,
                                           item->text, is_inline);
            }
            if (error == CONFCAST_OK) {
                error = retire(service, step, batch, item);
            }
        }
        if (item->has_release) {
            cfc_release_change_add(&item->release, &step->change, batch);
        }
    }
    return error;
}

static bool
is_affected(const struct cfc_impact *impact, struct cfc_scope *scope)
{
    return impact->count > 0 &&
           bsearch(&scope, impact->affected, impact->count, sizeof(struct cfc_scope *),
                   cfc_scope_compare_paths) != NULL;
}

/* Memory follows: releases first, since new scopes are decided for by them. */
static void
committed(struct cfc_service *service, struct cfc_step *step, uint64_t seq)
{
    for (size_t i = 0; i < step->count; i++) {
        if (step->items[i].has_release) {
            cfc_release_change_committed(service, &step->items[i].release, seq);
        }
    }
    for (size_t i = 0; i < step->count; i++) {
        const struct cfc_step_item *item = &step->items[i];

        if (item->order->kind != CFC_BATCH_RELEASE) {
            cfc_service_scope_committed(service, item->scope, seq, item->meta.revision,
                                        item->text == NULL,
                                        is_affected(&step->impact, item->scope));
        }
    }
    cfc_impact_install(service, &step->impact, seq);
}

int
cfc_step_commit(struct cfc_service *service, struct cfc_step *step, json_t *answer, uint64_t *seq)
{
    bool has_release = step->items[step->count - 1].has_release;
    struct cfc_store_batch batch;
    int error;

    cfc_store_batch_init(&batch);
    error = add_items(service, step, &batch);
    if (error == CONFCAST_OK) {
        cfc_impact_record(&step->impact, &batch);
        add_audit(service, step, &batch, answer);
        cfc_store_crash_point(has_release ? "release:prepared" : "revision:prepared");
        error = cfc_service_commit(service, &batch, seq);
    } else {
        json_decref(answer);
    }
    cfc_store_batch_clear(&batch);
    if (error != CONFCAST_OK) {
        return error;
    }
    if (has_release) {
        cfc_store_crash_point("release:committed");
    }
    committed(service, step, *seq);
    cfc_definition_delete_blobs(service->store, &step->retired);
    return CONFCAST_OK;
}
