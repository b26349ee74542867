#include "controlplane/model/preview.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/model/service_internal.h"
#include "protocol/snapshot/body.h"
#include "protocol/snapshot/diff.h"

/* ---- Collecting -------------------------------------------------------------------------------
 */

static bool
is_same(const struct cfc_config_body *a, const struct cfc_config_body *b)
{
    return a != NULL && b != NULL && cfc_digest_equal(&a->id, &b->id);
}

static struct cfc_config_body *
stable_of(const struct cfc_decision *decision)
{
    const struct cfc_decision_arm *last = &decision->arms[decision->arm_count - 1];

    return last->is_candidate && last->fallback != NULL ? last->fallback : last->content;
}

/* The contents to compare: those of the same arm where a rollout goes on, and else what consumers
 * leave and what they come to. */
static void
pair(const struct cfc_decision *now, const struct cfc_decision *next,
     struct cfc_config_body **before, struct cfc_config_body **after)
{
    bool was_rolling = now != NULL && now->arms[0].is_candidate;
    bool is_rolling = next->arms[0].is_candidate;

    *before = now != NULL ? stable_of(now) : NULL;
    *after = is_rolling && !was_rolling ? next->arms[0].content : stable_of(next);
    if (was_rolling && is_same(*before, *after)) {
        *before = now->arms[0].content;
        *after = next->arms[0].content;
    }
    if (was_rolling && is_rolling && is_same(*before, *after)) {
        *before = stable_of(now);
    }
}

static bool
is_held(const struct cfc_decision *now, const struct cfc_config_body *body)
{
    for (uint32_t i = 0; now != NULL && i < now->arm_count; i++) {
        if (is_same(now->arms[i].content, body) || is_same(now->arms[i].fallback, body)) {
            return true;
        }
    }
    return false;
}

static int
compare_ids(const void *a, const void *b)
{
    const struct cfc_config_body *const *x = a;
    const struct cfc_config_body *const *y = b;

    return memcmp((*x)->id.bytes, (*y)->id.bytes, sizeof((*x)->id.bytes));
}

/* Contents that are new to a scope, each once. */
static int
count_contents(const struct cfc_impact *impact, struct cfc_preview *preview)
{
    const struct cfc_config_body **bodies =
        calloc((size_t)impact->count * CFC_ARM_COUNT_MAX + 1, sizeof(*bodies));
    size_t count = 0;

    if (bodies == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < impact->count; i++) {
        for (uint32_t k = 0; k < impact->decisions[i]->arm_count; k++) {
            const struct cfc_config_body *body = impact->decisions[i]->arms[k].content;

            if (!is_held(impact->affected[i]->decision, body)) {
                bodies[count++] = body;
            }
        }
    }
    qsort(bodies, count, sizeof(*bodies), compare_ids);
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || compare_ids(&bodies[i - 1], &bodies[i]) != 0) {
            preview->content_count++;
            preview->bytes += bodies[i]->body_size;
        }
    }
    free(bodies);
    return CONFCAST_OK;
}

int
cfc_preview_collect(const struct cfc_impact *impact, struct cfc_preview *preview)
{
    size_t count =
        impact->count < CFC_PREVIEW_SCOPE_COUNT_MAX ? impact->count : CFC_PREVIEW_SCOPE_COUNT_MAX;

    memset(preview, 0, sizeof(*preview));
    preview->items = calloc(count + 1, sizeof(*preview->items));
    if (preview->items == NULL || count_contents(impact, preview) != CONFCAST_OK) {
        cfc_preview_free(preview);
        return CONFCAST_ERR_NO_MEMORY;
    }
    preview->scope_count = impact->count;
    for (uint32_t i = 0; i < impact->count; i++) {
        preview->consumers += impact->affected[i]->apply.counts.total;
    }
    for (; preview->count < count; preview->count++) {
        struct cfc_preview_item *item = &preview->items[preview->count];
        const struct cfc_scope *scope = impact->affected[preview->count];

        snprintf(item->scope, sizeof(item->scope), "%s", scope->path);
        item->consumers = scope->apply.counts.total;
        pair(scope->decision, impact->decisions[preview->count], &item->before, &item->after);
        cfc_config_body_ref(item->after);
        if (item->before != NULL) {
            cfc_config_body_ref(item->before);
        }
    }
    return CONFCAST_OK;
}

void
cfc_preview_free(struct cfc_preview *preview)
{
    for (size_t i = 0; preview->items != NULL && i < preview->count; i++) {
        cfc_config_body_unref(preview->items[i].before);
        cfc_config_body_unref(preview->items[i].after);
    }
    free(preview->items);
    memset(preview, 0, sizeof(*preview));
}

/* ---- Comparing ---------------------------------------------------------------------------------
 */

static const char *
word_for(enum cfc_diff_kind kind)
{
    return kind == CFC_DIFF_ADDED ? "added" : kind == CFC_DIFF_REMOVED ? "removed" : "changed";
}

/* NULL without memory. */
static json_t *
item_json(const struct cfc_preview_item *item)
{
    const struct cfc_value *before =
        item->before != NULL ? cfc_body_root(item->before->body) : NULL;
    struct cfc_diff *diff = malloc(sizeof(*diff));
    json_int_t counts[CFC_DIFF_CHANGED + 1] = {0};
    struct cfc_diff_item found;
    json_t *keys;
    bool is_whole = true;

    if (diff == NULL) {
        return NULL;
    }
    keys = json_array();
    cfc_diff_begin(diff, before, cfc_body_root(item->after->body));
    while (cfc_diff_next(diff, &found)) {
        if (counts[CFC_DIFF_ADDED] + counts[CFC_DIFF_REMOVED] + counts[CFC_DIFF_CHANGED] <
            CFC_PREVIEW_KEY_COUNT_MAX) {
            is_whole =
                json_array_append_new(keys, json_pack("{ss ss}", "change", word_for(found.kind),
                                                      "key", found.pointer)) == 0 &&
                is_whole;
        }
        counts[found.kind]++;
    }
    free(diff);
    if (!is_whole) {
        json_decref(keys);
        return NULL;
    }
    return json_pack(
        "{ss sI sI sI sI sI sI so}", "scope", item->scope, "consumers", (json_int_t)item->consumers,
        "bytes_before", (json_int_t)(item->before != NULL ? item->before->body_size : 0),
        "bytes_after", (json_int_t)item->after->body_size, "added", counts[CFC_DIFF_ADDED],
        "changed", counts[CFC_DIFF_CHANGED], "removed", counts[CFC_DIFF_REMOVED], "keys", keys);
}

json_t *
cfc_preview_json(const struct cfc_preview *preview)
{
    json_t *affected = json_array();

    for (size_t i = 0; i < preview->count; i++) {
        if (json_array_append_new(affected, item_json(&preview->items[i])) != 0) {
            json_decref(affected);
            return NULL;
        }
    }
    return json_pack("{so sI sI sI sI}", "affected", affected, "bytes", (json_int_t)preview->bytes,
                     "consumers", (json_int_t)preview->consumers, "contents",
                     (json_int_t)preview->content_count, "scopes",
                     (json_int_t)preview->scope_count);
}
