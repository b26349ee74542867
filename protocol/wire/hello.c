#include "protocol/wire/link.h"

#include "confcast/error.h"
#include "protocol/base/scope.h"

enum {
    TLV_HEADER_SIZE = 4
};

static bool
same_key(const struct cfc_label *a, const struct cfc_label *b)
{
    return a->key_size == b->key_size && memcmp(a->key, b->key, a->key_size) == 0;
}

/* The rules of id and labels; both directions obey them. */
static int
check_names(const struct cfc_hello *hello)
{
    if (hello->label_count > CFC_LABEL_COUNT_MAX ||
        cfc_consumer_id_check(hello->id, hello->id_size) != CONFCAST_OK) {
        return CONFCAST_ERR_RANGE;
    }
    for (uint32_t i = 0; i < hello->label_count; i++) {
        const struct cfc_label *label = &hello->labels[i];

        if (cfc_label_check(label->key, label->key_size, label->value, label->value_size) !=
            CONFCAST_OK) {
            return CONFCAST_ERR_RANGE;
        }
        for (uint32_t j = 0; j < i; j++) {
            if (same_key(label, &hello->labels[j])) {
                return CONFCAST_ERR_RANGE;
            }
        }
    }
    return CONFCAST_OK;
}

static int
read_fixed(struct cfc_reader *r, struct cfc_hello *out)
{
    uint16_t reserved16;
    uint32_t reserved32;

    out->incarnation = cfc_read_u64(r);
    cfc_read_copy(r, out->nonce, sizeof(out->nonce));
    cfc_read_copy(r, out->cookie, sizeof(out->cookie));
    out->id_size = cfc_read_u8(r);
    out->label_count = cfc_read_u8(r);
    reserved16 = cfc_read_u16(r);
    reserved32 = cfc_read_u32(r);
    return reserved16 == 0 && reserved32 == 0 ? CONFCAST_OK : CONFCAST_ERR_VERSION;
}

static int
read_names(struct cfc_reader *r, struct cfc_hello *out)
{
    if (out->label_count > CFC_LABEL_COUNT_MAX || out->id_size == 0 ||
        out->id_size > CFC_CONSUMER_ID_SIZE_MAX) {
        return CONFCAST_ERR_RANGE;
    }
    out->id = (const char *)cfc_read_bytes(r, out->id_size);
    for (uint32_t i = 0; i < out->label_count; i++) {
        struct cfc_label *label = &out->labels[i];

        label->key_size = cfc_read_u8(r);
        label->value_size = cfc_read_u8(r);
        label->key = (const char *)cfc_read_bytes(r, label->key_size);
        label->value = (const char *)cfc_read_bytes(r, label->value_size);
    }
    return r->has_failed ? CONFCAST_ERR_LENGTH : check_names(out);
}

static int
read_tlv(const struct cfc_tlv *tlv, struct cfc_hello *out)
{
    switch (tlv->type) {
    case CFC_TLV_HEAD_PROOF:
        if (out->head_proof != NULL || tlv->size == 0) {
            return CONFCAST_ERR_RANGE;
        }
        out->head_proof = tlv->bytes;
        out->head_proof_size = tlv->size;
        return CONFCAST_OK;
    case CFC_TLV_HOLDS:
        if (out->holds != NULL || tlv->size == 0) {
            return CONFCAST_ERR_RANGE;
        }
        if (tlv->size % sizeof(uint64_t) != 0) {
            return CONFCAST_ERR_LENGTH;
        }
        out->holds = tlv->bytes;
        out->hold_count = tlv->size / sizeof(uint64_t);
        return CONFCAST_OK;
    case CFC_TLV_CAPABILITIES:
        if (out->capabilities != 0) {
            return CONFCAST_ERR_RANGE;
        }
        if (tlv->size != sizeof(uint64_t)) {
            return CONFCAST_ERR_LENGTH;
        }
        out->capabilities = cfc_get_u64(tlv->bytes);
        return out->capabilities != 0 ? CONFCAST_OK : CONFCAST_ERR_RANGE;
    case CFC_TLV_PADDING:
        for (size_t i = 0; i < tlv->size; i++) {
            if (tlv->bytes[i] != 0) {
                return CONFCAST_ERR_VERSION;
            }
        }
        return CONFCAST_OK;
    default:
        return tlv->is_critical ? CONFCAST_ERR_UNSUPPORTED : CONFCAST_OK;
    }
}

static int
read_tlvs(struct cfc_reader *r, struct cfc_hello *out)
{
    struct cfc_tlv tlv;
    int rc;

    while ((rc = cfc_tlv_next(r, &tlv)) == CONFCAST_OK) {
        rc = read_tlv(&tlv, out);
        if (rc != CONFCAST_OK) {
            return rc;
        }
    }
    return rc == CONFCAST_ERR_AGAIN ? CONFCAST_OK : rc;
}

