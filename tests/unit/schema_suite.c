/* The official JSON Schema test suite, draft 2020-12, as Debian's
 * libtest-json-schema-acceptance-perl brings it (json-schema-test-suite ends at draft 7).  What is
 * not supported stands in the list below with its reason, and is run all the same: it has to be
 * refused by the compiler, with the error that says so.  An entry that nothing needs any more fails
 * the test.
 *
 * Exits 77 when the suite is not on this machine, which CI counts as a failure.  Another place for
 * it can be named by CFC_JSON_SCHEMA_SUITE, a folder with the .json files of the draft. */
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "controlplane/schema/schema.h"

#define SUITE "/usr/share/perl5/auto/share/dist/Test-JSON-Schema-Acceptance/tests/draft2020-12"

enum {
    EXIT_SKIP = 77,
    FILE_SIZE = 320, /* of a file's name, its folder included */
    PATH_SIZE = 1024,
};

/* What has to be refused: one schema of a file, or any schema of it where `schema` is NULL. */
struct refusal {
    const char *file;
    const char *schema; /* its description */
    const char *reason;
    bool is_needed; /* something was refused */
};

#define META   "its $ref asks for the meta-schema, which is another document"
#define REMOTE "its $ref asks for another document"
#define BELOW  "it has an $id below the root, or a $ref to one"

static struct refusal refusals[] = {
    {"anchor.json", "Location-independent identifier with absolute URI", BELOW, false},
    {"anchor.json", "Location-independent identifier with base URI change in subschema", BELOW,
     false},
    {"anchor.json", "same $anchor with different base uri", BELOW, false},
    {"anchor.json", "invalid anchors", META, false},
    {"defs.json", NULL, META, false},
    {"dynamicRef.json", NULL, "$dynamicRef, $dynamicAnchor", false},
    {"id.json", "Invalid use of fragments in location-independent $id", META, false},
    {"id.json", "Valid use of empty fragments in location-independent $id", META, false},
    {"id.json", "Unnormalized $ids are allowed but discouraged", META, false},
    {"id.json", "$id inside an enum is not a real identifier", BELOW, false},
    {"not.json", "collect annotations inside a 'not', even if collection is disabled",
     "unevaluatedProperties", false},
    {"ref.json", "remote ref, containing refs itself", META, false},
    {"ref.json", "Recursive references between schemas", BELOW, false},
    {"ref.json", "ref creates new scope when adjacent to keywords", "unevaluatedProperties", false},
    {"ref.json", "refs with relative uris and defs", BELOW, false},
    {"ref.json", "relative refs with absolute uris and defs", BELOW, false},
    {"ref.json", "$id must be resolved against nearest parent, not just immediate parent", BELOW,
     false},
    {"ref.json", "order of evaluation: $id and $ref", BELOW, false},
    {"ref.json", "order of evaluation: $id and $anchor and $ref", BELOW, false},
    {"ref.json", "URN base URI with f-component", META, false},
    {"ref.json", "URN ref with nested pointer ref", BELOW, false},
    {"ref.json", "ref to if", BELOW, false},
    {"ref.json", "ref to then", BELOW, false},
    {"ref.json", "ref to else", BELOW, false},
    {"ref.json", "ref with absolute-path-reference", BELOW, false},
    {"refRemote.json", NULL, REMOTE, false},
    {"unevaluatedItems.json", NULL, "unevaluatedItems", false},
    {"unevaluatedProperties.json", NULL, "unevaluatedProperties", false},
    {"unknownKeyword.json", NULL, "an unknown keyword may be a misspelt one", false},
    {"vocabulary.json", NULL, "another dialect", false},
    {"optional/cross-draft.json", NULL, REMOTE, false},
    {"optional/dependencies-compatibility.json", NULL, "dependencies, of older drafts", false},
    {"optional/ecmascript-regex.json", "\\a is not an ECMA 262 control escape", META, false},
    {"optional/format-assertion.json", NULL, "another dialect", false},
    {"optional/refOfUnknownKeyword.json", NULL, "an unknown keyword may be a misspelt one", false},
};

struct totals {
    size_t schemas;
    size_t cases;
    size_t refused;
    size_t failures;
};

static struct refusal *
refusal_of(const char *file, const char *schema)
{
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        if (strcmp(refusals[i].file, file) == 0 &&
            (refusals[i].schema == NULL || strcmp(refusals[i].schema, schema) == 0)) {
            return &refusals[i];
        }
    }
    return NULL;
}

