#include "controlplane/schema/compile.h"

#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/schema/pattern.h"
#include "controlplane/schema/report.h"
#include "protocol/base/heap.h"
#include "protocol/base/limits.h"

#define DIALECT "https://json-schema.org/draft/2020-12/schema"

enum {
    VECTOR_FIRST_CAPACITY = 16,
    /* What jansson holds for a value, its member or its place in an array: an estimate. */
    JSON_VALUE_SIZE = 48,
    JSON_CONTAINER_SIZE = 160,
    JSON_MEMBER_SIZE = 64,
};

static const struct {
    const char *word;
    enum cfc_schema_shape shape;
} keywords[CFC_KEYWORD_COUNT] = {
#define KEYWORD(name, text, kind) [CFC_KEYWORD_##name] = {text, CFC_SHAPE_##kind},
    CFC_SCHEMA_KEYWORDS(KEYWORD)
#undef KEYWORD
};

/* They say nothing about which values fit, or only to those who ask for it. */
static const char *const annotations[] = {
    "$comment",    "contentEncoding", "contentMediaType", "contentSchema", "default", "deprecated",
    "description", "examples",        "format",           "readOnly",      "title",   "writeOnly",
};

const char *
cfc_schema_word(enum cfc_schema_keyword keyword)
{
    return keyword < CFC_KEYWORD_COUNT ? keywords[keyword].word : "";
}

enum cfc_schema_shape
cfc_schema_shape_of(enum cfc_schema_keyword keyword)
{
    return keyword < CFC_KEYWORD_COUNT ? keywords[keyword].shape : CFC_SHAPE_NONE;
}

int
cfc_schema_compare_keys(const char *a, size_t a_size, const char *b, size_t b_size)
{
    int order = memcmp(a, b, a_size < b_size ? a_size : b_size);

    return order != 0 ? order : (a_size > b_size) - (a_size < b_size);
}

