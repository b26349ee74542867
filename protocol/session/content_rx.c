#include "protocol/session/content_rx.h"

#include <assert.h>
#include <string.h>

#include "confcast/error.h"
#include "protocol/base/time.h"
#include "protocol/session/ask.h"
#include "protocol/snapshot/tree.h"

enum {
    /* A CONTENT is the end of a pass when no more blocks than this are to come: otherwise it may be
     * repair for somebody else. */
    CLOSE_BLOCKS = 2
};

/* A block that is asked for. */
struct slot {
    uint32_t block;
    struct cfc_ask ask; /* never, while nothing of the block is known to be lost */
    uint64_t asked_ns;  /* when it was asked for last; of a repeat only */
};

struct cfc_content_rx {
    struct cfc_tree tree;
    struct cfc_alloc alloc;
    struct cfc_nack_timing timing;
    uint64_t key;
    uint8_t *coded;   /* apart, since it outlives the rest */
    uint64_t *masks;  /* per block: source symbols stored; verified once the leaf page is here */
    uint8_t *digests; /* of all pages, then the top ones */
    uint8_t *pages;   /* a bit for each page that is here, level 0 first */
    uint32_t page_bases[CFC_PAGE_LEVELS_MAX];
    struct slot *slots;
    uint32_t slot_max;
    uint32_t slot_count;
    uint32_t cursor;       /* every incomplete block below has a slot */
    uint32_t sent_block;   /* all symbols of the blocks below this one have been sent, ... */
    uint32_t sent_index;   /* ... and of this one the symbols below this index */
    uint32_t symbol_count; /* verified source symbols */
    bool is_empty;
    uint64_t news_ns;
    uint64_t tail_at_ns;
    uint8_t tail_tries;
    uint32_t tail_blocks; /* that the next silent interval adds */
    uint8_t tail_scale;   /* doublings because earlier silences proved to be none */
    bool has_asked_tail;  /* a silence ended once */
    bool has_duplicate;   /* a symbol came twice since */
};

static uint64_t
low_bits(uint32_t count)
{
    return count >= 64 ? UINT64_MAX : (UINT64_C(1) << count) - 1;
}

static uint32_t
block_symbols(const struct cfc_content_rx *rx, uint32_t block)
{
    return cfc_geometry_block_symbols(&rx->tree.geometry, &rx->tree.content, block);
}

static bool
has_page(const struct cfc_content_rx *rx, uint32_t level, uint32_t page)
{
    uint32_t bit = rx->page_bases[level] + page;

    return (rx->pages[bit / 8] >> (bit % 8) & 1) != 0;
}

static bool
is_block_complete(const struct cfc_content_rx *rx, uint32_t block)
{
    return has_page(rx, 0, block) && rx->masks[block] == low_bits(block_symbols(rx, block));
}

/* The symbols of a block that are known to have been sent and are not here. */
static uint64_t
lost_symbols(const struct cfc_content_rx *rx, uint32_t block)
{
    uint64_t sent = 0;

    if (block < rx->sent_block) {
        sent = low_bits(block_symbols(rx, block));
    } else if (block == rx->sent_block) {
        sent = low_bits(rx->sent_index);
    }
    return sent & ~rx->masks[block];
}

/* Whether the page of a block is known to have been sent: it travels before its symbols. */
static bool
is_page_lost(const struct cfc_content_rx *rx, uint32_t block)
{
    return !has_page(rx, 0, block) && (block < rx->sent_block || rx->masks[block] != 0 ||
                                       (block == rx->sent_block && rx->sent_index > 0));
}

static bool
is_lacking(const struct cfc_content_rx *rx, uint32_t block)
{
    return is_page_lost(rx, block) || lost_symbols(rx, block) != 0;
}

static struct slot *
find_slot(struct cfc_content_rx *rx, uint32_t block)
{
    for (uint32_t i = 0; i < rx->slot_count; i++) {
        if (rx->slots[i].block == block) {
            return &rx->slots[i];
        }
    }
    return NULL;
}

