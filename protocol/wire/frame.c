#include "protocol/wire/frame.h"

#include <assert.h>

#include "confcast/error.h"

static bool
is_known(uint8_t type)
{
    switch (type) {
#define CASE(name, number) case number:
        CFC_FRAME_TYPES(CASE)
#undef CASE
        return true;
    default:
        return false;
    }
}

int
cfc_frame_open(const uint8_t *bytes, size_t size, struct cfc_frame *out)
{
    if (size < CFC_FRAME_HEADER_SIZE) {
        return CONFCAST_ERR_SHORT;
    }
    if (cfc_get_u16(bytes) != CFC_FRAME_MAGIC || bytes[2] != CFC_FRAME_VERSION) {
        return CONFCAST_ERR_VERSION;
    }
    if (size > CFC_FRAME_SIZE_MAX) {
        return CONFCAST_ERR_LIMIT;
    }
    if (cfc_get_u16(bytes + 4) != size) {
        return CONFCAST_ERR_LENGTH;
    }
    if (cfc_get_u16(bytes + 6) != 0) {
        return CONFCAST_ERR_VERSION;
    }
    *out = (struct cfc_frame){
        .type = bytes[3], .key = cfc_get_u64(bytes + 8), .bytes = bytes, .size = size};
    if (is_known(out->type)) {
        return CONFCAST_OK;
    }
    return (out->type & CFC_FRAME_SKIPPABLE) != 0 ? CONFCAST_ERR_AGAIN : CONFCAST_ERR_UNSUPPORTED;
}

void
cfc_frame_begin(struct cfc_writer *w, enum cfc_frame_type type, uint64_t key)
{
    cfc_write_u16(w, CFC_FRAME_MAGIC);
    cfc_write_u8(w, CFC_FRAME_VERSION);
    cfc_write_u8(w, (uint8_t)type);
    cfc_write_u16(w, 0);
    cfc_write_u16(w, 0);
    cfc_write_u64(w, key);
}

int
cfc_frame_finish(struct cfc_writer *w, size_t *size)
{
    size_t written = cfc_writer_size(w);

    if (w->has_failed || written > CFC_FRAME_SIZE_MAX) {
        return CONFCAST_ERR_LIMIT;
    }
    assert(written >= CFC_FRAME_HEADER_SIZE);
    cfc_put_u16(w->start + 4, (uint16_t)written);
    *size = written;
    return CONFCAST_OK;
}

const char *
cfc_frame_type_name(uint8_t type)
{
    switch (type) {
#define CASE(name, number)                                                                         \
    case number:                                                                                   \
        return #name;
        CFC_FRAME_TYPES(CASE)
#undef CASE
    default:
        return "?";
    }
}

int
cfc_tlv_next(struct cfc_reader *r, struct cfc_tlv *out)
{
    uint16_t type;

    if (!r->has_failed && cfc_reader_left(r) == 0) {
        return CONFCAST_ERR_AGAIN;
    }
    type = cfc_read_u16(r);
    out->size = cfc_read_u16(r);
    out->bytes = cfc_read_bytes(r, out->size);
    out->type = type & (uint16_t)~CFC_TLV_CRITICAL;
    out->is_critical = (type & CFC_TLV_CRITICAL) != 0;
    return r->has_failed ? CONFCAST_ERR_LENGTH : CONFCAST_OK;
}

int
cfc_tlv_skip_all(struct cfc_reader *r)
{
    struct cfc_tlv tlv;
    int rc;

    while ((rc = cfc_tlv_next(r, &tlv)) == CONFCAST_OK) {
        if (tlv.is_critical) {
            return CONFCAST_ERR_UNSUPPORTED;
        }
    }
    return rc == CONFCAST_ERR_AGAIN ? CONFCAST_OK : rc;
}

void
cfc_tlv_write(struct cfc_writer *w, uint16_t type, const void *bytes, size_t size)
{
    if (size > UINT16_MAX) {
        w->has_failed = true;
        return;
    }
    cfc_write_u16(w, type);
    cfc_write_u16(w, (uint16_t)size);
    cfc_write_bytes(w, bytes, size);
}

