#include "controlplane/model/preview.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/model/service_internal.h"
#include "protocol/base/limits.h"
#include "protocol/snapshot/body.h"
#include "protocol/snapshot/text.h"

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

/* ---- Comparing ----------------------------------------------------------------------------------
 * Two bodies are walked side by side: their keys are in one order, and equal values have equal
 * bytes.
 */

struct side {
    struct cfc_iter iter;
    struct cfc_child child;
    bool has_child;
};

struct level {
    struct side before;
    struct side after;
    size_t end; /* of the pointer to these objects */
};

struct comparison {
    struct level levels[CFC_DEPTH_MAX];
    size_t depth;
    char pointer[CFC_POINTER_SIZE_MAX + 1]; /* cut when it is longer */
    uint64_t added;
    uint64_t changed;
    uint64_t removed;
    json_t *keys;
    bool is_short_of_memory;
};

static void
step(struct side *side)
{
    side->has_child = cfc_iter_next(&side->iter, &side->child);
}

/* NULL is an empty object. */
static void
open_side(struct side *side, const struct cfc_value *object)
{
    side->has_child = false;
    if (object != NULL) {
        side->iter = cfc_iter_of(object);
        step(side);
    }
}

static void
open_level(struct comparison *c, const struct cfc_value *before, const struct cfc_value *after,
           size_t end)
{
    struct level *level = &c->levels[c->depth++];

    open_side(&level->before, before);
    open_side(&level->after, after);
    level->end = end;
}

/* Appends a key to the pointer after `end`; its new end. */
static size_t
append(struct comparison *c, size_t end, const struct cfc_child *child)
{
    if (end < CFC_POINTER_SIZE_MAX) {
        c->pointer[end++] = '/';
    }
    for (size_t i = 0; i < child->key_size && end + 1 < CFC_POINTER_SIZE_MAX; i++) {
        char byte = child->key[i];

        if (byte == '~' || byte == '/') {
            c->pointer[end++] = '~';
            byte = byte == '~' ? '0' : '1';
        }
        c->pointer[end++] = byte;
    }
    c->pointer[end] = '\0';
    return end;
}

static void
note(struct comparison *c, uint64_t *counter, const char *what)
{
    json_t *key;

    (*counter)++;
    if (json_array_size(c->keys) >= CFC_PREVIEW_KEY_COUNT_MAX) {
        return;
    }
    /* A pointer that was cut may end inside of a character. */
    key = json_pack("{ss ss}", "change", what, "key",
                    cfc_utf8_is_valid(c->pointer, strlen(c->pointer)) ? c->pointer : "...");
    if (json_array_append_new(c->keys, key) != 0) {
        c->is_short_of_memory = true;
    }
}

/* One key that both sides have. */
static void
compare_values(struct comparison *c, struct level *level)
{
    const struct cfc_value *before = level->before.child.value;
    const struct cfc_value *after = level->after.child.value;
    size_t size = cfc_value_size(before);
    size_t end;

    if (size == cfc_value_size(after) && memcmp(before, after, size) == 0) {
        return;
    }
    end = append(c, level->end, &level->after.child);
    if (cfc_value_type(before) == CFC_TYPE_OBJECT && cfc_value_type(after) == CFC_TYPE_OBJECT) {
        open_level(c, before, after, end);
    } else {
        note(c, &c->changed, "changed");
    }
}

static void
compare_next(struct comparison *c)
{
    struct level *level = &c->levels[c->depth - 1];
    struct side *before = &level->before;
    struct side *after = &level->after;
    int order;

    if (!before->has_child && !after->has_child) {
        c->depth--;
        return;
    }
    order = !before->has_child  ? 1
            : !after->has_child ? -1
                                : cfc_utf16_compare(before->child.key, before->child.key_size,
                                                    after->child.key, after->child.key_size);
    if (order == 0) {
        compare_values(c, level); /* may open a level: this one goes on below */
    } else if (order < 0) {
        append(c, level->end, &before->child);
        note(c, &c->removed, "removed");
    } else {
        append(c, level->end, &after->child);
        note(c, &c->added, "added");
    }
    if (order <= 0) {
        step(before);
    }
    if (order >= 0) {
        step(after);
    }
}

static json_t *
item_json(const struct cfc_preview_item *item)
{
    const struct cfc_value *before =
        item->before != NULL ? cfc_body_root(item->before->body) : NULL;
    struct comparison *c = calloc(1, sizeof(*c));
    json_t *json = NULL;

    if (c == NULL) {
        return NULL;
    }
    c->keys = json_array();
    open_level(c, before, cfc_body_root(item->after->body), 0);
    while (c->depth > 0) {
        compare_next(c);
    }
    if (!c->is_short_of_memory) {
        json = json_pack("{ss sI sI sI sI sI sI sO}", "scope", item->scope, "consumers",
                         (json_int_t)item->consumers, "bytes_before",
                         (json_int_t)(item->before != NULL ? item->before->body_size : 0),
                         "bytes_after", (json_int_t)item->after->body_size, "added",
                         (json_int_t)c->added, "changed", (json_int_t)c->changed, "removed",
                         (json_int_t)c->removed, "keys", c->keys);
    }
    json_decref(c->keys);
    free(c);
    return json;
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
