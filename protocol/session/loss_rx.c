#include "protocol/session/loss_rx.h"

#include <string.h>

#include "protocol/fec/fec.h"

enum {
    /* A CONTENT is the end of a pass when no more blocks than this are to come: otherwise it may be
     * repair for somebody else. */
    CLOSE_BLOCKS = 2,
    /* Contents of so few symbols have no other CONTENT in their pass than the first and the last.
     */
    COUNT_CLOSE_MAX = 16
};

uint32_t
cfc_loss_rx_slot_max(const struct cfc_tree *tree)
{
    uint32_t count = tree->geometry.block_count;

    return count < CFC_LOSS_SLOTS_MAX ? count : CFC_LOSS_SLOTS_MAX;
}

static uint32_t
page_count(const struct cfc_tree *tree)
{
    uint32_t count = 0;

    for (uint32_t level = 0; level < tree->level_count; level++) {
        count += tree->geometry.page_counts[level];
    }
    return count;
}

size_t
cfc_loss_rx_size(const struct cfc_tree *tree)
{
    uint32_t block_count = tree->geometry.block_count;

    return block_count * sizeof(uint64_t) +
           cfc_loss_rx_slot_max(tree) * sizeof(struct cfc_loss_slot) + (page_count(tree) + 7) / 8 +
           (block_count + 7) / 8;
}

/* Blocks that a sender interleaves: a burst of losses then falls on several of them, each of which
 * has its own repair symbols.  Without a code there is nothing to gain. */
static uint8_t
group_blocks(const struct cfc_content *content)
{
    return content->fec_code == CFC_FEC_RS_CAUCHY ? CFC_FEC_GROUP_BLOCKS : 1;
}

static void note_news(struct cfc_loss_rx *rx, uint64_t now_ns);

void
cfc_loss_rx_init(struct cfc_loss_rx *rx, const struct cfc_tree *tree,
                 const struct cfc_nack_timing *timing, void *memory, uint64_t now_ns)
{
    uint32_t block_count = tree->geometry.block_count;

    memset(memory, 0, cfc_loss_rx_size(tree));
    memset(rx, 0, sizeof(*rx));
    rx->tree = tree;
    rx->timing = timing;
    rx->slot_max = (uint8_t)cfc_loss_rx_slot_max(tree);
    rx->masks = memory;
    rx->slots = (struct cfc_loss_slot *)(rx->masks + block_count);
    rx->pages = (uint8_t *)(rx->slots + rx->slot_max);
    rx->closed = rx->pages + (page_count(tree) + 7) / 8;
    rx->group_blocks = group_blocks(&tree->content);
    for (uint8_t i = 0; i < rx->slot_max; i++) {
        rx->slots[i].place = i;
    }
    rx->tail_blocks = 1;
    rx->tail_scale = block_count > rx->group_blocks ? timing->tail_scale : 0;
    note_news(rx, now_ns);
    rx->is_empty = true;
}

static uint32_t
page_bit(const struct cfc_loss_rx *rx, uint32_t level, uint32_t page)
{
    uint32_t bit = page;

    for (uint32_t i = 0; i < level; i++) {
        bit += rx->tree->geometry.page_counts[i];
    }
    return bit;
}

bool
cfc_loss_has_page(const struct cfc_loss_rx *rx, uint32_t level, uint32_t page)
{
    uint32_t bit = page_bit(rx, level, page);

    return (rx->pages[bit / 8] >> (bit % 8) & 1) != 0;
}

static uint64_t
lost_symbols(const struct cfc_loss_rx *rx, uint32_t block)
{
    uint64_t missing = cfc_loss_missing(rx, block);

    if (block < rx->sent_block || (rx->closed[block / 8] >> (block % 8) & 1) != 0) {
        return missing;
    }
    /* With a code, what lacks is counted when the block is through: asking gap by gap would have a
     * repair symbol sent for each, though one heals a gap of every receiver. */
    if (cfc_loss_has_fec(rx) || rx->masks[block] == 0 || !cfc_loss_has_page(rx, 0, block)) {
        return 0;
    }
    return missing & cfc_loss_low_bits(64 - (uint32_t)__builtin_clzll(rx->masks[block]));
}

