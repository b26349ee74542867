#include "protocol/wire/link.h"

#include <assert.h>

#include "confcast/error.h"

enum {
    STATUS_FIXED_SIZE = 64
};

int
cfc_status_decode(const struct cfc_frame *frame, struct cfc_status *out)
{
    struct cfc_reader r;

    if (frame->type != CFC_FRAME_STATUS) {
        return CONFCAST_ERR_INVALID;
    }
    if (frame->size < STATUS_FIXED_SIZE) {
        return CONFCAST_ERR_SHORT;
    }
    r = cfc_reader_of(frame->bytes + CFC_FRAME_HEADER_SIZE, frame->size - CFC_FRAME_HEADER_SIZE);
    *out = (struct cfc_status){.boot_id = frame->key};
    out->time_unix_ns = cfc_read_u64(&r);
    out->windows.report_generation = cfc_read_u32(&r);
    out->fleet_size = cfc_read_u32(&r);
    out->windows.hello_ms = cfc_read_u32(&r);
    out->windows.nack_us = cfc_read_u32(&r);
    out->windows.report_ms = cfc_read_u32(&r);
    out->echo_count = cfc_read_u16(&r);
    out->unicast.port = cfc_read_u16(&r);
    cfc_read_copy(&r, out->unicast.ip, sizeof(out->unicast.ip));
    if (out->echo_count > CFC_STATUS_ECHOES_MAX) {
        return CONFCAST_ERR_RANGE;
    }
    if (cfc_reader_left(&r) != (size_t)out->echo_count * CFC_ECHO_SIZE) {
        return CONFCAST_ERR_LENGTH;
    }
    out->echoes = r.p;
    return CONFCAST_OK;
}

void
cfc_status_echo_at(const struct cfc_status *status, uint32_t i, struct cfc_echo *out)
{
    const uint8_t *p = status->echoes + (size_t)i * CFC_ECHO_SIZE;

    assert(i < status->echo_count);
    out->consumer_key = cfc_get_u64(p);
    out->report_seq = cfc_get_u64(p + 8);
}

int
cfc_status_encode(const struct cfc_status *status, const struct cfc_echo *echoes, uint8_t *frame,
                  size_t capacity, size_t *size)
{
    struct cfc_writer w = cfc_writer_of(frame, capacity);

    if (status->echo_count > CFC_STATUS_ECHOES_MAX) {
        return CONFCAST_ERR_INVALID;
    }
    cfc_frame_begin(&w, CFC_FRAME_STATUS, status->boot_id);
    cfc_write_u64(&w, status->time_unix_ns);
    cfc_write_u32(&w, status->windows.report_generation);
    cfc_write_u32(&w, status->fleet_size);
    cfc_write_u32(&w, status->windows.hello_ms);
    cfc_write_u32(&w, status->windows.nack_us);
    cfc_write_u32(&w, status->windows.report_ms);
    cfc_write_u16(&w, status->echo_count);
    cfc_write_u16(&w, status->unicast.port);
    cfc_write_bytes(&w, status->unicast.ip, sizeof(status->unicast.ip));
    for (uint32_t i = 0; i < status->echo_count; i++) {
        cfc_write_u64(&w, echoes[i].consumer_key);
        cfc_write_u64(&w, echoes[i].report_seq);
    }
    return cfc_frame_finish(&w, size);
}
