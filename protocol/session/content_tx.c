#include "protocol/session/content_tx.h"

#include <assert.h>
#include <string.h>

#include "confcast/error.h"
#include "protocol/fec/fec.h"

int
cfc_content_tx_init(struct cfc_content_tx *ct, uint32_t slot_count, size_t frame_size_max,
                    uint64_t seed, const struct cfc_alloc *alloc)
{
    *ct = (struct cfc_content_tx){
        .alloc = *alloc, .slot_count = slot_count, .frame_size_max = frame_size_max};
    ct->slots = cfc_alloc(alloc, slot_count * sizeof(ct->slots[0]));
    ct->links = cfc_alloc(alloc, slot_count * sizeof(ct->links[0]));
    cfc_slot_list_init(&ct->free);
    cfc_pass_queue_init(&ct->passes, ct->links);
    cfc_slot_list_init(&ct->released);
    if (ct->slots == NULL || ct->links == NULL) {
        ct->slot_count = 0;
        return CONFCAST_ERR_NO_MEMORY;
    }
    return cfc_key_map_init(&ct->by_key, slot_count, seed, alloc);
}

void
cfc_content_tx_free(struct cfc_content_tx *ct)
{
    for (uint32_t i = 0; i < ct->used_count; i++) {
        cfc_free(&ct->alloc, ct->slots[i].frame);
    }
    cfc_free(&ct->alloc, ct->slots);
    cfc_free(&ct->alloc, ct->links);
    cfc_key_map_free(&ct->by_key, &ct->alloc);
}

uint32_t
cfc_content_tx_find(const struct cfc_content_tx *ct, uint64_t content_key)
{
    return cfc_key_map_get(&ct->by_key, content_key);
}

uint32_t
cfc_content_tx_find_coding(const struct cfc_content_tx *ct, uint64_t content_key, uint16_t coding)
{
    uint32_t slot = cfc_content_tx_find(ct, content_key);

    while (slot != CFC_SLOT_NONE && ct->slots[slot].content.coding != coding) {
        slot = ct->slots[slot].sibling;
    }
    return slot;
}

bool
cfc_content_tx_holds(const struct cfc_content_tx *ct, const struct cfc_digest *content)
{
    uint32_t slot = cfc_content_tx_find(ct, cfc_digest_key(content));

    return slot != CFC_SLOT_NONE && cfc_digest_equal(&ct->slots[slot].content.content, content);
}

/* Checks a CONTENT frame against this sender's limits; *first is a coding that is held already. */
static int
check_put(const struct cfc_content_tx *ct, const struct cfc_content *content,
          const struct cfc_tree *tree, size_t frame_size, size_t tree_size, uint32_t *first)
{
    size_t page_digests = tree->level_count > 1 ? CFC_PAGE_DIGESTS_MAX
                                                : (size_t)content->fec_k + content->repair_leaves;
    uint32_t count = 0;

    if (frame_size > ct->frame_size_max ||
        CFC_SYMBOL_HEADER_SIZE + (size_t)content->symbol_size > ct->frame_size_max ||
        CFC_PAGE_HEADER_SIZE + page_digests * CFC_SHORT_DIGEST_SIZE > ct->frame_size_max) {
        return CONFCAST_ERR_LIMIT;
    }
    if (tree_size != cfc_tree_digests_size(tree)) {
        return CONFCAST_ERR_LENGTH;
    }
    *first = cfc_content_tx_find(ct, cfc_digest_key(&content->content));
    if (*first == CFC_SLOT_NONE) {
        return CONFCAST_OK;
    }
    if (!cfc_digest_equal(&ct->slots[*first].content.content, &content->content)) {
        return CONFCAST_ERR_COLLISION;
    }
    for (uint32_t i = *first; i != CFC_SLOT_NONE; i = ct->slots[i].sibling) {
        count++;
    }
    return count < CFC_CODINGS_MAX ? CONFCAST_OK : CONFCAST_ERR_LIMIT;
}

