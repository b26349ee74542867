#include "controlplane/json/json_check.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "protocol/base/heap.h"
#include "protocol/snapshot/index.h"

#define SEED UINT64_C(0x636f6e6663617374) /* any will do: nobody else looks into this index */

struct level {
    json_t *container;
    void *iter; /* next member of an object */
    size_t idx; /* next item of an array */
    size_t end; /* of the pointer to the container */
};

struct check {
    struct cfc_index index;
    struct level levels[CFC_DEPTH_MAX];
    size_t depth;
    uint64_t count; /* values seen */
    char *pointer;
    size_t capacity;
};

static bool
reserve(struct check *check, size_t size)
{
    char *grown;

    if (size <= check->capacity) {
        return true;
    }
    grown = realloc(check->pointer, size * 2);
    if (grown == NULL) {
        return false;
    }
    check->pointer = grown;
    check->capacity = size * 2;
    return true;
}

/* Appends a segment after `end`; the size of the pointer, 0 without memory. */
static size_t
append(struct check *check, size_t end, const char *key, size_t key_size)
{
    if (!reserve(check, end + 2 * key_size + 2)) {
        return 0;
    }
    check->pointer[end++] = '/';
    for (size_t i = 0; i < key_size; i++) {
        if (key[i] == '~' || key[i] == '/') {
            check->pointer[end++] = '~';
            check->pointer[end++] = key[i] == '~' ? '0' : '1';
        } else {
            check->pointer[end++] = key[i];
        }
    }
    return end;
}

static bool
is_equal(const json_t *json, const struct cfc_value *value)
{
    enum cfc_type type = cfc_value_type(value);
    const char *text;
    size_t size;

    switch (json_typeof(json)) {
    case JSON_NULL:
        return type == CFC_TYPE_NULL;
    case JSON_TRUE:
    case JSON_FALSE:
        return type == CFC_TYPE_BOOL && cfc_value_bool(value) == json_is_true(json);
    case JSON_INTEGER:
    case JSON_REAL:
        return (type == CFC_TYPE_I64 || type == CFC_TYPE_F64) &&
               cfc_value_f64(value) == json_number_value(json);
    case JSON_STRING:
        if (type != CFC_TYPE_STRING) {
            return false;
        }
        text = cfc_value_string(value, &size);
        return size == json_string_length(json) && memcmp(text, json_string_value(json), size) == 0;
    case JSON_ARRAY:
        return type == CFC_TYPE_ARRAY && cfc_value_count(value) == json_array_size(json);
    case JSON_OBJECT:
        return type == CFC_TYPE_OBJECT && cfc_value_count(value) == json_object_size(json);
    }
    return false;
}

/* Looks a value up, and opens it when it is a container. */
static int
visit(struct check *check, json_t *json, size_t end)
{
    struct cfc_index_key key;
    const struct cfc_value *value;
    int error = cfc_index_key_init(&key, check->pointer, end, check->index.seed);

    if (error != CONFCAST_OK) {
        return CONFCAST_ERR_BODY;
    }
    check->count++;
    value = cfc_index_lookup(&check->index, &key);
    if (value == NULL || !is_equal(json, value)) {
        return CONFCAST_ERR_BODY;
    }
    if (json_is_object(json) || json_is_array(json)) {
        if (check->depth == CFC_DEPTH_MAX) {
            return CONFCAST_ERR_BODY;
        }
        check->levels[check->depth++] =
            (struct level){.container = json, .iter = json_object_iter(json), .end = end};
    }
    return CONFCAST_OK;
}

static int
visit_next(struct check *check)
{
    struct level *level = &check->levels[check->depth - 1];
    char number[24];
    const char *key = number;
    size_t key_size;
    json_t *value;
    size_t end;

    if (json_is_array(level->container)) {
        if (level->idx == json_array_size(level->container)) {
            check->depth--;
            return CONFCAST_OK;
        }
        key_size = (size_t)snprintf(number, sizeof(number), "%zu", level->idx);
        value = json_array_get(level->container, level->idx++);
    } else {
        if (level->iter == NULL) {
            check->depth--;
            return CONFCAST_OK;
        }
        key = json_object_iter_key(level->iter);
        key_size = json_object_iter_key_len(level->iter);
        value = json_object_iter_value(level->iter);
        level->iter = json_object_iter_next(level->container, level->iter);
    }
    end = append(check, level->end, key, key_size);
    return end != 0 ? visit(check, value, end) : CONFCAST_ERR_NO_MEMORY;
}

int
cfc_json_check_body(const json_t *root, const void *body, size_t size)
{
    struct check *check = calloc(1, sizeof(*check));
    int error;

    if (check == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    error = cfc_index_build(&check->index, body, size, SEED, &cfc_heap);
    if (error != CONFCAST_OK) {
        free(check);
        return error == CONFCAST_ERR_NO_MEMORY || error == CONFCAST_ERR_LIMIT ? error
                                                                              : CONFCAST_ERR_BODY;
    }
    error =
        reserve(check, 64) ? visit(check, (json_t *)(uintptr_t)root, 0) : CONFCAST_ERR_NO_MEMORY;
    while (error == CONFCAST_OK && check->depth > 0) {
        error = visit_next(check);
    }
    if (error == CONFCAST_OK && check->count != check->index.node_count) {
        error = CONFCAST_ERR_BODY;
    }
    cfc_index_free(&check->index, &cfc_heap);
    free(check->pointer);
    free(check);
    return error;
}