/* Whether the page of a block is known to have been sent: it travels before its symbols. */
static bool
is_page_lost(const struct cfc_loss_rx *rx, uint32_t block)
{
    const struct cfc_loss_slot *slot;

    if (cfc_loss_has_page(rx, 0, block)) {
        return false;
    }
    if (block < rx->sent_block || rx->masks[block] != 0) {
        return true;
    }
    slot = cfc_loss_rx_find_slot(rx, block);
    return slot != NULL && slot->row_count > 0;
}

static uint64_t
lowest_bits(uint64_t mask, uint32_t count)
{
    uint64_t rest = mask;

    while (count > 0 && rest != 0) {
        rest &= rest - 1;
        count--;
    }
    return mask & ~rest;
}

/* Whether silence alone says that a block is through.  The sender may be slow, or a network may
 * hold frames back: then a probe costs less than all that would come twice. */
static bool
is_guessed(const struct cfc_loss_rx *rx, uint32_t block)
{
    return block >= rx->told_block && block < rx->sent_block &&
           (rx->closed[block / 8] >> (block % 8) & 1) == 0;
}

/* The source symbols that a block asks for: as many as lack, repair symbols that are here counted.
 */
static uint64_t
wanted_symbols(const struct cfc_loss_rx *rx, uint32_t block)
{
    uint64_t lost = lost_symbols(rx, block);
    const struct cfc_loss_slot *slot = lost != 0 ? cfc_loss_rx_find_slot(rx, block) : NULL;

    for (uint32_t i = 0; slot != NULL && i < slot->row_count; i++) {
        lost &= lost - 1;
    }
    return is_guessed(rx, block) && !rx->is_pass_over ? lowest_bits(lost, CFC_LOSS_PROBE_SYMBOLS)
                                                      : lost;
}

static bool
is_lacking(const struct cfc_loss_rx *rx, uint32_t block)
{
    return is_page_lost(rx, block) || wanted_symbols(rx, block) != 0;
}

struct cfc_loss_slot *
cfc_loss_rx_find_slot(const struct cfc_loss_rx *rx, uint32_t block)
{
    for (uint32_t i = 0; i < rx->slot_count; i++) {
        if (rx->slots[i].block == block) {
            return &rx->slots[i];
        }
    }
    return NULL;
}

struct cfc_loss_slot *
cfc_loss_rx_open_slot(struct cfc_loss_rx *rx, uint32_t block)
{
    struct cfc_loss_slot *slot = cfc_loss_rx_find_slot(rx, block);

    if (slot == NULL && rx->slot_count < rx->slot_max) {
        slot = &rx->slots[rx->slot_count++];
        *slot = (struct cfc_loss_slot){.block = block, .place = slot->place};
        cfc_ask_stop(&slot->ask);
    }
    return slot;
}

static void
ask_from(struct cfc_loss_rx *rx, uint32_t block, uint64_t at_ns)
{
    struct cfc_loss_slot *slot = cfc_loss_rx_open_slot(rx, block);

    if (slot != NULL) {
        cfc_ask_start(&slot->ask, at_ns);
    }
}

static void
close_slot(struct cfc_loss_rx *rx, uint32_t block)
{
    struct cfc_loss_slot *slot = cfc_loss_rx_find_slot(rx, block);

    if (slot != NULL) {
        uint8_t place = slot->place;

        *slot = rx->slots[--rx->slot_count];
        rx->slots[rx->slot_count].place = place;
    }
}