static int
decode(const uint8_t *bytes, size_t size, struct cfc_content *out)
{
    struct cfc_frame frame;
    int code = cfc_frame_open(bytes, size, &frame);

    if (code != CONFCAST_OK) {
        return code == CONFCAST_ERR_AGAIN ? CONFCAST_ERR_UNSUPPORTED : code;
    }
    return frame.type == CFC_FRAME_CONTENT ? cfc_content_decode(&frame, out)
                                           : CONFCAST_ERR_UNSUPPORTED;
}

/* The class that a slot's passes stand in. */
static enum cfc_pass_class
class_of(const struct cfc_content_slot *s)
{
    bool is_small =
        s->content.coded_size <= (uint64_t)CFC_PASS_SMALL_SYMBOLS * s->content.symbol_size;

    return cfc_pass_class(s->is_news, is_small);
}

static void
begin_parity(struct cfc_parity *parity)
{
    uint32_t level = parity->reported * CFC_PARITY_UNIT + CFC_PARITY_BEGIN;

    if (parity->reported > 0 && parity->level < level) {
        parity->level = level;
    }
}

static void
begin_pass(struct cfc_content_tx *ct, uint32_t slot)
{
    struct cfc_content_slot *s = &ct->slots[slot];

    assert(s->phase == CFC_CAST_IDLE && s->next_groups != 0);
    s->pass_groups = s->next_groups;
    s->next_groups = 0;
    s->left_groups = s->pass_groups;
    s->phase = CFC_CAST_ANNOUNCE;
    s->pass_frames = 0;
    s->is_reminding = false;
    s->pass_class = class_of(s);
    cfc_pass_queue_add(&ct->passes, s->pass_class, slot);
    begin_parity(&ct->parity);
}

static void
make_news(struct cfc_content_tx *ct, uint32_t slot)
{
    struct cfc_content_slot *s = &ct->slots[slot];

    if (s->is_news) {
        return;
    }
    if (s->phase != CFC_CAST_IDLE) {
        cfc_pass_queue_remove(&ct->passes, s->pass_class, slot);
    }
    s->is_news = true;
    if (s->phase != CFC_CAST_IDLE) {
        s->pass_class = class_of(s);
        cfc_pass_queue_add(&ct->passes, s->pass_class, slot);
    }
}

static void
want(struct cfc_content_tx *ct, uint32_t slot, uint32_t groups, bool is_news, uint64_t now_ns)
{
    struct cfc_content_slot *s = &ct->slots[slot];

    s->groups |= groups;
    groups &= ~(s->sent_groups | s->pass_groups | s->next_groups);
    if (is_news && (groups != 0 || s->phase != CFC_CAST_IDLE)) {
        make_news(ct, slot);
        s->news_ns = s->news_ns == 0 ? now_ns : s->news_ns;
    }
    if (s->is_pull_only || groups == 0) {
        return;
    }
    if (s->phase == CFC_CAST_ANNOUNCE && s->left_groups == s->pass_groups) {
        s->pass_groups |= groups;
        s->left_groups = s->pass_groups;
        return;
    }
    s->next_groups |= groups;
    if (s->phase == CFC_CAST_IDLE) {
        begin_pass(ct, slot);
    }
}

void
cfc_content_tx_want(struct cfc_content_tx *ct, const struct cfc_digest *content, uint32_t group,
                    bool is_news, uint64_t now_ns)
{
    if (!cfc_content_tx_holds(ct, content)) {
        return;
    }
    for (uint32_t i = cfc_content_tx_find(ct, cfc_digest_key(content)); i != CFC_SLOT_NONE;
         i = ct->slots[i].sibling) {
        want(ct, i, UINT32_C(1) << group, is_news, now_ns);
    }
}

/* The slot of this very coding of this very content, or CFC_SLOT_NONE. */
static uint32_t
find_held(const struct cfc_content_tx *ct, const struct cfc_content *content)
{
    return cfc_content_tx_holds(ct, &content->content)
               ? cfc_content_tx_find_coding(ct, cfc_digest_key(&content->content), content->coding)
               : CFC_SLOT_NONE;
}

