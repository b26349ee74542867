/* The compiler's state while a schema is being compiled, and how its files divide the work:
 * compile.c finds the subschemas, ops.c turns a node's keywords into ops, reference.c resolves $ref
 * and bounds what it can lead to. */
#ifndef CFC_SCHEMA_COMPILE_H
#define CFC_SCHEMA_COMPILE_H

#include "controlplane/schema/internal.h"

struct cfc_schema_anchor {
    const char *name;
    uint32_t node;
};

/* An op of $ref that waits until all nodes are known. */
struct cfc_schema_reference {
    const char *text;
    size_t size; /* bytes */
    uint32_t op;
    uint32_t node; /* that it stands in */
};

struct cfc_schema_compiler {
    struct cfc_schema *schema;
    CFC_SCHEMA_VECTOR(struct cfc_schema_anchor) anchors;
    CFC_SCHEMA_VECTOR(struct cfc_schema_reference) references;
    const char *id; /* the root's $id, without an empty fragment; NULL when there is none */
    size_t id_size;
    uint64_t steps; /* left for hashing constants */
    struct cfc_schema_error *why;
};

/* Makes room for `more` items at the end of a vector.  CONFCAST_ERR_LIMIT, _NO_MEMORY; the
 * compiler's error says so. */
#define CFC_SCHEMA_RESERVE(compiler, vector, more)                                                 \
    cfc_schema_reserve((compiler), (void **)&(vector)->at, (vector)->count, &(vector)->capacity,   \
                       (more), sizeof((vector)->at[0]))
int cfc_schema_reserve(struct cfc_schema_compiler *compiler, void **at, uint32_t count,
                       uint32_t *capacity, size_t more, size_t item_size);

/* Counts `size` more bytes as held by the schema: CONFCAST_ERR_LIMIT. */
int cfc_schema_hold(struct cfc_schema_compiler *compiler, size_t size);

/* Fills the error and returns `code`. */
int cfc_schema_refuse(struct cfc_schema_compiler *compiler, uint32_t node,
                      enum cfc_schema_keyword keyword, int code, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* The group of a node's children under a keyword, or NULL. */
const struct cfc_schema_group *cfc_schema_group_of(const struct cfc_schema *schema, uint32_t node,
                                                   enum cfc_schema_keyword keyword);

/* Appends the ops of a node of kind OBJECT, whose groups are there.  Errors as
 * cfc_schema_compile(). */
int cfc_schema_build_ops(struct cfc_schema_compiler *compiler, uint32_t node);

/* When all nodes have their ops: resolves the references. */
int cfc_schema_resolve_references(struct cfc_schema_compiler *compiler);

/* Then: refuses schemas that lead back to themselves on the same value, and finds in_place_max. */
int cfc_schema_bound_frames(struct cfc_schema_compiler *compiler);

#endif