/* Gives slots to the blocks that lack something, lowest first, as long as there are any. */
static void
open_slots(struct cfc_loss_rx *rx, uint64_t at_ns)
{
    uint32_t block_count = rx->tree->geometry.block_count;
    uint32_t left = block_count - rx->sent_block;
    uint32_t end = rx->sent_block + (left < rx->group_blocks ? left : rx->group_blocks);

    for (uint32_t i = 0; i < rx->slot_count; i++) {
        if (!cfc_ask_is_on(&rx->slots[i].ask) && is_lacking(rx, rx->slots[i].block)) {
            cfc_ask_restart(&rx->slots[i].ask, at_ns);
        }
    }
    for (; rx->cursor < rx->sent_block; rx->cursor++) {
        if (cfc_loss_is_block_complete(rx, rx->cursor)) {
            continue;
        }
        /* A block that lacks nothing more than what its repair symbols give stays for them. */
        if (cfc_loss_rx_find_slot(rx, rx->cursor) == NULL && rx->slot_count == rx->slot_max) {
            return;
        }
        ask_from(rx, rx->cursor, at_ns);
    }
    /* The blocks that are being sent. */
    for (uint32_t block = rx->sent_block; block < end; block++) {
        if (is_lacking(rx, block)) {
            ask_from(rx, block, at_ns);
        }
    }
}

static void
want_page(struct cfc_loss_rx *rx, uint32_t block, uint64_t now_ns)
{
    /* Only for the blocks that are next in line: symbols that nothing vouches for must not make
     * this receiver ask for all pages. */
    if (block <= rx->sent_block + rx->group_blocks) {
        ask_from(rx, block, now_ns + rx->timing->delay_ns);
    }
}

static uint64_t
tail_delay(const struct cfc_loss_rx *rx)
{
    uint32_t doublings = rx->tail_tries + rx->tail_scale;
    uint32_t large = rx->timing->doublings > CFC_ASK_DOUBLINGS_MIN
                         ? 1u + rx->timing->doublings - CFC_ASK_DOUBLINGS_MIN
                         : 1;

    if (doublings > CFC_LOSS_TAIL_DOUBLINGS_MAX) {
        doublings = CFC_LOSS_TAIL_DOUBLINGS_MAX;
    }
    /* A sender that pauses makes the whole of a fleet think so: the larger it is, the later. */
    return (rx->timing->delay_ns * CFC_LOSS_TAIL_DELAYS * large) << doublings;
}

/* The sender is at it, only that it is behind what was asked for.  That holds back the end of the
 * silence for so long and no longer, lest replayed symbols hold it back for ever. */
void
cfc_loss_rx_duplicate(struct cfc_loss_rx *rx, uint64_t now_ns)
{
    uint64_t delay_ns = tail_delay(rx);

    rx->has_duplicate = true;
    if (now_ns < rx->news_ns + CFC_LOSS_DUPLICATE_DELAYS * delay_ns) {
        rx->tail_at_ns = now_ns + delay_ns;
    }
}

static void
note_news(struct cfc_loss_rx *rx, uint64_t now_ns)
{
    rx->is_empty = false;
    rx->news_ns = now_ns;
    rx->tail_tries = 0;
    rx->tail_at_ns = now_ns + tail_delay(rx);
}

uint8_t
cfc_loss_rx_tail_scale(const struct cfc_loss_rx *rx)
{
    uint8_t before = rx->timing->tail_scale;

    if (rx->tree->geometry.block_count <= rx->group_blocks) {
        return before;
    }
    return rx->has_tail_erred || before == 0 ? rx->tail_scale : (uint8_t)(before - 1);
}

static void
note_repair(struct cfc_loss_rx *rx, uint32_t block, uint64_t now_ns)
{
    struct cfc_loss_slot *slot = cfc_loss_rx_find_slot(rx, block);

    if (slot != NULL && cfc_ask_is_on(&slot->ask)) {
        cfc_ask_restart(&slot->ask, now_ns + rx->timing->delay_ns);
    }
}

