/* Schemas and documents from texts with ' for ", and what came of them. */
#ifndef CFC_TESTS_SCHEMA_FIXTURE_H
#define CFC_TESTS_SCHEMA_FIXTURE_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/schema/internal.h"
#include "tests/unit/cunit_main.h"

/* Appends to a text in a buffer of `size` bytes. */
static inline void
append(char *text, size_t size, const char *more)
{
    size_t used = strlen(text);

    CU_ASSERT_FATAL(used + strlen(more) < size);
    memcpy(text + used, more, strlen(more) + 1);
}

/* Any JSON value; the caller's.  Numbers become doubles, as json_parse.h makes them. */
static inline json_t *
json_of_flags(const char *text, size_t flags)
{
    char *copy = strdup(text);
    json_error_t error;
    json_t *json;

    CU_ASSERT_PTR_NOT_NULL_FATAL(copy);
    for (char *c = copy; *c != '\0'; c++) {
        *c = *c == '\'' ? '"' : *c;
    }
    json = json_loads(copy, JSON_DECODE_ANY | flags, &error);
    if (json == NULL) {
        fprintf(stderr, "%s: %s\n", copy, error.text);
    }
    CU_ASSERT_PTR_NOT_NULL_FATAL(json);
    free(copy);
    return json;
}

static inline json_t *
json_of(const char *text)
{
    return json_of_flags(text, JSON_DECODE_INT_AS_REAL);
}

/* Of the call that failed last. */
static struct cfc_schema_error why;

static inline int
compile_json(const json_t *source, struct cfc_schema **schema)
{
    int code;

    memset(&why, 0, sizeof(why));
    code = cfc_schema_compile(source, schema, &why);
    CU_ASSERT_EQUAL((code == CONFCAST_OK), (*schema != NULL));
    CU_ASSERT_EQUAL((code == CONFCAST_OK), (why.message[0] == '\0'));
    CU_ASSERT_EQUAL(why.instance_pointer[0], '\0');
    return code;
}

/* The compiled schema, which has to be good; the caller's. */
static inline struct cfc_schema *
schema_of(const char *text)
{
    struct cfc_schema *schema;
    json_t *source = json_of(text);
    int code = compile_json(source, &schema);

    if (code != CONFCAST_OK) {
        fprintf(stderr, "%s: %s: %s\n", text, why.schema_pointer, why.message);
    }
    CU_ASSERT_EQUAL_FATAL(code, CONFCAST_OK);
    json_decref(source);
    return schema;
}

/* What compiling a schema gives. */
static inline int
compiled(const char *text)
{
    struct cfc_schema *schema;
    json_t *source = json_of(text);
    int code = compile_json(source, &schema);

    json_decref(source);
    cfc_schema_free(schema);
    return code;
}

/* What validating gives. */
static inline int
judged_json(const struct cfc_schema *schema, const json_t *document)
{
    int code;

    memset(&why, 0, sizeof(why));
    code = cfc_schema_validate(schema, document, &why);
    CU_ASSERT_EQUAL((code == CONFCAST_OK), (why.message[0] == '\0'));
    CU_ASSERT_EQUAL(cfc_schema_validate(schema, document, NULL), code);
    return code;
}

static inline int
judged(const char *schema_text, const char *document_text)
{
    struct cfc_schema *schema = schema_of(schema_text);
    json_t *document = json_of(document_text);
    int code = judged_json(schema, document);

    json_decref(document);
    cfc_schema_free(schema);
    return code;
}

/* Asserts that a document fits, or does not. */
#define FITS(schema, document) CU_ASSERT_EQUAL(judged(schema, document), CONFCAST_OK)
#define MISSES(schema, document)                                                                   \
    CU_ASSERT_EQUAL(judged(schema, document), CONFCAST_ERR_SCHEMA_MISMATCH)

/* Asserts that a document does not fit, and where. */
#define MISSES_AT(schema, document, instance, pointer, word)                                       \
    do {                                                                                           \
        MISSES(schema, document);                                                                  \
        CU_ASSERT_STRING_EQUAL(why.instance_pointer, instance);                                    \
        CU_ASSERT_STRING_EQUAL(why.schema_pointer, pointer);                                       \
        CU_ASSERT_STRING_EQUAL(why.keyword, word);                                                 \
    } while (0)

/* Asserts that a schema is refused, and where. */
#define REFUSED_AT(schema, code, pointer, word)                                                    \
    do {                                                                                           \
        CU_ASSERT_EQUAL(compiled(schema), code);                                                   \
        CU_ASSERT_STRING_EQUAL(why.schema_pointer, pointer);                                       \
        CU_ASSERT_STRING_EQUAL(why.keyword, word);                                                 \
    } while (0)

#endif
