#include "protocol/wire/report.h"

#include <assert.h>

#include "confcast/error.h"

enum {
    TAG_OFFSET = 48,
    FLAGS_KNOWN = CFC_REPORT_FLAG_STALE | CFC_REPORT_FLAG_CONTROL_SILENT | CFC_REPORT_FLAG_FROM_DISK
};

const char *
cfc_apply_state_name(uint8_t state)
{
    static const char *const names[] = {"none",     "receiving", "prepared", "applied",
                                        "rejected", "reverted",  "degraded"};

    return state < sizeof(names) / sizeof(names[0]) ? names[state] : "?";
}

static int
check_entry(const struct cfc_report_entry *e)
{
    if (e->state > CFC_APPLY_DEGRADED || (e->flags & ~(uint32_t)FLAGS_KNOWN) != 0) {
        return CONFCAST_ERR_VERSION;
    }
    return e->arm < CFC_ARM_COUNT_MAX ? CONFCAST_OK : CONFCAST_ERR_RANGE;
}

static int
check_counts(const struct cfc_report *report)
{
    bool ok = report->entry_count <= CFC_REPORT_ENTRIES_MAX && report->part < report->part_count;

    return ok ? CONFCAST_OK : CONFCAST_ERR_RANGE;
}

void
cfc_report_entry_at(const struct cfc_report *report, uint32_t i, struct cfc_report_entry *out)
{
    struct cfc_reader r =
        cfc_reader_of(report->entries + (size_t)i * CFC_REPORT_ENTRY_SIZE, CFC_REPORT_ENTRY_SIZE);

    assert(i < report->entry_count);
    out->scope_id = cfc_read_u64(&r);
    out->epoch = cfc_read_u64(&r);
    out->accepted = cfc_read_u64(&r);
    out->serving_version = cfc_read_u64(&r);
    out->durable = cfc_read_u64(&r);
    out->serving_content = cfc_read_u64(&r);
    out->state = cfc_read_u8(&r);
    out->arm = cfc_read_u8(&r);
    out->reason = cfc_read_u16(&r);
    out->flags = cfc_read_u32(&r);
}

int
cfc_report_decode(const struct cfc_frame *frame, struct cfc_report *out)
{
    struct cfc_reader r;
    int rc = cfc_trailer_open(frame, CFC_FRAME_REPORT, CFC_REPORT_ENTRIES_OFFSET, &r);

    if (rc != CONFCAST_OK) {
        return rc;
    }
    *out = (struct cfc_report){.consumer_key = frame->key};
    out->incarnation = cfc_read_u64(&r);
    out->report_seq = cfc_read_u64(&r);
    out->clock_error_ns = (int64_t)cfc_read_u64(&r);
    out->clock_bound_us = cfc_read_u32(&r);
    out->part = cfc_read_u8(&r);
    out->part_count = cfc_read_u8(&r);
    out->entry_count = cfc_read_u16(&r);
    cfc_read_copy(&r, out->tag.bytes, sizeof(out->tag.bytes));
    rc = check_counts(out);
    if (rc != CONFCAST_OK) {
        return rc;
    }
    if (cfc_reader_left(&r) != (size_t)out->entry_count * CFC_REPORT_ENTRY_SIZE) {
        return CONFCAST_ERR_LENGTH;
    }
    out->entries = r.p;
    for (uint32_t i = 0; rc == CONFCAST_OK && i < out->entry_count; i++) {
        struct cfc_report_entry entry;

        cfc_report_entry_at(out, i, &entry);
        rc = check_entry(&entry);
    }
    return rc;
}

/* The pieces under the tag.  `entries_size` is what follows the tag, up to the trailer. */
static void
tag_pieces(const uint8_t *frame, size_t entries_size, const char *id, const uint8_t *id_size,
           struct cfc_piece pieces[4])
{
    pieces[0] = (struct cfc_piece){id_size, 1};
    pieces[1] = (struct cfc_piece){id, *id_size};
    pieces[2] =
        (struct cfc_piece){frame + CFC_FRAME_HEADER_SIZE, TAG_OFFSET - CFC_FRAME_HEADER_SIZE};
    pieces[3] = (struct cfc_piece){frame + CFC_REPORT_ENTRIES_OFFSET, entries_size};
}

int
cfc_report_check_tag(const struct cfc_frame *frame, const char *id, size_t id_size,
                     const struct cfc_key *report_key)
{
    struct cfc_piece pieces[4];
    struct cfc_mac tag;
    uint8_t size8 = (uint8_t)id_size;

    if (id_size > CFC_CONSUMER_ID_SIZE_MAX ||
        frame->size < CFC_REPORT_ENTRIES_OFFSET + CFC_TRAILER_SIZE) {
        return CONFCAST_ERR_MAC;
    }
    memcpy(tag.bytes, frame->bytes + TAG_OFFSET, sizeof(tag.bytes));
    tag_pieces(frame->bytes, frame->size - CFC_REPORT_ENTRIES_OFFSET - CFC_TRAILER_SIZE, id, &size8,
               pieces);
    return cfc_mac_check(report_key, CFC_DOMAIN_REPORT_TAG, pieces, 4, &tag);
}

static void
write_entry(struct cfc_writer *w, const struct cfc_report_entry *e)
{
    cfc_write_u64(w, e->scope_id);
    cfc_write_u64(w, e->epoch);
    cfc_write_u64(w, e->accepted);
    cfc_write_u64(w, e->serving_version);
    cfc_write_u64(w, e->durable);
    cfc_write_u64(w, e->serving_content);
    cfc_write_u8(w, e->state);
    cfc_write_u8(w, e->arm);
    cfc_write_u16(w, e->reason);
    cfc_write_u32(w, e->flags);
}

int
cfc_report_write(struct cfc_writer *w, const struct cfc_report *report,
                 const struct cfc_report_entry *entries, const char *id, size_t id_size,
                 const struct cfc_key *report_key)
{
    struct cfc_piece pieces[4];
    struct cfc_mac tag;
    uint8_t size8 = (uint8_t)id_size;
    uint8_t *room;

    if (check_counts(report) != CONFCAST_OK || id_size == 0 || id_size > CFC_CONSUMER_ID_SIZE_MAX) {
        return CONFCAST_ERR_INVALID;
    }
    cfc_frame_begin(w, CFC_FRAME_REPORT, report->consumer_key);
    cfc_write_u64(w, report->incarnation);
    cfc_write_u64(w, report->report_seq);
    cfc_write_u64(w, (uint64_t)report->clock_error_ns);
    cfc_write_u32(w, report->clock_bound_us);
    cfc_write_u8(w, report->part);
    cfc_write_u8(w, report->part_count);
    cfc_write_u16(w, report->entry_count);
    room = cfc_write_room(w, CFC_MAC_SIZE);
    for (uint32_t i = 0; i < report->entry_count; i++) {
        if (check_entry(&entries[i]) != CONFCAST_OK) {
            return CONFCAST_ERR_INVALID;
        }
        write_entry(w, &entries[i]);
    }
    if (w->has_failed || room == NULL) {
        return CONFCAST_ERR_LIMIT;
    }
    tag_pieces(w->start, (size_t)report->entry_count * CFC_REPORT_ENTRY_SIZE, id, &size8, pieces);
    cfc_mac_make(report_key, CFC_DOMAIN_REPORT_TAG, pieces, 4, &tag);
    memcpy(room, tag.bytes, sizeof(tag.bytes));
    return CONFCAST_OK;
}
