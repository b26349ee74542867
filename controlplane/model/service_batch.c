/* put, delete, release and batch: each is one step (step.h). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/model/step.h"
#include "controlplane/model/validate.h"
#include "protocol/base/text_copy.h"

const char *
cfc_batch_item_scope(const struct cfc_batch_item *item)
{
    return item->kind == CFC_BATCH_RELEASE ? item->order.scope : item->put.scope;
}

/* One line that names an item's order, its document by its digest. */
static void
name_item(FILE *out, const struct cfc_step_item *item)
{
    const struct cfc_batch_item *order = item->order;
    char digest[65];

    fprintf(out, "%d %s ", (int)order->kind, cfc_batch_item_scope(order));
    if (order->kind == CFC_BATCH_RELEASE) {
        cfc_release_order_name(out, &order->order);
    } else {
        cfc_digest_to_hex(&item->meta.digest, digest);
        fprintf(out, "%d %llu %s", (int)order->put.has_expected_revision,
                (unsigned long long)order->put.expected_revision, digest);
    }
    fputc('\n', out);
}

static int
begin_change(struct cfc_step *step, const struct cfc_change *change)
{
    const char *parts[] = {"step", change->message != NULL ? change->message : "", NULL};
    char *text = NULL;
    size_t size = 0;
    FILE *out;
    int error = CONFCAST_ERR_NO_MEMORY;

    if (change->idempotency_key == NULL) {
        return cfc_change_begin(&step->change, change, parts, "", 0);
    }
    out = open_memstream(&text, &size);
    if (out == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < step->count; i++) {
        name_item(out, &step->items[i]);
    }
    if (fclose(out) == 0) {
        error = cfc_change_begin(&step->change, change, parts, text, size);
    }
    free(text);
    return error;
}

/* ---- Answers ----------------------------------------------------------------------------------
 */

/* Room for the answers of `count` items, all zero. */
static int
reserve_result(struct cfc_batch_result *result, size_t count)
{
    free(result->items);
    result->items = calloc(count, sizeof(*result->items));
    result->count = result->items != NULL ? count : 0;
    return result->items != NULL ? CONFCAST_OK : CONFCAST_ERR_NO_MEMORY;
}

static int
fill_result(const struct cfc_step *step, struct cfc_batch_result *result)
{
    int error = reserve_result(result, step->count);

    if (error != CONFCAST_OK) {
        return error;
    }
    result->affected_count = step->impact.count;
    for (size_t i = 0; i < step->count; i++) {
        const struct cfc_step_item *item = &step->items[i];
        struct cfc_batch_item_result *out = &result->items[i];

        out->kind = item->order->kind;
        cfc_text_copy(out->scope, sizeof(out->scope), item->scope->path);
        out->revision = item->meta.revision;
        out->digest = item->meta.digest;
        out->nulls = item->nulls;
        out->has_release = item->has_release;
        if (item->has_release) {
            out->release = item->release.release;
        }
    }
    cfc_text_copy(result->author, sizeof(result->author), step->change.author);
    cfc_text_copy(result->message, sizeof(result->message), step->change.message);
    return CONFCAST_OK;
}

static json_t *
answer_item(const struct cfc_batch_item_result *item)
{
    char digest[65];
    json_t *answer;

    cfc_digest_to_hex(&item->digest, digest);
    answer = json_pack("{si ss sI ss}", "kind", (int)item->kind, "scope", item->scope, "revision",
                       (json_int_t)item->revision, "digest", digest);
    if (item->has_release &&
        json_object_set_new(answer, "release", cfc_release_to_json(&item->release, NULL, NULL)) !=
            0) {
        json_decref(answer);
        return NULL;
    }
    return answer;
}

static json_t *
answer_of(const struct cfc_batch_result *result)
{
    json_t *items = json_array();

    for (size_t i = 0; i < result->count; i++) {
        if (json_array_append_new(items, answer_item(&result->items[i])) != 0) {
            json_decref(items);
            return NULL;
        }
    }
    return json_pack("{so sI ss ss}", "items", items, "affected",
                     (json_int_t)result->affected_count, "author", result->author, "message",
                     result->message);
}