int
cfc_hello_decode(const struct cfc_frame *frame, struct cfc_sha256 *sha, struct cfc_hello *out)
{
    struct cfc_reader r;
    int rc;

    if (frame->type != CFC_FRAME_HELLO) {
        return CONFCAST_ERR_INVALID;
    }
    if (frame->size < CFC_HELLO_SIZE_MIN) {
        return CONFCAST_ERR_SHORT;
    }
    *out = (struct cfc_hello){.consumer_key = frame->key};
    r = cfc_reader_of(frame->bytes + CFC_FRAME_HEADER_SIZE,
                      frame->size - CFC_FRAME_HEADER_SIZE - CFC_MAC_SIZE);
    rc = read_fixed(&r, out);
    if (rc == CONFCAST_OK) {
        rc = read_names(&r, out);
    }
    if (rc == CONFCAST_OK) {
        rc = read_tlvs(&r, out);
    }
    if (rc == CONFCAST_OK && cfc_consumer_key(sha, out->id, out->id_size) != frame->key) {
        rc = CONFCAST_ERR_WRONG_STREAM;
    }
    return rc;
}

int
cfc_hello_check(const struct cfc_frame *frame, const struct cfc_key *credential_key)
{
    struct cfc_piece piece = {frame->bytes, frame->size - CFC_MAC_SIZE};
    struct cfc_mac mac;

    if (frame->size < CFC_HELLO_SIZE_MIN) {
        return CONFCAST_ERR_MAC;
    }
    memcpy(mac.bytes, frame->bytes + piece.size, sizeof(mac.bytes));
    return cfc_mac_check(credential_key, CFC_DOMAIN_HELLO, &piece, 1, &mac);
}

static void
write_padding(struct cfc_writer *w)
{
    static const uint8_t zeroes[CFC_HELLO_SIZE_MIN];
    size_t size = cfc_writer_size(w) + CFC_MAC_SIZE;

    if (size < CFC_HELLO_SIZE_MIN) {
        size_t lacking = CFC_HELLO_SIZE_MIN - size;

        cfc_tlv_write(w, CFC_TLV_PADDING, zeroes,
                      lacking > TLV_HEADER_SIZE ? lacking - TLV_HEADER_SIZE : 0);
    }
}

static void
write_names(struct cfc_writer *w, const struct cfc_hello *hello)
{
    cfc_write_bytes(w, hello->id, hello->id_size);
    for (uint32_t i = 0; i < hello->label_count; i++) {
        const struct cfc_label *label = &hello->labels[i];

        cfc_write_u8(w, label->key_size);
        cfc_write_u8(w, label->value_size);
        cfc_write_bytes(w, label->key, label->key_size);
        cfc_write_bytes(w, label->value, label->value_size);
    }
}

int
cfc_hello_encode(const struct cfc_hello *hello, const struct cfc_key *credential_key,
                 uint8_t *frame, size_t capacity, size_t *size)
{
    struct cfc_writer w = cfc_writer_of(frame, capacity);
    struct cfc_piece piece;
    struct cfc_mac mac;
    uint8_t *room;
    int rc;

    if (check_names(hello) != CONFCAST_OK) {
        return CONFCAST_ERR_INVALID;
    }
    cfc_frame_begin(&w, CFC_FRAME_HELLO, hello->consumer_key);
    cfc_write_u64(&w, hello->incarnation);
    cfc_write_bytes(&w, hello->nonce, sizeof(hello->nonce));
    cfc_write_bytes(&w, hello->cookie, sizeof(hello->cookie));
    cfc_write_u8(&w, hello->id_size);
    cfc_write_u8(&w, hello->label_count);
    cfc_write_u16(&w, 0);
    cfc_write_u32(&w, 0);
    write_names(&w, hello);
    if (hello->head_proof != NULL && hello->head_proof_size > 0) {
        cfc_tlv_write(&w, CFC_TLV_HEAD_PROOF, hello->head_proof, hello->head_proof_size);
    }
    if (hello->holds != NULL && hello->hold_count > 0) {
        cfc_tlv_write(&w, CFC_TLV_HOLDS, hello->holds, hello->hold_count * sizeof(uint64_t));
    }
    if (hello->capabilities != 0) {
        uint8_t bits[sizeof(uint64_t)];

        cfc_put_u64(bits, hello->capabilities);
        cfc_tlv_write(&w, CFC_TLV_CAPABILITIES, bits, sizeof(bits));
    }
    write_padding(&w);
    room = cfc_write_room(&w, CFC_MAC_SIZE);
    rc = cfc_frame_finish(&w, size);
    if (rc != CONFCAST_OK) {
        return rc;
    }
    piece = (struct cfc_piece){frame, *size - CFC_MAC_SIZE};
    cfc_mac_make(credential_key, CFC_DOMAIN_HELLO, &piece, 1, &mac);
    memcpy(room, mac.bytes, sizeof(mac.bytes));
    return CONFCAST_OK;
}
