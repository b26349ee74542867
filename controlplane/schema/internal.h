/* The compiled form of a schema, and what the files of this folder share.  For them and their tests
 * only; callers include schema.h.
 *
 * Each subschema is a node.  Nodes lie in one array in breadth-first order, so that the children
 * under one keyword are neighbours: a group.  What has to be checked is a node's list of ops, in
 * the order of CFC_SCHEMA_KEYWORDS, cheap ones first. */
#ifndef CFC_SCHEMA_INTERNAL_H
#define CFC_SCHEMA_INTERNAL_H

#define PCRE2_CODE_UNIT_WIDTH 8

#include <jansson.h>
#include <pcre2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controlplane/schema/schema.h"
#include "protocol/base/alloc.h"

/* Where the subschemas of a keyword are in its value. */
enum cfc_schema_shape {
    CFC_SHAPE_NONE, /* the value holds no schemas */
    CFC_SHAPE_ONE,  /* the value is a schema */
    CFC_SHAPE_LIST, /* an array of schemas */
    CFC_SHAPE_MAP,  /* an object of schemas */
};

/* X(name, word, shape).  Those with a schema that have no op of their own are served by another's:
 * prefixItems by items, properties and patternProperties by additionalProperties, then and else by
 * if; $defs by nobody. */
#define CFC_SCHEMA_KEYWORDS(X)                                                                     \
    X(TYPE, "type", NONE)                                                                          \
    X(CONST, "const", NONE)                                                                        \
    X(ENUM, "enum", NONE)                                                                          \
    X(MULTIPLE_OF, "multipleOf", NONE)                                                             \
    X(MINIMUM, "minimum", NONE)                                                                    \
    X(MAXIMUM, "maximum", NONE)                                                                    \
    X(EXCLUSIVE_MINIMUM, "exclusiveMinimum", NONE)                                                 \
    X(EXCLUSIVE_MAXIMUM, "exclusiveMaximum", NONE)                                                 \
    X(MIN_LENGTH, "minLength", NONE)                                                               \
    X(MAX_LENGTH, "maxLength", NONE)                                                               \
    X(PATTERN, "pattern", NONE)                                                                    \
    X(MIN_ITEMS, "minItems", NONE)                                                                 \
    X(MAX_ITEMS, "maxItems", NONE)                                                                 \
    X(MIN_PROPERTIES, "minProperties", NONE)                                                       \
    X(MAX_PROPERTIES, "maxProperties", NONE)                                                       \
    X(REQUIRED, "required", NONE)                                                                  \
    X(DEPENDENT_REQUIRED, "dependentRequired", NONE)                                               \
    X(PROPERTY_NAMES, "propertyNames", ONE)                                                        \
    X(PREFIX_ITEMS, "prefixItems", LIST)                                                           \
    X(ITEMS, "items", ONE)                                                                         \
    X(CONTAINS, "contains", ONE)                                                                   \
    X(MIN_CONTAINS, "minContains", NONE)                                                           \
    X(MAX_CONTAINS, "maxContains", NONE)                                                           \
    X(UNIQUE_ITEMS, "uniqueItems", NONE)                                                           \
    X(PROPERTIES, "properties", MAP)                                                               \
    X(PATTERN_PROPERTIES, "patternProperties", MAP)                                                \
    X(ADDITIONAL_PROPERTIES, "additionalProperties", ONE)                                          \
    X(DEPENDENT_SCHEMAS, "dependentSchemas", MAP)                                                  \
    X(REF, "$ref", NONE)                                                                           \
    X(ALL_OF, "allOf", LIST)                                                                       \
    X(ANY_OF, "anyOf", LIST)                                                                       \
    X(ONE_OF, "oneOf", LIST)                                                                       \
    X(NOT, "not", ONE)                                                                             \
    X(IF, "if", ONE)                                                                               \
    X(THEN, "then", ONE)                                                                           \
    X(ELSE, "else", ONE)                                                                           \
    X(DEFS, "$defs", MAP)                                                                          \
    X(DEFINITIONS, "definitions", MAP)                                                             \
    X(ANCHOR, "$anchor", NONE)                                                                     \
    X(ID, "$id", NONE)                                                                             \
    X(SCHEMA, "$schema", NONE)

enum cfc_schema_keyword {
#define CFC_SCHEMA_KEYWORD_ENUM_(name, word, shape) CFC_KEYWORD_##name,
    CFC_SCHEMA_KEYWORDS(CFC_SCHEMA_KEYWORD_ENUM_)
#undef CFC_SCHEMA_KEYWORD_ENUM_
    CFC_KEYWORD_COUNT,
    CFC_KEYWORD_NONE = CFC_KEYWORD_COUNT,
};

