#include "protocol/session/content_rx.h"

#include <assert.h>
#include <string.h>

#include "confcast/error.h"
#include "protocol/session/content_rx_state.h"

int
cfc_content_rx_new(const struct cfc_content *content, const struct cfc_alloc *alloc,
                   const struct cfc_nack_timing *timing, uint64_t now_ns,
                   struct cfc_content_rx **out)
{
    struct cfc_tree tree;
    struct cfc_content_rx *rx;
    size_t losses_size, rows_size, digests_size;
    int code = cfc_tree_init(&tree, content);

    if (code != CONFCAST_OK) {
        return code;
    }
    /* Losses are whole words and then some bytes: what follows them needs no alignment. */
    losses_size = cfc_loss_rx_size(&tree);
    rows_size = (size_t)cfc_loss_rx_slot_max(&tree) * CFC_BLOCK_SYMBOLS_MAX;
    digests_size = cfc_tree_digests_size(&tree);
    rx = cfc_alloc(alloc, sizeof(*rx) + losses_size + rows_size + digests_size);
    if (rx == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    memset(rx, 0, sizeof(*rx) + losses_size + rows_size + digests_size);
    rx->coded = cfc_alloc(alloc, (size_t)tree.geometry.symbol_count * content->symbol_size);
    if (rx->coded == NULL) {
        cfc_free(alloc, rx);
        return CONFCAST_ERR_NO_MEMORY;
    }
    rx->tree = tree;
    rx->alloc = *alloc;
    rx->key = cfc_digest_key(&content->content);
    cfc_loss_rx_init(&rx->loss, &rx->tree, timing, rx + 1, now_ns);
    rx->rows = (uint8_t(*)[CFC_BLOCK_SYMBOLS_MAX])((uint8_t *)(rx + 1) + losses_size);
    rx->digests = (uint8_t *)rx->rows + rows_size;
    memcpy(rx->digests + (size_t)cfc_tree_top_offset(&tree) * CFC_SHORT_DIGEST_SIZE,
           content->top_digests, (size_t)tree.top_count * CFC_SHORT_DIGEST_SIZE);
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
    uint32_t count = cfc_loss_block_symbols(&rx->loss, block);

    for (uint32_t i = 0; i < count; i++) {
        uint64_t bit = UINT64_C(1) << i;
        size_t size;

        if ((rx->loss.masks[block] & bit) == 0) {
            continue;
        }
        size = cfc_geometry_symbol_size(&rx->tree.geometry, &rx->tree.content, block, i);
        if (cfc_rx_verify(rx, sha, block, i, cfc_rx_place(rx, block, i), size) == CONFCAST_OK) {
            rx->symbol_count++;
            stats->symbols++;
        } else {
            rx->loss.masks[block] &= ~bit;
        }
    }
}

int
cfc_content_rx_page(struct cfc_content_rx *rx, struct cfc_sha256 *sha, const struct cfc_page *page,
                    uint64_t now_ns, struct cfc_content_rx_stats *stats)
{
    const struct cfc_tree *tree = &rx->tree;
    uint32_t parent;
    int code;

    if (page->level >= tree->level_count ||
        page->index >= tree->geometry.page_counts[page->level]) {
        return CONFCAST_ERR_RANGE;
    }
    if (cfc_loss_has_page(&rx->loss, page->level, page->index)) {
        return CONFCAST_OK;
    }
    if (page->level + 1u < tree->level_count &&
        !cfc_loss_has_page(&rx->loss, page->level + 1u, page->index / CFC_PAGE_DIGESTS_MAX)) {
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
    if (!cfc_loss_rx_page(&rx->loss, page->level, page->index, now_ns)) {
        return CONFCAST_OK;
    }
    verify_early_symbols(rx, sha, page->index, stats);
    cfc_rx_verify_rows(rx, sha, page->index);
    cfc_rx_try_decode(rx, sha, page->index, now_ns, stats);
    cfc_loss_rx_settle(&rx->loss, page->index, true, now_ns);
    return CONFCAST_OK;
}

static void
store(struct cfc_content_rx *rx, uint32_t block, uint32_t index, const uint8_t *bytes, size_t size)
{
    uint8_t *place = cfc_rx_place(rx, block, index);

    cfc_rx_clear_place(rx, block, index);
    memcpy(place, bytes, size);
    memset(place + size, 0, rx->tree.content.symbol_size - size);
}

int
cfc_content_rx_symbol(struct cfc_content_rx *rx, struct cfc_sha256 *sha,
                      const struct cfc_symbol *symbol, uint64_t now_ns,
                      struct cfc_content_rx_stats *stats)
{
    const struct cfc_geometry *g = &rx->tree.geometry;
    const struct cfc_content *c = &rx->tree.content;
    uint32_t block = symbol->block, index = symbol->index;
    bool is_repair;
    size_t size;
    int code;

    if (block >= g->block_count) {
        return CONFCAST_ERR_RANGE;
    }
    if (index >= cfc_loss_block_symbols(&rx->loss, block)) {
        if (cfc_loss_has_fec(&rx->loss)) {
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
    if ((rx->loss.masks[block] >> index & 1) != 0) {
        stats->symbols_duplicate++;
        cfc_loss_rx_duplicate(&rx->loss, now_ns);
        return CONFCAST_OK;
    }
    if (cfc_loss_has_page(&rx->loss, 0, block)) {
        code = cfc_rx_verify(rx, sha, block, index, symbol->bytes, size);
        if (code != CONFCAST_OK) {
            return code;
        }
        rx->symbol_count++;
        stats->symbols++;
    }
    store(rx, block, index, symbol->bytes, size);
    if (cfc_loss_rx_source(&rx->loss, block, index, now_ns, &is_repair)) {
        cfc_rx_try_decode(rx, sha, block, now_ns, stats);
        cfc_loss_rx_settle(&rx->loss, block, is_repair, now_ns);
    }
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
    return rx->loss.is_empty;
}

const uint8_t *
cfc_content_rx_prefix(struct cfc_content_rx *rx, size_t *size)
{
    const struct cfc_content *c = &rx->tree.content;
    uint32_t block_count = rx->tree.geometry.block_count;
    uint32_t symbols = 0;

    while (rx->prefix_blocks < block_count &&
           cfc_loss_is_block_complete(&rx->loss, rx->prefix_blocks)) {
        rx->prefix_blocks++;
    }
    if (rx->prefix_blocks == block_count) {
        *size = c->coded_size;
        return rx->coded;
    }
    if (cfc_loss_has_page(&rx->loss, 0, rx->prefix_blocks)) {
        symbols = (uint32_t)__builtin_ctzll(~rx->loss.masks[rx->prefix_blocks]);
    }
    *size = ((size_t)rx->prefix_blocks * c->fec_k + symbols) * c->symbol_size;
    return rx->coded;
}

uint8_t *
cfc_content_rx_take(struct cfc_content_rx *rx)
{
    uint8_t *coded = rx->coded;

    assert(cfc_content_rx_is_complete(rx));
    rx->coded = NULL;
    return coded;
}

struct cfc_loss_count
cfc_content_rx_take_count(struct cfc_content_rx *rx)
{
    return cfc_loss_rx_take_count(&rx->loss);
}

uint64_t
cfc_content_rx_news(const struct cfc_content_rx *rx)
{
    return rx->loss.news_ns;
}

uint64_t
cfc_content_rx_due(const struct cfc_content_rx *rx)
{
    return cfc_loss_rx_due(&rx->loss);
}

uint32_t
cfc_content_rx_ask(struct cfc_content_rx *rx, uint64_t now_ns, struct cfc_nack_entry *entries,
                   uint32_t capacity)
{
    return cfc_loss_rx_ask(&rx->loss, rx->key, now_ns, entries, capacity);
}

void
cfc_content_rx_announced(struct cfc_content_rx *rx, uint64_t now_ns)
{
    cfc_loss_rx_announced(&rx->loss, now_ns);
}

uint64_t
cfc_content_rx_take_answer(struct cfc_content_rx *rx)
{
    return cfc_loss_rx_take_answer(&rx->loss);
}

uint8_t
cfc_content_rx_tail_scale(const struct cfc_content_rx *rx)
{
    return cfc_loss_rx_tail_scale(&rx->loss);
}

void
cfc_content_rx_gone(struct cfc_content_rx *rx, uint64_t now_ns)
{
    cfc_loss_rx_gone(&rx->loss, now_ns);
}

void
cfc_content_rx_probed(struct cfc_content_rx *rx, uint64_t now_ns)
{
    cfc_loss_rx_probed(&rx->loss, now_ns);
}
