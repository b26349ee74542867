#include "protocol/wire/link.h"

#include "confcast/error.h"

enum {
    MAC_OFFSET = CFC_WELCOME_SIZE - CFC_MAC_SIZE
};

static const uint8_t zeroes[CFC_MAC_SIZE];

/* What each kind may carry; both directions obey it. */
static int
check_rules(const struct cfc_welcome *w)
{
    if (w->kind > CFC_WELCOME_REFUSE) {
        return CONFCAST_ERR_VERSION;
    }
    if ((w->kind == CFC_WELCOME_REFUSE) != (w->refusal != 0)) {
        return CONFCAST_ERR_RANGE;
    }
    if (w->kind != CFC_WELCOME_ACCEPT && w->session != 0) {
        return CONFCAST_ERR_RANGE;
    }
    if (w->kind == CFC_WELCOME_REFUSE && memcmp(w->token, zeroes, sizeof(w->token)) != 0) {
        return CONFCAST_ERR_RANGE;
    }
    return CONFCAST_OK;
}

int
cfc_welcome_decode(const struct cfc_frame *frame, struct cfc_welcome *out)
{
    struct cfc_reader r;
    uint8_t reserved8;
    uint16_t reserved16;
    uint32_t reserved32;

    if (frame->type != CFC_FRAME_WELCOME) {
        return CONFCAST_ERR_INVALID;
    }
    if (frame->size != CFC_WELCOME_SIZE) {
        return frame->size < CFC_WELCOME_SIZE ? CONFCAST_ERR_SHORT : CONFCAST_ERR_LENGTH;
    }
    r = cfc_reader_of(frame->bytes + CFC_FRAME_HEADER_SIZE, frame->size - CFC_FRAME_HEADER_SIZE);
    *out = (struct cfc_welcome){.boot_id = frame->key};
    out->kind = cfc_read_u8(&r);
    reserved8 = cfc_read_u8(&r);
    reserved16 = cfc_read_u16(&r);
    out->session = cfc_read_u32(&r);
    cfc_read_copy(&r, out->nonce, sizeof(out->nonce));
    cfc_read_copy(&r, out->token, sizeof(out->token));
    cfc_read_copy(&r, out->observed.ip, sizeof(out->observed.ip));
    out->observed.port = cfc_read_u16(&r);
    out->refusal = cfc_read_u16(&r);
    reserved32 = cfc_read_u32(&r);
    out->windows.hello_ms = cfc_read_u32(&r);
    out->windows.nack_us = cfc_read_u32(&r);
    out->windows.report_ms = cfc_read_u32(&r);
    out->windows.report_generation = cfc_read_u32(&r);
    if (reserved8 != 0 || reserved16 != 0 || reserved32 != 0) {
        return CONFCAST_ERR_VERSION;
    }
    if (out->kind == CFC_WELCOME_CHALLENGE && memcmp(r.p, zeroes, CFC_MAC_SIZE) != 0) {
        return CONFCAST_ERR_VERSION;
    }
    return check_rules(out);
}

int
cfc_welcome_check(const struct cfc_frame *frame, const struct cfc_key *credential_key)
{
    struct cfc_piece piece = {frame->bytes, MAC_OFFSET};
    struct cfc_mac mac;

    if (frame->size != CFC_WELCOME_SIZE) {
        return CONFCAST_ERR_MAC;
    }
    memcpy(mac.bytes, frame->bytes + MAC_OFFSET, sizeof(mac.bytes));
    return cfc_mac_check(credential_key, CFC_DOMAIN_WELCOME, &piece, 1, &mac);
}

int
cfc_welcome_encode(const struct cfc_welcome *welcome, const struct cfc_key *credential_key,
                   uint8_t *frame, size_t capacity, size_t *size)
{
    struct cfc_writer w = cfc_writer_of(frame, capacity);
    struct cfc_piece piece = {frame, MAC_OFFSET};
    struct cfc_mac mac;
    int rc;

    if (check_rules(welcome) != CONFCAST_OK) {
        return CONFCAST_ERR_INVALID;
    }
    cfc_frame_begin(&w, CFC_FRAME_WELCOME, welcome->boot_id);
    cfc_write_u8(&w, welcome->kind);
    cfc_write_u8(&w, 0);
    cfc_write_u16(&w, 0);
    cfc_write_u32(&w, welcome->session);
    cfc_write_bytes(&w, welcome->nonce, sizeof(welcome->nonce));
    cfc_write_bytes(&w, welcome->token, sizeof(welcome->token));
    cfc_write_bytes(&w, welcome->observed.ip, sizeof(welcome->observed.ip));
    cfc_write_u16(&w, welcome->observed.port);
    cfc_write_u16(&w, welcome->refusal);
    cfc_write_u32(&w, 0);
    cfc_write_u32(&w, welcome->windows.hello_ms);
    cfc_write_u32(&w, welcome->windows.nack_us);
    cfc_write_u32(&w, welcome->windows.report_ms);
    cfc_write_u32(&w, welcome->windows.report_generation);
    cfc_write_zero(&w, CFC_MAC_SIZE);
    rc = cfc_frame_finish(&w, size);
    if (rc == CONFCAST_OK && welcome->kind != CFC_WELCOME_CHALLENGE) {
        cfc_mac_make(credential_key, CFC_DOMAIN_WELCOME, &piece, 1, &mac);
        memcpy(frame + MAC_OFFSET, mac.bytes, sizeof(mac.bytes));
    }
    return rc;
}

void
cfc_cookie_make(const struct cfc_key *cookie_key, uint64_t slot, uint64_t consumer_key,
                const struct cfc_address *consumer, uint8_t out[CFC_COOKIE_SIZE])
{
    uint8_t bytes[8 + 8 + sizeof(consumer->ip) + 2];
    struct cfc_writer w = cfc_writer_of(bytes, sizeof(bytes));
    struct cfc_piece piece = {bytes, sizeof(bytes)};
    struct cfc_mac mac;

    cfc_write_u64(&w, slot);
    cfc_write_u64(&w, consumer_key);
    cfc_write_bytes(&w, consumer->ip, sizeof(consumer->ip));
    cfc_write_u16(&w, consumer->port);
    cfc_mac_make(cookie_key, CFC_DOMAIN_COOKIE, &piece, 1, &mac);
    memcpy(out, mac.bytes, CFC_COOKIE_SIZE);
}

void
cfc_session_key(const struct cfc_key *credential_key, const uint8_t hello_nonce[CFC_NONCE_SIZE],
                const uint8_t engine_nonce[CFC_NONCE_SIZE], uint64_t boot_id, struct cfc_key *out)
{
    uint8_t boot_le[8];
    struct cfc_piece pieces[3] = {
        {hello_nonce, CFC_NONCE_SIZE}, {engine_nonce, CFC_NONCE_SIZE}, {boot_le, sizeof(boot_le)}};

    cfc_put_u64(boot_le, boot_id);
    cfc_key_derive(credential_key, CFC_DOMAIN_SESSION, pieces, 3, out);
}
