#include "protocol/session/content_rx.h"

#include <assert.h>
#include <string.h>

#include "confcast/error.h"
#include "protocol/session/content_rx_state.h"

/* Blocks that a sender interleaves: a burst of losses then falls on several of them, each of which
 * has its own repair symbols.  Without a code there is nothing to gain. */
static uint32_t
group_blocks(const struct cfc_content *content)
{
    return content->fec_code == CFC_FEC_RS_CAUCHY ? CFC_FEC_GROUP_BLOCKS : 1;
}

int
cfc_content_rx_new(const struct cfc_content *content, const struct cfc_alloc *alloc,
                   const struct cfc_nack_timing *timing, uint64_t now_ns,
                   struct cfc_content_rx **out)
{
    struct cfc_tree tree;
    struct cfc_content_rx *rx;
    uint32_t block_count, page_count = 0, slot_max;
    size_t masks_size, slots_size, digests_size, size;
    int code = cfc_tree_init(&tree, content);

    if (code != CONFCAST_OK) {
        return code;
    }
    block_count = tree.geometry.block_count;
    for (uint32_t level = 0; level < tree.level_count; level++) {
        page_count += tree.geometry.page_counts[level];
    }
    slot_max = block_count < CFC_CONTENT_RX_SLOTS_MAX ? block_count : CFC_CONTENT_RX_SLOTS_MAX;
    masks_size = block_count * sizeof(uint64_t);
    slots_size = slot_max * sizeof(struct cfc_rx_slot);
    digests_size = cfc_tree_digests_size(&tree);
    size = sizeof(*rx) + masks_size + slots_size + digests_size + (page_count + 7) / 8 +
           (block_count + 7) / 8;
    rx = cfc_alloc(alloc, size);
    if (rx == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    memset(rx, 0, size);
    rx->coded = cfc_alloc(alloc, (size_t)tree.geometry.symbol_count * content->symbol_size);
    if (rx->coded == NULL) {
        cfc_free(alloc, rx);
        return CONFCAST_ERR_NO_MEMORY;
    }
    rx->tree = tree;
    rx->alloc = *alloc;
    rx->timing = timing;
    rx->key = cfc_digest_key(&content->content);
    rx->masks = (uint64_t *)(rx + 1);
    rx->slots = (struct cfc_rx_slot *)(rx->masks + block_count);
    rx->digests = (uint8_t *)(rx->slots + slot_max);
    rx->pages = rx->digests + digests_size;
    rx->closed = rx->pages + (page_count + 7) / 8;
    rx->group_blocks = group_blocks(content);
    for (uint32_t level = 1; level < tree.level_count; level++) {
        rx->page_bases[level] = rx->page_bases[level - 1] + tree.geometry.page_counts[level - 1];
    }
    rx->slot_max = slot_max;
    memcpy(rx->digests + (size_t)cfc_tree_top_offset(&tree) * CFC_SHORT_DIGEST_SIZE,
           content->top_digests, (size_t)tree.top_count * CFC_SHORT_DIGEST_SIZE);
    rx->tail_blocks = 1;
    cfc_rx_note_news(rx, now_ns);
    rx->is_empty = true;
    *out = rx;
    return CONFCAST_OK;
}

void
cfc_content_rx_free(struct cfc_content_rx *rx)
{
    if (rx != NULL) {
        struct cfc_alloc alloc = rx->alloc;

        cfc_free(&alloc, rx->coded);
        cfc_free(&alloc, rx);
    }
}

int
cfc_rx_verify(const struct cfc_content_rx *rx, struct cfc_sha256 *sha, uint32_t block,
              uint32_t index, const uint8_t *bytes, size_t size)
{
    size_t leaf = (size_t)cfc_tree_page_offset(&rx->tree, 0, block) + index;

    return cfc_tree_verify_symbol(&rx->tree, sha, block, index, bytes, size,
                                  rx->digests + leaf * CFC_SHORT_DIGEST_SIZE);
}

/* Checks the symbols that came before their page, and forgets those that are wrong. */
static void
verify_early_symbols(struct cfc_content_rx *rx, struct cfc_sha256 *sha, uint32_t block,
                     struct cfc_content_rx_stats *stats)
{
    uint32_t count = cfc_rx_block_symbols(rx, block);

