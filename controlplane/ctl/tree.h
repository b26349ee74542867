/* A tree of files that says how scopes shall be: docs/cli.md has the layout.  The path of a file is
 * the scope that it is about, and the words before ".json" say what it holds:
 *
 *     acme/checkout.json            the definition of acme/checkout
 *     acme/checkout.schema.json     its schema
 *     acme/checkout.settings.json   its settings
 *     acme/checkout.layers.json     its layers, a list of scopes
 *
 * Names that begin with a dot and *.md are passed over; everything else has to fit, so that a
 * misspelt name does not go unnoticed.  No symbolic link is followed, so nothing outside of the
 * folder is read or written. */
#ifndef CFC_CTL_TREE_H
#define CFC_CTL_TREE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "protocol/base/limits.h"

enum cfc_tree_kind {
    CFC_TREE_SCHEMA, /* in the order in which they are applied */
    CFC_TREE_SETTINGS,
    CFC_TREE_DEFINITION,
    CFC_TREE_LAYERS,
    CFC_TREE_KIND_COUNT,
};

enum {
    CFC_TREE_FILES_MAX = 100000,
    CFC_TREE_FILE_SIZE_MAX = 64 << 20,
    CFC_TREE_WHY_SIZE = 512,
};

struct cfc_tree_file {
    char scope[CFC_SCOPE_SIZE_MAX + 1];
    enum cfc_tree_kind kind;
    char *text; /* as it is in the file: the server judges it */
    size_t size;
    json_t *value; /* the same, parsed; integers are reals */
};

struct cfc_tree {
    struct cfc_tree_file *files; /* by scope, then by kind */
    size_t count;
    size_t capacity;
};

/* "definition", "schema", "settings", "layers". */
const char *cfc_tree_kind_word(enum cfc_tree_kind kind);

/* Reads all of a folder.  `why` gets what is wrong, begun with the path inside of the folder.
 * CONFCAST_ERR_NOT_FOUND: no such folder; CONFCAST_ERR_AUTHORITY: a symbolic link, or no regular
 * file; CONFCAST_ERR_SCOPE_NAME: the name is that of no scope; CONFCAST_ERR_SYNTAX: no JSON object
 * (for layers: list of strings), or a key twice; CONFCAST_ERR_LIMIT: too many files, or too big;
 * CONFCAST_ERR_IO: errno says why; CONFCAST_ERR_NO_MEMORY.  On errors `tree` is empty. */
int cfc_tree_read(const char *dir, struct cfc_tree *tree, char why[CFC_TREE_WHY_SIZE]);
void cfc_tree_free(struct cfc_tree *tree);

/* The file of (scope, kind), NULL when there is none. */
const struct cfc_tree_file *cfc_tree_find(const struct cfc_tree *tree, const char *scope,
                                          enum cfc_tree_kind kind);

/* Writes one file of a tree, and the folders that it needs, whole or not at all.  The text is JSON;
 * it is laid out over lines.  With may_replace a file that says something else is replaced.
 * CONFCAST_ERR_EXISTS: it is there and differs; CONFCAST_ERR_SCOPE_NAME: the file of this scope
 * would be taken for something else; CONFCAST_ERR_AUTHORITY: a symbolic link is in the way;
 * CONFCAST_ERR_NO_SPACE; CONFCAST_ERR_IO; CONFCAST_ERR_NO_MEMORY.  *is_written: false when it was
 * there as it shall be. */
int cfc_tree_write(const char *dir, const char *scope, enum cfc_tree_kind kind, const char *text,
                   size_t size, bool may_replace, bool *is_written, char why[CFC_TREE_WHY_SIZE]);

/* JSON without white space, laid out over lines; numbers and strings keep their bytes.  On the
 * heap, NULL without memory. */
char *cfc_tree_layout(const char *text, size_t size, size_t *out_size);

#endif
