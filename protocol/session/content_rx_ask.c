/* What a collection asks for, and when. */
#include <string.h>

#include "protocol/fec/fec.h"
#include "protocol/session/content_rx_state.h"

enum {
    /* A CONTENT is the end of a pass when no more blocks than this are to come: otherwise it may be
     * repair for somebody else. */
    CLOSE_BLOCKS = 2
};

uint64_t
cfc_rx_lost_symbols(const struct cfc_content_rx *rx, uint32_t block)
{
    uint64_t missing = cfc_rx_missing(rx, block);

    if (block < rx->sent_block || (rx->closed[block / 8] >> (block % 8) & 1) != 0) {
        return missing;
    }
    /* With a code, what lacks is counted when the block is through: asking gap by gap would have a
     * repair symbol sent for each, though one heals a gap of every receiver. */
    if (cfc_rx_has_fec(rx) || rx->masks[block] == 0 || !cfc_rx_has_page(rx, 0, block)) {
        return 0;
    }
    return missing & cfc_rx_low_bits(64 - (uint32_t)__builtin_clzll(rx->masks[block]));
}

/* Whether the page of a block is known to have been sent: it travels before its symbols. */
static bool
is_page_lost(const struct cfc_content_rx *rx, uint32_t block)
{
    const struct cfc_rx_slot *slot;

    if (cfc_rx_has_page(rx, 0, block)) {
        return false;
    }
    if (block < rx->sent_block || rx->masks[block] != 0) {
        return true;
    }
    slot = cfc_rx_find_slot(rx, block);
    return slot != NULL && slot->row_count > 0;
}

/* The source symbols that a block asks for: as many as lack, repair symbols that are here counted.
 */
static uint64_t
wanted_symbols(const struct cfc_content_rx *rx, uint32_t block)
{
    uint64_t lost = cfc_rx_lost_symbols(rx, block);
    const struct cfc_rx_slot *slot = lost != 0 ? cfc_rx_find_slot(rx, block) : NULL;

    for (uint32_t i = 0; slot != NULL && i < slot->row_count; i++) {
        lost &= lost - 1;
    }
    return lost;
}

bool
cfc_rx_is_lacking(const struct cfc_content_rx *rx, uint32_t block)
{
    return is_page_lost(rx, block) || wanted_symbols(rx, block) != 0;
}

struct cfc_rx_slot *
cfc_rx_find_slot(const struct cfc_content_rx *rx, uint32_t block)
{
    for (uint32_t i = 0; i < rx->slot_count; i++) {
        if (rx->slots[i].block == block) {
            return &rx->slots[i];
        }
    }
    return NULL;
}

struct cfc_rx_slot *
cfc_rx_open_slot(struct cfc_content_rx *rx, uint32_t block)
{
    struct cfc_rx_slot *slot = cfc_rx_find_slot(rx, block);

    if (slot == NULL && rx->slot_count < rx->slot_max) {
        slot = &rx->slots[rx->slot_count++];
        memset(slot, 0, sizeof(*slot));
        slot->block = block;
        cfc_ask_stop(&slot->ask);
    }
    return slot;
}

static void
ask_from(struct cfc_content_rx *rx, uint32_t block, uint64_t at_ns)
{
    struct cfc_rx_slot *slot = cfc_rx_open_slot(rx, block);

    if (slot != NULL) {
        cfc_ask_start(&slot->ask, at_ns);
    }
}

static void
close_slot(struct cfc_content_rx *rx, uint32_t block)
{
    struct cfc_rx_slot *slot = cfc_rx_find_slot(rx, block);

    if (slot != NULL) {
        *slot = rx->slots[--rx->slot_count];
    }
}

/* Gives slots to the blocks that lack something, lowest first, as long as there are any. */
static void
open_slots(struct cfc_content_rx *rx, uint64_t at_ns)
{
    uint32_t block_count = rx->tree.geometry.block_count;
    uint32_t left = block_count - rx->sent_block;
    uint32_t end = rx->sent_block + (left < rx->group_blocks ? left : rx->group_blocks);

    for (uint32_t i = 0; i < rx->slot_count; i++) {
        if (!cfc_ask_is_on(&rx->slots[i].ask) && cfc_rx_is_lacking(rx, rx->slots[i].block)) {
            cfc_ask_restart(&rx->slots[i].ask, at_ns);
        }
    }
    for (; rx->cursor < rx->sent_block; rx->cursor++) {
        if (cfc_rx_is_block_complete(rx, rx->cursor)) {
            continue;
        }
        /* A block that lacks nothing more than what its repair symbols give stays for them. */
        if (cfc_rx_find_slot(rx, rx->cursor) == NULL && rx->slot_count == rx->slot_max) {
            return;
        }
        ask_from(rx, rx->cursor, at_ns);
    }
    /* The blocks that are being sent. */
    for (uint32_t block = rx->sent_block; block < end; block++) {
        if (cfc_rx_is_lacking(rx, block)) {
            ask_from(rx, block, at_ns);
        }
    }
}

void
cfc_rx_want_page(struct cfc_content_rx *rx, uint32_t block, uint64_t now_ns)
{
    /* Only for the blocks that are next in line: symbols that nothing vouches for must not make
     * this receiver ask for all pages. */
    if (block <= rx->sent_block + rx->group_blocks) {
        ask_from(rx, block, now_ns + rx->timing->delay_ns);
    }
}

