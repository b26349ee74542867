/* From a node's keywords to its ops: one builder for each op, in the order in which they run. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/schema/compile.h"
#include "controlplane/schema/pattern.h"
#include "controlplane/schema/value.h"

#define COUNT_MAX 9007199254740991.0 /* 2^53 - 1 */

static int
invalid(struct cfc_schema_compiler *compiler, uint32_t node, enum cfc_schema_keyword keyword,
        const char *what)
{
    return cfc_schema_refuse(compiler, node, keyword, CONFCAST_ERR_SCHEMA_INVALID, "%s", what);
}

static const json_t *
value_of(const struct cfc_schema_compiler *compiler, uint32_t node, enum cfc_schema_keyword keyword)
{
    return json_object_get(compiler->schema->nodes.at[node].json, cfc_schema_word(keyword));
}

/* The first node of the group under a keyword, or CFC_SCHEMA_NO_NODE. */
static uint32_t
first_of(const struct cfc_schema_compiler *compiler, uint32_t node, enum cfc_schema_keyword keyword)
{
    const struct cfc_schema_group *group = cfc_schema_group_of(compiler->schema, node, keyword);

    return group != NULL ? group->first : CFC_SCHEMA_NO_NODE;
}

static uint32_t
count_of(const struct cfc_schema_compiler *compiler, uint32_t node, enum cfc_schema_keyword keyword)
{
    const struct cfc_schema_group *group = cfc_schema_group_of(compiler->schema, node, keyword);

    return group != NULL ? group->count : 0;
}

static int
add_op(struct cfc_schema_compiler *compiler, uint32_t node, struct cfc_schema_op op)
{
    struct cfc_schema *schema = compiler->schema;
    int error = CFC_SCHEMA_RESERVE(compiler, &schema->ops, 1);

    if (error == CONFCAST_OK) {
        schema->ops.at[schema->ops.count++] = op;
        schema->nodes.at[node].op_count++;
    }
    return error;
}

/* types: those that are allowed. */
static int
build_type(struct cfc_schema_compiler *compiler, uint32_t node, enum cfc_schema_keyword keyword,
           const json_t *value)
{
    static const char *const words[] = {"null",   "boolean", "object", "array",
                                        "number", "string",  "integer"};
    size_t count = json_is_array(value) ? json_array_size(value) : 1;
    uint32_t types = 0;

    for (size_t i = 0; i < count; i++) {
        const char *word =
            json_string_value(json_is_array(value) ? json_array_get(value, i) : value);
        uint32_t type = 0;

        for (size_t k = 0; word != NULL && k < sizeof(words) / sizeof(words[0]); k++) {
            type |= strcmp(words[k], word) == 0 ? 1u << k : 0;
        }
        if (type == 0 || (types & type) != 0) {
            types = 0;
            break;
        }
        types |= type;
    }
    if (types == 0) {
        return invalid(
            compiler, node, keyword,
            "the value has to be one of null, boolean, object, array, number, string and "
            "integer, or an array of different ones");
    }
    return add_op(compiler, node, (struct cfc_schema_op){.keyword = keyword, .types = types});
}

static int
compare_constants(const void *a, const void *b)
{
    const struct cfc_schema_constant *left = a;
    const struct cfc_schema_constant *right = b;

    return (left->hash > right->hash) - (left->hash < right->hash);
}

static int
add_constant(struct cfc_schema_compiler *compiler, uint32_t node, enum cfc_schema_keyword keyword,
             const json_t *value)
{
    struct cfc_schema *schema = compiler->schema;
    struct cfc_schema_constant constant = {.value = value};
    int error = CFC_SCHEMA_RESERVE(compiler, &schema->constants, 1);

    if (error != CONFCAST_OK) {
        return error;
    }
    error = cfc_schema_hash(value, &compiler->steps, &constant.hash);
    if (error != CONFCAST_OK) {
        return cfc_schema_refuse(compiler, node, keyword, error, "the constants are too big");
    }
    schema->constants.at[schema->constants.count++] = constant;
    return CONFCAST_OK;
}