static void
open_slot(struct cfc_content_rx *rx, uint32_t block, uint64_t at_ns)
{
    struct slot *slot = find_slot(rx, block);

    if (slot == NULL && rx->slot_count < rx->slot_max) {
        slot = &rx->slots[rx->slot_count++];
        slot->block = block;
        cfc_ask_stop(&slot->ask);
    }
    if (slot != NULL) {
        cfc_ask_start(&slot->ask, at_ns);
    }
}

static void
close_slot(struct cfc_content_rx *rx, uint32_t block)
{
    struct slot *slot = find_slot(rx, block);

    if (slot != NULL) {
        *slot = rx->slots[--rx->slot_count];
    }
}

/* Gives slots to the blocks that lack something, lowest first, as long as there are any. */
static void
open_slots(struct cfc_content_rx *rx, uint64_t at_ns)
{
    for (uint32_t i = 0; i < rx->slot_count; i++) {
        if (!cfc_ask_is_on(&rx->slots[i].ask) && is_lacking(rx, rx->slots[i].block)) {
            cfc_ask_restart(&rx->slots[i].ask, at_ns);
        }
    }
    while (rx->cursor < rx->tree.geometry.block_count && rx->cursor <= rx->sent_block) {
        if (!is_block_complete(rx, rx->cursor)) {
            if (!is_lacking(rx, rx->cursor) || rx->slot_count == rx->slot_max) {
                return;
            }
            open_slot(rx, rx->cursor, at_ns);
        }
        rx->cursor++;
    }
}

static uint64_t
tail_delay(const struct cfc_content_rx *rx)
{
    uint32_t doublings = rx->tail_tries + rx->tail_scale;

    if (doublings > CFC_CONTENT_RX_TAIL_DOUBLINGS_MAX) {
        doublings = CFC_CONTENT_RX_TAIL_DOUBLINGS_MAX;
    }
    return (rx->timing.delay_ns * CFC_CONTENT_RX_TAIL_DELAYS) << doublings;
}

/* A symbol that is here already: the sender is at it, only that it is behind what was asked for.
 * That holds back the end of the silence for so long and no longer, lest replayed symbols hold it
 * back for ever. */
static void
note_duplicate(struct cfc_content_rx *rx, uint64_t now_ns)
{
    uint64_t delay_ns = tail_delay(rx);

    rx->has_duplicate = true;
    if (now_ns < rx->news_ns + CFC_CONTENT_RX_DUPLICATE_DELAYS * delay_ns) {
        rx->tail_at_ns = now_ns + delay_ns;
    }
}

static void
note_news(struct cfc_content_rx *rx, uint64_t now_ns)
{
    rx->is_empty = false;
    rx->news_ns = now_ns;
    rx->tail_tries = 0;
    rx->tail_at_ns = now_ns + tail_delay(rx);
}

/* Something that was asked for, or repaired for others, came: more of it may be under way. */
static void
note_repair(struct cfc_content_rx *rx, uint32_t block, uint64_t now_ns)
{
    struct slot *slot = find_slot(rx, block);

    if (slot != NULL && cfc_ask_is_on(&slot->ask)) {
        cfc_ask_restart(&slot->ask, now_ns + rx->timing.delay_ns);
    }
}

