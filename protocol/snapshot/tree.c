#include "protocol/snapshot/tree.h"

#include <assert.h>
#include <string.h>

#include "confcast/error.h"
#include "protocol/base/endian.h"

int
cfc_tree_init(struct cfc_tree *tree, const struct cfc_content *content)
{
    uint32_t offset;
    int error;

    memset(tree, 0, sizeof(*tree));
    if (content->repair_leaves > CFC_REPAIR_LEAVES_MAX) {
        return CONFCAST_ERR_LIMIT;
    }
    error = cfc_geometry_of(content, &tree->geometry);
    if (error != CONFCAST_OK) {
        return error;
    }
    tree->content = *content;
    tree->level_count = cfc_geometry_levels(&tree->geometry);
    tree->top_count = tree->geometry.page_counts[tree->level_count - 1];
    offset = tree->geometry.symbol_count + tree->geometry.block_count * content->repair_leaves;
    for (uint32_t level = 1; level < tree->level_count; level++) {
        tree->level_offsets[level] = offset;
        offset += tree->geometry.page_counts[level - 1];
    }
    tree->digest_count = offset + tree->top_count;
    return CONFCAST_OK;
}

static bool
has_page(const struct cfc_tree *tree, uint32_t level, uint32_t page)
{
    return level < tree->level_count && page < tree->geometry.page_counts[level];
}

static uint32_t
block_symbols(const struct cfc_tree *tree, uint32_t block)
{
    return cfc_geometry_block_symbols(&tree->geometry, &tree->content, block);
}

uint32_t
cfc_tree_page_digests(const struct cfc_tree *tree, uint32_t level, uint32_t page)
{
    uint32_t left_count;

    assert(has_page(tree, level, page));
    if (level == 0) {
        return block_symbols(tree, page) + tree->content.repair_leaves;
    }
    left_count = tree->geometry.page_counts[level - 1] - page * CFC_PAGE_DIGESTS_MAX;
    return left_count < CFC_PAGE_DIGESTS_MAX ? left_count : CFC_PAGE_DIGESTS_MAX;
}

uint32_t
cfc_tree_page_offset(const struct cfc_tree *tree, uint32_t level, uint32_t page)
{
    assert(has_page(tree, level, page));
    if (level == 0) {
        return page * ((uint32_t)tree->content.fec_k + tree->content.repair_leaves);
    }
    return tree->level_offsets[level] + page * CFC_PAGE_DIGESTS_MAX;
}

uint32_t
cfc_tree_top_offset(const struct cfc_tree *tree)
{
    return tree->digest_count - tree->top_count;
}

uint32_t
cfc_tree_parent_offset(const struct cfc_tree *tree, uint32_t level, uint32_t page)
{
    assert(has_page(tree, level, page));
    if (level + 1 < tree->level_count) {
        return tree->level_offsets[level + 1] + page;
    }
    return cfc_tree_top_offset(tree) + page;
}

static void
end_short(struct cfc_sha256 *sha, uint8_t out[CFC_SHORT_DIGEST_SIZE])
{
    struct cfc_digest digest;

    cfc_sha256_end(sha, &digest);
    memcpy(out, digest.bytes, CFC_SHORT_DIGEST_SIZE);
}

static void
hash_symbol(const struct cfc_tree *tree, struct cfc_sha256 *sha, uint32_t block, uint32_t idx,
            const uint8_t *bytes, size_t size, uint8_t leaf[CFC_SHORT_DIGEST_SIZE])
{
    uint8_t fields[8];

    cfc_put_u32(fields, block);
    cfc_put_u16(fields + 4, (uint16_t)idx);
    cfc_put_u16(fields + 6, tree->content.coding);
    cfc_sha256_begin(sha, CFC_DOMAIN_SYMBOL);
    cfc_sha256_add(sha, tree->content.content.bytes, sizeof(tree->content.content.bytes));
    cfc_sha256_add(sha, fields, sizeof(fields));
    cfc_sha256_add(sha, bytes, size);
    end_short(sha, leaf);
}