/* first, count: constants in the order of their hashes. */
static int
build_constants(struct cfc_schema_compiler *compiler, uint32_t node,
                enum cfc_schema_keyword keyword, const json_t *value)
{
    struct cfc_schema *schema = compiler->schema;
    struct cfc_schema_op op = {.keyword = keyword, .first = schema->constants.count};
    int error = CONFCAST_OK;

    if (keyword == CFC_KEYWORD_CONST) {
        error = add_constant(compiler, node, keyword, value);
    } else if (!json_is_array(value)) {
        return invalid(compiler, node, keyword, "the value has to be an array");
    }
    for (size_t i = 0; keyword == CFC_KEYWORD_ENUM && i < json_array_size(value); i++) {
        if (error == CONFCAST_OK) {
            error = add_constant(compiler, node, keyword, json_array_get(value, i));
        }
    }
    if (error != CONFCAST_OK) {
        return error;
    }
    op.count = schema->constants.count - op.first;
    if (op.count > 1) {
        qsort(schema->constants.at + op.first, op.count, sizeof(schema->constants.at[0]),
              compare_constants);
    }
    return add_op(compiler, node, op);
}

/* number. */
static int
build_number(struct cfc_schema_compiler *compiler, uint32_t node, enum cfc_schema_keyword keyword,
             const json_t *value)
{
    if (!json_is_number(value)) {
        return invalid(compiler, node, keyword, "the value has to be a number");
    }
    if (keyword == CFC_KEYWORD_MULTIPLE_OF && !(json_number_value(value) > 0)) {
        return invalid(compiler, node, keyword, "the value has to be a number above 0");
    }
    return add_op(compiler, node,
                  (struct cfc_schema_op){.keyword = keyword, .number = json_number_value(value)});
}

/* A count from 0 on, which may be written 2.0. */
static int
read_count(struct cfc_schema_compiler *compiler, uint32_t node, enum cfc_schema_keyword keyword,
           const json_t *value, uint64_t *count)
{
    double number = json_number_value(value);

    if (!json_is_number(value) || trunc(number) != number ||
        !(number >= 0 && number <= COUNT_MAX)) {
        return invalid(compiler, node, keyword,
                       "the value has to be an integer from 0 to 2^53 - 1");
    }
    *count = (uint64_t)number;
    return CONFCAST_OK;
}

/* min or max. */
static int
build_count(struct cfc_schema_compiler *compiler, uint32_t node, enum cfc_schema_keyword keyword,
            const json_t *value)
{
    struct cfc_schema_op op = {.keyword = keyword, .max = UINT64_MAX};
    bool is_min = keyword == CFC_KEYWORD_MIN_LENGTH || keyword == CFC_KEYWORD_MIN_ITEMS ||
                  keyword == CFC_KEYWORD_MIN_PROPERTIES;
    int error = read_count(compiler, node, keyword, value, is_min ? &op.min : &op.max);

    return error == CONFCAST_OK ? add_op(compiler, node, op) : error;
}

static int
add_pattern(struct cfc_schema_compiler *compiler, uint32_t node, enum cfc_schema_keyword keyword,
            const char *text, size_t size)
{
    struct cfc_schema *schema = compiler->schema;
    struct cfc_schema_pattern pattern;
    char message[CFC_SCHEMA_MESSAGE_SIZE];
    int error = CFC_SCHEMA_RESERVE(compiler, &schema->patterns, 1);

    if (error != CONFCAST_OK) {
        return error;
    }
    if (schema->patterns.count == CFC_SCHEMA_PATTERN_COUNT_MAX) {
        return cfc_schema_refuse(compiler, node, keyword, CONFCAST_ERR_LIMIT,
                                 "the schema has more than %d regular expressions",
                                 CFC_SCHEMA_PATTERN_COUNT_MAX);
    }
    error =
        cfc_schema_pattern_compile(&schema->alloc, text, size, &pattern, message, sizeof(message));
    if (error != CONFCAST_OK) {
        return cfc_schema_refuse(compiler, node, keyword, error, "%s", message);
    }
    schema->patterns.at[schema->patterns.count++] = pattern;
    return cfc_schema_hold(compiler, cfc_schema_pattern_size(&pattern));
}