uint32_t
cfc_schema_find_key(const struct cfc_schema *schema, uint32_t first, uint32_t count,
                    const char *key, size_t key_size)
{
    uint32_t low = first;
    uint32_t high = first + count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct cfc_schema_node *node = &schema->nodes.at[middle];
        int order = cfc_schema_compare_keys(node->key, node->key_size, key, key_size);

        if (order == 0) {
            return middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return CFC_SCHEMA_NO_NODE;
}

int
cfc_schema_refuse(struct cfc_schema_compiler *compiler, uint32_t node,
                  enum cfc_schema_keyword keyword, int code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    cfc_schema_report(compiler->why, compiler->schema, node, keyword, format, args);
    va_end(args);
    return code;
}

static int
refuse_at_root(struct cfc_schema_compiler *compiler, int code)
{
    return cfc_schema_refuse(compiler, 0, CFC_KEYWORD_NONE, code, "%s", confcast_error_text(code));
}

int
cfc_schema_hold(struct cfc_schema_compiler *compiler, size_t size)
{
    struct cfc_schema *schema = compiler->schema;

    if (size > CFC_SCHEMA_SIZE_MAX - schema->size) {
        return cfc_schema_refuse(compiler, 0, CFC_KEYWORD_NONE, CONFCAST_ERR_LIMIT,
                                 "the schema needs more than %d bytes when it is compiled",
                                 CFC_SCHEMA_SIZE_MAX);
    }
    schema->size += size;
    return CONFCAST_OK;
}

int
cfc_schema_reserve(struct cfc_schema_compiler *compiler, void **at, uint32_t count,
                   uint32_t *capacity, size_t more, size_t item_size)
{
    const struct cfc_alloc *alloc = &compiler->schema->alloc;
    size_t wanted = *capacity > 0 ? *capacity : VECTOR_FIRST_CAPACITY;
    void *grown;
    int error;

    if (more <= *capacity - count) {
        return CONFCAST_OK;
    }
    while (wanted - count < more) {
        wanted *= 2;
    }
    error = cfc_schema_hold(compiler, (wanted - *capacity) * item_size);
    if (error != CONFCAST_OK) {
        return error;
    }
    grown = cfc_alloc(alloc, wanted * item_size);
    if (grown == NULL) {
        return refuse_at_root(compiler, CONFCAST_ERR_NO_MEMORY);
    }
    if (count > 0) {
        memcpy(grown, *at, count * item_size);
    }
    cfc_free(alloc, *at);
    *at = grown;
    *capacity = (uint32_t)wanted;
    return CONFCAST_OK;
}

const struct cfc_schema_group *
cfc_schema_group_of(const struct cfc_schema *schema, uint32_t node, enum cfc_schema_keyword keyword)
{
    const struct cfc_schema_node *of = &schema->nodes.at[node];

    for (uint32_t i = 0; i < of->group_count; i++) {
        const struct cfc_schema_group *group = &schema->groups.at[of->group_first + i];

        if (group->keyword == keyword) {
            return group;
        }
    }
    return NULL;
}

static bool
is_word(const char *word, const char *name, size_t size)
{
    return strlen(word) == size && memcmp(word, name, size) == 0;
}

/* Whether a member of a schema has a name that is known here. */
static bool
is_known(const char *name, size_t size)
{
    for (size_t i = 0; i < CFC_KEYWORD_COUNT; i++) {
        if (is_word(keywords[i].word, name, size)) {
            return true;
        }
    }
    for (size_t i = 0; i < sizeof(annotations) / sizeof(annotations[0]); i++) {
        if (is_word(annotations[i], name, size)) {
            return true;
        }
    }
    return size > 2 && memcmp(name, "x-", 2) == 0;
}

static int
refuse_unknown_keyword(struct cfc_schema_compiler *compiler, uint32_t node, const char *name,
                       size_t size)
{
    struct cfc_schema_error *why = compiler->why;
    struct cfc_schema_text text;

    cfc_schema_refuse(compiler, node, CFC_KEYWORD_NONE, 0,
                      "this keyword is not supported, so nothing would check it; annotations of "
                      "your own begin with x-");
    if (why != NULL) {
        cfc_schema_text_init(&text, why->schema_pointer, sizeof(why->schema_pointer));
        cfc_schema_text_node(&text, compiler->schema, node);
        cfc_schema_text_token(&text, name, size);
        cfc_schema_text_init(&text, why->keyword, sizeof(why->keyword));
        cfc_schema_text_plain(&text, name, size);
    }
    return CONFCAST_ERR_SCHEMA_UNSUPPORTED;
}

static int
refuse_unknown_keywords(struct cfc_schema_compiler *compiler, uint32_t node)
{
    json_t *json = (json_t *)(uintptr_t)compiler->schema->nodes.at[node].json;

    for (void *iter = json_object_iter(json); iter != NULL;
         iter = json_object_iter_next(json, iter)) {
        const char *name = json_object_iter_key(iter);
        size_t size = json_object_iter_key_len(iter);

        if (!is_known(name, size)) {
            return refuse_unknown_keyword(compiler, node, name, size);
        }
    }
    return CONFCAST_OK;
}

/* Appends a subschema: `node` says where it lies. */
static int
add_node(struct cfc_schema_compiler *compiler, struct cfc_schema_node node)
{
    struct cfc_schema *schema = compiler->schema;
    int error = CFC_SCHEMA_RESERVE(compiler, &schema->nodes, 1);

    if (error != CONFCAST_OK) {
        return error;
    }
    node.kind = json_is_true(node.json)    ? CFC_NODE_ANY
                : json_is_false(node.json) ? CFC_NODE_NEVER
                                           : CFC_NODE_OBJECT;
    schema->nodes.at[schema->nodes.count] = node;
    if (!json_is_object(node.json) && !json_is_boolean(node.json)) {
        return cfc_schema_refuse(compiler, schema->nodes.count, CFC_KEYWORD_NONE,
                                 CONFCAST_ERR_SCHEMA_INVALID,
                                 "a schema is an object, true or false");
    }
    schema->nodes.count++;
    return CONFCAST_OK;
}

static int
add_list(struct cfc_schema_compiler *compiler, uint32_t parent, enum cfc_schema_keyword keyword,
         const json_t *list)
{
    int error = CONFCAST_OK;

    if (!json_is_array(list) || json_array_size(list) == 0) {
        return cfc_schema_refuse(compiler, parent, keyword, CONFCAST_ERR_SCHEMA_INVALID,
                                 "the value has to be an array of at least one schema");
    }
    for (size_t i = 0; i < json_array_size(list) && error == CONFCAST_OK; i++) {
        error = add_node(compiler, (struct cfc_schema_node){.json = json_array_get(list, i),
                                                            .parent = parent,
                                                            .keyword = keyword,
                                                            .index = (uint32_t)i});
    }
    return error;
}

static int
compare_nodes(const void *a, const void *b)
{
    const struct cfc_schema_node *left = a;
    const struct cfc_schema_node *right = b;

    return cfc_schema_compare_keys(left->key, left->key_size, right->key, right->key_size);
}

static int
add_map(struct cfc_schema_compiler *compiler, uint32_t parent, enum cfc_schema_keyword keyword,
        const json_t *map)
{
    struct cfc_schema *schema = compiler->schema;
    json_t *members = (json_t *)(uintptr_t)map;
    uint32_t first = schema->nodes.count;
    int error = CONFCAST_OK;

    if (!json_is_object(map)) {
        return cfc_schema_refuse(compiler, parent, keyword, CONFCAST_ERR_SCHEMA_INVALID,
                                 "the value has to be an object of schemas");
    }
    for (void *iter = json_object_iter(members); iter != NULL && error == CONFCAST_OK;
         iter = json_object_iter_next(members, iter)) {
        error = add_node(compiler,
                         (struct cfc_schema_node){.json = json_object_iter_value(iter),
                                                  .parent = parent,
                                                  .keyword = keyword,
                                                  .key = json_object_iter_key(iter),
                                                  .key_size = json_object_iter_key_len(iter)});
    }
    if (error == CONFCAST_OK && schema->nodes.count > first) {
        qsort(schema->nodes.at + first, schema->nodes.count - first, sizeof(schema->nodes.at[0]),
              compare_nodes);
    }
    return error;
}

/* The children of a node under one keyword. */
static int
add_group(struct cfc_schema_compiler *compiler, uint32_t parent, enum cfc_schema_keyword keyword,
          const json_t *value)
{
    struct cfc_schema *schema = compiler->schema;
    uint32_t first = schema->nodes.count;
    int error = CFC_SCHEMA_RESERVE(compiler, &schema->groups, 1);

    if (error != CONFCAST_OK) {
        return error;
    }
    if (keyword == CFC_KEYWORD_ITEMS && json_is_array(value)) {
        return cfc_schema_refuse(
            compiler, parent, keyword, CONFCAST_ERR_SCHEMA_INVALID,
            "an array of schemas is the form of older drafts: say prefixItems");
    }
    switch (keywords[keyword].shape) {
    case CFC_SHAPE_LIST:
        error = add_list(compiler, parent, keyword, value);
        break;
    case CFC_SHAPE_MAP:
        error = add_map(compiler, parent, keyword, value);
        break;
    default:
        error =
            add_node(compiler,
                     (struct cfc_schema_node){.json = value, .parent = parent, .keyword = keyword});
        break;
    }
    schema->groups.at[schema->groups.count++] = (struct cfc_schema_group){
        .keyword = keyword, .first = first, .count = schema->nodes.count - first};
    schema->nodes.at[parent].group_count++;
    return error;
}

static int
add_groups(struct cfc_schema_compiler *compiler, uint32_t node)
{
    struct cfc_schema *schema = compiler->schema;
    int error = CONFCAST_OK;

    schema->nodes.at[node].group_first = schema->groups.count;
    for (int i = 0; i < CFC_KEYWORD_COUNT && error == CONFCAST_OK; i++) {
        const json_t *value = json_object_get(schema->nodes.at[node].json, keywords[i].word);

        if (keywords[i].shape != CFC_SHAPE_NONE && value != NULL) {
            error = add_group(compiler, node, (enum cfc_schema_keyword)i, value);
        }
    }
    return error;
}

/* $schema and $id, which belong to the root, and $anchor. */
static int
note_identity(struct cfc_schema_compiler *compiler, uint32_t node)
{
    const json_t *json = compiler->schema->nodes.at[node].json;
    const json_t *dialect = json_object_get(json, "$schema");
    const json_t *id = json_object_get(json, "$id");
    const json_t *anchor = json_object_get(json, "$anchor");
    int error;

    if (dialect != NULL && (node != 0 || !json_is_string(dialect) ||
                            (strcmp(json_string_value(dialect), DIALECT) != 0 &&
                             strcmp(json_string_value(dialect), DIALECT "#") != 0))) {
        return cfc_schema_refuse(
            compiler, node, CFC_KEYWORD_SCHEMA, CONFCAST_ERR_SCHEMA_UNSUPPORTED,
            "the one dialect supported is " DIALECT ", and it is named at the root only");
    }
    if (id != NULL) {
        const char *text = json_string_value(id);
        const char *fragment = text != NULL ? strchr(text, '#') : NULL;

        if (node != 0) {
            return cfc_schema_refuse(compiler, node, CFC_KEYWORD_ID,
                                     CONFCAST_ERR_SCHEMA_UNSUPPORTED,
                                     "an $id below the root is not supported: use $anchor");
        }
        if (text == NULL || text[0] == '\0' || (fragment != NULL && fragment[1] != '\0')) {
            return cfc_schema_refuse(compiler, node, CFC_KEYWORD_ID, CONFCAST_ERR_SCHEMA_INVALID,
                                     "the value has to be a URI without a fragment");
        }
        compiler->id = text;
        compiler->id_size = fragment != NULL ? (size_t)(fragment - text) : strlen(text);
    }
    if (anchor == NULL) {
        return CONFCAST_OK;
    }
    error = CFC_SCHEMA_RESERVE(compiler, &compiler->anchors, 1);
    if (error == CONFCAST_OK) {
        compiler->anchors.at[compiler->anchors.count++] =
            (struct cfc_schema_anchor){.name = json_string_value(anchor), .node = node};
    }
    return error;
}

/* Breadth first: the nodes that a node adds come behind all that wait. */
static int
compile_nodes(struct cfc_schema_compiler *compiler)
{
    struct cfc_schema *schema = compiler->schema;
    int error = add_node(compiler, (struct cfc_schema_node){.json = schema->source,
                                                            .parent = CFC_SCHEMA_NO_NODE,
                                                            .keyword = CFC_KEYWORD_NONE});

    for (uint32_t node = 0; error == CONFCAST_OK && node < schema->nodes.count; node++) {
        if (schema->nodes.at[node].kind != CFC_NODE_OBJECT) {
            continue;
        }
        error = refuse_unknown_keywords(compiler, node);
        if (error == CONFCAST_OK) {
            error = note_identity(compiler, node);
        }
        if (error == CONFCAST_OK) {
            error = add_groups(compiler, node);
        }
        if (error == CONFCAST_OK) {
            error = cfc_schema_build_ops(compiler, node);
        }
    }
    return error;
}

/* What a value holds without its children. */
static size_t
size_of_value(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return JSON_CONTAINER_SIZE + json_object_size(value) * JSON_MEMBER_SIZE;
    case JSON_ARRAY:
        return JSON_CONTAINER_SIZE + json_array_size(value) * sizeof(void *);
    case JSON_STRING:
        return JSON_VALUE_SIZE + json_string_length(value);
    default:
        return JSON_VALUE_SIZE;
    }
}