    for (uint32_t i = 0; i < count; i++) {
        uint64_t bit = UINT64_C(1) << i;
        size_t size;

        if ((rx->masks[block] & bit) == 0) {
            continue;
        }
        size = cfc_geometry_symbol_size(&rx->tree.geometry, &rx->tree.content, block, i);
        if (cfc_rx_verify(rx, sha, block, i, cfc_rx_place(rx, block, i), size) == CONFCAST_OK) {
            rx->symbol_count++;
            stats->symbols++;
        } else {
            rx->masks[block] &= ~bit;
        }
    }
}

int
cfc_content_rx_page(struct cfc_content_rx *rx, struct cfc_sha256 *sha, const struct cfc_page *page,
                    uint64_t now_ns, struct cfc_content_rx_stats *stats)
{
    const struct cfc_tree *tree = &rx->tree;
    uint32_t parent, bit;
    int code;

    if (page->level >= tree->level_count ||
        page->index >= tree->geometry.page_counts[page->level]) {
        return CONFCAST_ERR_RANGE;
    }
    if (cfc_rx_has_page(rx, page->level, page->index)) {
        return CONFCAST_OK;
    }
    if (page->level + 1u < tree->level_count &&
        !cfc_rx_has_page(rx, page->level + 1u, page->index / CFC_PAGE_DIGESTS_MAX)) {
        return CONFCAST_ERR_NOT_FOUND;
    }
    parent = cfc_tree_parent_offset(tree, page->level, page->index);
    code =
        cfc_tree_verify_page(tree, sha, page->level, page->index, page->digests, page->digest_count,
                             rx->digests + (size_t)parent * CFC_SHORT_DIGEST_SIZE);
    if (code != CONFCAST_OK) {
        return code;
    }
    memcpy(rx->digests +
               (size_t)cfc_tree_page_offset(tree, page->level, page->index) * CFC_SHORT_DIGEST_SIZE,
           page->digests, (size_t)page->digest_count * CFC_SHORT_DIGEST_SIZE);
    bit = rx->page_bases[page->level] + page->index;
    rx->pages[bit / 8] = (uint8_t)(rx->pages[bit / 8] | 1u << (bit % 8));
    cfc_rx_note_news(rx, now_ns);
    if (page->level > 0) {
        for (uint32_t i = 0; i < rx->slot_count; i++) {
            cfc_rx_note_repair(rx, rx->slots[i].block, now_ns);
        }
        return CONFCAST_OK;
    }
    verify_early_symbols(rx, sha, page->index, stats);
    cfc_rx_verify_rows(rx, sha, page->index);
    cfc_rx_try_decode(rx, sha, page->index, now_ns, stats);
    cfc_rx_note_repair(rx, page->index, now_ns);
    cfc_rx_note_sent(rx, page->index, now_ns);
    cfc_rx_note_complete(rx, page->index, now_ns);
    return CONFCAST_OK;
}

static void
store(struct cfc_content_rx *rx, uint32_t block, uint32_t index, const uint8_t *bytes, size_t size)
{
    uint8_t *place = cfc_rx_place(rx, block, index);

    cfc_rx_clear_place(rx, block, index);
    memcpy(place, bytes, size);
    memset(place + size, 0, rx->tree.content.symbol_size - size);
    rx->masks[block] |= UINT64_C(1) << index;
}

int
cfc_content_rx_symbol(struct cfc_content_rx *rx, struct cfc_sha256 *sha,
                      const struct cfc_symbol *symbol, uint64_t now_ns,
                      struct cfc_content_rx_stats *stats)
{
    const struct cfc_geometry *g = &rx->tree.geometry;
    const struct cfc_content *c = &rx->tree.content;
    uint32_t block = symbol->block, index = symbol->index;
    bool is_repair_of_gap;
    size_t size;
    int code;

    if (block >= g->block_count) {
        return CONFCAST_ERR_RANGE;
    }
    if (index >= cfc_rx_block_symbols(rx, block)) {
        if (cfc_rx_has_fec(rx)) {
            return cfc_rx_repair_symbol(rx, sha, symbol, now_ns, stats);
        }
        if (index < c->fec_k) {
            return CONFCAST_ERR_RANGE;
        }
        stats->symbols_ignored++;
        return CONFCAST_OK;
    }
    size = cfc_geometry_symbol_size(g, c, block, index);
    if (symbol->size != size) {
        return CONFCAST_ERR_LENGTH;
    }
    if ((rx->masks[block] >> index & 1) != 0) {
        stats->symbols_duplicate++;
        cfc_rx_note_duplicate(rx, now_ns);
        return CONFCAST_OK;
    }
    if (cfc_rx_has_page(rx, 0, block)) {
        code = cfc_rx_verify(rx, sha, block, index, symbol->bytes, size);
        if (code != CONFCAST_OK) {
            return code;
        }
        rx->symbol_count++;
        stats->symbols++;
    }
    is_repair_of_gap = (cfc_rx_lost_symbols(rx, block) >> index & 1) != 0;
    store(rx, block, index, symbol->bytes, size);
    if (!is_repair_of_gap) {
        rx->tail_blocks = 1;
    }
    cfc_rx_note_news(rx, now_ns);
    if (!cfc_rx_has_page(rx, 0, block)) {
        cfc_rx_want_page(rx, block, now_ns);
        return CONFCAST_OK;
    }
    cfc_rx_try_decode(rx, sha, block, now_ns, stats);
    if (is_repair_of_gap) {
        cfc_rx_note_repair(rx, block, now_ns);
    }
    cfc_rx_note_sent(rx, block, now_ns);
    cfc_rx_note_complete(rx, block, now_ns);
    return CONFCAST_OK;
}

bool
cfc_content_rx_is_complete(const struct cfc_content_rx *rx)
{
    return rx->symbol_count == rx->tree.geometry.symbol_count;
}

bool
cfc_content_rx_is_empty(const struct cfc_content_rx *rx)
{
    return rx->is_empty;
}

uint8_t *
cfc_content_rx_take(struct cfc_content_rx *rx)
{
    uint8_t *coded = rx->coded;

    assert(cfc_content_rx_is_complete(rx));
    rx->coded = NULL;
    return coded;
}

uint64_t
cfc_content_rx_news(const struct cfc_content_rx *rx)
{
    return rx->news_ns;
}
