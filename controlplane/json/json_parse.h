/* Strict JSON in: bytes from anybody to a jansson tree, or a typed refusal.
 *
 * jansson alone accepts 2,000 levels of nesting, and keeps the last of two equal keys unless told
 * otherwise.  A scan of our own, without recursion, goes first: it bounds the depth, finds numbers
 * that canonical JSON cannot hold, and refuses what is not plain UTF-8.  No state, any thread; time
 * is linear in the size. */
#ifndef CFC_JSON_JSON_PARSE_H
#define CFC_JSON_JSON_PARSE_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CFC_JSON_SIZE_MAX_DEFAULT = 64 * 1024 * 1024, /* bytes of a document, unless told otherwise */
    /* Bytes that the tree of a document may take, as far as they can be told before there is one: 3
     * bytes of text ("{},") make 260 of tree, so that the size of the text bounds nothing. */
    CFC_JSON_TREE_SIZE_MAX = 1 << 30,
};

struct cfc_json_error {
    char message[160]; /* one sentence for people, no secrets: never quotes the document */
    size_t offset;     /* byte at which it was noticed */
};

/* Parses a document whose root is an object.  `*root` is the caller's (json_decref).  `error` may
 * be NULL.  Nesting counts containers: the root object is level 1, CFC_DEPTH_MAX is the last
 * allowed.
 *
 *   CONFCAST_ERR_SYNTAX         not JSON; empty; a byte order mark; NaN and the like; bytes after
 * the end; the root is not an object; a real number out of range (1e400) CONFCAST_ERR_ENCODING
 * invalid UTF-8, NUL (raw or escaped), a lone surrogate CONFCAST_ERR_DUPLICATE_KEY  an object with
 * the same key twice, however it is escaped CONFCAST_ERR_DEPTH          deeper than CFC_DEPTH_MAX
 *   CONFCAST_ERR_NUMBER         an integer token beyond 2^53 - 1 either way
 *   CONFCAST_ERR_LIMIT          more than size_max bytes, or CFC_JSON_TREE_SIZE_MAX of tree
 *   CONFCAST_ERR_NO_MEMORY
 * HTTP: NUMBER is 422, LIMIT 413, NO_MEMORY 503, the rest 400. */
int cfc_json_parse_object(const char *text, size_t size, size_t size_max, json_t **root,
                          struct cfc_json_error *error);

/* The same for canonical text that this program wrote itself (a stored document): integer tokens of
 * any size are read as doubles, since RFC 8785 writes 1e20 as 100000000000000000000. */
int cfc_json_parse_canonical(const char *text, size_t size, json_t **root);

/* What the tree of a text would take, in bytes; the text need not be JSON.  Never less than it does
 * take, of what cfc_json_parse_object() accepts. */
uint64_t cfc_json_tree_size(const char *text, size_t size);

#endif
