/* $ref and $anchor, and the bound on how far schemas can lead without going into the document. */
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/schema/compile.h"

static int
invalid(struct cfc_schema_compiler *compiler, uint32_t node, enum cfc_schema_keyword keyword,
        const char *what)
{
    return cfc_schema_refuse(compiler, node, keyword, CONFCAST_ERR_SCHEMA_INVALID, "%s", what);
}

static int
compare_anchors(const void *a, const void *b)
{
    const struct cfc_schema_anchor *left = a;
    const struct cfc_schema_anchor *right = b;

    return strcmp(left->name, right->name);
}

static bool
is_anchor(const char *name)
{
    static const char first[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";

    return name != NULL && name[0] != '\0' && strchr(first, name[0]) != NULL &&
           name[strspn(
               name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789-.")] == '\0';
}

static int
sort_anchors(struct cfc_schema_compiler *compiler)
{
    struct cfc_schema_anchor *anchors = compiler->anchors.at;

    for (uint32_t i = 0; i < compiler->anchors.count; i++) {
        if (!is_anchor(anchors[i].name)) {
            return invalid(compiler, anchors[i].node, CFC_KEYWORD_ANCHOR,
                           "the value has to be a letter or _, then letters, digits, and - . _");
        }
    }
    if (compiler->anchors.count > 1) {
        qsort(anchors, compiler->anchors.count, sizeof(anchors[0]), compare_anchors);
    }
    for (uint32_t i = 1; i < compiler->anchors.count; i++) {
        if (compare_anchors(&anchors[i - 1], &anchors[i]) == 0) {
            return invalid(compiler, anchors[i].node, CFC_KEYWORD_ANCHOR,
                           "another schema has the same $anchor");
        }
    }
    return CONFCAST_OK;
}

static int
hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Undoes the percent-encoding of a fragment: false when it is malformed. */
static bool
decode_fragment(const char *text, size_t size, char *out, size_t *out_size)
{
    *out_size = 0;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];

        if (c == '%') {
            int high = i + 2 < size ? hex_digit(text[i + 1]) : -1;
            int low = i + 2 < size ? hex_digit(text[i + 2]) : -1;

            if (high < 0 || low < 0) {
                return false;
            }
            c = (char)(high * 16 + low);
            i += 2;
        }
        out[(*out_size)++] = c;
    }
    return true;
}

/* Cuts the first token off a pointer that begins with "/", and unescapes it in place: false when it
 * is malformed. */
static bool
next_token(char **at, char *end, char **token, size_t *token_size)
{
    char *in = *at + 1;
    char *out = in;

    *token = in;
    for (; in < end && *in != '/'; in++) {
        char c = *in;

        if (c == '~') {
            if (in + 1 == end || (in[1] != '0' && in[1] != '1')) {
                return false;
            }
            c = *++in == '0' ? '~' : '/';
        }
        *out++ = c;
    }
    *token_size = (size_t)(out - *token);
    *at = in;
    return true;
}

static bool
is_word(const char *word, const char *token, size_t size)
{
    return strlen(word) == size && memcmp(word, token, size) == 0;
}

/* The index that a token names, or UINT32_MAX: no sign, no leading zero. */
static uint32_t
index_of(const char *token, size_t size)
{
    uint32_t index = 0;

    if (size == 0 || size > 9 || (size > 1 && token[0] == '0')) {
        return UINT32_MAX;
    }
    for (size_t i = 0; i < size; i++) {
        if (token[i] < '0' || token[i] > '9') {
            return UINT32_MAX;
        }
        index = index * 10 + (uint32_t)(token[i] - '0');
    }
    return index;
}

/* The node that a pointer leads to from the root, or CFC_SCHEMA_NO_NODE when there is no schema at
 * that place.  The pointer is changed. */
static uint32_t
node_at(const struct cfc_schema *schema, char *at, char *end)
{
    uint32_t node = 0;
    char *token;
    size_t size;

    while (at < end && node != CFC_SCHEMA_NO_NODE) {
        const struct cfc_schema_group *group = NULL;
        enum cfc_schema_shape shape;

        if (*at != '/' || !next_token(&at, end, &token, &size)) {
            return CFC_SCHEMA_NO_NODE;
        }
        for (uint32_t i = 0; i < schema->nodes.at[node].group_count && group == NULL; i++) {
            group = &schema->groups.at[schema->nodes.at[node].group_first + i];
            if (!is_word(cfc_schema_word(group->keyword), token, size)) {
                group = NULL;
            }
        }
        if (group == NULL) {
            return CFC_SCHEMA_NO_NODE;
        }
        shape = cfc_schema_shape_of(group->keyword);
        if (shape == CFC_SHAPE_ONE) {
            node = group->first;
        } else if (at == end || !next_token(&at, end, &token, &size)) {
            return CFC_SCHEMA_NO_NODE;
        } else if (shape == CFC_SHAPE_MAP) {
            node = cfc_schema_find_key(schema, group->first, group->count, token, size);
        } else {
            uint32_t index = index_of(token, size);

            node = index < group->count ? group->first + index : CFC_SCHEMA_NO_NODE;
        }
    }
    return node;
}

static uint32_t
node_of_anchor(const struct cfc_schema_compiler *compiler, const char *name)
{
    const struct cfc_schema_anchor wanted = {.name = name};
    const struct cfc_schema_anchor *found = NULL;

    if (compiler->anchors.count > 0) {
        found = bsearch(&wanted, compiler->anchors.at, compiler->anchors.count, sizeof(wanted),
                        compare_anchors);
    }
    return found != NULL ? found->node : CFC_SCHEMA_NO_NODE;
}

/* The part of a reference behind "#", if the part before it is nothing or the document's $id. */
static const char *
local_fragment(const struct cfc_schema_compiler *compiler,
               const struct cfc_schema_reference *reference)
{
    const char *mark = memchr(reference->text, '#', reference->size);
    const char *end = reference->text + reference->size;
    size_t base = (size_t)((mark != NULL ? mark : end) - reference->text);

    if (base != 0 && (compiler->id == NULL || base != compiler->id_size ||
                      memcmp(reference->text, compiler->id, base) != 0)) {
        return NULL;
    }
    return mark != NULL ? mark + 1 : end;
}

static int
resolve(struct cfc_schema_compiler *compiler, const struct cfc_schema_reference *reference)
{
    const struct cfc_alloc *alloc = &compiler->schema->alloc;
    const char *fragment = local_fragment(compiler, reference);
    uint32_t target = CFC_SCHEMA_NO_NODE;
    size_t size;
    char *decoded;

    if (fragment == NULL) {
        return cfc_schema_refuse(compiler, reference->node, CFC_KEYWORD_REF,
                                 CONFCAST_ERR_SCHEMA_UNSUPPORTED,
                                 "a reference out of the document is not supported: nothing is "
                                 "fetched");
    }
    size = (size_t)(reference->text + reference->size - fragment);
    decoded = cfc_alloc(alloc, size + 1);
    if (decoded == NULL) {
        return cfc_schema_refuse(compiler, reference->node, CFC_KEYWORD_REF, CONFCAST_ERR_NO_MEMORY,
                                 "%s", confcast_error_text(CONFCAST_ERR_NO_MEMORY));
    }
    if (decode_fragment(fragment, size, decoded, &size)) {
        decoded[size] = '\0';
        target = size == 0 || decoded[0] == '/' ? node_at(compiler->schema, decoded, decoded + size)
                                                : node_of_anchor(compiler, decoded);
    }
    cfc_free(alloc, decoded);
    if (target == CFC_SCHEMA_NO_NODE) {
        return invalid(compiler, reference->node, CFC_KEYWORD_REF,
                       "the reference leads to a place where there is no schema");
    }
    compiler->schema->ops.at[reference->op].node = target;
    return CONFCAST_OK;
}

int
cfc_schema_resolve_references(struct cfc_schema_compiler *compiler)
{
    int error = sort_anchors(compiler);

    for (uint32_t i = 0; i < compiler->references.count && error == CONFCAST_OK; i++) {
        error = resolve(compiler, &compiler->references.at[i]);
    }
    return error;
}

/* The `nth` schema that an op applies to the very value that it is asked about, or NO_NODE. */
static uint32_t
op_in_place(const struct cfc_schema_op *op, uint32_t nth)
{
    const uint32_t branches[] = {op->node, op->then_node, op->else_node};

    switch (op->keyword) {
    case CFC_KEYWORD_ALL_OF:
    case CFC_KEYWORD_ANY_OF:
    case CFC_KEYWORD_ONE_OF:
    case CFC_KEYWORD_DEPENDENT_SCHEMAS:
        return nth < op->count ? op->first + nth : CFC_SCHEMA_NO_NODE;
    case CFC_KEYWORD_NOT:
    case CFC_KEYWORD_REF:
        return nth == 0 ? op->node : CFC_SCHEMA_NO_NODE;
    case CFC_KEYWORD_IF:
        for (size_t i = 0; i < sizeof(branches) / sizeof(branches[0]); i++) {
            if (branches[i] != CFC_SCHEMA_NO_NODE && nth-- == 0) {
                return branches[i];
            }
        }
        return CFC_SCHEMA_NO_NODE;
    default:
        return CFC_SCHEMA_NO_NODE;
    }
}

/* A node on the way from one schema to the next in place. */
struct visit {
    uint32_t node;
    uint32_t op;  /* of the node */
    uint32_t nth; /* next of that op */
};

/* The next schema in place of a visit, or NO_NODE at the end. */
static uint32_t
next_in_place(const struct cfc_schema *schema, struct visit *visit)
{
    const struct cfc_schema_node *node = &schema->nodes.at[visit->node];

    for (; visit->op < node->op_count; visit->op++, visit->nth = 0) {
        uint32_t next = op_in_place(&schema->ops.at[node->op_first + visit->op], visit->nth);

        if (next != CFC_SCHEMA_NO_NODE) {
            visit->nth++;
            return next;
        }
    }
    return CFC_SCHEMA_NO_NODE;
}

enum {
    UNSEEN = 0,
    OPEN = 255, /* on the way; other values are the frames that a node needs */
};

_Static_assert((int)CFC_SCHEMA_IN_PLACE_MAX < (int)OPEN, "heights fit beside OPEN");

/* Depth first from one node: the height of it and all below it.  The way is never longer than the
 * limit, since a longer one is refused. */
static int
measure_height(struct cfc_schema_compiler *compiler, uint8_t *heights, uint32_t root)
{
    struct cfc_schema *schema = compiler->schema;
    struct visit way[CFC_SCHEMA_IN_PLACE_MAX];
    uint8_t highest[CFC_SCHEMA_IN_PLACE_MAX]; /* of what each of the way leads to */
    size_t depth = 1;

    way[0] = (struct visit){.node = root};
    highest[0] = 0;
    heights[root] = OPEN;
    while (depth > 0) {
        struct visit *visit = &way[depth - 1];
        uint32_t next = next_in_place(schema, visit);
        uint8_t height;

        if (next != CFC_SCHEMA_NO_NODE && heights[next] == UNSEEN) {
            if (depth == CFC_SCHEMA_IN_PLACE_MAX) {
                break;
            }
            heights[next] = OPEN;
            highest[depth] = 0;
            way[depth++] = (struct visit){.node = next};
            continue;
        }
        if (next != CFC_SCHEMA_NO_NODE && heights[next] == OPEN) {
            const struct cfc_schema_node *node = &schema->nodes.at[visit->node];

            return invalid(compiler, visit->node,
                           schema->ops.at[node->op_first + visit->op].keyword,
                           "the schema leads back to itself without going into the document");
        }
        if (next != CFC_SCHEMA_NO_NODE) {
            height = heights[next];
        } else {
            height = heights[visit->node] = (uint8_t)(highest[depth - 1] + 1);
            depth--;
        }
        if (depth > 0 && height > highest[depth - 1]) {
            highest[depth - 1] = height;
        }
        if (height >= CFC_SCHEMA_IN_PLACE_MAX && depth > 0) {
            break;
        }
    }
    if (depth > 0) {
        return cfc_schema_refuse(compiler, root, CFC_KEYWORD_NONE, CONFCAST_ERR_LIMIT,
                                 "more than %d schemas follow each other for one value",
                                 CFC_SCHEMA_IN_PLACE_MAX);
    }
    return CONFCAST_OK;
}

int
cfc_schema_bound_frames(struct cfc_schema_compiler *compiler)
{
    struct cfc_schema *schema = compiler->schema;
    uint8_t *heights = cfc_alloc(&schema->alloc, schema->nodes.count);
    int error = CONFCAST_OK;

    if (heights == NULL) {
        return cfc_schema_refuse(compiler, 0, CFC_KEYWORD_NONE, CONFCAST_ERR_NO_MEMORY, "%s",
                                 confcast_error_text(CONFCAST_ERR_NO_MEMORY));
    }
    memset(heights, UNSEEN, schema->nodes.count);
    for (uint32_t i = 0; i < schema->nodes.count && error == CONFCAST_OK; i++) {
        if (heights[i] == UNSEEN) {
            error = measure_height(compiler, heights, i);
        }
        if (error == CONFCAST_OK && heights[i] > schema->in_place_max) {
            schema->in_place_max = heights[i];
        }
    }
    cfc_free(&schema->alloc, heights);
    return error;
}