/* One container of the way down. */
struct level {
    json_t *value;
    void *iter;
    size_t index;
};

static json_t *
next_child(struct level *level, size_t *key_size)
{
    json_t *child;

    *key_size = 0;
    if (json_is_array(level->value)) {
        return json_array_get(level->value, level->index++);
    }
    if (level->iter == NULL) {
        return NULL;
    }
    child = json_object_iter_value(level->iter);
    *key_size = json_object_iter_key_len(level->iter);
    level->iter = json_object_iter_next(level->value, level->iter);
    return child;
}

/* Depth, number of values and bytes, before anything is copied by jansson, which recurses. */
static int
measure(struct cfc_schema_compiler *compiler, const json_t *source)
{
    struct level levels[CFC_DEPTH_MAX];
    json_t *value = (json_t *)(uintptr_t)source;
    size_t key_size = 0;
    size_t depth = 0;
    size_t count = 0;

    while (value != NULL) {
        int error = cfc_schema_hold(compiler, size_of_value(value) + key_size);

        if (error != CONFCAST_OK) {
            return error;
        }
        if (++count > CFC_SCHEMA_VALUES_MAX) {
            return cfc_schema_refuse(compiler, 0, CFC_KEYWORD_NONE, CONFCAST_ERR_LIMIT,
                                     "the schema has more than %d JSON values",
                                     CFC_SCHEMA_VALUES_MAX);
        }
        if (json_is_object(value) || json_is_array(value)) {
            if (depth == CFC_DEPTH_MAX) {
                return refuse_at_root(compiler, CONFCAST_ERR_DEPTH);
            }
            levels[depth++] = (struct level){.value = value, .iter = json_object_iter(value)};
        }
        value = NULL;
        while (depth > 0 && (value = next_child(&levels[depth - 1], &key_size)) == NULL) {
            depth--;
        }
    }
    return CONFCAST_OK;
}

