/* Repair symbols of a collection.  They wait in the places of the source symbols that lack, so they
 * cost no memory of their own; when as many are here as source symbols lack, the block is decoded
 * in place. */
#include <assert.h>
#include <string.h>

#include "confcast/error.h"
#include "protocol/fec/fec.h"
#include "protocol/session/content_rx_state.h"

static bool
has_leaf(const struct cfc_content_rx *rx, uint32_t block, uint32_t row)
{
    return row < cfc_tree_page_digests(&rx->tree, 0, block);
}

static uint32_t
missing_count(const struct cfc_content_rx *rx, uint32_t block)
{
    return (uint32_t)__builtin_popcountll(cfc_loss_missing(&rx->loss, block));
}

static uint8_t *
rows_of(const struct cfc_content_rx *rx, const struct cfc_loss_slot *slot)
{
    return rx->rows[slot->place];
}

static bool
has_row(const struct cfc_content_rx *rx, const struct cfc_loss_slot *slot, uint32_t row)
{
    return slot->row_count > 0 &&
           memchr(rows_of(rx, slot), (int)row, CFC_BLOCK_SYMBOLS_MAX) != NULL;
}

/* The first place of a block that holds nothing; -1 for none. */
static int
free_place(const struct cfc_content_rx *rx, const struct cfc_loss_slot *slot)
{
    uint64_t missing = cfc_loss_missing(&rx->loss, slot->block);

    for (; missing != 0; missing &= missing - 1) {
        int index = __builtin_ctzll(missing);

        if (rows_of(rx, slot)[index] == 0) {
            return index;
        }
    }
    return -1;
}

static void
drop_row(const struct cfc_content_rx *rx, struct cfc_loss_slot *slot, uint32_t index)
{
    slot->row_count = (uint8_t)(slot->row_count - (rows_of(rx, slot)[index] != 0));
    rows_of(rx, slot)[index] = 0;
}

void
cfc_rx_clear_place(struct cfc_content_rx *rx, uint32_t block, uint32_t index)
{
    struct cfc_loss_slot *slot = cfc_loss_rx_find_slot(&rx->loss, block);
    int to;

    if (slot == NULL || rows_of(rx, slot)[index] == 0) {
        return;
    }
    to = free_place(rx, slot);
    if (to >= 0) {
        memcpy(cfc_rx_place(rx, block, (uint32_t)to), cfc_rx_place(rx, block, index),
               rx->tree.content.symbol_size);
        rows_of(rx, slot)[to] = rows_of(rx, slot)[index];
        slot->row_count++;
    }
    drop_row(rx, slot, index);
}

/* Whether a row is of use, so that it is worth a hash and a place. */
static bool
is_useful(const struct cfc_content_rx *rx, const struct cfc_loss_slot *slot, uint32_t row)
{
    return !slot->is_hopeless && !(slot->is_poisoned && !has_leaf(rx, slot->block, row)) &&
           slot->row_count < CFC_FEC_LOST_MAX && free_place(rx, slot) >= 0;
}

int
cfc_rx_repair_symbol(struct cfc_content_rx *rx, struct cfc_sha256 *sha,
                     const struct cfc_symbol *symbol, uint64_t now_ns,
                     struct cfc_content_rx_stats *stats)
{
    uint32_t block = symbol->block, row = symbol->index;
    bool is_checked = cfc_loss_has_page(&rx->loss, 0, block) && has_leaf(rx, block, row);
    struct cfc_loss_slot *slot;
    int place;

