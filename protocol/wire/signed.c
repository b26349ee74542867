#include "protocol/wire/signed.h"

#include "confcast/error.h"

int
cfc_signed_frame_open(const struct cfc_frame *frame, enum cfc_frame_type type, size_t fixed_size,
                      struct cfc_signed_frame *out)
{
    const uint8_t *part;
    size_t left;
    size_t signed_size;

    if (frame->type != type) {
        return CONFCAST_ERR_INVALID;
    }
    if (frame->size < CFC_FRAME_HEADER_SIZE + fixed_size + CFC_SIGNATURE_SIZE) {
        return CONFCAST_ERR_SHORT;
    }
    part = frame->bytes + CFC_FRAME_HEADER_SIZE;
    left = frame->size - CFC_FRAME_HEADER_SIZE;
    signed_size = cfc_get_u16(part);
    if (signed_size < fixed_size || signed_size > left - CFC_SIGNATURE_SIZE) {
        return CONFCAST_ERR_LENGTH;
    }
    *out = (struct cfc_signed_frame){
        .signed_bytes = part,
        .signed_size = signed_size,
        .signature = part + signed_size,
        .signed_part = cfc_reader_of(part, signed_size),
        .rest = cfc_reader_of(part + signed_size + CFC_SIGNATURE_SIZE,
                              left - signed_size - CFC_SIGNATURE_SIZE),
    };
    return CONFCAST_OK;
}

int
cfc_signed_frame_sign(struct cfc_writer *w, const struct cfc_signer *signer, const char *domain)
{
    uint8_t *part = w->start + CFC_FRAME_HEADER_SIZE;
    size_t signed_size;
    uint8_t *signature;

    if (w->has_failed || cfc_writer_size(w) > CFC_FRAME_SIZE_MAX) {
        return CONFCAST_ERR_LIMIT;
    }
    signed_size = cfc_writer_size(w) - CFC_FRAME_HEADER_SIZE;
    cfc_put_u16(part, (uint16_t)signed_size);
    signature = cfc_write_room(w, CFC_SIGNATURE_SIZE);
    if (signature == NULL) {
        return CONFCAST_ERR_LIMIT;
    }
    return signer->sign(signer->ctx, domain, part, signed_size, signature);
}
