/* What the signed frames HEAD, CONTENT and FRESH have in common: a signed part that begins behind
 * the frame header with its own size (u16), an Ed25519 signature after it, and a rest.  Internal to
 * protocol/wire.  No state; any thread. */
#ifndef CFC_WIRE_SIGNED_H
#define CFC_WIRE_SIGNED_H

#include "protocol/trust/sign.h"
#include "protocol/wire/frame.h"

struct cfc_signed_frame {
    const uint8_t *signed_bytes;
    size_t signed_size;
    const uint8_t *signature;      /* CFC_SIGNATURE_SIZE bytes */
    struct cfc_reader signed_part; /* at its start */
    struct cfc_reader rest;        /* what follows the signature */
};

/* Cuts a frame of `type` whose signed part has at least `fixed_size` bytes.  INVALID when the frame
 * is of another type, SHORT when the fixed fields and a signature do not fit the frame, LENGTH when
 * the signed size is below `fixed_size` or does not leave room for the signature. */
int cfc_signed_frame_open(const struct cfc_frame *frame, enum cfc_frame_type type,
                          size_t fixed_size, struct cfc_signed_frame *out);

/* Everything written after the frame header is the signed part: fills in its size (its first two
 * bytes) and appends the signature.  LIMIT when it does not fit, or the signer's error. */
int cfc_signed_frame_sign(struct cfc_writer *w, const struct cfc_signer *signer,
                          const char *domain);

#endif
