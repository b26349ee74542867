#include "protocol/snapshot/tree.h"

#include <stdlib.h>
#include <string.h>

#include "confcast/error.h"
#include "tests/unit/cunit_main.h"

static struct cfc_sha256 *sha;

/* A tree with all that it was built from. */
struct grown {
    struct cfc_tree tree;
    uint8_t *coded;
    uint8_t *repair;
    uint8_t *digests;
};

static struct cfc_content
content_of(uint32_t coded_size, uint16_t symbol_size, uint8_t k, uint8_t repair_leaves,
           uint16_t coding)
{
    struct cfc_content content = {.coding = coding,
                                  .fec_k = k,
                                  .repair_leaves = repair_leaves,
                                  .coded_size = coded_size,
                                  .symbol_size = symbol_size};

    for (int i = 0; i < 32; i++) {
        content.content.bytes[i] = (uint8_t)i;
    }
    return content;
}

static void
grow(struct grown *g, const struct cfc_content *content)
{
    size_t repair_size;

    CU_ASSERT_EQUAL_FATAL(cfc_tree_init(&g->tree, content), CONFCAST_OK);
    repair_size =
        (size_t)g->tree.geometry.block_count * content->repair_leaves * content->symbol_size;
    g->coded = malloc(content->coded_size);
    g->repair = malloc(repair_size + 1);
    g->digests = malloc(cfc_tree_digests_size(&g->tree));
    CU_ASSERT_FATAL(g->coded != NULL && g->repair != NULL && g->digests != NULL);
    for (size_t i = 0; i < content->coded_size; i++) {
        g->coded[i] = (uint8_t)((i * i + i / 256) % 251);
    }
    for (size_t i = 0; i < repair_size; i++) {
        g->repair[i] = (uint8_t)(7 * i);
    }
    cfc_tree_build(&g->tree, sha, g->coded, content->repair_leaves > 0 ? g->repair : NULL,
                   g->digests);
}

static void
fell(struct grown *g)
{
    free(g->coded);
    free(g->repair);
    free(g->digests);
}

static const uint8_t *
digest_at(const struct grown *g, uint32_t offset)
{
    return g->digests + (size_t)offset * CFC_SHORT_DIGEST_SIZE;
}