static int
read_answer_item(const json_t *answer, struct cfc_batch_item_result *item)
{
    const json_t *release = json_object_get(answer, "release");
    char digest[65];
    uint64_t kind;

    if (!cfc_record_u64(answer, "kind", &kind) || kind > CFC_BATCH_RELEASE ||
        !cfc_record_string(answer, "scope", item->scope, sizeof(item->scope)) ||
        !cfc_record_u64(answer, "revision", &item->revision) ||
        !cfc_record_string(answer, "digest", digest, sizeof(digest)) ||
        !cfc_digest_from_hex(digest, &item->digest)) {
        return CONFCAST_ERR_CORRUPT;
    }
    item->kind = (enum cfc_batch_kind)kind;
    item->has_release = release != NULL;
    return release != NULL ? cfc_release_from_json(release, &item->release, NULL, NULL)
                           : CONFCAST_OK;
}

static int
read_answer(const json_t *answer, uint64_t seq, struct cfc_batch_result *result)
{
    const json_t *items = json_object_get(answer, "items");
    size_t count = json_array_size(items);
    int error;

    result->seq = seq;
    result->is_replay = true;
    if (count == 0 || count > CFC_BATCH_ITEM_COUNT_MAX ||
        !cfc_record_u64(answer, "affected", &result->affected_count) ||
        !cfc_record_string(answer, "author", result->author, sizeof(result->author)) ||
        !cfc_record_string(answer, "message", result->message, sizeof(result->message))) {
        return CONFCAST_ERR_CORRUPT;
    }
    error = reserve_result(result, count);
    for (size_t i = 0; error == CONFCAST_OK && i < result->count; i++) {
        error = read_answer_item(json_array_get(items, i), &result->items[i]);
    }
    return error;
}

/* ---- Steps ------------------------------------------------------------------------------------
 */

/* Under the lock: begin, decide, and what has to be known before a commit. */
static int
prepare(struct cfc_service *service, struct cfc_step *step, struct cfc_recipe *put_off,
        struct cfc_batch_result *result, size_t *failed, struct cfc_refusal *refusal)
{
    json_t *answer;
    uint64_t seq;
    int error = cfc_change_replay(service, &step->change, &answer, &seq);

    *failed = step->count;
    if (error == CONFCAST_OK) {
        error = read_answer(answer, seq, result);
        json_decref(answer);
        /* The same request has the same nulls. */
        for (size_t i = 0; i < result->count && i < step->count; i++) {
            result->items[i].nulls = step->items[i].nulls;
        }
        return error;
    }
    if (error != CONFCAST_ERR_NOT_FOUND) {
        return error;
    }
    error = cfc_step_begin(service, step, failed, refusal);
    if (error == CONFCAST_OK) {
        error = cfc_step_decide(service, step, put_off, refusal);
    }
    if (error == CONFCAST_OK) {
        error = fill_result(step, result);
    }
    return error;
}

static bool
has_action(const struct cfc_step *step, enum cfc_release_action action)
{
    for (size_t i = 0; i < step->count; i++) {
        if (step->items[i].order->kind == CFC_BATCH_RELEASE &&
            step->items[i].order->order.action == action) {
            return true;
        }
    }
    return false;
}

static int
commit(struct cfc_service *service, struct cfc_step *step, struct cfc_batch_result *result,
       struct cfc_refusal *refusal)
{
    json_t *answer = NULL;
    int error;

    if (result->is_replay) {
        return CONFCAST_OK;
    }
    if (step->change.change->is_dry_run) {
        return cfc_preview_collect(&step->impact, &step->preview);
    }
    if (step->change.replay_key.size > 0) {
        answer = answer_of(result);
    }
    error = cfc_step_commit(service, step, answer, &result->seq);
    if (error == CONFCAST_ERR_LIMIT) {
        cfc_refusal_say(refusal, "the batch does not fit into one commit: make it smaller");
    }
    return error;
}

/* Everything up to the commit, under the lock.  Only promotions and their stages are judged: what
 * takes a config back, or away, is never in the way of an operator. */
static int
judge(struct cfc_service *service, struct cfc_step *step, struct cfc_recipe *put_off,
      struct cfc_validation *needed, struct cfc_batch_result *result, size_t *failed,
      struct cfc_refusal *refusal)
{
    int error = prepare(service, step, put_off, result, failed, refusal);

    needed->has_promote = has_action(step, CFC_ACTION_PROMOTE);
    needed->is_advance = has_action(step, CFC_ACTION_ADVANCE);
    if (error != CONFCAST_OK || result->is_replay || !(needed->is_advance || needed->has_promote)) {
        return error;
    }
    return cfc_validate_impact(service, &step->impact, needed, refusal);
}