/* pattern_first. */
static int
build_pattern(struct cfc_schema_compiler *compiler, uint32_t node, enum cfc_schema_keyword keyword,
              const json_t *value)
{
    struct cfc_schema_op op = {.keyword = keyword,
                               .pattern_first = compiler->schema->patterns.count};
    int error;

    if (!json_is_string(value)) {
        return invalid(compiler, node, keyword, "the value has to be a string");
    }
    error =
        add_pattern(compiler, node, keyword, json_string_value(value), json_string_length(value));
    return error == CONFCAST_OK ? add_op(compiler, node, op) : error;
}

static int
compare_names(const void *a, const void *b)
{
    const struct cfc_schema_name *left = a;
    const struct cfc_schema_name *right = b;

    return cfc_schema_compare_keys(left->text, left->size, right->text, right->size);
}

/* Appends an array of different strings to the names, and counts them in `*count`. */
static int
add_names(struct cfc_schema_compiler *compiler, uint32_t node, enum cfc_schema_keyword keyword,
          const json_t *list, uint32_t *count)
{
    static const char rule[] = "the value has to be an array of different strings";
    struct cfc_schema *schema = compiler->schema;
    uint32_t first = schema->names.count;
    int error;

    if (!json_is_array(list)) {
        return invalid(compiler, node, keyword, rule);
    }
    error = CFC_SCHEMA_RESERVE(compiler, &schema->names, json_array_size(list));
    if (error != CONFCAST_OK) {
        return error;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *name = json_array_get(list, i);

        if (!json_is_string(name)) {
            return invalid(compiler, node, keyword, rule);
        }
        schema->names.at[schema->names.count++] = (struct cfc_schema_name){
            .text = json_string_value(name), .size = json_string_length(name)};
    }
    *count = schema->names.count - first;
    if (*count > 1) {
        qsort(schema->names.at + first, *count, sizeof(schema->names.at[0]), compare_names);
    }
    for (uint32_t i = 1; i < *count; i++) {
        if (compare_names(&schema->names.at[first + i - 1], &schema->names.at[first + i]) == 0) {
            return invalid(compiler, node, keyword, rule);
        }
    }
    return CONFCAST_OK;
}

/* first, count: names. */
static int
build_required(struct cfc_schema_compiler *compiler, uint32_t node, enum cfc_schema_keyword keyword,
               const json_t *value)
{
    struct cfc_schema_op op = {.keyword = keyword, .first = compiler->schema->names.count};
    int error = add_names(compiler, node, keyword, value, &op.count);

    return error == CONFCAST_OK ? add_op(compiler, node, op) : error;
}

/* One op for each member.  first: its name, then the `count` - 1 names that it asks for. */
static int
build_dependent_required(struct cfc_schema_compiler *compiler, uint32_t node,
                         enum cfc_schema_keyword keyword, const json_t *value)
{
    struct cfc_schema *schema = compiler->schema;
    json_t *members = (json_t *)(uintptr_t)value;
    int error = CONFCAST_OK;

    if (!json_is_object(value)) {
        return invalid(compiler, node, keyword,
                       "the value has to be an object of arrays of different strings");
    }
    for (void *iter = json_object_iter(members); iter != NULL && error == CONFCAST_OK;
         iter = json_object_iter_next(members, iter)) {
        struct cfc_schema_op op = {.keyword = keyword, .first = schema->names.count};

        error = CFC_SCHEMA_RESERVE(compiler, &schema->names, 1);
        if (error != CONFCAST_OK) {
            break;
        }
        schema->names.at[schema->names.count++] = (struct cfc_schema_name){
            .text = json_object_iter_key(iter), .size = json_object_iter_key_len(iter)};
        error = add_names(compiler, node, keyword, json_object_iter_value(iter), &op.count);
        op.count++;
        if (error == CONFCAST_OK) {
            error = add_op(compiler, node, op);
        }
    }
    return error;
}

/* node. */
static int
build_one(struct cfc_schema_compiler *compiler, uint32_t node, enum cfc_schema_keyword keyword,
          const json_t *value)
{
    (void)value;
    return add_op(
        compiler, node,
        (struct cfc_schema_op){.keyword = keyword, .node = first_of(compiler, node, keyword)});
}

