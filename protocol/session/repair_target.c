#include "protocol/session/repair_target.h"

#include "confcast/error.h"

/* The groups by which a content reaches a consumer: those that name it and that it follows. */
static uint32_t
groups_for(const struct cfc_content_slot *content, const struct cfc_consumer *c)
{
    uint32_t both = content->groups & c->groups;

    if (both != 0) {
        return both;
    }
    return c->groups != 0 ? c->groups : content->groups;
}

static int
resolve_head(const struct cfc_repair_stock *stock, struct cfc_consumer *c,
             const struct cfc_nack_entry *entry, struct cfc_repair_target *out)
{
    uint32_t slot = cfc_head_tx_find(stock->heads, entry->key);

    c->groups |= UINT32_C(1) << entry->key % stock->heads->group_count;
    if (slot == CFC_SLOT_NONE || stock->heads->slots[slot].version < entry->mask) {
        return CONFCAST_ERR_GONE;
    }
    out->mask = 1;
    out->part_size = stock->heads->slots[slot].frame_size;
    out->groups = UINT32_C(1) << stock->heads->slots[slot].group;
    return CONFCAST_OK;
}

/* Part n of a content's CONTENT frames is that of its n-th coding. */
static int
resolve_content(const struct cfc_repair_stock *stock, const struct cfc_consumer *c,
                const struct cfc_nack_entry *entry, struct cfc_repair_target *out)
{
    uint32_t slot = cfc_content_tx_find(stock->contents, entry->key);

    if (slot == CFC_SLOT_NONE) {
        return CONFCAST_ERR_GONE;
    }
    out->groups = groups_for(&stock->contents->slots[slot], c);
    for (uint64_t bit = 1; slot != CFC_SLOT_NONE; bit <<= 1) {
        const struct cfc_content_slot *s = &stock->contents->slots[slot];

        if (!cfc_content_tx_is_coming(stock->contents, slot, c->groups, entry)) {
            out->mask |= bit;
        }
        if (s->frame_size > out->part_size) {
            out->part_size = s->frame_size;
        }
        slot = s->sibling;
    }
    return CONFCAST_OK;
}

static int
resolve_page(const struct cfc_content_slot *s, const struct cfc_nack_entry *entry,
             struct cfc_repair_target *out)
{
    if (entry->level >= s->tree.level_count ||
        entry->index >= s->tree.geometry.page_counts[entry->level]) {
        return CONFCAST_ERR_RANGE;
    }
    out->mask = 1;
    out->part_size =
        CFC_PAGE_HEADER_SIZE +
        (size_t)cfc_tree_page_digests(&s->tree, entry->level, entry->index) * CFC_SHORT_DIGEST_SIZE;
    return CONFCAST_OK;
}

static int
resolve_symbols(const struct cfc_content_slot *s, const struct cfc_nack_entry *entry,
                struct cfc_repair_target *out)
{
    uint32_t count;
    uint64_t all;

    if (entry->index >= s->tree.geometry.block_count) {
        return CONFCAST_ERR_RANGE;
    }
    count = cfc_geometry_block_symbols(&s->tree.geometry, &s->content, entry->index);
    all = UINT64_MAX >> (CFC_BLOCK_SYMBOLS_MAX - count);
    if (entry->count > count || (entry->mask & ~all) != 0) {
        return CONFCAST_ERR_RANGE;
    }
    out->object.level = 0;
    out->block_symbols = count;
    out->is_any = cfc_content_tx_has_fec(s) && entry->level == CFC_NACK_ANY;
    out->mask = entry->mask;
    if (out->is_any) {
        out->count = entry->count;
    } else if (entry->mask == 0) {
        out->mask = all;
    }
    out->part_size = CFC_SYMBOL_HEADER_SIZE + (size_t)s->content.symbol_size;
    return CONFCAST_OK;
}

static int
resolve_coding(const struct cfc_repair_stock *stock, const struct cfc_consumer *c,
               const struct cfc_nack_entry *entry, struct cfc_repair_target *out)
{
    uint32_t slot = cfc_content_tx_find_coding(stock->contents, entry->key, entry->coding);
    const struct cfc_content_slot *s;
    int code;

    if (slot == CFC_SLOT_NONE) {
        return CONFCAST_ERR_GONE;
    }
    s = &stock->contents->slots[slot];
    out->groups = groups_for(s, c);
    code =
        entry->want == CFC_WANT_PAGE ? resolve_page(s, entry, out) : resolve_symbols(s, entry, out);
    if (code == CONFCAST_OK && cfc_content_tx_is_coming(stock->contents, slot, c->groups, entry)) {
        out->mask = 0;
        out->count = 0;
    }
    return code;
}

static int
resolve_fresh(const struct cfc_repair_stock *stock, const struct cfc_nack_entry *entry,
              struct cfc_repair_target *out)
{
    const struct cfc_fresh_slot *page =
        entry->key < CFC_SENDER_SHARDS_MAX
            ? cfc_beacon_tx_find(stock->beacons, (uint32_t)entry->key, entry->mask)
            : NULL;

    if (page == NULL) {
        return CONFCAST_ERR_GONE;
    }
    out->object.index = page->index;
    out->mask = 1;
    out->part_size = page->frame_size;
    out->groups = UINT32_C(1) << stock->beacons->control_group;
    return CONFCAST_OK;
}