/* Bits of the types that a value has, and that `type` allows. */
enum cfc_schema_type {
    CFC_SCHEMA_TYPE_NULL = 1 << 0,
    CFC_SCHEMA_TYPE_BOOLEAN = 1 << 1,
    CFC_SCHEMA_TYPE_OBJECT = 1 << 2,
    CFC_SCHEMA_TYPE_ARRAY = 1 << 3,
    CFC_SCHEMA_TYPE_NUMBER = 1 << 4,
    CFC_SCHEMA_TYPE_STRING = 1 << 5,
    CFC_SCHEMA_TYPE_INTEGER = 1 << 6, /* always with NUMBER in what a value has */
};

#define CFC_SCHEMA_NO_NODE UINT32_MAX

enum cfc_schema_kind {
    CFC_NODE_OBJECT,
    CFC_NODE_ANY,   /* true */
    CFC_NODE_NEVER, /* false */
};

struct cfc_schema_node {
    const json_t *json;              /* in the schema's own copy */
    const char *key;                 /* member name under a MAP, in the copy; else NULL */
    size_t key_size;                 /* bytes */
    uint32_t index;                  /* position under a LIST */
    uint32_t parent;                 /* node, or CFC_SCHEMA_NO_NODE */
    enum cfc_schema_keyword keyword; /* under which it lies in the parent */
    enum cfc_schema_kind kind;
    uint32_t op_first;
    uint32_t op_count;
    uint32_t group_first;
    uint32_t group_count;
};

/* The children of a node under one keyword.  Those of a MAP are in the order of
 * cfc_schema_compare_keys(). */
struct cfc_schema_group {
    enum cfc_schema_keyword keyword;
    uint32_t first; /* node */
    uint32_t count;
};

/* One check.  Which members mean something depends on the keyword; see the builders in ops.c. */
struct cfc_schema_op {
    enum cfc_schema_keyword keyword;
    uint32_t types;         /* enum cfc_schema_type */
    uint32_t first;         /* first of nodes, names, constants or patterns */
    uint32_t count;         /* of those */
    uint32_t pattern_first; /* patterns of the nodes from pattern_node on */
    uint32_t pattern_count;
    uint32_t pattern_node;
    uint32_t node;      /* the one schema, or the one for the rest; may be CFC_SCHEMA_NO_NODE */
    uint32_t then_node; /* may be CFC_SCHEMA_NO_NODE */
    uint32_t else_node; /* may be CFC_SCHEMA_NO_NODE */
    double number;
    uint64_t min;
    uint64_t max;
};

struct cfc_schema_name {
    const char *text; /* in the schema's own copy */
    size_t size;      /* bytes */
};

struct cfc_schema_constant {
    uint64_t hash; /* cfc_schema_hash() */
    const json_t *value;
};

struct cfc_schema_pattern {
    pcre2_code *code;
    uint32_t weight; /* steps that every callout of a match costs */
};

/* An array that grows; see compile.h. */
#define CFC_SCHEMA_VECTOR(type)                                                                    \
    struct {                                                                                       \
        type *at;                                                                                  \
        uint32_t count;                                                                            \
        uint32_t capacity;                                                                         \
    }

struct cfc_schema {
    struct cfc_alloc alloc;
    json_t *source; /* a copy of the schema */
    CFC_SCHEMA_VECTOR(struct cfc_schema_node) nodes;
    CFC_SCHEMA_VECTOR(struct cfc_schema_group) groups;
    CFC_SCHEMA_VECTOR(struct cfc_schema_op) ops;
    CFC_SCHEMA_VECTOR(struct cfc_schema_name) names;
    CFC_SCHEMA_VECTOR(struct cfc_schema_constant) constants;
    CFC_SCHEMA_VECTOR(struct cfc_schema_pattern) patterns;
    uint32_t in_place_max; /* most frames that one value of a document can need at a time */
    size_t size;           /* bytes held */
};

/* The word of a keyword ("maximum"); "" for CFC_KEYWORD_NONE. */
const char *cfc_schema_word(enum cfc_schema_keyword keyword);

enum cfc_schema_shape cfc_schema_shape_of(enum cfc_schema_keyword keyword);

/* By bytes, the shorter first when one begins with the other. */
int cfc_schema_compare_keys(const char *a, size_t a_size, const char *b, size_t b_size);

/* The child of the `count` nodes from `first` on that lies under `key`, or CFC_SCHEMA_NO_NODE. */
uint32_t cfc_schema_find_key(const struct cfc_schema *schema, uint32_t first, uint32_t count,
                             const char *key, size_t key_size);

/* The same as in schema.h, with the memory and the number of steps given. */
int cfc_schema_compile_with(const struct cfc_alloc *alloc, const json_t *source,
                            struct cfc_schema **out, struct cfc_schema_error *why);
int cfc_schema_validate_within(const struct cfc_schema *schema, const json_t *document,
                               uint64_t steps_max, struct cfc_schema_error *why);

#endif
