/* A schema and a document from anybody, with the byte 0x1e between them: the schema is compiled or
 * refused with a documented code and a sentence, the document is judged the same every time, and
 * the answer obeys the laws of not, of allOf and of const. */
#include <string.h>

#include "confcast/error.h"
#include "controlplane/json/json_parse.h"
#include "controlplane/schema/internal.h"
#include "controlplane/schema/value.h"
#include "tests/fuzz/target.h"

enum {
    SEPARATOR = 0x1e,
    STEPS_MAX = 1 << 16, /* enough for what fits into an input, and quick to run out of */
};

static void
check_text(const char *text, size_t size)
{
    json_t *copy;

    CFC_FUZZ_CHECK(memchr(text, '\0', size) != NULL);
    /* Whole UTF-8: it goes into answers. */
    copy = json_string(text);
    CFC_FUZZ_CHECK(copy != NULL);
    json_decref(copy);
}

static void
check_error(const struct cfc_schema_error *why, bool has_failed)
{
    check_text(why->instance_pointer, sizeof(why->instance_pointer));
    check_text(why->schema_pointer, sizeof(why->schema_pointer));
    check_text(why->keyword, sizeof(why->keyword));
    check_text(why->message, sizeof(why->message));
    CFC_FUZZ_CHECK((why->message[0] != '\0') == has_failed);
}

static struct cfc_schema *
compile(const json_t *source)
{
    struct cfc_schema_error why = {.message = ""};
    struct cfc_schema *schema;
    int code = cfc_schema_compile_with(&cfc_fuzz_heap, source, &schema, &why);

    CFC_FUZZ_CHECK(code == CONFCAST_OK || code == CONFCAST_ERR_SCHEMA_INVALID ||
                   code == CONFCAST_ERR_SCHEMA_UNSUPPORTED || code == CONFCAST_ERR_LIMIT ||
                   code == CONFCAST_ERR_DEPTH);
    CFC_FUZZ_CHECK((code == CONFCAST_OK) == (schema != NULL));
    check_error(&why, code != CONFCAST_OK);
    CFC_FUZZ_CHECK(why.instance_pointer[0] == '\0');
    return schema;
}

static int
judge(const struct cfc_schema *schema, const json_t *document)
{
    struct cfc_schema_error why = {.message = ""};
    int code = cfc_schema_validate_within(schema, document, STEPS_MAX, &why);

    CFC_FUZZ_CHECK(code == CONFCAST_OK || code == CONFCAST_ERR_SCHEMA_MISMATCH ||
                   code == CONFCAST_ERR_LIMIT);
    check_error(&why, code != CONFCAST_OK);
    CFC_FUZZ_CHECK(cfc_schema_validate_within(schema, document, STEPS_MAX, NULL) == code);
    return code;
}

/* What {KEYWORD: VALUE} says of the document; takes the value. */
static int
judge_by(const char *keyword, json_t *value, const json_t *document)
{
    json_t *source = json_pack("{so}", keyword, value);
    struct cfc_schema *schema = compile(source);
    int code;

    CFC_FUZZ_CHECK(schema != NULL);
    code = judge(schema, document);
    cfc_schema_free(schema);
    json_decref(source);
    return code;
}

static void
check_constants(json_t *document)
{
    CFC_FUZZ_CHECK(judge_by("const", json_incref(document), document) == CONFCAST_OK);
    CFC_FUZZ_CHECK(judge_by("enum", json_pack("[isO]", 0, "", document), document) == CONFCAST_OK);
    CFC_FUZZ_CHECK(judge_by("enum", json_pack("[[O]]", document), document) ==
                   CONFCAST_ERR_SCHEMA_MISMATCH);
}

/* References count from the root, so that a schema that has any cannot be put into another. */
static bool
has_references(const struct cfc_schema *schema)
{
    for (uint32_t i = 0; i < schema->ops.count; i++) {
        if (schema->ops.at[i].keyword == CFC_KEYWORD_REF) {
            return true;
        }
    }
    return false;
}

/* Inside another schema it says the same, or the contrary.  It may be refused there: for its $id,
 * or since it is as deep already as can be.  Takes `wrapping`. */
static void
check_wrapped(json_t *wrapping, const json_t *document, int expected)
{
    struct cfc_schema *schema = compile(wrapping);

    if (schema != NULL) {
        int code = judge(schema, document);

        CFC_FUZZ_CHECK(code == expected || code == CONFCAST_ERR_LIMIT);
    }
    cfc_schema_free(schema);
    json_decref(wrapping);
}

static void
check_laws(json_t *source, const json_t *document, int code)
{
    int contrary = code == CONFCAST_OK ? CONFCAST_ERR_SCHEMA_MISMATCH : CONFCAST_OK;

    check_wrapped(json_pack("{s[bO]}", "allOf", 1, source), document, code);
    check_wrapped(json_pack("{s[bO]}", "anyOf", 0, source), document, code);
    check_wrapped(json_pack("{s[Ob]}", "oneOf", source, 0), document, code);
    check_wrapped(json_pack("{sO}", "not", source), document, contrary);
    check_wrapped(json_pack("{s{sO}}", "not", "not", source), document, code);
    check_wrapped(json_pack("{sbsO}", "if", 1, "then", source), document, code);
    check_wrapped(json_pack("{sOsb}", "if", source, "else", 0), document, code);
    check_wrapped(json_pack("{sOsbsb}", "if", source, "then", 0, "else", 1), document, contrary);
}

static json_t *
parse(const char *text, size_t size)
{
    json_t *root;

    (void)cfc_json_parse_object(text, size, CFC_JSON_SIZE_MAX_DEFAULT, &root, NULL);
    return root;
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    const char *text = (const char *)bytes;
    const char *separator = size > 0 ? memchr(text, SEPARATOR, size) : NULL;
    size_t source_size = separator != NULL ? (size_t)(separator - text) : size;
    json_t *source = parse(text, source_size);
    struct cfc_schema *schema = source != NULL ? compile(source) : NULL;
    json_t *document =
        separator != NULL ? parse(separator + 1, size - source_size - 1) : json_object();

    if (document != NULL && size < STEPS_MAX / 16) {
        check_constants(document);
    }
    if (schema != NULL && document != NULL) {
        int code = judge(schema, document);

        if (code != CONFCAST_ERR_LIMIT && !has_references(schema)) {
            check_laws(source, document, code);
        }
    }
    cfc_schema_free(schema);
    json_decref(document);
    json_decref(source);
    return 0;
}