bool
cfc_address_equal(const struct cfc_address *a, const struct cfc_address *b)
{
    return a->port == b->port && memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

struct cfc_address
cfc_address_ipv4(uint32_t ip_host_order, uint16_t port)
{
    return (struct cfc_address){.ip = {[10] = 0xff,
                                       [11] = 0xff,
                                       [12] = (uint8_t)(ip_host_order >> 24),
                                       [13] = (uint8_t)(ip_host_order >> 16),
                                       [14] = (uint8_t)(ip_host_order >> 8),
                                       [15] = (uint8_t)ip_host_order},
                                .port = port};
}

int
cfc_trailer_read(const struct cfc_frame *frame, struct cfc_trailer *out)
{
    struct cfc_reader r;
    uint32_t reserved;

    if (frame->size < CFC_FRAME_HEADER_SIZE + CFC_TRAILER_SIZE) {
        return CONFCAST_ERR_SHORT;
    }
    r = cfc_reader_of(frame->bytes + frame->size - CFC_TRAILER_SIZE, CFC_TRAILER_SIZE);
    out->session = cfc_read_u32(&r);
    reserved = cfc_read_u32(&r);
    out->seq = cfc_read_u64(&r);
    cfc_read_copy(&r, out->mac.bytes, sizeof(out->mac.bytes));
    return reserved == 0 ? CONFCAST_OK : CONFCAST_ERR_VERSION;
}

int
cfc_trailer_open(const struct cfc_frame *frame, enum cfc_frame_type type, size_t fields_end,
                 struct cfc_reader *out)
{
    struct cfc_trailer trailer;

    if (frame->type != type) {
        return CONFCAST_ERR_INVALID;
    }
    if (frame->size < fields_end + CFC_TRAILER_SIZE) {
        return CONFCAST_ERR_SHORT;
    }
    *out = cfc_reader_of(frame->bytes + CFC_FRAME_HEADER_SIZE,
                         frame->size - CFC_FRAME_HEADER_SIZE - CFC_TRAILER_SIZE);
    return cfc_trailer_read(frame, &trailer);
}

/* The pieces under the MAC of a trailer: the frame up to the MAC, then the consumer's address. */
static void
trailer_pieces(const uint8_t *frame, size_t size, const struct cfc_address *consumer,
               uint8_t port_le[2], struct cfc_piece pieces[3])
{
    cfc_put_u16(port_le, consumer->port);
    pieces[0] = (struct cfc_piece){frame, size - CFC_MAC_SIZE};
    pieces[1] = (struct cfc_piece){consumer->ip, sizeof(consumer->ip)};
    pieces[2] = (struct cfc_piece){port_le, 2};
}

int
cfc_trailer_check(const struct cfc_frame *frame, const struct cfc_key *session_key,
                  const struct cfc_address *consumer)
{
    struct cfc_trailer trailer;
    struct cfc_piece pieces[3];
    uint8_t port_le[2];

    if (cfc_trailer_read(frame, &trailer) != CONFCAST_OK) {
        return CONFCAST_ERR_MAC;
    }
    trailer_pieces(frame->bytes, frame->size, consumer, port_le, pieces);
    return cfc_mac_check(session_key, CFC_DOMAIN_FRAME, pieces, 3, &trailer.mac);
}

int
cfc_trailer_seal(struct cfc_writer *w, uint32_t session, uint64_t seq,
                 const struct cfc_key *session_key, const struct cfc_address *consumer,
                 size_t *size)
{
    struct cfc_piece pieces[3];
    struct cfc_mac mac;
    uint8_t port_le[2];
    uint8_t *room;
    int rc;

    cfc_write_u32(w, session);
    cfc_write_u32(w, 0);
    cfc_write_u64(w, seq);
    room = cfc_write_room(w, CFC_MAC_SIZE);
    rc = cfc_frame_finish(w, size);
    if (rc != CONFCAST_OK) {
        return rc;
    }
    trailer_pieces(w->start, *size, consumer, port_le, pieces);
    cfc_mac_make(session_key, CFC_DOMAIN_FRAME, pieces, 3, &mac);
    memcpy(room, mac.bytes, sizeof(mac.bytes));
    return CONFCAST_OK;
}