/* first, count: nodes. */
static int
build_many(struct cfc_schema_compiler *compiler, uint32_t node, enum cfc_schema_keyword keyword,
           const json_t *value)
{
    (void)value;
    return add_op(compiler, node,
                  (struct cfc_schema_op){.keyword = keyword,
                                         .first = first_of(compiler, node, keyword),
                                         .count = count_of(compiler, node, keyword)});
}

/* first, count: nodes of prefixItems; node: of items. */
static int
build_items(struct cfc_schema_compiler *compiler, uint32_t node, enum cfc_schema_keyword keyword,
            const json_t *value)
{
    if (value == NULL && value_of(compiler, node, CFC_KEYWORD_PREFIX_ITEMS) == NULL) {
        return CONFCAST_OK;
    }
    return add_op(
        compiler, node,
        (struct cfc_schema_op){.keyword = keyword,
                               .first = first_of(compiler, node, CFC_KEYWORD_PREFIX_ITEMS),
                               .count = count_of(compiler, node, CFC_KEYWORD_PREFIX_ITEMS),
                               .node = first_of(compiler, node, keyword)});
}

/* node; min, max: how many items have to fit. */
static int
build_contains(struct cfc_schema_compiler *compiler, uint32_t node, enum cfc_schema_keyword keyword,
               const json_t *value)
{
    struct cfc_schema_op op = {
        .keyword = keyword, .node = first_of(compiler, node, keyword), .min = 1, .max = UINT64_MAX};
    const json_t *min = value_of(compiler, node, CFC_KEYWORD_MIN_CONTAINS);
    const json_t *max = value_of(compiler, node, CFC_KEYWORD_MAX_CONTAINS);
    int error = CONFCAST_OK;

    if (min != NULL) {
        error = read_count(compiler, node, CFC_KEYWORD_MIN_CONTAINS, min, &op.min);
    }
    if (max != NULL && error == CONFCAST_OK) {
        error = read_count(compiler, node, CFC_KEYWORD_MAX_CONTAINS, max, &op.max);
    }
    return error == CONFCAST_OK && value != NULL ? add_op(compiler, node, op) : error;
}

static int
build_unique(struct cfc_schema_compiler *compiler, uint32_t node, enum cfc_schema_keyword keyword,
             const json_t *value)
{
    if (!json_is_boolean(value)) {
        return invalid(compiler, node, keyword, "the value has to be true or false");
    }
    return json_is_true(value) ? add_op(compiler, node, (struct cfc_schema_op){.keyword = keyword})
                               : CONFCAST_OK;
}

/* first, count: nodes of properties; pattern_node, pattern_count, pattern_first: nodes and patterns
 * of patternProperties; node: of additionalProperties. */
static int
build_members(struct cfc_schema_compiler *compiler, uint32_t node, enum cfc_schema_keyword keyword,
              const json_t *value)
{
    struct cfc_schema_op op = {
        .keyword = keyword,
        .first = first_of(compiler, node, CFC_KEYWORD_PROPERTIES),
        .count = count_of(compiler, node, CFC_KEYWORD_PROPERTIES),
        .pattern_node = first_of(compiler, node, CFC_KEYWORD_PATTERN_PROPERTIES),
        .pattern_count = count_of(compiler, node, CFC_KEYWORD_PATTERN_PROPERTIES),
        .pattern_first = compiler->schema->patterns.count,
        .node = first_of(compiler, node, keyword)};

    for (uint32_t i = 0; i < op.pattern_count; i++) {
        const struct cfc_schema_node *child = &compiler->schema->nodes.at[op.pattern_node + i];
        int error = add_pattern(compiler, node, CFC_KEYWORD_PATTERN_PROPERTIES, child->key,
                                child->key_size);

        if (error != CONFCAST_OK) {
            return error;
        }
    }
    if (value == NULL && op.count == 0 && op.pattern_count == 0) {
        return CONFCAST_OK;
    }
    return add_op(compiler, node, op);
}

/* node, once it is resolved. */
static int
build_reference(struct cfc_schema_compiler *compiler, uint32_t node,
                enum cfc_schema_keyword keyword, const json_t *value)
{
    int error;