    if (symbol->size != rx->tree.content.symbol_size) {
        return CONFCAST_ERR_LENGTH;
    }
    slot = missing_count(rx, block) > 0 ? cfc_loss_rx_open_slot(&rx->loss, block) : NULL;
    if (slot == NULL || !is_useful(rx, slot, row)) {
        stats->symbols_ignored++;
        return CONFCAST_OK;
    }
    if (has_row(rx, slot, row)) {
        stats->symbols_duplicate++;
        cfc_loss_rx_duplicate(&rx->loss, now_ns);
        return CONFCAST_OK;
    }
    if (is_checked) {
        int code = cfc_rx_verify(rx, sha, block, row, symbol->bytes, symbol->size);

        if (code != CONFCAST_OK) {
            return code;
        }
    }
    place = free_place(rx, slot);
    assert(place >= 0);
    memcpy(cfc_rx_place(rx, block, (uint32_t)place), symbol->bytes, symbol->size);
    rows_of(rx, slot)[place] = (uint8_t)row;
    stats->symbols_repair++;
    if (cfc_loss_rx_row(&rx->loss, slot, is_checked, now_ns)) {
        cfc_rx_try_decode(rx, sha, block, now_ns, stats);
        cfc_loss_rx_settle(&rx->loss, block, true, now_ns);
    }
    return CONFCAST_OK;
}

void
cfc_rx_verify_rows(struct cfc_content_rx *rx, struct cfc_sha256 *sha, uint32_t block)
{
    struct cfc_loss_slot *slot = cfc_loss_rx_find_slot(&rx->loss, block);

    for (uint32_t i = 0; slot != NULL && slot->row_count > 0 && i < CFC_BLOCK_SYMBOLS_MAX; i++) {
        if (rows_of(rx, slot)[i] != 0 && has_leaf(rx, block, rows_of(rx, slot)[i]) &&
            cfc_rx_verify(rx, sha, block, rows_of(rx, slot)[i], cfc_rx_place(rx, block, i),
                          rx->tree.content.symbol_size) != CONFCAST_OK) {
            drop_row(rx, slot, i);
        }
    }
}

/* Takes over what was decoded: a symbol that fails its leaf is still lacking. */
static uint32_t
take_decoded(struct cfc_content_rx *rx, struct cfc_sha256 *sha, uint32_t block,
             struct cfc_content_rx_stats *stats)
{
    uint32_t wrong = 0;

    for (uint64_t missing = cfc_loss_missing(&rx->loss, block); missing != 0;
         missing &= missing - 1) {
        uint32_t index = (uint32_t)__builtin_ctzll(missing);
        size_t size = cfc_geometry_symbol_size(&rx->tree.geometry, &rx->tree.content, block, index);

        if (cfc_rx_verify(rx, sha, block, index, cfc_rx_place(rx, block, index), size) ==
            CONFCAST_OK) {
            rx->loss.masks[block] |= UINT64_C(1) << index;
            rx->symbol_count++;
            stats->symbols_decoded++;
        } else {
            wrong++;
        }
    }
    return wrong;
}

void
cfc_rx_try_decode(struct cfc_content_rx *rx, struct cfc_sha256 *sha, uint32_t block,
                  uint64_t now_ns, struct cfc_content_rx_stats *stats)
{
    struct cfc_loss_slot *slot = cfc_loss_rx_find_slot(&rx->loss, block);
    uint32_t k = cfc_loss_block_symbols(&rx->loss, block);
    bool has_unknown = false;
    int code;

    if (slot == NULL || slot->row_count == 0 || slot->row_count != missing_count(rx, block) ||
        !cfc_loss_has_page(&rx->loss, 0, block)) {
        return;
    }
    for (uint32_t i = 0; i < k; i++) {
        has_unknown = has_unknown ||
                      (rows_of(rx, slot)[i] != 0 && !has_leaf(rx, block, rows_of(rx, slot)[i]));
    }
    code = cfc_fec_decode(cfc_rx_place(rx, block, 0), k, rx->tree.content.symbol_size,
                          rows_of(rx, slot));
    assert(code == CONFCAST_OK);
    (void)code;
    memset(rows_of(rx, slot), 0, CFC_BLOCK_SYMBOLS_MAX);
    slot->row_count = 0;
    if (take_decoded(rx, sha, block, stats) == 0) {
        stats->blocks_decoded++;
        return;
    }
    /* Somebody put a repair symbol on the wire that is none, or what signed its leaf was wrong. */
    stats->blocks_poisoned++;
    slot->is_hopeless = slot->is_poisoned || !has_unknown;
    slot->is_poisoned = true;
    cfc_ask_restart(&slot->ask, now_ns + rx->loss.timing->delay_ns);
}