static void
note_complete(struct cfc_loss_rx *rx, uint32_t block, uint64_t now_ns)
{
    if (cfc_loss_is_block_complete(rx, block)) {
        close_slot(rx, block);
        open_slots(rx, now_ns);
    }
}

/* How many source symbols are sent before this one: those of the groups before it, and of its own
 * group as many of each block as go before its turn.  The last block of all may be a short one. */
static uint32_t
symbols_before(const struct cfc_loss_rx *rx, uint32_t block, uint32_t index)
{
    uint32_t first = block - block % rx->group_blocks;
    uint32_t left = rx->tree->geometry.block_count - first;
    uint32_t count = left < rx->group_blocks ? left : rx->group_blocks;
    uint32_t before = first * rx->tree->content.fec_k + index * count + (block - first);
    uint32_t last = cfc_loss_block_symbols(rx, first + count - 1);

    return index > last ? before - (index - last) : before;
}

/* A source symbol came that was not here. */
static void
count_source(struct cfc_loss_rx *rx, uint32_t block, uint32_t index)
{
    uint32_t before = symbols_before(rx, block, index);
    const struct cfc_loss_slot *slot = cfc_loss_rx_find_slot(rx, block);
    bool was_asked = slot != NULL && slot->asked_ns != 0;

    if (!rx->has_begun) {
        /* Who begins to listen in the midst of a pass has lost nothing. */
        rx->has_begun = true;
        rx->count_end = block < rx->group_blocks ? 0 : before;
    }
    if (before < rx->count_end) {
        rx->count.late += !was_asked;
        return;
    }
    if (!was_asked) {
        rx->count.expected += before + 1 - rx->count_end;
        rx->count.lost += before - rx->count_end;
    }
    rx->count_end = before + 1;
}

/* The CONTENT that closes a pass, when it can be no other. */
static void
count_close(struct cfc_loss_rx *rx)
{
    uint32_t symbol_count = rx->tree->geometry.symbol_count;

    if (rx->has_begun && symbol_count <= COUNT_CLOSE_MAX && rx->count_end < symbol_count) {
        rx->count.expected += symbol_count - rx->count_end;
        rx->count.lost += symbol_count - rx->count_end;
        rx->count_end = symbol_count;
    }
}

struct cfc_loss_count
cfc_loss_rx_take_count(struct cfc_loss_rx *rx)
{
    struct cfc_loss_count count = rx->count;

    rx->count = (struct cfc_loss_count){.expected = 0};
    return count;
}

/* Blocks go out in groups: one symbol of each, then the next one of each.  So whatever comes of a
 * group says that the groups before it are through, and the last source symbol of a full last block
 * that the group is. */
static void
note_sent(struct cfc_loss_rx *rx, uint32_t block, bool is_repair, uint64_t now_ns)
{
    uint32_t first = block - block % rx->group_blocks;
    uint32_t left = rx->tree->geometry.block_count - first;
    uint32_t end = first + (left < rx->group_blocks ? left : rx->group_blocks);
    uint32_t count = cfc_loss_block_symbols(rx, block);
    /* With a code, one source symbol more of a block under way says nothing new of the others. */
    bool is_telling = is_repair || !cfc_loss_has_fec(rx);

    if (!cfc_loss_has_page(rx, 0, block) || block < rx->sent_block) {
        return;
    }
    if ((rx->masks[block] >> (count - 1) & 1) != 0 && block + 1 == end &&
        (end - first == 1 || count == rx->tree->content.fec_k)) {
        first = end;
    }
    if (first > rx->told_block && (rx->masks[block] != 0 || first == end)) {
        rx->told_block = first;
    }
    if (rx->told_block > rx->sent_block) {
        rx->sent_block = rx->told_block;
        is_telling = true;
    }
    if (is_telling && rx->masks[block] != 0) {
        open_slots(rx, now_ns + rx->timing->delay_ns);
    }
}