static void
run_cases(const char *file, const char *description, const struct cfc_schema *schema,
          const json_t *cases, struct totals *totals)
{
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *one = json_array_get(cases, i);
        bool is_valid = json_is_true(json_object_get(one, "valid"));
        struct cfc_schema_error why = {.message = ""};
        int code = cfc_schema_validate(schema, json_object_get(one, "data"), &why);

        totals->cases++;
        if (code != (is_valid ? CONFCAST_OK : CONFCAST_ERR_SCHEMA_MISMATCH) ||
            (why.message[0] == '\0') != is_valid) {
            totals->failures++;
            printf("%s: %s: %s: %s (%s at \"%s\" by \"%s\")\n", file, description,
                   json_string_value(json_object_get(one, "description")),
                   confcast_error_word(code), why.message, why.instance_pointer,
                   why.schema_pointer);
        }
    }
}

static void
run_group(const char *file, const json_t *group, struct totals *totals)
{
    const char *description = json_string_value(json_object_get(group, "description"));
    struct refusal *refusal = refusal_of(file, description);
    struct cfc_schema_error why = {.message = ""};
    struct cfc_schema *schema;
    int code = cfc_schema_compile(json_object_get(group, "schema"), &schema, &why);

    if (code == CONFCAST_ERR_SCHEMA_UNSUPPORTED && refusal != NULL) {
        refusal->is_needed = true;
        totals->refused++;
        return;
    }
    if (code != CONFCAST_OK) {
        totals->failures++;
        printf("%s: %s: refused: %s (%s at \"%s\")\n", file, description, confcast_error_word(code),
               why.message, why.schema_pointer);
        return;
    }
    totals->schemas++;
    run_cases(file, description, schema, json_object_get(group, "tests"), totals);
    cfc_schema_free(schema);
}

static void
run_file(const char *suite, const char *file, struct totals *totals)
{
    char path[PATH_SIZE + FILE_SIZE];
    json_error_t error;
    json_t *groups;

    snprintf(path, sizeof(path), "%.*s/%s", PATH_SIZE - 2, suite, file);
    /* The way json_parse.h reads numbers; NUL, which it refuses, is in two tests of strings. */
    groups = json_load_file(path, JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL, &error);
    if (!json_is_array(groups)) {
        totals->failures++;
        printf("%s: %s\n", path, error.text);
    }
    for (size_t i = 0; i < json_array_size(groups); i++) {
        run_group(file, json_array_get(groups, i), totals);
    }
    json_decref(groups);
}

static int
is_json(const struct dirent *entry)
{
    size_t size = strlen(entry->d_name);

    return size > 5 && strcmp(entry->d_name + size - 5, ".json") == 0;
}

/* The .json files of suite/folder; the number of them, or -1. */
static int
run_folder(const char *suite, const char *folder, struct totals *totals)
{
    char path[PATH_SIZE];
    struct dirent **entries;
    int count;

    snprintf(path, sizeof(path), "%s/%s", suite, folder);
    count = scandir(path, &entries, is_json, alphasort);
    for (int i = 0; i < count; i++) {
        char file[FILE_SIZE];

        snprintf(file, sizeof(file), "%s%s", folder, entries[i]->d_name);
        run_file(suite, file, totals);
        free(entries[i]);
    }
    if (count >= 0) {
        free(entries);
    }
    return count;
}

int
main(void)
{
    const char *suite = getenv("CFC_JSON_SCHEMA_SUITE");
    struct totals totals = {0};

    if (suite == NULL) {
        suite = SUITE;
    }
    if (run_folder(suite, "", &totals) <= 0) {
        printf("skipped: %s holds no test suite: run scripts/setup\n", suite);
        return EXIT_SKIP;
    }
    /* format is an annotation here, so that its tests, in optional/format, have nothing to test. */
    if (run_folder(suite, "optional/", &totals) <= 0) {
        totals.failures++;
        printf("%s/optional holds no tests\n", suite);
    }
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        if (!refusals[i].is_needed) {
            totals.failures++;
            printf("%s: %s: on the list of what is refused, and was not\n", refusals[i].file,
                   refusals[i].schema != NULL ? refusals[i].schema : "any");
        }
    }
    printf("%zu cases of %zu schemas, %zu schemas refused as listed, %zu failures\n", totals.cases,
           totals.schemas, totals.refused, totals.failures);
    return totals.failures == 0 ? 0 : 1;
}
