/* JSON Schema, draft 2020-12, for definitions and effective configs: a schema is compiled once and
 * then judges as many documents as one likes.
 *
 * docs/schema.md lists what is supported.  A schema that uses anything else is refused when it is
 * compiled, so that no rule is ever passed over in silence.  The schema is data from a tenant:
 * everything is bounded, and no pair of schema and document can hold the caller up for longer than
 * the steps below.  No I/O, no clock, no locale.
 *
 * Numbers are taken as jansson has them, integers as doubles, which is exact up to 2^53: what
 * cfc_json_parse_object() lets through is judged exactly.  1.0 is an integer and equals 1. */
#ifndef CFC_SCHEMA_SCHEMA_H
#define CFC_SCHEMA_SCHEMA_H

#include <jansson.h>
#include <stddef.h>

enum {
    /* Of a schema; more is CONFCAST_ERR_LIMIT when it is compiled. */
    CFC_SCHEMA_VALUES_MAX = 1 << 18,      /* JSON values in it, the keywords' values included */
    CFC_SCHEMA_SIZE_MAX = 32 << 20,       /* bytes of the compiled form, as cfc_schema_size() */
    CFC_SCHEMA_PATTERN_COUNT_MAX = 1024,  /* regular expressions */
    CFC_SCHEMA_PATTERN_SIZE_MAX = 1024,   /* bytes of one of them */
    CFC_SCHEMA_PATTERN_DEPTH_MAX = 64,    /* nesting of its groups */
    CFC_SCHEMA_PATTERN_REPEAT_MAX = 1000, /* n of {n}, {n,} and {m,n} */
    CFC_SCHEMA_IN_PLACE_MAX = 64,         /* schemas for one value, each named by the one before */

    /* Of one validation; more is CONFCAST_ERR_LIMIT. */
    CFC_SCHEMA_STEPS_MAX = 1 << 27,        /* about one keyword for one value each */
    CFC_SCHEMA_UNIQUE_MAX = 1 << 20,       /* items of an array under uniqueItems */
    CFC_SCHEMA_MATCH_HEAP_SIZE = 16 << 20, /* bytes for the backtracking of one match */

    CFC_SCHEMA_POINTER_SIZE = 512, /* bytes of a pointer in an error, its NUL included */
    CFC_SCHEMA_KEYWORD_SIZE = 32,  /* bytes of a keyword in an error */
    CFC_SCHEMA_MESSAGE_SIZE = 256, /* bytes of a message */
};

/* What is wrong, and where.  A text that would be longer than its field ends in "...".  Messages
 * may quote the schema, never the document, of which only member names appear, in the pointer. */
struct cfc_schema_error {
    /* JSON Pointer into the document; "" is its root, and what the compiler always says. */
    char instance_pointer[CFC_SCHEMA_POINTER_SIZE];
    /* JSON Pointer into the schema, to the keyword; for the schema `false` to that schema. */
    char schema_pointer[CFC_SCHEMA_POINTER_SIZE];
    char keyword[CFC_SCHEMA_KEYWORD_SIZE]; /* "maximum"; "" where no keyword is to blame */
    char message[CFC_SCHEMA_MESSAGE_SIZE]; /* one sentence for people, without a full stop */
};

/* A compiled schema.  It never changes: any number of threads may validate with it at a time.  It
 * keeps a copy of what it needs of the JSON. */
struct cfc_schema;

/* Compiles `schema`, an object or a boolean nested at most CFC_DEPTH_MAX deep.  `*out` is the
 * caller's (cfc_schema_free), NULL on error.  `why` may be NULL; it is written on error only.
 * Takes milliseconds for an ordinary schema, a second or so for the largest.
 *
 *   CONFCAST_ERR_SCHEMA_INVALID      a keyword has a value that it cannot have; a regular
 * expression is malformed; a $ref leads nowhere, to something that is no schema, or back to itself
 * without going into the document CONFCAST_ERR_SCHEMA_UNSUPPORTED  an unknown keyword, another
 * dialect in $schema, a $ref out of the document, an $id below the root, a back-reference
 *   CONFCAST_ERR_DEPTH, _LIMIT, _NO_MEMORY
 *
 * HTTP: NO_MEMORY is 503, the rest 422.  Whoever stores schemas compiles before storing. */
int cfc_schema_compile(const json_t *schema, struct cfc_schema **out, struct cfc_schema_error *why);

/* Judges `document`, which stays untouched.  CONFCAST_OK when it fits.  `why` may be NULL; it is
 * written on error only, and names the first failure in document order within a fixed order of
 * keywords, so that it is the same for equal input.
 *
 *   CONFCAST_ERR_SCHEMA_MISMATCH  it does not fit; the HTTP answer is 422
 *   CONFCAST_ERR_LIMIT            the schema asks for more work than is allowed: 422, the schema
 * (or the document) has to become simpler CONFCAST_ERR_DEPTH            nested deeper than
 * CFC_DEPTH_MAX CONFCAST_ERR_ENCODING         a string that a pattern looks at is not UTF-8
 *   CONFCAST_ERR_NO_MEMORY        503, try again later
 *
 * None but OK says that the document fits: the caller refuses the document on every other. */
int cfc_schema_validate(const struct cfc_schema *schema, const json_t *document,
                        struct cfc_schema_error *why);

/* Bytes that the compiled schema holds, for whoever keeps a cache of them: exact but for the copied
 * JSON, which is estimated. */
size_t cfc_schema_size(const struct cfc_schema *schema);

/* NULL is fine. */
void cfc_schema_free(struct cfc_schema *schema);

#endif