/* Deadlines and bake times begin with the commit, whatever a change has waited for. */
static void
pass_time(struct cfc_step *step, uint64_t since_ns)
{
    step->later = *step->change.change;
    step->later.unix_ns += cfc_validator_now_ns() - since_ns;
    step->change.change = &step->later;
}

/* Makes what was put off, without the lock, which is held again on success. */
static int
cook(struct cfc_service *service, struct cfc_step *step, const struct cfc_recipe *recipe)
{
    uint64_t begun_ns = cfc_validator_now_ns();
    struct cfc_config_body *body = NULL;
    int error = cfc_service_cook(service, recipe, &body);

    pass_time(step, begun_ns);
    if (error != CONFCAST_OK && error != CONFCAST_ERR_AGAIN) {
        return error;
    }
    error = cfc_service_enter(service);
    if (error != CONFCAST_OK) {
        cfc_config_body_unref(body);
        return error;
    }
    if (body != NULL && cfc_service_serve(service, recipe, &body) == CONFCAST_OK) {
        step->cooked[step->cooked_count++] = body;
    }
    return CONFCAST_OK;
}

/* Takes the lock and judges; whatever is big is made with the lock let go, and then everything else
 * is done once more, until nothing is put off: by then what was made is what is asked for.  The
 * lock is held afterwards if *is_inside. */
static int
enter_and_judge(struct cfc_service *service, struct cfc_step *step, struct cfc_validation *needed,
                struct cfc_batch_result *result, size_t *failed, struct cfc_refusal *refusal,
                bool *is_inside)
{
    struct cfc_recipe recipe = {.count = 0};
    int error = cfc_service_enter(service);

    *is_inside = error == CONFCAST_OK;
    for (uint32_t round = 0; error == CONFCAST_OK; round++) {
        bool may_put_off =
            round < CFC_STEP_COOK_COUNT_MAX && step->cooked_count < CFC_STEP_COOK_COUNT_MAX;

        error = judge(service, step, may_put_off ? &recipe : NULL, needed, result, failed, refusal);
        if (recipe.count == 0) {
            return error;
        }
        cfc_service_leave(service);
        error = cook(service, step, &recipe);
        *is_inside = error == CONFCAST_OK;
        cfc_recipe_free(&recipe);
        cfc_step_reset(step);
        cfc_batch_result_free(result);
    }
    return error;
}

/* The validators run without the lock; then everything is computed once more, and is committed only
 * if they have seen all of it. */
static int
ask_validators(struct cfc_service *service, struct cfc_step *step, struct cfc_validation *done,
               struct cfc_batch_result *result, size_t *failed, struct cfc_refusal *refusal)
{
    struct cfc_validation needed = {.is_override = done->is_override};
    uint64_t begun_ns = cfc_validator_now_ns();
    bool is_inside;
    int error = cfc_validation_run(done, refusal);

    if (error != CONFCAST_OK) {
        return error;
    }
    pass_time(step, begun_ns);
    cfc_step_reset(step);
    cfc_batch_result_free(result);
    error = enter_and_judge(service, step, &needed, result, failed, refusal, &is_inside);
    if (error == CONFCAST_OK && !cfc_validation_covers(done, &needed)) {
        cfc_refusal_say(refusal, "something changed while the validators ran: try again");
        error = CONFCAST_ERR_CONFLICT;
    }
    if (error == CONFCAST_OK) {
        error = commit(service, step, result, refusal);
    }
    if (is_inside) {
        cfc_service_leave(service);
    }
    cfc_validation_free(&needed);
    return error;
}

static int
run(struct cfc_service *service, struct cfc_step *step, struct cfc_batch_result *result,
    size_t *failed, struct cfc_refusal *refusal)
{
    struct cfc_validation needed = {.is_override = step->change.change->is_override};
    bool is_inside;
    int error = enter_and_judge(service, step, &needed, result, failed, refusal, &is_inside);

    if (error == CONFCAST_OK && needed.job_count == 0) {
        error = commit(service, step, result, refusal);
    }
    if (is_inside) {
        cfc_service_leave(service);
    }
    if (error == CONFCAST_OK && needed.job_count > 0) {
        error = ask_validators(service, step, &needed, result, failed, refusal);
    }
    cfc_validation_free(&needed);
    return error;
}