static void
note_complete(struct cfc_content_rx *rx, uint32_t block, uint64_t now_ns)
{
    if (is_block_complete(rx, block)) {
        close_slot(rx, block);
        open_slots(rx, now_ns);
    }
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
    slots_size = slot_max * sizeof(struct slot);
    digests_size = cfc_tree_digests_size(&tree);
    size = sizeof(*rx) + masks_size + slots_size + digests_size + (page_count + 7) / 8;
    rx = cfc_alloc(alloc, size);
    if (rx == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    memset(rx, 0, size);
    rx->coded = cfc_alloc(alloc, (size_t)content->coded_size);
    if (rx->coded == NULL) {
        cfc_free(alloc, rx);
        return CONFCAST_ERR_NO_MEMORY;
    }
    rx->tree = tree;
    rx->alloc = *alloc;
    rx->timing = *timing;
    rx->key = cfc_digest_key(&content->content);
    rx->masks = (uint64_t *)(rx + 1);
    rx->slots = (struct slot *)(rx->masks + block_count);
    rx->digests = (uint8_t *)(rx->slots + slot_max);
    rx->pages = rx->digests + digests_size;
    for (uint32_t level = 1; level < tree.level_count; level++) {
        rx->page_bases[level] = rx->page_bases[level - 1] + tree.geometry.page_counts[level - 1];
    }
    rx->slot_max = slot_max;
    memcpy(rx->digests + (size_t)cfc_tree_top_offset(&tree) * CFC_SHORT_DIGEST_SIZE,
           content->top_digests, (size_t)tree.top_count * CFC_SHORT_DIGEST_SIZE);
    rx->tail_blocks = 1;
    note_news(rx, now_ns);
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

static size_t
symbol_offset(const struct cfc_content_rx *rx, uint32_t block, uint32_t index)
{
    const struct cfc_content *c = &rx->tree.content;

    return ((size_t)block * c->fec_k + index) * c->symbol_size;
}

/* A source symbol against its leaf, which stands at its index in the verified leaf page. */
static int
verify_symbol(struct cfc_content_rx *rx, struct cfc_sha256 *sha, uint32_t block, uint32_t index,
              const uint8_t *bytes, size_t size)
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
    uint32_t count = block_symbols(rx, block);

    for (uint32_t i = 0; i < count; i++) {
        uint64_t bit = UINT64_C(1) << i;
        size_t size;

        if ((rx->masks[block] & bit) == 0) {
            continue;
        }
        size = cfc_geometry_symbol_size(&rx->tree.geometry, &rx->tree.content, block, i);
        if (verify_symbol(rx, sha, block, i, rx->coded + symbol_offset(rx, block, i), size) ==
            CONFCAST_OK) {
            rx->symbol_count++;
            stats->symbols++;
        } else {
            rx->masks[block] &= ~bit;
        }
    }
}

/* Raises what is known to have been sent to cover the verified symbols of a block. */
static void
note_sent(struct cfc_content_rx *rx, uint32_t block, uint64_t now_ns)
{
    uint32_t end = 64;

    if (rx->masks[block] == 0 || !has_page(rx, 0, block)) {
        return;
    }
    while ((rx->masks[block] >> (end - 1) & 1) == 0) {
        end--;
    }
    if (block < rx->sent_block || (block == rx->sent_block && end <= rx->sent_index)) {
        return;
    }
    rx->sent_block = block;
    rx->sent_index = end;
    if (end == block_symbols(rx, block)) {
        rx->sent_block = block + 1;
        rx->sent_index = 0;
    }
    open_slots(rx, now_ns + rx->timing.delay_ns);
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
    if (has_page(rx, page->level, page->index)) {
        return CONFCAST_OK;
    }
    if (page->level + 1u < tree->level_count &&
        !has_page(rx, page->level + 1u, page->index / CFC_PAGE_DIGESTS_MAX)) {
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
    note_news(rx, now_ns);
    if (page->level > 0) {
        for (uint32_t i = 0; i < rx->slot_count; i++) {
            note_repair(rx, rx->slots[i].block, now_ns);
        }
        return CONFCAST_OK;
    }
    verify_early_symbols(rx, sha, page->index, stats);
    note_repair(rx, page->index, now_ns);
    note_sent(rx, page->index, now_ns);
    note_complete(rx, page->index, now_ns);
    return CONFCAST_OK;
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
    int code;

    if (block >= g->block_count) {
        return CONFCAST_ERR_RANGE;
    }
    if (index >= c->fec_k) {
        stats->symbols_ignored++;
        return CONFCAST_OK;
    }
    if (index >= block_symbols(rx, block)) {
        return CONFCAST_ERR_RANGE;
    }
    if (symbol->size != cfc_geometry_symbol_size(g, c, block, index)) {
        return CONFCAST_ERR_LENGTH;
    }
    if ((rx->masks[block] >> index & 1) != 0) {
        stats->symbols_duplicate++;
        note_duplicate(rx, now_ns);
        return CONFCAST_OK;
    }
    if (has_page(rx, 0, block)) {
        code = verify_symbol(rx, sha, block, index, symbol->bytes, symbol->size);
        if (code != CONFCAST_OK) {
            return code;
        }
        rx->symbol_count++;
        stats->symbols++;
    }
    is_repair_of_gap =
        block < rx->sent_block || (block == rx->sent_block && index < rx->sent_index);
    memcpy(rx->coded + symbol_offset(rx, block, index), symbol->bytes, symbol->size);
    rx->masks[block] |= UINT64_C(1) << index;
    if (!is_repair_of_gap) {
        rx->tail_blocks = 1;
    }
    note_news(rx, now_ns);
    if (!has_page(rx, 0, block)) {
        /* Only for the block that is next in line: symbols that nothing vouches for must not make
         * this receiver ask for all pages. */
        if (block <= rx->sent_block + 1) {
            open_slot(rx, block, now_ns + rx->timing.delay_ns);
        }
        return CONFCAST_OK;
    }
    if (is_repair_of_gap) {
        note_repair(rx, block, now_ns);
    }
    note_sent(rx, block, now_ns);
    note_complete(rx, block, now_ns);
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

uint64_t
cfc_content_rx_due(const struct cfc_content_rx *rx)
{
    uint64_t due_ns = CFC_NEVER;

    if (rx->sent_block < rx->tree.geometry.block_count) {
        due_ns = rx->tail_at_ns;
    }
    for (uint32_t i = 0; i < rx->slot_count; i++) {
        if (rx->slots[i].ask.at_ns < due_ns) {
            due_ns = rx->slots[i].ask.at_ns;
        }
    }
    return due_ns;
}

/* Nothing came for a while: what lies ahead may be lost too. */
static void
pass_tail(struct cfc_content_rx *rx, uint64_t now_ns)
{
    uint32_t block_count = rx->tree.geometry.block_count;

    if (rx->sent_block == block_count || now_ns < rx->tail_at_ns) {
        return;
    }
    /* What was asked for in an earlier silence and came twice had not been lost: this sender is
     * slower than that. */
    if (rx->has_duplicate && rx->has_asked_tail) {
        rx->tail_blocks = 1;
        if (rx->tail_scale < CFC_CONTENT_RX_TAIL_SCALE_MAX) {
            rx->tail_scale++;
        }
    }
    rx->has_duplicate = false;
    rx->has_asked_tail = true;
    rx->sent_block = rx->tail_blocks < block_count - rx->sent_block
                         ? rx->sent_block + rx->tail_blocks
                         : block_count;
    rx->sent_index = 0;
    if (rx->tail_blocks < CFC_CONTENT_RX_TAIL_BLOCKS_MAX) {
        rx->tail_blocks *= 2;
    }
    if (rx->tail_tries < CFC_CONTENT_RX_TAIL_DOUBLINGS_MAX) {
        rx->tail_tries++;
    }
    rx->tail_at_ns = now_ns + tail_delay(rx);
    open_slots(rx, now_ns);
}

static bool
add_page(const struct cfc_content_rx *rx, uint32_t level, uint32_t page,
         struct cfc_nack_entry *entries, uint32_t capacity, uint32_t *count)
{
    for (uint32_t i = 0; i < *count; i++) {
        if (entries[i].want == CFC_WANT_PAGE && entries[i].level == level &&
            entries[i].index == page) {
            return true;
        }
    }
    if (*count == capacity) {
        return false;
    }
    entries[(*count)++] = (struct cfc_nack_entry){.want = CFC_WANT_PAGE,
                                                  .level = (uint8_t)level,
                                                  .coding = rx->tree.content.coding,
                                                  .index = page,
                                                  .key = rx->key};
    return true;
}

/* The highest page that is missing above the leaf page of a block; without it, the pages below
 * would be dropped.  Returns 0 when all of them are here. */
static uint32_t
missing_ancestor(const struct cfc_content_rx *rx, uint32_t block, uint32_t *page)
{
    uint32_t found = 0, index = block;

    for (uint32_t level = 1; level < rx->tree.level_count; level++) {
        index /= CFC_PAGE_DIGESTS_MAX;
        if (!has_page(rx, level, index)) {
            found = level;
            *page = index;
        }
    }
    return found;
}

/* Asks for what a block lacks.  False when `entries` is full; nothing is half asked for then. */
static bool
ask_block(const struct cfc_content_rx *rx, uint32_t block, struct cfc_nack_entry *entries,
          uint32_t capacity, uint32_t *count)
{
    uint64_t lost = lost_symbols(rx, block);
    bool is_page_wanted = is_page_lost(rx, block);
    uint32_t page = 0;
    uint32_t level = missing_ancestor(rx, block, &page);

    if (level > 0) {
        return add_page(rx, level, page, entries, capacity, count);
    }
    if (*count + (is_page_wanted ? 1u : 0u) + (lost != 0 ? 1u : 0u) > capacity) {
        return false;
    }
    if (is_page_wanted) {
        (void)add_page(rx, 0, block, entries, capacity, count);
    }
    if (lost != 0) {
        entries[(*count)++] =
            (struct cfc_nack_entry){.want = CFC_WANT_SYMBOLS,
                                    .coding = rx->tree.content.coding,
                                    .index = block,
                                    .key = rx->key,
                                    .mask = lost,
                                    .count = (uint16_t)__builtin_popcountll(lost)};
    }
    return true;
}

/* Whether a block goes with a NACK at `now_ns`: when it is due, or when half of its spacing is
 * over, so that blocks that are asked for again and again come to share their frames.  The first
 * repeat is not hurried: what was asked for may just be under way. */
static bool
is_slot_ready(const struct slot *slot, uint64_t now_ns)
{
    const struct cfc_ask *ask = &slot->ask;

    if (ask->at_ns <= now_ns) {
        return true;
    }
    return cfc_ask_is_on(ask) && ask->tries >= 2 &&
           now_ns - slot->asked_ns >= (ask->at_ns - slot->asked_ns) / 2;
}

uint32_t
cfc_content_rx_ask(struct cfc_content_rx *rx, uint64_t now_ns, struct cfc_nack_entry *entries,
                   uint32_t capacity)
{
    uint32_t count = 0;

    if (now_ns < cfc_content_rx_due(rx)) {
        return 0;
    }
    pass_tail(rx, now_ns);
    for (uint32_t i = 0; i < rx->slot_count; i++) {
        struct slot *slot = &rx->slots[i];

        if (!is_slot_ready(slot, now_ns)) {
            continue;
        }
        if (!is_lacking(rx, slot->block)) {
            cfc_ask_stop(&slot->ask);
            continue;
        }
        if (!ask_block(rx, slot->block, entries, capacity, &count)) {
            break;
        }
        cfc_ask_sent(&slot->ask, rx->timing.retry_ns, now_ns);
        slot->asked_ns = now_ns;
    }
    return count;
}

void
cfc_content_rx_announced(struct cfc_content_rx *rx, uint64_t now_ns)
{
    uint64_t at_ns = now_ns + rx->timing.delay_ns;

    if (rx->sent_block + CLOSE_BLOCKS >= rx->tree.geometry.block_count && at_ns < rx->tail_at_ns) {
        rx->tail_at_ns = at_ns;
        rx->tail_blocks = CFC_CONTENT_RX_TAIL_BLOCKS_MAX;
    }
}

void
cfc_content_rx_gone(struct cfc_content_rx *rx, uint64_t now_ns)
{
    for (uint32_t i = 0; i < rx->slot_count; i++) {
        if (cfc_ask_is_on(&rx->slots[i].ask)) {
            cfc_ask_back_off(&rx->slots[i].ask, rx->timing.retry_ns, now_ns);
        }
    }
    rx->tail_tries = CFC_CONTENT_RX_TAIL_DOUBLINGS_MAX;
    rx->tail_at_ns = now_ns + tail_delay(rx);
}
