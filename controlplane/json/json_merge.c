#include "controlplane/json/json_merge.h"

#include <string.h>

#include "confcast/error.h"
#include "protocol/base/limits.h"

/* One object of the patch that is being walked, and the object of the target that it falls on. */
struct level {
    json_t *target;
    json_t *patch;
    void *iter; /* next member of the patch */
};

/* The patch is never changed, but jansson's iteration wants it mutable. */
static json_t *
unconst(const json_t *json)
{
    return (json_t *)(uintptr_t)json;
}

/* The target's member as an object to merge into: what is there, or a new one. */
static json_t *
object_member(json_t *target, const char *key, size_t key_size)
{
    json_t *member = json_object_getn(target, key, key_size);
    json_t *made;

    if (json_is_object(member)) {
        return member;
    }
    made = json_object();
    if (made == NULL || json_object_setn_new_nocheck(target, key, key_size, made) != 0) {
        return NULL;
    }
    return made;
}

static int
set_copy(json_t *target, const char *key, size_t key_size, const json_t *value)
{
    json_t *copy = json_deep_copy(value);

    if (copy == NULL || json_object_setn_new_nocheck(target, key, key_size, copy) != 0) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    return CONFCAST_OK;
}

static int
merge_objects(json_t *target, json_t *patch)
{
    struct level levels[CFC_DEPTH_MAX];
    size_t depth = 1;

    levels[0] = (struct level){.target = target, .patch = patch, .iter = json_object_iter(patch)};
    while (depth > 0) {
        struct level *level = &levels[depth - 1];
        const char *key;
        size_t key_size;
        json_t *value;

        if (level->iter == NULL) {
            depth--;
            continue;
        }
        key = json_object_iter_key(level->iter);
        key_size = json_object_iter_key_len(level->iter);
        value = json_object_iter_value(level->iter);
        level->iter = json_object_iter_next(level->patch, level->iter);
        if (json_is_null(value)) {
            json_object_deln(level->target, key, key_size);
        } else if (json_is_object(value)) {
            json_t *member = object_member(level->target, key, key_size);

            if (member == NULL) {
                return CONFCAST_ERR_NO_MEMORY;
            }
            if (depth == CFC_DEPTH_MAX) {
                return CONFCAST_ERR_DEPTH;
            }
            levels[depth++] =
                (struct level){.target = member, .patch = value, .iter = json_object_iter(value)};
        } else if (set_copy(level->target, key, key_size, value) != CONFCAST_OK) {
            return CONFCAST_ERR_NO_MEMORY;
        }
    }
    return CONFCAST_OK;
}

int
cfc_json_merge_patch(json_t **target, const json_t *patch)
{
    json_t *replaced = NULL;

    if (!json_is_object(patch)) {
        replaced = json_deep_copy(patch);
    } else if (!json_is_object(*target)) {
        replaced = json_object();
    }
    if (replaced == NULL && (!json_is_object(patch) || !json_is_object(*target))) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    if (replaced != NULL) {
        json_decref(*target);
        *target = replaced;
    }
    return json_is_object(patch) ? merge_objects(*target, unconst(patch)) : CONFCAST_OK;
}

/* ---- Nulls ------------------------------------------------------------------------------------
 */

/* Writes the pointer of the member that each level stands at. */
static void
name_path(const struct level *levels, size_t depth, char *text, size_t capacity)
{
    size_t size = 0;

    for (size_t i = 0; i < depth; i++) {
        const char *key = json_object_iter_key(levels[i].iter);
        size_t key_size = json_object_iter_key_len(levels[i].iter);

        if (size + 2 * key_size + 2 > capacity) {
            memcpy(text, "...", sizeof("..."));
            return;
        }
        text[size++] = '/';
        for (size_t k = 0; k < key_size; k++) {
            if (key[k] == '~' || key[k] == '/') {
                text[size++] = '~';
                text[size++] = key[k] == '~' ? '0' : '1';
            } else {
                text[size++] = key[k];
            }
        }
    }
    text[size] = '\0';
}

void
cfc_json_find_nulls(const json_t *patch, struct cfc_json_nulls *nulls)
{
    struct level levels[CFC_DEPTH_MAX];
    size_t depth = json_is_object(patch) ? 1 : 0;

    memset(nulls, 0, sizeof(*nulls));
    levels[0] = (struct level){.patch = unconst(patch), .iter = json_object_iter(unconst(patch))};
    while (depth > 0) {
        struct level *level = &levels[depth - 1];
        json_t *value;

        if (level->iter == NULL) {
            depth--;
            if (depth > 0) {
                level--;
                level->iter = json_object_iter_next(level->patch, level->iter);
            }
            continue;
        }
        value = json_object_iter_value(level->iter);
        if (json_is_object(value) && depth < CFC_DEPTH_MAX) {
            levels[depth++] = (struct level){.patch = value, .iter = json_object_iter(value)};
            continue;
        }
        if (json_is_null(value) && nulls->count++ == 0) {
            name_path(levels, depth, nulls->first, sizeof(nulls->first));
        }
        level->iter = json_object_iter_next(level->patch, level->iter);
    }
}