int
cfc_repair_resolve(const struct cfc_repair_stock *stock, struct cfc_consumer *c,
                   const struct cfc_nack_entry *entry, struct cfc_repair_target *out)
{
    *out = (struct cfc_repair_target){.object = *entry};
    out->object.mask = 0;
    out->object.count = 0;
    switch (entry->want) {
    case CFC_WANT_HEAD:
        return resolve_head(stock, c, entry, out);
    case CFC_WANT_CONTENT:
        return resolve_content(stock, c, entry, out);
    case CFC_WANT_PAGE:
    case CFC_WANT_SYMBOLS:
        return resolve_coding(stock, c, entry, out);
    case CFC_WANT_FRESH:
        return resolve_fresh(stock, entry, out);
    default:
        return CONFCAST_ERR_RANGE;
    }
}

static bool
write_head(const struct cfc_repair_stock *stock, const struct cfc_nack_entry *object,
           uint8_t *header, size_t capacity, struct cfc_tx *out)
{
    uint32_t slot = cfc_head_tx_find(stock->heads, object->key);

    if (slot == CFC_SLOT_NONE) {
        return false;
    }
    cfc_head_tx_write(stock->heads, slot, header, capacity, out);
    return true;
}

static bool
write_content(const struct cfc_repair_stock *stock, const struct cfc_nack_entry *object,
              uint32_t part, uint8_t *header, size_t capacity, struct cfc_tx *out)
{
    uint32_t slot = cfc_content_tx_find(stock->contents, object->key);

    for (uint32_t i = 0; i < part && slot != CFC_SLOT_NONE; i++) {
        slot = stock->contents->slots[slot].sibling;
    }
    if (slot == CFC_SLOT_NONE) {
        return false;
    }
    cfc_content_tx_write_content(stock->contents, slot, header, capacity, out);
    return true;
}

static bool
write_fresh(const struct cfc_repair_stock *stock, const struct cfc_nack_entry *object,
            uint8_t *header, size_t capacity, struct cfc_tx *out)
{
    const struct cfc_fresh_slot *page =
        cfc_beacon_tx_page(stock->beacons, (uint32_t)object->key, object->index);

    if (page == NULL) {
        return false;
    }
    cfc_beacon_tx_write(page, header, capacity, out);
    return true;
}

/* The slot of a block that the sender holds, or CFC_SLOT_NONE. */
static uint32_t
find_block(const struct cfc_repair_stock *stock, const struct cfc_nack_entry *object)
{
    uint32_t slot = cfc_content_tx_find_coding(stock->contents, object->key, object->coding);

    if (slot == CFC_SLOT_NONE ||
        object->index >= stock->contents->slots[slot].tree.geometry.block_count ||
        !cfc_content_tx_has_fec(&stock->contents->slots[slot])) {
        return CFC_SLOT_NONE;
    }
    return slot;
}

bool
cfc_repair_fresh_part(const struct cfc_repair_stock *stock, const struct cfc_nack_entry *object,
                      uint32_t *part)
{
    uint32_t slot = find_block(stock, object);

    if (slot == CFC_SLOT_NONE) {
        return false;
    }
    *part = CFC_PART_ROW + cfc_content_tx_next_row(stock->contents, slot, object->index);
    return true;
}

void
cfc_repair_note_demand(const struct cfc_repair_stock *stock, const struct cfc_nack_entry *object,
                       uint32_t count)
{
    uint32_t slot = find_block(stock, object);

    if (slot != CFC_SLOT_NONE) {
        cfc_content_tx_note_demand(stock->contents, slot, object->index, count);
    }
}

static bool
write_row(const struct cfc_repair_stock *stock, const struct cfc_nack_entry *object, uint32_t row,
          uint8_t *header, size_t capacity, struct cfc_tx *out)
{
    uint32_t slot = find_block(stock, object);
    const struct cfc_content_slot *s;

    if (slot == CFC_SLOT_NONE) {
        return false;
    }
    s = &stock->contents->slots[slot];
    if (row < cfc_geometry_block_symbols(&s->tree.geometry, &s->content, object->index)) {
        return false;
    }
    cfc_content_tx_write_repair(stock->contents, slot, object->index, row, header, capacity, out);
    return true;
}

/* The object was dropped and put again with another shape when a page or symbol is out of range. */
static bool
write_of_coding(const struct cfc_repair_stock *stock, const struct cfc_nack_entry *object,
                uint32_t part, uint8_t *header, size_t capacity, struct cfc_tx *out)
{
    uint32_t slot = cfc_content_tx_find_coding(stock->contents, object->key, object->coding);
    const struct cfc_content_slot *s;

    if (slot == CFC_SLOT_NONE) {
        return false;
    }
    s = &stock->contents->slots[slot];
    if (object->want == CFC_WANT_PAGE) {
        if (object->level >= s->tree.level_count ||
            object->index >= s->tree.geometry.page_counts[object->level]) {
            return false;
        }
        cfc_content_tx_write_page(stock->contents, slot, object->level, object->index, header,
                                  capacity, out);
        return true;
    }
    if (part >= CFC_PART_ROW) {
        return write_row(stock, object, part - CFC_PART_ROW, header, capacity, out);
    }
    if (object->index >= s->tree.geometry.block_count ||
        part >= cfc_geometry_block_symbols(&s->tree.geometry, &s->content, object->index)) {
        return false;
    }
    cfc_content_tx_write_symbol(stock->contents, slot, object->index, part, header, capacity, out);
    return true;
}

bool
cfc_repair_write_part(const struct cfc_repair_stock *stock, const struct cfc_nack_entry *object,
                      uint32_t part, uint8_t *header, size_t capacity, struct cfc_tx *out)
{
    switch (object->want) {
    case CFC_WANT_HEAD:
        return write_head(stock, object, header, capacity, out);
    case CFC_WANT_CONTENT:
        return write_content(stock, object, part, header, capacity, out);
    case CFC_WANT_FRESH:
        return write_fresh(stock, object, header, capacity, out);
    default:
        return write_of_coding(stock, object, part, header, capacity, out);
    }
}
