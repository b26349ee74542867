/* Documents from anybody, a target and a patch with the byte 0x1e between them: each is refused
 * with a documented code, or has one canonical form that is a fixed point; merging keeps to RFC
 * 7396 where that can be said without merging. */
#include <string.h>

#include "confcast/error.h"
#include "controlplane/json/json_body.h"
#include "controlplane/json/json_merge.h"
#include "controlplane/json/json_parse.h"
#include "protocol/snapshot/index.h"
#include "tests/fuzz/target.h"

enum {
    SEPARATOR = 0x1e
};

static bool
is_documented(int error)
{
    static const int codes[] = {CONFCAST_ERR_SYNTAX, CONFCAST_ERR_ENCODING,
                                CONFCAST_ERR_DUPLICATE_KEY, CONFCAST_ERR_DEPTH,
                                CONFCAST_ERR_NUMBER};

    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        if (error == codes[i]) {
            return true;
        }
    }
    return false;
}

static json_t *
parse(const char *text, size_t size)
{
    struct cfc_json_error error = {.message = ""};
    json_t *root;
    int code = cfc_json_parse_object(text, size, CFC_JSON_SIZE_MAX_DEFAULT, &root, &error);

    CFC_FUZZ_CHECK(code == CONFCAST_OK || is_documented(code));
    CFC_FUZZ_CHECK((code == CONFCAST_OK) == (root != NULL));
    CFC_FUZZ_CHECK((code == CONFCAST_OK) == (error.message[0] == '\0'));
    return root;
}

/* The canonical text, which must be a fixed point and have a valid body. */
static char *
canonical(const json_t *root)
{
    uint8_t *body;
    size_t body_size;
    json_t *read;
    char *text;
    char *again;
    size_t size;
    size_t again_size;

    CFC_FUZZ_CHECK(cfc_json_to_body(root, &body, &body_size) == CONFCAST_OK);
    CFC_FUZZ_CHECK(cfc_body_validate(body, body_size) == CONFCAST_OK);
    free(body);
    CFC_FUZZ_CHECK(cfc_json_to_text(root, &text, &size) == CONFCAST_OK);
    CFC_FUZZ_CHECK(cfc_json_parse_canonical(text, size, &read) == CONFCAST_OK);
    CFC_FUZZ_CHECK(cfc_json_to_text(read, &again, &again_size) == CONFCAST_OK);
    CFC_FUZZ_CHECK(size == again_size && memcmp(text, again, size) == 0);
    json_decref(read);
    free(again);
    return text;
}

/* A patch applied a second time changes nothing, and no null of it is left at the top. */
static void
check_merge(const char *target_text, const json_t *patch)
{
    json_t *merged;
    char *once;
    char *twice;
    const char *key;
    json_t *value;

    CFC_FUZZ_CHECK(cfc_json_parse_canonical(target_text, strlen(target_text), &merged) ==
                   CONFCAST_OK);
    CFC_FUZZ_CHECK(cfc_json_merge_patch(&merged, patch) == CONFCAST_OK);
    json_object_foreach((json_t *)(uintptr_t)patch, key, value)
    {
        CFC_FUZZ_CHECK((json_object_get(merged, key) == NULL) == json_is_null(value));
    }
    once = canonical(merged);
    CFC_FUZZ_CHECK(cfc_json_merge_patch(&merged, patch) == CONFCAST_OK);
    twice = canonical(merged);
    CFC_FUZZ_CHECK(strcmp(once, twice) == 0);
    json_decref(merged);
    free(once);
    free(twice);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    const char *text = (const char *)bytes;
    const char *separator = size > 0 ? memchr(text, SEPARATOR, size) : NULL;
    size_t target_size = separator != NULL ? (size_t)(separator - text) : size;
    json_t *target = parse(text, target_size);
    char *target_text = target != NULL ? canonical(target) : NULL;

    if (separator != NULL) {
        json_t *patch = parse(separator + 1, size - target_size - 1);

        if (patch != NULL) {
            free(canonical(patch));
        }
        if (patch != NULL && target != NULL) {
            check_merge(target_text, patch);
        }
        json_decref(patch);
    }
    json_decref(target);
    free(target_text);
    return 0;
}