    if (!json_is_string(value)) {
        return invalid(compiler, node, keyword, "the value has to be a string");
    }
    error = CFC_SCHEMA_RESERVE(compiler, &compiler->references, 1);
    if (error != CONFCAST_OK) {
        return error;
    }
    compiler->references.at[compiler->references.count++] =
        (struct cfc_schema_reference){.text = json_string_value(value),
                                      .size = json_string_length(value),
                                      .op = compiler->schema->ops.count,
                                      .node = node};
    return add_op(compiler, node,
                  (struct cfc_schema_op){.keyword = keyword, .node = CFC_SCHEMA_NO_NODE});
}

/* node, then_node, else_node. */
static int
build_if(struct cfc_schema_compiler *compiler, uint32_t node, enum cfc_schema_keyword keyword,
         const json_t *value)
{
    (void)value;
    return add_op(compiler, node,
                  (struct cfc_schema_op){.keyword = keyword,
                                         .node = first_of(compiler, node, keyword),
                                         .then_node = first_of(compiler, node, CFC_KEYWORD_THEN),
                                         .else_node = first_of(compiler, node, CFC_KEYWORD_ELSE)});
}

typedef int builder(struct cfc_schema_compiler *compiler, uint32_t node,
                    enum cfc_schema_keyword keyword, const json_t *value);

static const struct {
    builder *build;
    bool is_always; /* called without a value too, for what its companions ask */
} builders[CFC_KEYWORD_COUNT] = {
    [CFC_KEYWORD_TYPE] = {build_type, false},
    [CFC_KEYWORD_CONST] = {build_constants, false},
    [CFC_KEYWORD_ENUM] = {build_constants, false},
    [CFC_KEYWORD_MULTIPLE_OF] = {build_number, false},
    [CFC_KEYWORD_MINIMUM] = {build_number, false},
    [CFC_KEYWORD_MAXIMUM] = {build_number, false},
    [CFC_KEYWORD_EXCLUSIVE_MINIMUM] = {build_number, false},
    [CFC_KEYWORD_EXCLUSIVE_MAXIMUM] = {build_number, false},
    [CFC_KEYWORD_MIN_LENGTH] = {build_count, false},
    [CFC_KEYWORD_MAX_LENGTH] = {build_count, false},
    [CFC_KEYWORD_PATTERN] = {build_pattern, false},
    [CFC_KEYWORD_MIN_ITEMS] = {build_count, false},
    [CFC_KEYWORD_MAX_ITEMS] = {build_count, false},
    [CFC_KEYWORD_MIN_PROPERTIES] = {build_count, false},
    [CFC_KEYWORD_MAX_PROPERTIES] = {build_count, false},
    [CFC_KEYWORD_REQUIRED] = {build_required, false},
    [CFC_KEYWORD_DEPENDENT_REQUIRED] = {build_dependent_required, false},
    [CFC_KEYWORD_PROPERTY_NAMES] = {build_one, false},
    [CFC_KEYWORD_ITEMS] = {build_items, true},
    [CFC_KEYWORD_CONTAINS] = {build_contains, true},
    [CFC_KEYWORD_UNIQUE_ITEMS] = {build_unique, false},
    [CFC_KEYWORD_ADDITIONAL_PROPERTIES] = {build_members, true},
    [CFC_KEYWORD_DEPENDENT_SCHEMAS] = {build_many, false},
    [CFC_KEYWORD_REF] = {build_reference, false},
    [CFC_KEYWORD_ALL_OF] = {build_many, false},
    [CFC_KEYWORD_ANY_OF] = {build_many, false},
    [CFC_KEYWORD_ONE_OF] = {build_many, false},
    [CFC_KEYWORD_NOT] = {build_one, false},
    [CFC_KEYWORD_IF] = {build_if, false},
};

int
cfc_schema_build_ops(struct cfc_schema_compiler *compiler, uint32_t node)
{
    int error = CONFCAST_OK;

    compiler->schema->nodes.at[node].op_first = compiler->schema->ops.count;
    for (int i = 0; i < CFC_KEYWORD_COUNT && error == CONFCAST_OK; i++) {
        enum cfc_schema_keyword keyword = (enum cfc_schema_keyword)i;
        const json_t *value = value_of(compiler, node, keyword);

        if (builders[i].build != NULL && (value != NULL || builders[i].is_always)) {
            error = builders[i].build(compiler, node, keyword, value);
        }
    }
    return error;
}
