/* A FRESH page from anybody.  Checking it against its root is safe whatever it says, and with the
 * root that its own leaf and proof lead to it holds, while any other root refuses it. */
#include <string.h>

#include "tests/fuzz/target.h"
#include "tests/unit/wire_fixture.h"

/* The root that leaf and proof of a decoded page lead to, by the definition in fresh.h. */
static void
root_of(struct cfc_sha256 *sha, const struct cfc_fresh *fresh, uint8_t root[16])
{
    const uint8_t *sibling = fresh->proof;
    struct cfc_digest node;
    uint8_t index_le[4];
    uint32_t left = fresh->page_count;
    uint32_t at = fresh->page_index;

    cfc_put_u32(index_le, at);
    cfc_sha256_begin(sha, CFC_DOMAIN_FRESH_LEAF);
    cfc_sha256_add(sha, index_le, 4);
    cfc_sha256_add(sha, fresh->entries, (size_t)fresh->entry_count * CFC_FRESH_ENTRY_SIZE);
    cfc_sha256_end(sha, &node);
    while (left > 1) {
        bool is_right = at % 2 == 1;

        if (is_right || at + 1 < left) {
            struct cfc_digest below = node;

            cfc_sha256_begin(sha, CFC_DOMAIN_FRESH_NODE);
            cfc_sha256_add(sha, is_right ? sibling : below.bytes, 16);
            cfc_sha256_add(sha, is_right ? below.bytes : sibling, 16);
            cfc_sha256_end(sha, &node);
            sibling += 16;
        }
        at /= 2;
        left = left / 2 + left % 2;
    }
    memcpy(root, node.bytes, 16);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static struct cfc_sha256 *sha;
    struct cfc_fresh_entry entry;
    struct cfc_fresh fresh;
    struct cfc_frame frame;
    uint8_t *copy;

    if (sha == NULL) {
        sha = cfc_sha256_new();
        CFC_FUZZ_CHECK(sha != NULL);
    }
    if (size < 24 || size > CFC_FRAME_SIZE_MAX) {
        return 0;
    }
    copy = malloc(size);
    CFC_FUZZ_CHECK(copy != NULL);
    memcpy(copy, bytes, size);
    memcpy(copy, "\xc5\xcf\x01\x05", 4);
    cfc_put_u16(copy + 4, (uint16_t)size);
    cfc_put_u16(copy + 6, 0);
    cfc_put_u64(copy + 8, cfc_get_u32(copy + 20));
    CFC_FUZZ_CHECK(cfc_frame_open(copy, size, &frame) == CONFCAST_OK);
    if (cfc_fresh_decode(&frame, &fresh) == CONFCAST_OK) {
        for (uint32_t i = 0; i < fresh.entry_count; i++) {
            cfc_fresh_entry_at(&fresh, i, &entry);
        }
        (void)cfc_fresh_check_page(&fresh, sha);
        if (fresh.page_count > 0) {
            root_of(sha, &fresh, fresh.root);
            CFC_FUZZ_CHECK(cfc_fresh_check_page(&fresh, sha) == CONFCAST_OK);
            fresh.root[size % 16] ^= 1;
            CFC_FUZZ_CHECK(cfc_fresh_check_page(&fresh, sha) == CONFCAST_ERR_DIGEST);
        }
    }
    free(copy);
    return 0;
}