int
cfc_content_tx_put(struct cfc_content_tx *ct, const uint8_t *frame, size_t size,
                   const uint8_t *tree, size_t tree_size, const uint8_t *coded, bool is_pull_only,
                   uint32_t *slot)
{
    struct cfc_content_slot fresh = {.digests = tree, .coded = coded, .frame_size = size};
    uint32_t block_count;
    uint32_t first;
    uint32_t last;
    int code = decode(frame, size, &fresh.content);

    if (code == CONFCAST_OK) {
        code = cfc_tree_init(&fresh.tree, &fresh.content);
    }
    if (code != CONFCAST_OK) {
        return code;
    }
    *slot = find_held(ct, &fresh.content);
    if (*slot != CFC_SLOT_NONE) {
        ct->slots[*slot].is_pull_only = ct->slots[*slot].is_pull_only && is_pull_only;
        return CONFCAST_ERR_EXISTS;
    }
    code = check_put(ct, &fresh.content, &fresh.tree, size, tree_size, &first);
    if (code != CONFCAST_OK) {
        return code;
    }
    if (cfc_slot_list_is_empty(&ct->free) && ct->used_count == ct->slot_count) {
        return CONFCAST_ERR_LIMIT;
    }
    block_count = cfc_content_tx_has_fec(&fresh) ? fresh.tree.geometry.block_count : 0;
    fresh.frame = cfc_alloc(&ct->alloc, size + block_count);
    if (fresh.frame == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    memcpy(fresh.frame, frame, size);
    fresh.next_rows = fresh.frame + size;
    memset(fresh.next_rows, 0, block_count);
    code = decode(fresh.frame, size, &fresh.content);
    assert(code == CONFCAST_OK);
    fresh.sibling = CFC_SLOT_NONE;
    fresh.is_pull_only = is_pull_only;
    *slot = cfc_slot_list_is_empty(&ct->free) ? ct->used_count++
                                              : cfc_slot_list_pop(&ct->free, ct->links);
    ct->slots[*slot] = fresh;
    if (first == CFC_SLOT_NONE) {
        cfc_key_map_put(&ct->by_key, cfc_digest_key(&fresh.content.content), *slot);
        return CONFCAST_OK;
    }
    for (last = first; ct->slots[last].sibling != CFC_SLOT_NONE; last = ct->slots[last].sibling) {
    }
    ct->slots[last].sibling = *slot;
    want(ct, *slot, ct->slots[first].groups, ct->slots[first].is_news, ct->slots[first].news_ns);
    return CONFCAST_OK;
}

static void
release_if_idle(struct cfc_content_tx *ct, uint32_t slot)
{
    struct cfc_content_slot *s = &ct->slots[slot];

    if (s->is_dropped && s->refs == 0) {
        cfc_slot_list_push(&ct->released, ct->links, slot);
    }
}

int
cfc_content_tx_drop(struct cfc_content_tx *ct, const struct cfc_digest *content)
{
    uint32_t slot;

    if (!cfc_content_tx_holds(ct, content)) {
        return CONFCAST_ERR_NOT_FOUND;
    }
    slot = cfc_content_tx_find(ct, cfc_digest_key(content));
    cfc_key_map_remove(&ct->by_key, cfc_digest_key(content));
    while (slot != CFC_SLOT_NONE) {
        struct cfc_content_slot *s = &ct->slots[slot];
        uint32_t next = s->sibling;

        if (s->phase != CFC_CAST_IDLE) {
            cfc_pass_queue_remove(&ct->passes, s->pass_class, slot);
        }
        s->phase = CFC_CAST_IDLE;
        s->is_dropped = true;
        release_if_idle(ct, slot);
        slot = next;
    }
    return CONFCAST_OK;
}

void
cfc_content_tx_payload_done(struct cfc_content_tx *ct, uint32_t slot, uint32_t count)
{
    assert(slot < ct->slot_count && ct->slots[slot].refs >= count);
    if (count == 0) {
        return;
    }
    ct->slots[slot].refs -= count;
    release_if_idle(ct, slot);
}

uint32_t
cfc_content_tx_take_released(struct cfc_content_tx *ct)
{
    uint32_t slot = cfc_slot_list_pop(&ct->released, ct->links);

    if (slot != CFC_SLOT_NONE) {
        cfc_free(&ct->alloc, ct->slots[slot].frame);
        ct->slots[slot] = (struct cfc_content_slot){.frame = NULL};
        cfc_slot_list_push(&ct->free, ct->links, slot);
    }
    return slot;
}

/* Blocks below one page of a level. */
static uint32_t
page_span(uint32_t level)
{
    uint32_t span = 1;

    for (uint32_t i = 0; i < level; i++) {
        span *= CFC_PAGE_DIGESTS_MAX;
    }
    return span;
}

/* The repair symbols that a block goes with. */
static uint32_t
block_parity(const struct cfc_content_slot *s, uint32_t block)
{
    uint32_t count = cfc_geometry_block_symbols(&s->tree.geometry, &s->content, block);

    if (s->parity == 0) {
        return 0;
    }
    return (s->parity * count + CFC_BLOCK_SYMBOLS_MAX / 2) / CFC_BLOCK_SYMBOLS_MAX;
}

static uint32_t
block_frames(const struct cfc_content_slot *s, uint32_t block)
{
    return cfc_geometry_block_symbols(&s->tree.geometry, &s->content, block) +
           block_parity(s, block);
}

/* Whether what is still to come of a block that is being sent makes up for what lacks. */
static bool
is_rest_enough(const struct cfc_content_slot *s, const struct cfc_nack_entry *entry)
{
    uint32_t count = cfc_geometry_block_symbols(&s->tree.geometry, &s->content, entry->index);
    uint32_t next = s->symbol + (entry->index < s->block);
    uint32_t end = block_frames(s, entry->index);
    uint32_t useful = 0;

    if (next < 64) {
        useful = (uint32_t)__builtin_popcountll(entry->mask >> next);
    }
    if (entry->level == CFC_NACK_ANY) {
        uint32_t row = next > count ? next : count;

        useful += end > row ? end - row : 0;
    }
    return useful >= entry->count;
}

static bool
are_symbols_ahead(const struct cfc_content_slot *s, const struct cfc_nack_entry *entry)
{
    if (entry->index < s->first_block || entry->index >= s->end_block) {
        return entry->index >= s->end_block;
    }
    return s->phase == CFC_CAST_PAGES || !cfc_content_tx_has_fec(s) || is_rest_enough(s, entry);
}

static bool
is_ahead(const struct cfc_content_slot *s, const struct cfc_nack_entry *entry)
{
    uint64_t block;

    if (s->phase == CFC_CAST_ANNOUNCE) {
        return true;
    }
    switch (entry->want) {
    case CFC_WANT_PAGE:
        block = (uint64_t)entry->index * page_span(entry->level);
        return block >= s->end_block ||
               (s->phase == CFC_CAST_PAGES &&
                (block > s->block || (block == s->block && entry->level <= s->level)));
    case CFC_WANT_SYMBOLS:
        return are_symbols_ahead(s, entry);
    default:
        return false;
    }
}

bool
cfc_content_tx_is_coming(const struct cfc_content_tx *ct, uint32_t slot, uint32_t groups,
                         const struct cfc_nack_entry *entry)
{
    const struct cfc_content_slot *s = &ct->slots[slot];

    if (s->phase == CFC_CAST_IDLE) {
        return false;
    }
    if (groups == 0) {
        return s->sent_groups == 0 && is_ahead(s, entry);
    }
    if ((groups & s->pass_groups) != 0) {
        return is_ahead(s, entry);
    }
    return (groups & s->next_groups) != 0;
}

void
cfc_content_tx_write_content(struct cfc_content_tx *ct, uint32_t slot, uint8_t *header,
                             size_t capacity, struct cfc_tx *out)
{
    const struct cfc_content_slot *s = &ct->slots[slot];

    assert(capacity >= s->frame_size);
    memcpy(header, s->frame, s->frame_size);
    out->header_size = s->frame_size;
    out->payload = NULL;
    out->payload_size = 0;
    out->slot = CFC_SENDER_NO_SLOT;
}

void
cfc_content_tx_write_page(struct cfc_content_tx *ct, uint32_t slot, uint32_t level, uint32_t page,
                          uint8_t *header, size_t capacity, struct cfc_tx *out)
{
    const struct cfc_content_slot *s = &ct->slots[slot];
    struct cfc_page frame = {
        .coding = s->content.coding,
        .level = (uint8_t)level,
        .digest_count = (uint8_t)cfc_tree_page_digests(&s->tree, level, page),
        .index = page,
        .digests = s->digests +
                   (size_t)cfc_tree_page_offset(&s->tree, level, page) * CFC_SHORT_DIGEST_SIZE,
    };
    int code = cfc_page_encode(cfc_digest_key(&s->content.content), &frame, header, capacity,
                               &out->header_size);

    assert(code == CONFCAST_OK);
    (void)code;
    out->payload = NULL;
    out->payload_size = 0;
    out->slot = CFC_SENDER_NO_SLOT;
}

void
cfc_content_tx_write_symbol(struct cfc_content_tx *ct, uint32_t slot, uint32_t block,
                            uint32_t symbol, uint8_t *header, size_t capacity, struct cfc_tx *out)
{
    struct cfc_content_slot *s = &ct->slots[slot];
    size_t offset = ((size_t)block * s->content.fec_k + symbol) * s->content.symbol_size;

    assert(capacity >= CFC_SYMBOL_HEADER_SIZE);
    (void)capacity;
    out->payload_size = cfc_geometry_symbol_size(&s->tree.geometry, &s->content, block, symbol);
    assert(offset + out->payload_size <= s->content.coded_size);
    cfc_symbol_header(cfc_digest_key(&s->content.content), s->content.coding, block,
                      (uint16_t)symbol, out->payload_size, header);
    out->header_size = CFC_SYMBOL_HEADER_SIZE;
    out->payload = s->coded + offset;
    out->slot = slot;
    s->refs++;
}

/* The source symbols of a block are not all of one size when it is the last one. */
static size_t
last_size(const struct cfc_content_slot *s, uint32_t block, uint32_t count)
{
    return cfc_geometry_symbol_size(&s->tree.geometry, &s->content, block, count - 1);
}

void
cfc_content_tx_write_repair(struct cfc_content_tx *ct, uint32_t slot, uint32_t block, uint32_t row,
                            uint8_t *header, size_t capacity, struct cfc_tx *out)
{
    struct cfc_content_slot *s = &ct->slots[slot];
    size_t size = s->content.symbol_size;
    uint32_t count = cfc_geometry_block_symbols(&s->tree.geometry, &s->content, block);
    int code;

    assert(cfc_content_tx_has_fec(s) && capacity >= CFC_SYMBOL_HEADER_SIZE + size);
    (void)capacity;
    cfc_symbol_header(cfc_digest_key(&s->content.content), s->content.coding, block, (uint16_t)row,
                      size, header);
    code = cfc_fec_encode(s->coded + (size_t)block * s->content.fec_k * size, count, size,
                          last_size(s, block, count), row, 1, header + CFC_SYMBOL_HEADER_SIZE);
    assert(code == CONFCAST_OK);
    (void)code;
    out->header_size = CFC_SYMBOL_HEADER_SIZE + size;
    out->payload = NULL;
    out->payload_size = 0;
    out->slot = CFC_SENDER_NO_SLOT;
}

uint32_t
cfc_content_tx_next_row(struct cfc_content_tx *ct, uint32_t slot, uint32_t block)
{
    struct cfc_content_slot *s = &ct->slots[slot];
    uint32_t count = cfc_geometry_block_symbols(&s->tree.geometry, &s->content, block);
    uint32_t row = s->next_rows[block] < count ? count : s->next_rows[block];

    s->next_rows[block] = (uint8_t)(row == CFC_FEC_ROW_MAX ? 0 : row + 1);
    return row;
}

void
cfc_content_tx_note_demand(struct cfc_content_tx *ct, uint32_t slot, uint32_t block, uint32_t count)
{
    const struct cfc_content_slot *s = &ct->slots[slot];
    uint32_t most = CFC_REPAIR_LEAVES_MAX * CFC_PARITY_UNIT;

    if (cfc_geometry_block_symbols(&s->tree.geometry, &s->content, block) < CFC_PARITY_BLOCK_MIN) {
        return;
    }
    ct->parity.level += CFC_PARITY_RISE * (count > 2 ? count - 1 : 1);
    ct->parity.level = ct->parity.level < most ? ct->parity.level : most;
}

size_t
cfc_content_tx_symbol_frame_size(const struct cfc_content_tx *ct, uint32_t slot, uint32_t block,
                                 uint32_t symbol)
{
    const struct cfc_content_slot *s = &ct->slots[slot];

    return CFC_SYMBOL_HEADER_SIZE +
           cfc_geometry_symbol_size(&s->tree.geometry, &s->content, block, symbol);
}

/* Puts the cursor before the pages of `block`: the highest level that has a page beginning there,
 * then down to its leaf page. */
static void
enter_block(struct cfc_content_slot *s, uint32_t block)
{
    s->block = block;
    s->level = 0;
    s->phase = CFC_CAST_PAGES;
    while (s->level + 1u < s->tree.level_count && block % page_span(s->level + 1u) == 0) {
        s->level++;
    }
}

/* Puts the cursor before the blocks from `first` on that go together. */
static void
enter_group(struct cfc_content_tx *ct, struct cfc_content_slot *s, uint32_t first)
{
    uint32_t left = s->tree.geometry.block_count - first;
    uint32_t size = cfc_content_tx_has_fec(s) ? CFC_FEC_GROUP_BLOCKS : 1;
    uint32_t parity = ct->parity.level / CFC_PARITY_UNIT;

    size = left < size ? left : size;
    s->first_block = first;
    s->end_block = first + size;
    s->symbol = 0;
    /* Only repair symbols that have a leaf go unasked: receivers can check them. */
    s->parity = parity < s->content.repair_leaves ? parity : s->content.repair_leaves;
    if (left == 0) {
        s->phase = CFC_CAST_CLOSE;
        return;
    }
    enter_block(s, first);
}

static void
leave_group(struct cfc_content_tx *ct, struct cfc_content_slot *s)
{
    for (uint32_t block = s->first_block; block < s->end_block; block++) {
        uint32_t count = cfc_geometry_block_symbols(&s->tree.geometry, &s->content, block);

        if (cfc_content_tx_has_fec(s) && count >= CFC_PARITY_BLOCK_MIN) {
            ct->parity.level -=
                ct->parity.level < CFC_PARITY_FALL ? ct->parity.level : CFC_PARITY_FALL;
        }
    }
    enter_group(ct, s, s->end_block);
}

static void
next_page(struct cfc_content_slot *s)
{
    if (s->level > 0) {
        s->level--;
    } else if (s->block + 1 < s->end_block) {
        enter_block(s, s->block + 1);
    } else {
        s->phase = CFC_CAST_SYMBOLS;
        s->block = s->first_block;
    }
}

/* The same symbol of the next block, then the next one of the first.  No block of a group has more
 * of them than the first one. */
static void
next_symbol(struct cfc_content_tx *ct, struct cfc_content_slot *s)
{
    do {
        s->block++;
        if (s->block == s->end_block) {
            s->block = s->first_block;
            s->symbol++;
        }
        if (s->block == s->first_block && s->symbol == block_frames(s, s->block)) {
            leave_group(ct, s);
            return;
        }
    } while (s->symbol >= block_frames(s, s->block));
}

/* After the frame that was just sent, and before anything else but the end. */
static void
remind(struct cfc_content_slot *s)
{
    s->pass_frames++;
    s->is_reminding =
        (s->pass_frames == CFC_REMINDER_FIRST || s->pass_frames == CFC_REMINDER_SECOND ||
         s->pass_frames == CFC_REMINDER_THIRD) &&
        s->phase != CFC_CAST_CLOSE;
}

static void
advance(struct cfc_content_tx *ct, uint32_t slot)
{
    struct cfc_content_slot *s = &ct->slots[slot];

    s->left_groups = s->pass_groups;
    if (s->is_reminding) {
        s->is_reminding = false;
        cfc_pass_queue_rotate(&ct->passes, s->pass_class, slot);
        return;
    }
    switch (s->phase) {
    case CFC_CAST_ANNOUNCE:
        enter_group(ct, s, 0);
        break;
    case CFC_CAST_PAGES:
        next_page(s);
        remind(s);
        break;
    case CFC_CAST_SYMBOLS:
        next_symbol(ct, s);
        remind(s);
        break;
    case CFC_CAST_CLOSE:
        cfc_pass_queue_remove(&ct->passes, s->pass_class, slot);
        s->sent_groups |= s->pass_groups;
        s->pass_groups = 0;
        s->left_groups = 0;
        s->phase = CFC_CAST_IDLE;
        s->is_news = s->is_news && s->next_groups != 0;
        s->news_ns = s->is_news ? s->news_ns : 0;
        if (s->next_groups != 0) {
            begin_pass(ct, slot);
        }
        return;
    case CFC_CAST_IDLE:
        assert(false);
    }
    cfc_pass_queue_rotate(&ct->passes, s->pass_class, slot);
}

static void
write_next_symbol(struct cfc_content_tx *ct, uint32_t slot, uint8_t *header, size_t capacity,
                  struct cfc_tx *out)
{
    struct cfc_content_slot *s = &ct->slots[slot];

    if (s->symbol < cfc_geometry_block_symbols(&s->tree.geometry, &s->content, s->block)) {
        cfc_content_tx_write_symbol(ct, slot, s->block, s->symbol, header, capacity, out);
        return;
    }
    cfc_content_tx_write_repair(ct, slot, s->block, s->symbol, header, capacity, out);
    out->kind = CFC_TX_PARITY;
    if (s->next_rows[s->block] <= s->symbol) {
        s->next_rows[s->block] = (uint8_t)(s->symbol + 1);
    }
}

int
cfc_content_tx_poll(struct cfc_content_tx *ct, uint8_t *header, size_t capacity, struct cfc_tx *out)
{
    uint32_t slot = cfc_pass_queue_take(&ct->passes);
    struct cfc_content_slot *s;

    if (slot == CFC_SLOT_NONE) {
        return CONFCAST_ERR_AGAIN;
    }
    s = &ct->slots[slot];
    switch (s->is_reminding ? CFC_CAST_ANNOUNCE : s->phase) {
    case CFC_CAST_PAGES:
        cfc_content_tx_write_page(ct, slot, s->level, s->block / page_span(s->level), header,
                                  capacity, out);
        out->kind = CFC_TX_PAGE;
        break;
    case CFC_CAST_SYMBOLS:
        out->kind = CFC_TX_SOURCE;
        write_next_symbol(ct, slot, header, capacity, out);
        break;
    default:
        cfc_content_tx_write_content(ct, slot, header, capacity, out);
        out->kind = CFC_TX_CONTENT;
        break;
    }
    out->is_multicast = true;
    out->group = (uint32_t)__builtin_ctz(s->left_groups);
    s->left_groups &= s->left_groups - 1;
    if (s->left_groups == 0) {
        if (s->phase == CFC_CAST_CLOSE) {
            out->pass_since_ns = s->news_ns;
            out->is_pass_end = true;
        }
        advance(ct, slot);
    }
    return CONFCAST_OK;
}