static uint64_t
tail_delay(const struct cfc_content_rx *rx)
{
    uint32_t doublings = rx->tail_tries + rx->tail_scale;

    if (doublings > CFC_CONTENT_RX_TAIL_DOUBLINGS_MAX) {
        doublings = CFC_CONTENT_RX_TAIL_DOUBLINGS_MAX;
    }
    return (rx->timing->delay_ns * CFC_CONTENT_RX_TAIL_DELAYS) << doublings;
}

/* The sender is at it, only that it is behind what was asked for.  That holds back the end of the
 * silence for so long and no longer, lest replayed symbols hold it back for ever. */
void
cfc_rx_note_duplicate(struct cfc_content_rx *rx, uint64_t now_ns)
{
    uint64_t delay_ns = tail_delay(rx);

    rx->has_duplicate = true;
    if (now_ns < rx->news_ns + CFC_CONTENT_RX_DUPLICATE_DELAYS * delay_ns) {
        rx->tail_at_ns = now_ns + delay_ns;
    }
}

void
cfc_rx_note_news(struct cfc_content_rx *rx, uint64_t now_ns)
{
    rx->is_empty = false;
    rx->news_ns = now_ns;
    rx->tail_tries = 0;
    rx->tail_at_ns = now_ns + tail_delay(rx);
}

void
cfc_rx_note_repair(struct cfc_content_rx *rx, uint32_t block, uint64_t now_ns)
{
    struct cfc_rx_slot *slot = cfc_rx_find_slot(rx, block);

    if (slot != NULL && cfc_ask_is_on(&slot->ask)) {
        cfc_ask_restart(&slot->ask, now_ns + rx->timing->delay_ns);
    }
}

void
cfc_rx_note_complete(struct cfc_content_rx *rx, uint32_t block, uint64_t now_ns)
{
    if (cfc_rx_is_block_complete(rx, block)) {
        close_slot(rx, block);
        open_slots(rx, now_ns);
    }
}

/* Blocks go out in groups: one symbol of each, then the next one of each.  So whatever comes of a
 * group says that the groups before it are through, and the last source symbol of a full last block
 * that the group is. */
void
cfc_rx_note_sent(struct cfc_content_rx *rx, uint32_t block, uint64_t now_ns)
{
    uint32_t first = block - block % rx->group_blocks;
    uint32_t left = rx->tree.geometry.block_count - first;
    uint32_t end = first + (left < rx->group_blocks ? left : rx->group_blocks);
    uint32_t count = cfc_rx_block_symbols(rx, block);

    if (!cfc_rx_has_page(rx, 0, block) || block < rx->sent_block) {
        return;
    }
    if ((rx->masks[block] >> (count - 1) & 1) != 0 && block + 1 == end &&
        (end - first == 1 || count == rx->tree.content.fec_k)) {
        first = end;
    }
    if (first > rx->sent_block && (rx->masks[block] != 0 || first == end)) {
        rx->sent_block = first;
    }
    if (rx->masks[block] != 0) {
        open_slots(rx, now_ns + rx->timing->delay_ns);
    }
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
        if (!cfc_rx_has_page(rx, level, index)) {
            found = level;
            *page = index;
        }
    }
    return found;
}

/* Whether only source symbols help a block: nothing decodes it, or it lacks too many. */
static uint8_t
needs_sources(const struct cfc_content_rx *rx, uint32_t block)
{
    const struct cfc_rx_slot *slot = cfc_rx_find_slot(rx, block);
    uint32_t missing = (uint32_t)__builtin_popcountll(cfc_rx_missing(rx, block));

    return cfc_rx_has_fec(rx) && (missing > CFC_FEC_LOST_MAX || (slot != NULL && slot->is_poisoned))
               ? CFC_NACK_SOURCES
               : CFC_NACK_ANY;
}

/* Asks for what a block lacks.  False when `entries` is full; nothing is half asked for then. */
static bool
ask_block(const struct cfc_content_rx *rx, uint32_t block, struct cfc_nack_entry *entries,
          uint32_t capacity, uint32_t *count)
{
    uint64_t lost = wanted_symbols(rx, block);
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
                                    .level = needs_sources(rx, block),
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
is_slot_ready(const struct cfc_rx_slot *slot, uint64_t now_ns)
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
        struct cfc_rx_slot *slot = &rx->slots[i];

        if (!is_slot_ready(slot, now_ns)) {
            continue;
        }
        if (!cfc_rx_is_lacking(rx, slot->block)) {
            cfc_ask_stop(&slot->ask);
            continue;
        }
        if (!ask_block(rx, slot->block, entries, capacity, &count)) {
            break;
        }
        cfc_ask_sent(&slot->ask, rx->timing->retry_ns, now_ns);
        slot->asked_ns = now_ns;
    }
    return count;
}

void
cfc_content_rx_announced(struct cfc_content_rx *rx, uint64_t now_ns)
{
    uint64_t at_ns = now_ns + rx->timing->delay_ns;

    if (rx->sent_block + CLOSE_BLOCKS + rx->group_blocks - 1 >= rx->tree.geometry.block_count &&
        at_ns < rx->tail_at_ns) {
        rx->tail_at_ns = at_ns;
        rx->tail_blocks = CFC_CONTENT_RX_TAIL_BLOCKS_MAX;
    }
}

void
cfc_content_rx_gone(struct cfc_content_rx *rx, uint64_t now_ns)
{
    for (uint32_t i = 0; i < rx->slot_count; i++) {
        if (cfc_ask_is_on(&rx->slots[i].ask)) {
            cfc_ask_back_off(&rx->slots[i].ask, rx->timing->retry_ns, now_ns);
        }
    }
    rx->tail_tries = CFC_CONTENT_RX_TAIL_DOUBLINGS_MAX;
    rx->tail_at_ns = now_ns + tail_delay(rx);
}
