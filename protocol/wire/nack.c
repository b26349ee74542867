#include "protocol/wire/nack.h"

#include <assert.h>

#include "confcast/error.h"

enum {
    NACK_ENTRIES_OFFSET = 24
};

static int
check_symbols(const struct cfc_nack_entry *e)
{
    bool ok = e->count >= 1 && e->count <= CFC_BLOCK_SYMBOLS_MAX &&
              (e->mask == 0 || (unsigned)__builtin_popcountll(e->mask) == e->count);

    if (e->level > CFC_NACK_SOURCES) {
        return CONFCAST_ERR_VERSION;
    }
    ok = ok && (e->level == CFC_NACK_ANY || e->mask != 0);
    return ok ? CONFCAST_OK : CONFCAST_ERR_RANGE;
}

/* Fields that a want does not use are reserved. */
static int
check_entry(const struct cfc_nack_entry *e)
{
    bool is_plain = e->level == 0 && e->coding == 0 && e->index == 0 && e->count == 0;

    switch (e->want) {
    case CFC_WANT_HEAD:
        return is_plain ? CONFCAST_OK : CONFCAST_ERR_VERSION;
    case CFC_WANT_CONTENT:
        return is_plain && e->mask == 0 ? CONFCAST_OK : CONFCAST_ERR_VERSION;
    case CFC_WANT_PAGE:
        if (e->count != 0 || e->mask != 0) {
            return CONFCAST_ERR_VERSION;
        }
        return e->level < CFC_PAGE_LEVELS_MAX ? CONFCAST_OK : CONFCAST_ERR_RANGE;
    case CFC_WANT_SYMBOLS:
        return check_symbols(e);
    case CFC_WANT_FRESH:
        if (!is_plain) {
            return CONFCAST_ERR_VERSION;
        }
        return e->key <= UINT32_MAX ? CONFCAST_OK : CONFCAST_ERR_RANGE;
    default:
        return CONFCAST_ERR_VERSION;
    }
}

static void
read_entry(const uint8_t *bytes, struct cfc_nack_entry *out, uint64_t *reserved)
{
    struct cfc_reader r = cfc_reader_of(bytes, CFC_NACK_ENTRY_SIZE);

    out->want = cfc_read_u8(&r);
    out->level = cfc_read_u8(&r);
    out->coding = cfc_read_u16(&r);
    out->index = cfc_read_u32(&r);
    out->key = cfc_read_u64(&r);
    out->mask = cfc_read_u64(&r);
    out->count = cfc_read_u16(&r);
    *reserved = cfc_read_u16(&r);
    *reserved |= cfc_read_u32(&r);
}

void
cfc_nack_entry_at(const struct cfc_nack *nack, uint32_t i, struct cfc_nack_entry *out)
{
    uint64_t reserved;

    assert(i < nack->entry_count);
    read_entry(nack->entries + (size_t)i * CFC_NACK_ENTRY_SIZE, out, &reserved);
}

int
cfc_nack_decode(const struct cfc_frame *frame, struct cfc_nack *out)
{
    struct cfc_reader r;
    int rc = cfc_trailer_open(frame, CFC_FRAME_NACK, NACK_ENTRIES_OFFSET, &r);

    if (rc != CONFCAST_OK) {
        return rc;
    }
    *out = (struct cfc_nack){.consumer_key = frame->key, .entry_count = cfc_read_u16(&r)};
    if (cfc_read_u16(&r) != 0 || cfc_read_u32(&r) != 0) {
        return CONFCAST_ERR_VERSION;
    }
    out->entries = r.p;
    if (out->entry_count < 1 || out->entry_count > CFC_NACK_ENTRIES_MAX) {
        return CONFCAST_ERR_RANGE;
    }
    if (cfc_reader_left(&r) != (size_t)out->entry_count * CFC_NACK_ENTRY_SIZE) {
        return CONFCAST_ERR_LENGTH;
    }
    for (uint32_t i = 0; rc == CONFCAST_OK && i < out->entry_count; i++) {
        struct cfc_nack_entry entry;
        uint64_t reserved;

        read_entry(out->entries + (size_t)i * CFC_NACK_ENTRY_SIZE, &entry, &reserved);
        rc = reserved == 0 ? check_entry(&entry) : CONFCAST_ERR_VERSION;
    }
    return rc;
}

int
cfc_nack_write(struct cfc_writer *w, uint64_t consumer_key, const struct cfc_nack_entry *entries,
               uint16_t entry_count)
{
    if (entry_count < 1 || entry_count > CFC_NACK_ENTRIES_MAX) {
        return CONFCAST_ERR_INVALID;
    }
    cfc_frame_begin(w, CFC_FRAME_NACK, consumer_key);
    cfc_write_u16(w, entry_count);
    cfc_write_u16(w, 0);
    cfc_write_u32(w, 0);
    for (uint32_t i = 0; i < entry_count; i++) {
        const struct cfc_nack_entry *e = &entries[i];

        if (check_entry(e) != CONFCAST_OK) {
            return CONFCAST_ERR_INVALID;
        }
        cfc_write_u8(w, e->want);
        cfc_write_u8(w, e->level);
        cfc_write_u16(w, e->coding);
        cfc_write_u32(w, e->index);
        cfc_write_u64(w, e->key);
        cfc_write_u64(w, e->mask);
        cfc_write_u16(w, e->count);
        cfc_write_u16(w, 0);
        cfc_write_u32(w, 0);
    }
    return w->has_failed ? CONFCAST_ERR_LIMIT : CONFCAST_OK;
}

static int
check_gone(const struct cfc_gone *gone)
{
    bool ok = gone->want >= CFC_WANT_HEAD && gone->want <= CFC_WANT_FRESH;

    return ok ? CONFCAST_OK : CONFCAST_ERR_VERSION;
}

int
cfc_gone_decode(const struct cfc_frame *frame, struct cfc_gone *out)
{
    if (frame->type != CFC_FRAME_GONE) {
        return CONFCAST_ERR_INVALID;
    }
    if (frame->size != CFC_GONE_SIZE) {
        return frame->size < CFC_GONE_SIZE ? CONFCAST_ERR_SHORT : CONFCAST_ERR_LENGTH;
    }
    *out = (struct cfc_gone){.key = frame->key,
                             .want = frame->bytes[16],
                             .coding = cfc_get_u16(frame->bytes + 18),
                             .index = cfc_get_u32(frame->bytes + 20)};
    return frame->bytes[17] == 0 ? check_gone(out) : CONFCAST_ERR_VERSION;
}

int
cfc_gone_encode(const struct cfc_gone *gone, uint8_t *frame, size_t capacity, size_t *size)
{
    struct cfc_writer w = cfc_writer_of(frame, capacity);

    if (check_gone(gone) != CONFCAST_OK) {
        return CONFCAST_ERR_INVALID;
    }
    cfc_frame_begin(&w, CFC_FRAME_GONE, gone->key);
    cfc_write_u8(&w, gone->want);
    cfc_write_u8(&w, 0);
    cfc_write_u16(&w, gone->coding);
    cfc_write_u32(&w, gone->index);
    return cfc_frame_finish(&w, size);
}