int
cfc_service_batch(struct cfc_service *service, const struct cfc_change *change,
                  const struct cfc_batch_item *items, size_t count, struct cfc_batch_result *result,
                  struct cfc_refusal *refusal)
{
    struct cfc_step step;
    size_t failed;
    int error;

    memset(result, 0, sizeof(*result));
    if (refusal != NULL) {
        memset(refusal, 0, sizeof(*refusal));
    }
    error = cfc_step_read(service, &step, items, count, &failed, refusal);
    if (error == CONFCAST_OK) {
        error = begin_change(&step, change);
    }
    if (error == CONFCAST_OK) {
        error = run(service, &step, result, &failed, refusal);
    }
    if (error == CONFCAST_OK && change->is_dry_run) {
        result->preview = cfc_preview_json(&step.preview);
        error = result->preview != NULL ? CONFCAST_OK : CONFCAST_ERR_NO_MEMORY;
    }
    if (error != CONFCAST_OK && refusal != NULL) {
        refusal->has_item = failed < count;
        refusal->item_idx = failed < count ? failed : 0;
        if (refusal->message[0] == '\0') {
            cfc_refusal_say(refusal, confcast_error_text(error));
        }
    }
    if (error != CONFCAST_OK) {
        cfc_batch_result_free(result);
    }
    cfc_step_free(&step);
    return error;
}

/* ---- Single ones ------------------------------------------------------------------------------
 */

/* One change has no items. */
static void
forget_item(struct cfc_refusal *refusal)
{
    if (refusal != NULL) {
        refusal->has_item = false;
        refusal->item_idx = 0;
    }
}

static int
write_one(struct cfc_service *service, const struct cfc_change *change,
          const struct cfc_batch_item *item, struct cfc_put_result *result,
          struct cfc_refusal *refusal)
{
    struct cfc_batch_result batch;
    int error = cfc_service_batch(service, change, item, 1, &batch, refusal);

    memset(result, 0, sizeof(*result));
    forget_item(refusal);
    if (error == CONFCAST_OK) {
        result->revision = batch.items[0].revision;
        result->digest = batch.items[0].digest;
        result->nulls = batch.items[0].nulls;
        result->seq = batch.seq;
        result->is_replay = batch.is_replay;
        cfc_batch_result_free(&batch);
    }
    return error;
}

int
cfc_service_put(struct cfc_service *service, const struct cfc_change *change,
                const struct cfc_put *put, struct cfc_put_result *result,
                struct cfc_refusal *refusal)
{
    struct cfc_batch_item item = {.kind = CFC_BATCH_PUT, .put = *put};

    return write_one(service, change, &item, result, refusal);
}

int
cfc_service_delete(struct cfc_service *service, const struct cfc_change *change, const char *scope,
                   bool has_expected_revision, uint64_t expected_revision,
                   struct cfc_put_result *result, struct cfc_refusal *refusal)
{
    struct cfc_batch_item item = {.kind = CFC_BATCH_DELETE,
                                  .put = {.scope = scope,
                                          .has_expected_revision = has_expected_revision,
                                          .expected_revision = expected_revision}};

    return write_one(service, change, &item, result, refusal);
}

int
cfc_service_release(struct cfc_service *service, const struct cfc_change *change,
                    const struct cfc_release_order *order, struct cfc_release_view *view,
                    struct cfc_refusal *refusal)
{
    struct cfc_batch_item item = {.kind = CFC_BATCH_RELEASE, .order = *order};
    struct cfc_batch_result batch;
    int error = cfc_service_batch(service, change, &item, 1, &batch, refusal);

    memset(view, 0, sizeof(*view));
    forget_item(refusal);
    if (error == CONFCAST_OK) {
        view->release = batch.items[0].release;
        view->version = batch.seq;
        view->affected_count = batch.affected_count;
        view->is_replay = batch.is_replay;
        view->preview = json_incref(batch.preview);
        memcpy(view->author, batch.author, sizeof(view->author));
        memcpy(view->message, batch.message, sizeof(view->message));
        cfc_batch_result_free(&batch);
    }
    return error;
}

void
cfc_batch_result_free(struct cfc_batch_result *result)
{
    free(result->items);
    json_decref(result->preview);
    memset(result, 0, sizeof(*result));
}
