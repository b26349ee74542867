#include "protocol/wire/loss.h"

#include "confcast/error.h"

enum {
    LOSS_TLVS_OFFSET = 32,
    ADVICE_MAC_OFFSET = CFC_ADVICE_SIZE - CFC_MAC_SIZE
};

static int
check_loss(const struct cfc_loss *loss)
{
    if ((loss->flags & ~(uint32_t)CFC_LOSS_FLAG_PULLING) != 0) {
        return CONFCAST_ERR_VERSION;
    }
    return loss->window_count >= 1 && loss->window_count <= CFC_LOSS_WINDOWS_MAX
               ? CONFCAST_OK
               : CONFCAST_ERR_RANGE;
}

int
cfc_loss_decode(const struct cfc_frame *frame, struct cfc_loss *out)
{
    struct cfc_reader r;
    int rc = cfc_trailer_open(frame, CFC_FRAME_LOSS, LOSS_TLVS_OFFSET, &r);

    if (rc != CONFCAST_OK) {
        return rc;
    }
    *out = (struct cfc_loss){.consumer_key = frame->key};
    out->expected = cfc_read_u32(&r);
    out->lost = cfc_read_u32(&r);
    out->loss = cfc_read_u16(&r);
    out->window_count = cfc_read_u8(&r);
    if (cfc_read_u8(&r) != 0) {
        return CONFCAST_ERR_VERSION;
    }
    out->flags = cfc_read_u32(&r);
    rc = check_loss(out);
    return rc == CONFCAST_OK ? cfc_tlv_skip_all(&r) : rc;
}

int
cfc_loss_write(struct cfc_writer *w, const struct cfc_loss *loss)
{
    if (check_loss(loss) != CONFCAST_OK) {
        return CONFCAST_ERR_INVALID;
    }
    cfc_frame_begin(w, CFC_FRAME_LOSS, loss->consumer_key);
    cfc_write_u32(w, loss->expected);
    cfc_write_u32(w, loss->lost);
    cfc_write_u16(w, loss->loss);
    cfc_write_u8(w, loss->window_count);
    cfc_write_u8(w, 0);
    cfc_write_u32(w, loss->flags);
    return w->has_failed ? CONFCAST_ERR_LIMIT : CONFCAST_OK;
}

static int
check_advice(const struct cfc_advice *advice)
{
    if (advice->kind != CFC_ADVICE_PULL) {
        return CONFCAST_ERR_VERSION;
    }
    return advice->hold_s >= 1 && advice->hold_s <= CFC_ADVICE_HOLD_S_MAX ? CONFCAST_OK
                                                                          : CONFCAST_ERR_RANGE;
}

int
cfc_advice_decode(const struct cfc_frame *frame, struct cfc_advice *out)
{
    const uint8_t *b = frame->bytes;

    if (frame->type != CFC_FRAME_ADVICE) {
        return CONFCAST_ERR_INVALID;
    }
    if (frame->size != CFC_ADVICE_SIZE) {
        return frame->size < CFC_ADVICE_SIZE ? CONFCAST_ERR_SHORT : CONFCAST_ERR_LENGTH;
    }
    *out = (struct cfc_advice){.boot_id = frame->key,
                               .kind = b[16],
                               .hold_s = cfc_get_u32(b + 20),
                               .session = cfc_get_u32(b + 24),
                               .seq = cfc_get_u64(b + 32)};
    if (b[17] != 0 || cfc_get_u16(b + 18) != 0 || cfc_get_u32(b + 28) != 0) {
        return CONFCAST_ERR_VERSION;
    }
    return check_advice(out);
}

int
cfc_advice_check(const struct cfc_frame *frame, const struct cfc_key *session_key)
{
    struct cfc_piece piece = {frame->bytes, ADVICE_MAC_OFFSET};
    struct cfc_mac mac;

    if (frame->size != CFC_ADVICE_SIZE) {
        return CONFCAST_ERR_MAC;
    }
    for (size_t i = 0; i < sizeof(mac.bytes); i++) {
        mac.bytes[i] = frame->bytes[ADVICE_MAC_OFFSET + i];
    }
    return cfc_mac_check(session_key, CFC_DOMAIN_ADVICE, &piece, 1, &mac);
}

int
cfc_advice_encode(const struct cfc_advice *advice, const struct cfc_key *session_key,
                  uint8_t *frame, size_t capacity, size_t *size)
{
    struct cfc_writer w = cfc_writer_of(frame, capacity);
    struct cfc_piece piece = {frame, ADVICE_MAC_OFFSET};
    struct cfc_mac mac;

    if (check_advice(advice) != CONFCAST_OK) {
        return CONFCAST_ERR_INVALID;
    }
    if (capacity < CFC_ADVICE_SIZE) {
        return CONFCAST_ERR_LIMIT;
    }
    cfc_frame_begin(&w, CFC_FRAME_ADVICE, advice->boot_id);
    cfc_write_u8(&w, advice->kind);
    cfc_write_u8(&w, 0);
    cfc_write_u16(&w, 0);
    cfc_write_u32(&w, advice->hold_s);
    cfc_write_u32(&w, advice->session);
    cfc_write_u32(&w, 0);
    cfc_write_u64(&w, advice->seq);
    /* The size is part of what the MAC covers. */
    cfc_put_u16(frame + 4, CFC_ADVICE_SIZE);
    cfc_mac_make(session_key, CFC_DOMAIN_ADVICE, &piece, 1, &mac);
    cfc_write_bytes(&w, mac.bytes, sizeof(mac.bytes));
    return cfc_frame_finish(&w, size);
}
