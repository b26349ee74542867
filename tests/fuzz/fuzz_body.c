/* A body from anybody: either refused, the same by both of its checks, or canonical in every way:
 * written again it has the same bytes, and so it has by way of its JSON text. */
#include <string.h>

#include "confcast/error.h"
#include "controlplane/json/json_body.h"
#include "controlplane/json/json_parse.h"
#include "protocol/snapshot/index.h"
#include "tests/fuzz/target.h"

static void
check_copy(const uint8_t *body, size_t size)
{
    struct cfc_body_writer w;
    uint8_t *copy;
    size_t copy_size;

    cfc_body_writer_init(&w, &cfc_fuzz_heap);
    cfc_body_value(&w, cfc_body_root(body));
    CFC_FUZZ_CHECK(cfc_body_finish(&w, &copy, &copy_size) == CONFCAST_OK);
    CFC_FUZZ_CHECK(copy_size == size && memcmp(copy, body, size) == 0);
    free(copy);
}

static void
check_json(const uint8_t *body, size_t size)
{
    json_t *root;
    char *text;
    size_t text_size;
    uint8_t *copy;
    size_t copy_size;

    CFC_FUZZ_CHECK(cfc_json_body_to_text(body, size, &text, &text_size) == CONFCAST_OK);
    CFC_FUZZ_CHECK(cfc_json_parse_canonical(text, text_size, &root) == CONFCAST_OK);
    CFC_FUZZ_CHECK(cfc_json_to_body(root, &copy, &copy_size) == CONFCAST_OK);
    CFC_FUZZ_CHECK(copy_size == size && memcmp(copy, body, size) == 0);
    json_decref(root);
    free(copy);
    free(text);
}

/* The members of the root, by pointers made of their keys. */
static void
check_index(const struct cfc_index *index, const uint8_t *body)
{
    struct cfc_iter iter = cfc_iter_of(cfc_body_root(body));
    struct cfc_child child;

    while (cfc_iter_next(&iter, &child)) {
        char *pointer = malloc(2 * child.key_size + 1);
        struct cfc_index_key key;
        size_t size = 0;

        CFC_FUZZ_CHECK(pointer != NULL);
        pointer[size++] = '/';
        for (size_t i = 0; i < child.key_size; i++) {
            char c = child.key[i];

            if (c == '~' || c == '/') {
                pointer[size++] = '~';
                c = c == '~' ? '0' : '1';
            }
            pointer[size++] = c;
        }
        CFC_FUZZ_CHECK(cfc_index_key_init(&key, pointer, size, index->seed) == CONFCAST_OK);
        CFC_FUZZ_CHECK(cfc_index_lookup(index, &key) == child.value);
        CFC_FUZZ_CHECK(cfc_value_member(cfc_body_root(body), child.key, child.key_size) ==
                       child.value);
        free(pointer);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct cfc_index index;
    int error = cfc_body_validate(bytes, size);

    CFC_FUZZ_CHECK(cfc_index_build(&index, bytes, size, 7, &cfc_fuzz_heap) == error);
    if (error == CONFCAST_OK) {
        check_copy(bytes, size);
        check_json(bytes, size);
        check_index(&index, bytes);
    }
    cfc_index_free(&index, &cfc_fuzz_heap);
    return 0;
}