static void
trees_have_the_digests_of_another_implementation(void)
{
    static const struct {
        uint32_t coded_size;
        uint16_t symbol_size;
        uint8_t k;
        uint8_t repair_leaves;
        uint16_t coding;
        uint32_t level_count;
        uint32_t top_count;
        uint32_t digest_count;
        const char *sha256; /* of all digests */
    } rows[] = {
        {1, 1440, 64, 0, 0, 1, 1, 2,
         "ddc33ccb28602982691c8b1e251a160b3b3d48cbab1b278188b3fc69ec426c76"},
        {100, 64, 1, 0, 1, 1, 2, 4,
         "54f94bcb30b587c2043d94af2c3f3ceba6ce38004df94b00af394f1d27d1cd8c"},
        {276497, 1440, 64, 8, 1, 1, 4, 229,
         "1d953de959f52e037c4795a6145d5b3ea0251fb610be477a09fc68f4995585ae"},
        {4223, 64, 2, 1, 9, 2, 1, 133,
         "6e1ef22f53dad55aef0d83f2aef4afee684b615e036ca2ee94dadabfb92f3182"},
        {4096, 64, 2, 1, 9, 1, 32, 128,
         "69ecf334f0ab176db6d718581f95b9a657c28571263b758850d6181c0cb9a8fe"},
        {163904, 64, 1, 0, 513, 3, 1, 5156,
         "428b329ed9a15339b6a52bf0b8f3867f55df847580ff0fc755409e07ac9bca24"},
        {163840, 64, 1, 16, 513, 2, 32, 46112,
         "c1b262264098827f45dc259031e7b3666b8d57d1217c72778e967dc4a1e2576f"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct cfc_content content = content_of(rows[i].coded_size, rows[i].symbol_size, rows[i].k,
                                                rows[i].repair_leaves, rows[i].coding);
        struct grown g;
        struct cfc_digest digest;
        char hex[65] = "";

        grow(&g, &content);
        CU_ASSERT_EQUAL(g.tree.level_count, rows[i].level_count);
        CU_ASSERT_EQUAL(g.tree.top_count, rows[i].top_count);
        CU_ASSERT_EQUAL(g.tree.digest_count, rows[i].digest_count);
        cfc_sha256_once(sha, NULL, g.digests, cfc_tree_digests_size(&g.tree), &digest);
        for (int k = 0; k < 32; k++) {
            hex[2 * k] = "0123456789abcdef"[digest.bytes[k] >> 4];
            hex[2 * k + 1] = "0123456789abcdef"[digest.bytes[k] & 15];
        }
        CU_ASSERT_STRING_EQUAL(hex, rows[i].sha256);
        fell(&g);
    }
}

/* Verifies from the top down, as a receiver does, and counts the symbols. */
static uint32_t
verify_all(const struct grown *g)
{
    const struct cfc_tree *tree = &g->tree;
    uint32_t count = 0;
    size_t offset = 0;

    for (uint32_t level = tree->level_count; level-- > 0;) {
        for (uint32_t page = 0; page < tree->geometry.page_counts[level]; page++) {
            const uint8_t *digests = digest_at(g, cfc_tree_page_offset(tree, level, page));
            uint32_t parent = cfc_tree_parent_offset(tree, level, page);

            CU_ASSERT_EQUAL_FATAL(cfc_tree_verify_page(tree, sha, level, page, digests,
                                                       cfc_tree_page_digests(tree, level, page),
                                                       digest_at(g, parent)),
                                  CONFCAST_OK);
            CU_ASSERT_EQUAL(level + 1 == tree->level_count, parent >= cfc_tree_top_offset(tree));
        }
    }
    for (uint32_t block = 0; block < tree->geometry.block_count; block++) {
        uint32_t source_count = cfc_geometry_block_symbols(&tree->geometry, &tree->content, block);
        uint32_t leaves = cfc_tree_page_offset(tree, 0, block);

        for (uint32_t i = 0; i < source_count + tree->content.repair_leaves; i++) {
            const uint8_t *bytes;
            size_t size = tree->content.symbol_size;

            if (i < source_count) {
                size = cfc_geometry_symbol_size(&tree->geometry, &tree->content, block, i);
                bytes = g->coded + offset;
                offset += size;
            } else {
                bytes = g->repair + (block * tree->content.repair_leaves + i - source_count) * size;
            }
            CU_ASSERT_EQUAL_FATAL(
                cfc_tree_verify_symbol(tree, sha, block, i, bytes, size, digest_at(g, leaves + i)),
                CONFCAST_OK);
            count++;
        }
    }
    CU_ASSERT_EQUAL(offset, tree->content.coded_size);
    return count;
}

static void
every_page_and_symbol_verifies_from_the_top(void)
{
    struct cfc_content contents[] = {
        content_of(1, 64, 64, 0, 0), content_of(276497, 1440, 64, 8, 1),
        content_of(4223, 64, 2, 1, 9), content_of(163904, 64, 1, 0, 513),
        content_of(3 * 64 + 1, 64, 4, 16, 2)};

    for (size_t i = 0; i < sizeof(contents) / sizeof(contents[0]); i++) {
        struct grown g;

        grow(&g, &contents[i]);
        CU_ASSERT_EQUAL(verify_all(&g),
                        g.tree.geometry.symbol_count +
                            g.tree.geometry.block_count * contents[i].repair_leaves);
        fell(&g);
    }
}

static void
a_changed_symbol_or_one_from_elsewhere_is_told(void)
{
    struct cfc_content content = content_of(10 * 64 - 5, 64, 4, 1, 3);
    struct grown g;
    struct cfc_tree other;
    const uint8_t *leaf;

    grow(&g, &content);
    leaf = digest_at(&g, cfc_tree_page_offset(&g.tree, 0, 1) + 2); /* block 1, symbol 2 */
    CU_ASSERT_EQUAL(cfc_tree_verify_symbol(&g.tree, sha, 1, 2, g.coded + 6 * 64, 64, leaf),
                    CONFCAST_OK);
    for (int bit = 0; bit < 64 * 8; bit++) {
        g.coded[6 * 64 + bit / 8] ^= (uint8_t)(1 << bit % 8);
        CU_ASSERT_EQUAL(cfc_tree_verify_symbol(&g.tree, sha, 1, 2, g.coded + 6 * 64, 64, leaf),
                        CONFCAST_ERR_DIGEST);
        g.coded[6 * 64 + bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    /* The right bytes under another index, block, coding or content. */
    CU_ASSERT_EQUAL(cfc_tree_verify_symbol(&g.tree, sha, 1, 1, g.coded + 6 * 64, 64, leaf),
                    CONFCAST_ERR_DIGEST);
    CU_ASSERT_EQUAL(cfc_tree_verify_symbol(&g.tree, sha, 0, 2, g.coded + 6 * 64, 64, leaf),
                    CONFCAST_ERR_DIGEST);
    other = g.tree;
    other.content.coding ^= 1;
    CU_ASSERT_EQUAL(cfc_tree_verify_symbol(&other, sha, 1, 2, g.coded + 6 * 64, 64, leaf),
                    CONFCAST_ERR_DIGEST);
    other = g.tree;
    other.content.content.bytes[31] ^= 1;
    CU_ASSERT_EQUAL(cfc_tree_verify_symbol(&other, sha, 1, 2, g.coded + 6 * 64, 64, leaf),
                    CONFCAST_ERR_DIGEST);
    fell(&g);
}

static void
a_symbol_has_its_place_and_its_size(void)
{
    /* Blocks of 4, 4 and 2 source symbols, the last of 59 bytes; one repair leaf each. */
    struct cfc_content content = content_of(10 * 64 - 5, 64, 4, 1, 3);
    uint8_t bytes[65] = {0};
    struct grown g;
    const uint8_t *leaf;

    grow(&g, &content);
    leaf = digest_at(&g, 0);
    CU_ASSERT_EQUAL(cfc_tree_verify_symbol(&g.tree, sha, 3, 0, bytes, 64, leaf),
                    CONFCAST_ERR_RANGE);
    CU_ASSERT_EQUAL(cfc_tree_verify_symbol(&g.tree, sha, UINT32_MAX, 0, bytes, 64, leaf),
                    CONFCAST_ERR_RANGE);
    CU_ASSERT_EQUAL(cfc_tree_verify_symbol(&g.tree, sha, 0, 5, bytes, 64, leaf),
                    CONFCAST_ERR_RANGE);
    CU_ASSERT_EQUAL(cfc_tree_verify_symbol(&g.tree, sha, 0, UINT32_MAX, bytes, 64, leaf),
                    CONFCAST_ERR_RANGE);
    CU_ASSERT_EQUAL(cfc_tree_verify_symbol(&g.tree, sha, 2, 3, bytes, 64, leaf),
                    CONFCAST_ERR_RANGE);
    CU_ASSERT_EQUAL(cfc_tree_verify_symbol(&g.tree, sha, 2, 2, bytes, 64, leaf),
                    CONFCAST_ERR_DIGEST); /* the repair symbol of the short block is full */
    CU_ASSERT_EQUAL(cfc_tree_verify_symbol(&g.tree, sha, 2, 2, bytes, 59, leaf),
                    CONFCAST_ERR_LENGTH);
    CU_ASSERT_EQUAL(cfc_tree_verify_symbol(&g.tree, sha, 2, 1, bytes, 64, leaf),
                    CONFCAST_ERR_LENGTH);
    CU_ASSERT_EQUAL(cfc_tree_verify_symbol(&g.tree, sha, 2, 1, bytes, 59, leaf),
                    CONFCAST_ERR_DIGEST);
    CU_ASSERT_EQUAL(cfc_tree_verify_symbol(&g.tree, sha, 0, 0, bytes, 63, leaf),
                    CONFCAST_ERR_LENGTH);
    CU_ASSERT_EQUAL(cfc_tree_verify_symbol(&g.tree, sha, 0, 0, bytes, 65, leaf),
                    CONFCAST_ERR_LENGTH);
    fell(&g);
}

static void
a_changed_page_or_one_from_elsewhere_is_told(void)
{
    struct cfc_content content = content_of(163904, 64, 1, 0, 513); /* three levels */
    struct grown g;
    uint8_t page[CFC_PAGE_DIGESTS_MAX * CFC_SHORT_DIGEST_SIZE];
    const uint8_t *expected;
    struct cfc_tree other;

    grow(&g, &content);
    memcpy(page, digest_at(&g, cfc_tree_page_offset(&g.tree, 1, 3)), sizeof(page));
    expected = digest_at(&g, cfc_tree_parent_offset(&g.tree, 1, 3));
    CU_ASSERT_EQUAL(cfc_tree_verify_page(&g.tree, sha, 1, 3, page, 80, expected), CONFCAST_OK);
    for (size_t i = 0; i < sizeof(page); i++) {
        page[i] ^= 0x10;
        CU_ASSERT_EQUAL(cfc_tree_verify_page(&g.tree, sha, 1, 3, page, 80, expected),
                        CONFCAST_ERR_DIGEST);
        page[i] ^= 0x10;
    }
    CU_ASSERT_EQUAL(cfc_tree_verify_page(&g.tree, sha, 1, 2, page, 80, expected),
                    CONFCAST_ERR_DIGEST);
    CU_ASSERT_EQUAL(cfc_tree_verify_page(&g.tree, sha, 1, 3, page, 79, expected),
                    CONFCAST_ERR_LENGTH);
    CU_ASSERT_EQUAL(cfc_tree_verify_page(&g.tree, sha, 1, 3, page, 0, expected),
                    CONFCAST_ERR_LENGTH);
    CU_ASSERT_EQUAL(cfc_tree_verify_page(&g.tree, sha, 1, 33, page, 80, expected),
                    CONFCAST_ERR_RANGE);
    CU_ASSERT_EQUAL(cfc_tree_verify_page(&g.tree, sha, 3, 0, page, 80, expected),
                    CONFCAST_ERR_RANGE);
    CU_ASSERT_EQUAL(cfc_tree_verify_page(&g.tree, sha, UINT32_MAX, 0, page, 80, expected),
                    CONFCAST_ERR_RANGE);
    other = g.tree;
    other.content.coding ^= 1;
    CU_ASSERT_EQUAL(cfc_tree_verify_page(&other, sha, 1, 3, page, 80, expected),
                    CONFCAST_ERR_DIGEST);
    fell(&g);
}

static void
cuttings_outside_the_rules_are_refused(void)
{
    struct cfc_content content = content_of(0, 1440, 64, 8, 1);
    struct cfc_tree tree;

    CU_ASSERT_EQUAL(cfc_tree_init(&tree, &content), CONFCAST_ERR_RANGE);
    content = content_of(1000, 63, 64, 8, 1);
    CU_ASSERT_EQUAL(cfc_tree_init(&tree, &content), CONFCAST_ERR_RANGE);
    content = content_of(1000, 64, 0, 8, 1);
    CU_ASSERT_EQUAL(cfc_tree_init(&tree, &content), CONFCAST_ERR_RANGE);
    content = content_of(1000, 64, 65, 8, 1);
    CU_ASSERT_EQUAL(cfc_tree_init(&tree, &content), CONFCAST_ERR_LIMIT);
    content = content_of(1000, 64, 64, CFC_REPAIR_LEAVES_MAX + 1, 1);
    CU_ASSERT_EQUAL(cfc_tree_init(&tree, &content), CONFCAST_ERR_LIMIT);
    content = content_of(1000, 64, 64, CFC_REPAIR_LEAVES_MAX, 1);
    CU_ASSERT_EQUAL(cfc_tree_init(&tree, &content), CONFCAST_OK);
    content = content_of(CFC_BODY_SIZE_MAX + 1, 1440, 64, 8, 1);
    CU_ASSERT_EQUAL(cfc_tree_init(&tree, &content), CONFCAST_ERR_LIMIT);
    content = content_of(CFC_BODY_SIZE_MAX, 1440, 64, 16, 1);
    CU_ASSERT_EQUAL(cfc_tree_init(&tree, &content), CONFCAST_OK);
    /* 32 top digests x 80 x 80 pages of one symbol each. */
    content = content_of(32 * 80 * 80 * 64, 64, 1, 0, 1);
    CU_ASSERT_EQUAL(cfc_tree_init(&tree, &content), CONFCAST_OK);
    CU_ASSERT_EQUAL(tree.top_count, 32);
    content = content_of(32 * 80 * 80 * 64 + 1, 64, 1, 0, 1);
    CU_ASSERT_EQUAL(cfc_tree_init(&tree, &content), CONFCAST_ERR_LIMIT);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(trees_have_the_digests_of_another_implementation),
    CFC_CASE(every_page_and_symbol_verifies_from_the_top),
    CFC_CASE(a_changed_symbol_or_one_from_elsewhere_is_told),
    CFC_CASE(a_symbol_has_its_place_and_its_size),
    CFC_CASE(a_changed_page_or_one_from_elsewhere_is_told),
    CFC_CASE(cuttings_outside_the_rules_are_refused),
};

int
main(void)
{
    int status;

    sha = cfc_sha256_new();
    if (sha == NULL) {
        return 2;
    }
    status = cfc_test_main("tree", cases, sizeof(cases) / sizeof(cases[0]));
    cfc_sha256_free(sha);
    return status;
}