uint64_t
cfc_loss_rx_due(const struct cfc_loss_rx *rx)
{
    uint64_t due_ns = CFC_NEVER;

    if (rx->sent_block < rx->tree->geometry.block_count) {
        due_ns = rx->tail_at_ns;
    }
    for (uint32_t i = 0; i < rx->slot_count; i++) {
        if (rx->slots[i].ask.at_ns < due_ns) {
            due_ns = rx->slots[i].ask.at_ns;
        }
    }
    return due_ns;
}

/* How many blocks more count as through after a silence: one that lacks something to probe with,
 * and more and more when there is no pass any more. */
static uint32_t
tail_blocks(struct cfc_loss_rx *rx)
{
    uint32_t left = rx->tree->geometry.block_count - rx->sent_block;
    uint32_t count = rx->tail_blocks;

    if (!rx->is_pass_over) {
        for (uint32_t block = rx->told_block; block < rx->sent_block; block++) {
            if (is_lacking(rx, block)) {
                return 0;
            }
        }
        return 1;
    }
    if (rx->tail_blocks < CFC_LOSS_TAIL_BLOCKS_MAX) {
        rx->tail_blocks *= 2;
    }
    return count < left ? count : left;
}

/* Nothing came for a while: what lies ahead may be lost too. */
static void
pass_tail(struct cfc_loss_rx *rx, uint64_t now_ns)
{
    uint32_t block_count = rx->tree->geometry.block_count;

    if (rx->sent_block == block_count || now_ns < rx->tail_at_ns) {
        return;
    }
    /* What was asked for in an earlier silence and came twice had not been lost: this sender is
     * slower than that. */
    if (rx->has_duplicate && rx->has_asked_tail) {
        rx->tail_blocks = 1;
        rx->has_tail_erred = true;
        if (rx->tail_scale < CFC_LOSS_TAIL_SCALE_MAX) {
            rx->tail_scale++;
        }
    }
    rx->has_duplicate = false;
    rx->has_asked_tail = true;
    rx->sent_block += tail_blocks(rx);
    if (rx->tail_tries < CFC_LOSS_TAIL_DOUBLINGS_MAX) {
        rx->tail_tries++;
    }
    rx->tail_at_ns = now_ns + tail_delay(rx);
    open_slots(rx, now_ns);
}

static bool
add_page(const struct cfc_loss_rx *rx, uint64_t key, uint32_t level, uint32_t page,
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
                                                  .coding = rx->tree->content.coding,
                                                  .index = page,
                                                  .key = key};
    return true;
}

/* The highest page that is missing above the leaf page of a block; without it, the pages below
 * would be dropped.  Returns 0 when all of them are here. */
static uint32_t
missing_ancestor(const struct cfc_loss_rx *rx, uint32_t block, uint32_t *page)
{
    uint32_t found = 0, index = block;

    for (uint32_t level = 1; level < rx->tree->level_count; level++) {
        index /= CFC_PAGE_DIGESTS_MAX;
        if (!cfc_loss_has_page(rx, level, index)) {
            found = level;
            *page = index;
        }
    }
    return found;
}

/* Whether only source symbols help a block: nothing decodes it, or it lacks too many. */
static uint8_t
needs_sources(const struct cfc_loss_rx *rx, uint32_t block)
{
    const struct cfc_loss_slot *slot = cfc_loss_rx_find_slot(rx, block);
    uint32_t missing = (uint32_t)__builtin_popcountll(cfc_loss_missing(rx, block));

    return cfc_loss_has_fec(rx) &&
                   (missing > CFC_FEC_LOST_MAX || (slot != NULL && slot->is_poisoned))
               ? CFC_NACK_SOURCES
               : CFC_NACK_ANY;
}