static int
compile(struct cfc_schema_compiler *compiler, const json_t *source)
{
    struct cfc_schema *schema = compiler->schema;
    int error = measure(compiler, source);

    if (error != CONFCAST_OK) {
        return error;
    }
    schema->source = json_deep_copy(source);
    if (schema->source == NULL) {
        return refuse_at_root(compiler, CONFCAST_ERR_NO_MEMORY);
    }
    error = compile_nodes(compiler);
    if (error == CONFCAST_OK) {
        error = cfc_schema_resolve_references(compiler);
    }
    return error == CONFCAST_OK ? cfc_schema_bound_frames(compiler) : error;
}

int
cfc_schema_compile_with(const struct cfc_alloc *alloc, const json_t *source,
                        struct cfc_schema **out, struct cfc_schema_error *why)
{
    struct cfc_schema_compiler compiler = {.steps = CFC_SCHEMA_STEPS_MAX, .why = why};
    struct cfc_schema *schema = cfc_alloc(alloc, sizeof(*schema));
    int error;

    *out = NULL;
    if (schema == NULL) {
        return refuse_at_root(&compiler, CONFCAST_ERR_NO_MEMORY);
    }
    *schema = (struct cfc_schema){.alloc = *alloc, .size = sizeof(*schema)};
    compiler.schema = schema;
    error = compile(&compiler, source);
    cfc_free(alloc, compiler.anchors.at);
    cfc_free(alloc, compiler.references.at);
    if (error != CONFCAST_OK) {
        cfc_schema_free(schema);
        return error;
    }
    schema->size -= compiler.anchors.capacity * sizeof(compiler.anchors.at[0]) +
                    compiler.references.capacity * sizeof(compiler.references.at[0]);
    *out = schema;
    return CONFCAST_OK;
}

int
cfc_schema_compile(const json_t *schema, struct cfc_schema **out, struct cfc_schema_error *why)
{
    return cfc_schema_compile_with(&cfc_heap, schema, out, why);
}

size_t
cfc_schema_size(const struct cfc_schema *schema)
{
    return schema->size;
}

void
cfc_schema_free(struct cfc_schema *schema)
{
    struct cfc_alloc alloc;

    if (schema == NULL) {
        return;
    }
    for (uint32_t i = 0; i < schema->patterns.count; i++) {
        cfc_schema_pattern_free(&schema->patterns.at[i]);
    }
    alloc = schema->alloc;
    cfc_free(&alloc, schema->nodes.at);
    cfc_free(&alloc, schema->groups.at);
    cfc_free(&alloc, schema->ops.at);
    cfc_free(&alloc, schema->names.at);
    cfc_free(&alloc, schema->constants.at);
    cfc_free(&alloc, schema->patterns.at);
    json_decref(schema->source);
    cfc_free(&alloc, schema);
}
