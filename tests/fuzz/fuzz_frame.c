/* A datagram from anybody: as it is, and again with its size and the key that follows from its
 * fields set right, which lets mutations reach the decoders.  What decodes encodes, and what was
 * encoded decodes to the same bytes again; without TLVs, which a decoder may skip, they are the
 * bytes that came.  Signatures are taken over; MACs are made new, so they are left out. */
#include <string.h>

#include "tests/fuzz/target.h"
#include "tests/unit/wire_recode.h"

static struct fixture fx;

static bool
is_scope_size_inside(const uint8_t *frame, size_t size)
{
    return size >= 96 && cfc_get_u16(frame + 18) <= size - 96;
}

/* Sets size and key to what the rest of the frame demands. */
static void
mend(uint8_t *frame, size_t size)
{
    cfc_put_u16(frame, CFC_FRAME_MAGIC);
    frame[2] = CFC_FRAME_VERSION;
    cfc_put_u16(frame + 4, (uint16_t)size);
    cfc_put_u16(frame + 6, 0);
    if (frame[3] == CFC_FRAME_HEAD && is_scope_size_inside(frame, size)) {
        cfc_put_u64(frame + 8,
                    cfc_scope_id(fx.sha, (const char *)frame + 96, cfc_get_u16(frame + 18)));
    } else if (frame[3] == CFC_FRAME_HELLO && size >= 64 && frame[56] <= size - 64) {
        cfc_put_u64(frame + 8, cfc_consumer_key(fx.sha, (const char *)frame + 64, frame[56]));
    } else if (frame[3] == CFC_FRAME_CONTENT && size >= 64) {
        memcpy(frame + 8, frame + 56, 8);
    } else if (frame[3] == CFC_FRAME_FRESH && size >= 24) {
        cfc_put_u64(frame + 8, cfc_get_u32(frame + 20));
    }
}

/* Blanks what depends on a secret that the fuzzer does not have. */
static void
blank_macs(uint8_t *frame, size_t size)
{
    switch (frame[3]) {
    case CFC_FRAME_REPORT:
        memset(frame + 48, 0, CFC_MAC_SIZE);
        memset(frame + size - CFC_MAC_SIZE, 0, CFC_MAC_SIZE);
        break;
    case CFC_FRAME_HELLO:
    case CFC_FRAME_WELCOME:
    case CFC_FRAME_NACK:
    case CFC_FRAME_LOSS:
    case CFC_FRAME_ADVICE:
        memset(frame + size - CFC_MAC_SIZE, 0, CFC_MAC_SIZE);
        break;
    default:
        break;
    }
}

/* Whether nothing in the frame may be skipped: no TLV but those that the encoder writes. */
static bool
is_exact(const struct cfc_frame *frame)
{
    struct cfc_content content;

    switch (frame->type) {
    case CFC_FRAME_HEAD:
    case CFC_FRAME_HELLO:
        return false;
    case CFC_FRAME_CONTENT:
        return cfc_content_decode(frame, &content) == CONFCAST_OK &&
               frame->size == 120u + content.top_count * 16u + CFC_SIGNATURE_SIZE;
    case CFC_FRAME_FRESH:
        return cfc_get_u16(frame->bytes + 16) == 72;
    case CFC_FRAME_LOSS:
        return frame->size == 32u + CFC_TRAILER_SIZE;
    default:
        return true;
    }
}

static void
run(uint8_t *bytes, size_t size)
{
    static struct recoded first;
    static struct recoded second;
    struct cfc_frame frame;

    if (cfc_frame_open(bytes, size, &frame) != CONFCAST_OK ||
        recode(&fx, &frame, &first) != CONFCAST_OK) {
        return;
    }
    if (is_exact(&frame)) {
        blank_macs(bytes, size);
        memcpy(second.bytes, first.bytes, first.size);
        blank_macs(second.bytes, first.size);
        CFC_FUZZ_CHECK(first.size == size && memcmp(second.bytes, bytes, size) == 0);
    }
    CFC_FUZZ_CHECK(cfc_frame_open(first.bytes, first.size, &frame) == CONFCAST_OK);
    CFC_FUZZ_CHECK(recode(&fx, &frame, &second) == CONFCAST_OK);
    CFC_FUZZ_CHECK(first.size == second.size && memcmp(first.bytes, second.bytes, first.size) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    uint8_t *copy;

    if (fx.sha == NULL) {
        fixture_open(&fx);
    }
    if (size > CFC_FRAME_SIZE_MAX + 1) {
        return 0;
    }
    copy = malloc(size > 0 ? size : 1);
    CFC_FUZZ_CHECK(copy != NULL);
    if (size > 0) {
        memcpy(copy, bytes, size);
    }
    run(copy, size);
    if (size >= CFC_FRAME_HEADER_SIZE) {
        memcpy(copy, bytes, size);
        mend(copy, size);
        run(copy, size);
    }
    free(copy);
    return 0;
}