/* Asks for what a block lacks.  False when `entries` is full; nothing is half asked for then. */
static bool
ask_block(const struct cfc_loss_rx *rx, uint64_t key, uint32_t block,
          struct cfc_nack_entry *entries, uint32_t capacity, uint32_t *count)
{
    uint64_t lost = wanted_symbols(rx, block);
    bool is_page_wanted = is_page_lost(rx, block);
    uint32_t page = 0;
    uint32_t level = missing_ancestor(rx, block, &page);

    if (level > 0) {
        return add_page(rx, key, level, page, entries, capacity, count);
    }
    if (*count + (is_page_wanted ? 1u : 0u) + (lost != 0 ? 1u : 0u) > capacity) {
        return false;
    }
    if (is_page_wanted) {
        (void)add_page(rx, key, 0, block, entries, capacity, count);
    }
    if (lost != 0) {
        entries[(*count)++] =
            (struct cfc_nack_entry){.want = CFC_WANT_SYMBOLS,
                                    .level = needs_sources(rx, block),
                                    .coding = rx->tree->content.coding,
                                    .index = block,
                                    .key = key,
                                    .mask = lost,
                                    .count = (uint16_t)__builtin_popcountll(lost)};
    }
    return true;
}

/* Whether a block goes with a NACK at `now_ns`: when it is due, or when half of its spacing is
 * over, so that blocks that are asked for again and again come to share their frames.  The first
 * repeat is not hurried: what was asked for may just be under way. */
static bool
is_slot_ready(const struct cfc_loss_slot *slot, uint64_t now_ns)
{
    const struct cfc_ask *ask = &slot->ask;

    if (ask->at_ns <= now_ns) {
        return true;
    }
    return cfc_ask_is_on(ask) && ask->tries >= 2 &&
           now_ns - slot->asked_ns >= (ask->at_ns - slot->asked_ns) / 2;
}

uint32_t
cfc_loss_rx_ask(struct cfc_loss_rx *rx, uint64_t key, uint64_t now_ns,
                struct cfc_nack_entry *entries, uint32_t capacity)
{
    /* A stream of blocks is in no hurry, and what is multicast for it counts for a while. */
    bool is_small = rx->tree->geometry.block_count <= rx->group_blocks;
    uint64_t first_ns = is_small ? rx->timing->first_ns : 0;
    uint32_t count = 0;

    if (now_ns < cfc_loss_rx_due(rx)) {
        return 0;
    }
    pass_tail(rx, now_ns);
    for (uint32_t i = 0; i < rx->slot_count; i++) {
        struct cfc_loss_slot *slot = &rx->slots[i];

        if (!is_slot_ready(slot, now_ns)) {
            continue;
        }
        if (!is_lacking(rx, slot->block)) {
            cfc_ask_stop(&slot->ask);
            continue;
        }
        if (!ask_block(rx, key, slot->block, entries, capacity, &count)) {
            break;
        }
        cfc_ask_sent_first(&slot->ask, first_ns, rx->timing->retry_ns, rx->timing->doublings,
                           now_ns);
        slot->asked_ns = now_ns;
    }
    return count;
}

void
cfc_loss_rx_announced(struct cfc_loss_rx *rx, uint64_t now_ns)
{
    uint64_t at_ns = now_ns + rx->timing->delay_ns / CFC_LOSS_CLOSE_SHARE;

    if (rx->sent_block + CLOSE_BLOCKS + rx->group_blocks - 1 < rx->tree->geometry.block_count) {
        return;
    }
    count_close(rx);
    rx->is_pass_over = true;
    if (rx->sent_block < rx->tree->geometry.block_count && at_ns < rx->tail_at_ns) {
        rx->tail_at_ns = at_ns;
        rx->tail_blocks = CFC_LOSS_TAIL_BLOCKS_MAX;
    }
    for (uint32_t i = 0; i < rx->slot_count; i++) {
        struct cfc_ask *ask = &rx->slots[i].ask;

        if (cfc_ask_is_on(ask) && ask->tries == 0 && ask->at_ns > at_ns) {
            ask->at_ns = at_ns;
        }
    }
}