static void
hash_page(const struct cfc_tree *tree, struct cfc_sha256 *sha, uint32_t level, uint32_t page,
          const uint8_t *digests, size_t digest_count, uint8_t out[CFC_SHORT_DIGEST_SIZE])
{
    uint8_t fields[8];

    cfc_put_u16(fields, tree->content.coding);
    fields[2] = (uint8_t)level;
    fields[3] = 0;
    cfc_put_u32(fields + 4, page);
    cfc_sha256_begin(sha, CFC_DOMAIN_PAGE);
    cfc_sha256_add(sha, tree->content.content.bytes, sizeof(tree->content.content.bytes));
    cfc_sha256_add(sha, fields, sizeof(fields));
    cfc_sha256_add(sha, digests, digest_count * CFC_SHORT_DIGEST_SIZE);
    end_short(sha, out);
}

static void
build_leaves(const struct cfc_tree *tree, struct cfc_sha256 *sha, const uint8_t *coded,
             const uint8_t *repair, uint8_t *digests)
{
    uint32_t repair_count = tree->content.repair_leaves;

    for (uint32_t block = 0; block < tree->geometry.block_count; block++) {
        uint32_t source_count = block_symbols(tree, block);

        for (uint32_t idx = 0; idx < source_count; idx++) {
            size_t size = cfc_geometry_symbol_size(&tree->geometry, &tree->content, block, idx);

            hash_symbol(tree, sha, block, idx, coded, size, digests);
            coded += size;
            digests += CFC_SHORT_DIGEST_SIZE;
        }
        for (uint32_t i = 0; i < repair_count; i++) {
            hash_symbol(tree, sha, block, source_count + i, repair, tree->content.symbol_size,
                        digests);
            repair += tree->content.symbol_size;
            digests += CFC_SHORT_DIGEST_SIZE;
        }
    }
}

void
cfc_tree_build(const struct cfc_tree *tree, struct cfc_sha256 *sha, const uint8_t *coded,
               const uint8_t *repair, uint8_t *digests)
{
    assert((repair != NULL) == (tree->content.repair_leaves > 0));
    build_leaves(tree, sha, coded, repair, digests);
    for (uint32_t level = 0; level < tree->level_count; level++) {
        for (uint32_t page = 0; page < tree->geometry.page_counts[level]; page++) {
            size_t from = cfc_tree_page_offset(tree, level, page);
            size_t to = cfc_tree_parent_offset(tree, level, page);

            hash_page(tree, sha, level, page, digests + from * CFC_SHORT_DIGEST_SIZE,
                      cfc_tree_page_digests(tree, level, page),
                      digests + to * CFC_SHORT_DIGEST_SIZE);
        }
    }
}

static int
compare_digests(const uint8_t *a, const uint8_t *b)
{
    return memcmp(a, b, CFC_SHORT_DIGEST_SIZE) == 0 ? CONFCAST_OK : CONFCAST_ERR_DIGEST;
}

int
cfc_tree_verify_page(const struct cfc_tree *tree, struct cfc_sha256 *sha, uint32_t level,
                     uint32_t page, const uint8_t *digests, size_t digest_count,
                     const uint8_t expected[CFC_SHORT_DIGEST_SIZE])
{
    uint8_t digest[CFC_SHORT_DIGEST_SIZE];

    if (!has_page(tree, level, page)) {
        return CONFCAST_ERR_RANGE;
    }
    if (digest_count != cfc_tree_page_digests(tree, level, page)) {
        return CONFCAST_ERR_LENGTH;
    }
    hash_page(tree, sha, level, page, digests, digest_count, digest);
    return compare_digests(digest, expected);
}

int
cfc_tree_verify_symbol(const struct cfc_tree *tree, struct cfc_sha256 *sha, uint32_t block,
                       uint32_t idx, const uint8_t *bytes, size_t size,
                       const uint8_t expected[CFC_SHORT_DIGEST_SIZE])
{
    uint8_t digest[CFC_SHORT_DIGEST_SIZE];
    size_t symbol_size = tree->content.symbol_size;

    if (block >= tree->geometry.block_count || idx >= cfc_tree_page_digests(tree, 0, block)) {
        return CONFCAST_ERR_RANGE;
    }
    if (idx < block_symbols(tree, block)) {
        symbol_size = cfc_geometry_symbol_size(&tree->geometry, &tree->content, block, idx);
    }
    if (size != symbol_size) {
        return CONFCAST_ERR_LENGTH;
    }
    hash_symbol(tree, sha, block, idx, bytes, size, digest);
    return compare_digests(digest, expected);
}
