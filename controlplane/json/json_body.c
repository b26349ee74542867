#include "controlplane/json/json_body.h"

#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "protocol/base/buffer.h"
#include "protocol/base/heap.h"
#include "protocol/base/limits.h"
#include "protocol/snapshot/body.h"
#include "protocol/snapshot/index.h"
#include "protocol/snapshot/json_write.h"
#include "protocol/snapshot/text.h"

struct member {
    const char *key;
    size_t key_size;
    json_t *value;
};

/* One open container of the tree. */
struct level {
    const json_t *array;    /* NULL in an object */
    struct member *members; /* sorted; owned; NULL in an array or an empty object */
    size_t count;
    size_t idx; /* next child */
};

static int
compare_members(const void *a, const void *b)
{
    const struct member *x = a;
    const struct member *y = b;

    return cfc_utf16_compare(x->key, x->key_size, y->key, y->key_size);
}

static int
open_object(struct level *level, const json_t *object)
{
    json_t *mutable = (json_t *)(uintptr_t)object;
    size_t i = 0;

    *level = (struct level){.count = json_object_size(object)};
    if (level->count == 0) {
        return CONFCAST_OK;
    }
    level->members = malloc(level->count * sizeof(*level->members));
    if (level->members == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    for (void *iter = json_object_iter(mutable); iter != NULL;
         iter = json_object_iter_next(mutable, iter)) {
        level->members[i++] = (struct member){.key = json_object_iter_key(iter),
                                              .key_size = json_object_iter_key_len(iter),
                                              .value = json_object_iter_value(iter)};
    }
    qsort(level->members, level->count, sizeof(*level->members), compare_members);
    return CONFCAST_OK;
}

static int
write_scalar(struct cfc_body_writer *w, const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_NULL:
        return cfc_body_null(w);
    case JSON_TRUE:
        return cfc_body_bool(w, true);
    case JSON_FALSE:
        return cfc_body_bool(w, false);
    case JSON_INTEGER:
        return cfc_body_i64(w, json_integer_value(value));
    case JSON_REAL:
        return cfc_body_f64(w, json_real_value(value));
    case JSON_STRING:
        return cfc_body_string(w, json_string_value(value), json_string_length(value));
    case JSON_OBJECT:
    case JSON_ARRAY:
        break;
    }
    return CONFCAST_ERR_INTERNAL;
}

/* Begins a container and opens a level for it. */
static int
begin(struct cfc_body_writer *w, struct level *levels, size_t *depth, const json_t *container)
{
    struct level *level = &levels[*depth];
    int error;

    if (*depth == CFC_DEPTH_MAX) {
        return CONFCAST_ERR_DEPTH;
    }
    if (json_is_array(container)) {
        *level = (struct level){.array = container, .count = json_array_size(container)};
        error = cfc_body_begin_array(w);
    } else {
        error = open_object(level, container);
        if (error == CONFCAST_OK) {
            error = cfc_body_begin_object(w);
        }
    }
    (*depth)++;
    return error;
}

static int
write_tree(struct cfc_body_writer *w, struct level *levels, size_t *depth, const json_t *root)
{
    int error = json_is_object(root) ? begin(w, levels, depth, root) : CONFCAST_ERR_INVALID;

    while (error == CONFCAST_OK && *depth > 0) {
        struct level *level = &levels[*depth - 1];
        const json_t *value;

        if (level->idx == level->count) {
            free(level->members);
            level->members = NULL;
            (*depth)--;
            error = cfc_body_end(w);
            continue;
        }
        if (level->array != NULL) {
            value = json_array_get(level->array, level->idx++);
        } else {
            const struct member *member = &level->members[level->idx++];

            value = member->value;
            error = cfc_body_key(w, member->key, member->key_size);
        }
        if (error != CONFCAST_OK) {
            break;
        }
        if (json_is_object(value) || json_is_array(value)) {
            error = begin(w, levels, depth, value);
        } else {
            error = write_scalar(w, value);
        }
    }
    return error;
}

int
cfc_json_to_body(const json_t *root, uint8_t **body, size_t *body_size)
{
    struct level levels[CFC_DEPTH_MAX] = {0};
    struct cfc_body_writer w;
    size_t depth = 0;
    int error;

    *body = NULL;
    *body_size = 0;
    cfc_body_writer_init(&w, &cfc_heap);
    error = write_tree(&w, levels, &depth, root);
    for (size_t i = 0; i < depth; i++) {
        free(levels[i].members);
    }
    if (error == CONFCAST_OK) {
        error = cfc_body_finish(&w, body, body_size);
    }
    cfc_body_writer_free(&w);
    return error;
}

int
cfc_json_body_to_text(const uint8_t *body, size_t body_size, char **text, size_t *size)
{
    struct cfc_buffer out;
    int error = cfc_body_validate(body, body_size);

    *text = NULL;
    *size = 0;
    if (error != CONFCAST_OK) {
        return CONFCAST_ERR_BODY;
    }
    /* The text of a body is at most 6 times as long: a control character becomes \u00xx. */
    cfc_buffer_init(&out, &cfc_heap, (size_t)CFC_BODY_SIZE_MAX * 6 + 1);
    error = cfc_json_write(&out, cfc_body_root(body));
    if (error == CONFCAST_OK) {
        error = cfc_buffer_add(&out, "", 1);
    }
    if (error != CONFCAST_OK) {
        cfc_buffer_free(&out);
        return error;
    }
    *text = (char *)cfc_buffer_take(&out, size);
    (*size)--;
    return CONFCAST_OK;
}

int
cfc_json_to_text(const json_t *root, char **text, size_t *size)
{
    uint8_t *body;
    size_t body_size;
    int error = cfc_json_to_body(root, &body, &body_size);

    *text = NULL;
    *size = 0;
    if (error != CONFCAST_OK) {
        return error;
    }
    error = cfc_json_body_to_text(body, body_size, text, size);
    free(body);
    return error;
}