void
cfc_loss_rx_probed(struct cfc_loss_rx *rx, uint64_t now_ns)
{
    if (rx->timing->doublings <= CFC_ASK_DOUBLINGS_MIN &&
        now_ns >= rx->news_ns + rx->timing->delay_ns / CFC_LOSS_CLOSE_SHARE) {
        cfc_loss_rx_announced(rx, now_ns);
    }
}

void
cfc_loss_rx_gone(struct cfc_loss_rx *rx, uint64_t now_ns)
{
    for (uint32_t i = 0; i < rx->slot_count; i++) {
        if (cfc_ask_is_on(&rx->slots[i].ask)) {
            cfc_ask_back_off(&rx->slots[i].ask, rx->timing->retry_ns, rx->timing->doublings,
                             now_ns);
        }
    }
    rx->tail_tries = CFC_LOSS_TAIL_DOUBLINGS_MAX;
    rx->tail_at_ns = now_ns + tail_delay(rx);
}

bool
cfc_loss_rx_page(struct cfc_loss_rx *rx, uint32_t level, uint32_t page, uint64_t now_ns)
{
    uint32_t bit = page_bit(rx, level, page);

    rx->pages[bit / 8] = (uint8_t)(rx->pages[bit / 8] | 1u << (bit % 8));
    note_news(rx, now_ns);
    if (level == 0) {
        return true;
    }
    for (uint32_t i = 0; i < rx->slot_count; i++) {
        note_repair(rx, rx->slots[i].block, now_ns);
    }
    return false;
}

static void
note_answer(struct cfc_loss_rx *rx, const struct cfc_loss_slot *slot, uint64_t now_ns)
{
    if (slot != NULL && cfc_ask_is_on(&slot->ask) && slot->ask.tries == 1 &&
        now_ns > slot->asked_ns) {
        rx->answer_ns = now_ns - slot->asked_ns;
    }
}

bool
cfc_loss_rx_source(struct cfc_loss_rx *rx, uint32_t block, uint32_t index, uint64_t now_ns,
                   bool *is_repair)
{
    *is_repair = (lost_symbols(rx, block) >> index & 1) != 0;
    if (*is_repair) {
        note_answer(rx, cfc_loss_rx_find_slot(rx, block), now_ns);
    }
    rx->masks[block] |= UINT64_C(1) << index;
    if (!*is_repair) {
        rx->tail_blocks = 1;
        rx->is_pass_over = false;
    } else if (is_guessed(rx, block)) {
        rx->is_pass_over = true;
    }
    count_source(rx, block, index);
    note_news(rx, now_ns);
    if (!cfc_loss_has_page(rx, 0, block)) {
        want_page(rx, block, now_ns);
        return false;
    }
    return true;
}

bool
cfc_loss_rx_row(struct cfc_loss_rx *rx, struct cfc_loss_slot *slot, bool is_verified,
                uint64_t now_ns)
{
    uint32_t block = slot->block;

    note_answer(rx, slot, now_ns);
    rx->is_pass_over = rx->is_pass_over || (slot->asked_ns != 0 && is_guessed(rx, block));
    /* Repair symbols follow the source symbols of their block. */
    if (is_verified) {
        rx->closed[block / 8] = (uint8_t)(rx->closed[block / 8] | 1u << (block % 8));
    }
    slot->row_count++;
    note_news(rx, now_ns);
    if (!cfc_loss_has_page(rx, 0, block)) {
        want_page(rx, block, now_ns);
        return false;
    }
    return true;
}

void
cfc_loss_rx_settle(struct cfc_loss_rx *rx, uint32_t block, bool is_repair, uint64_t now_ns)
{
    if (is_repair) {
        note_repair(rx, block, now_ns);
    }
    note_sent(rx, block, is_repair, now_ns);
    note_complete(rx, block, now_ns);
}
