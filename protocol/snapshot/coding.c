#include "protocol/snapshot/coding.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#define ZSTD_STATIC_LINKING_ONLY /* contexts with an allocator of ours */
#include <zstd.h>
#include <zstd_errors.h>

#include "confcast/error.h"
#include "protocol/base/cursor.h"

enum {
    LEVEL = 3, /* level 1 finds no delta; above 3 costs more time than it saves bytes */
    WINDOW_LOG_MIN = 10,
    /* The tables of level 3 forget most of a base of some megabytes; with a slot for every eighth
     * byte they find all of it.  2^22 slots are 32 MiB in two tables. */
    TABLE_LOG_BELOW_WINDOW = 3,
    TABLE_LOG_MIN = 17,
    TABLE_LOG_MAX = 22,
};

#define FRAME_MAGIC       UINT32_C(0xfd2fb528)
#define SKIPPABLE_MAGIC   UINT32_C(0x184d2a50) /* and the 15 after it */
#define SKIPPABLE_MASK    UINT32_C(0xfffffff0)
#define HEADER_DICTIONARY 0x03u
#define HEADER_CHECKSUM   0x04u
#define HEADER_RESERVED   0x08u
#define HEADER_SINGLE     0x20u
#define HEADER_SIZE_SHIFT 6
#define WINDOW_SIZE_MAX   (UINT64_C(1) << CFC_ZSTD_WINDOW_LOG_MAX)

/* A decoding under way, in steps. */
struct stream {
    enum cfc_encoding encoding;
    size_t coded_size;
    size_t coded_done;
    ZSTD_outBuffer body;
    bool is_ended; /* the frame is */
};

struct cfc_coder {
    struct cfc_alloc alloc;
    ZSTD_CCtx *cctx; /* NULL until needed */
    ZSTD_DCtx *dctx; /* NULL until needed */
    struct stream stream;
};

struct cfc_coder *
cfc_coder_new(const struct cfc_alloc *alloc)
{
    struct cfc_coder *coder = cfc_alloc(alloc, sizeof(*coder));

    if (coder != NULL) {
        *coder = (struct cfc_coder){.alloc = *alloc};
    }
    return coder;
}

void
cfc_coder_free(struct cfc_coder *coder)
{
    if (coder != NULL) {
        struct cfc_alloc alloc = coder->alloc;

        ZSTD_freeCCtx(coder->cctx);
        ZSTD_freeDCtx(coder->dctx);
        cfc_free(&alloc, coder);
    }
}

static ZSTD_customMem
memory_of(const struct cfc_coder *coder)
{
    return (ZSTD_customMem){.customAlloc = coder->alloc.alloc,
                            .customFree = coder->alloc.free,
                            .opaque = coder->alloc.ctx};
}

static ZSTD_CCtx *
compressor(struct cfc_coder *coder)
{
    if (coder->cctx == NULL) {
        coder->cctx = ZSTD_createCCtx_advanced(memory_of(coder));
    }
    return coder->cctx;
}

static ZSTD_DCtx *
decompressor(struct cfc_coder *coder)
{
    if (coder->dctx == NULL) {
        coder->dctx = ZSTD_createDCtx_advanced(memory_of(coder));
    }
    return coder->dctx;
}

size_t
cfc_coding_bound(size_t body_size)
{
    return ZSTD_COMPRESSBOUND(body_size);
}

static int
check_room(size_t body_size, size_t capacity)
{
    if (body_size > CFC_BODY_SIZE_MAX) {
        return CONFCAST_ERR_LIMIT;
    }
    return body_size > 0 && capacity >= cfc_coding_bound(body_size) ? CONFCAST_OK
                                                                    : CONFCAST_ERR_INVALID;
}

static int
error_of(size_t result, int otherwise)
{
    return ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation ? CONFCAST_ERR_NO_MEMORY
                                                                     : otherwise;
}

struct setting {
    ZSTD_cParameter parameter;
    int value;
};

static int
apply(ZSTD_CCtx *cctx, const struct setting *settings, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t result = ZSTD_CCtx_setParameter(cctx, settings[i].parameter, settings[i].value);

        if (ZSTD_isError(result)) {
            return error_of(result, CONFCAST_ERR_INTERNAL);
        }
    }
    return CONFCAST_OK;
}

/* Sets up one frame: content size, no checksum (the digest tree covers every byte), no dictionary
 * id. */
static int
begin_frame(ZSTD_CCtx *cctx)
{
    static const struct setting settings[] = {{ZSTD_c_compressionLevel, LEVEL},
                                              {ZSTD_c_contentSizeFlag, 1},
                                              {ZSTD_c_checksumFlag, 0},
                                              {ZSTD_c_dictIDFlag, 0}};
    size_t result = ZSTD_CCtx_reset(cctx, ZSTD_reset_session_and_parameters);

    if (ZSTD_isError(result)) {
        return error_of(result, CONFCAST_ERR_INTERNAL);
    }
    return apply(cctx, settings, sizeof(settings) / sizeof(settings[0]));
}

/* The window must reach back over the whole base from the end of the body. */
static int
set_base(ZSTD_CCtx *cctx, const void *base, size_t base_size, size_t body_size)
{
    struct setting settings[3] = {
        {ZSTD_c_windowLog, WINDOW_LOG_MIN}, {ZSTD_c_hashLog, 0}, {ZSTD_c_chainLog, 0}};
    int table_log;
    size_t result;
    int error;

    while (settings[0].value < CFC_ZSTD_WINDOW_LOG_MAX &&
           ((size_t)1 << settings[0].value) < base_size + body_size) {
        settings[0].value++;
    }
    table_log = settings[0].value - TABLE_LOG_BELOW_WINDOW;
    table_log = table_log > TABLE_LOG_MIN ? table_log : TABLE_LOG_MIN;
    table_log = table_log < TABLE_LOG_MAX ? table_log : TABLE_LOG_MAX;
    settings[1].value = table_log;
    settings[2].value = table_log;
    error = apply(cctx, settings, sizeof(settings) / sizeof(settings[0]));
    if (error != CONFCAST_OK) {
        return error;
    }
    result = ZSTD_CCtx_refPrefix(cctx, base, base_size);
    return ZSTD_isError(result) ? error_of(result, CONFCAST_ERR_INTERNAL) : CONFCAST_OK;
}

static int
end_frame(ZSTD_CCtx *cctx, const void *body, size_t body_size, void *coded, size_t capacity,
          size_t *coded_size)
{
    size_t result = ZSTD_compress2(cctx, coded, capacity, body, body_size);

    if (ZSTD_isError(result)) {
        return error_of(result, CONFCAST_ERR_INTERNAL);
    }
    *coded_size = result;
    return CONFCAST_OK;
}

int
cfc_coding_encode(struct cfc_coder *coder, const void *body, size_t body_size, void *coded,
                  size_t capacity, size_t *coded_size, enum cfc_encoding *encoding)
{
    int error = check_room(body_size, capacity);

    if (error != CONFCAST_OK) {
        return error;
    }
    if (compressor(coder) == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    error = begin_frame(coder->cctx);
    if (error == CONFCAST_OK) {
        error = end_frame(coder->cctx, body, body_size, coded, capacity, coded_size);
    }
    if (error != CONFCAST_OK) {
        return error;
    }
    *encoding = CFC_ENCODING_ZSTD;
    if (*coded_size >= body_size) {
        memcpy(coded, body, body_size);
        *coded_size = body_size;
        *encoding = CFC_ENCODING_RAW;
    }
    return CONFCAST_OK;
}

int
cfc_coding_encode_delta(struct cfc_coder *coder, const void *base, size_t base_size,
                        const void *body, size_t body_size, void *coded, size_t capacity,
                        size_t *coded_size)
{
    int error = check_room(body_size, capacity);

    if (error != CONFCAST_OK) {
        return error;
    }
    if (base_size > CFC_BODY_SIZE_MAX) {
        return CONFCAST_ERR_LIMIT;
    }
    if (base_size == 0) {
        return CONFCAST_ERR_INVALID;
    }
    if (compressor(coder) == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    error = begin_frame(coder->cctx);
    if (error == CONFCAST_OK) {
        error = set_base(coder->cctx, base, base_size, body_size);
    }
    if (error != CONFCAST_OK) {
        return error;
    }
    return end_frame(coder->cctx, body, body_size, coded, capacity, coded_size);
}

static uint64_t
read_window_size(struct cfc_reader *r)
{
    uint8_t byte = cfc_read_u8(r);
    uint64_t base = UINT64_C(1) << (10 + (byte >> 3));

    return base + base / 8 * (byte & 7);
}

static uint64_t
read_content_size(struct cfc_reader *r, unsigned width_code)
{
    switch (width_code) {
    case 0:
        return cfc_read_u8(r);
    case 1:
        return (uint64_t)cfc_read_u16(r) + 256;
    case 2:
        return cfc_read_u32(r);
    default:
        return cfc_read_u64(r);
    }
}

/* Holds a frame header (RFC 8878, 3.1.1.1) to what our encoder writes. */
static int
check_frame_header(const void *coded, size_t coded_size, size_t body_size)
{
    struct cfc_reader r = cfc_reader_of(coded, coded_size);
    uint32_t magic = cfc_read_u32(&r);
    uint8_t descriptor;
    bool is_single;
    uint64_t window_size = 0;
    uint64_t content_size;

    if ((magic & SKIPPABLE_MASK) == SKIPPABLE_MAGIC) {
        return CONFCAST_ERR_ZEMPTY;
    }
    descriptor = cfc_read_u8(&r);
    if (r.has_failed || magic != FRAME_MAGIC ||
        (descriptor & (HEADER_DICTIONARY | HEADER_CHECKSUM | HEADER_RESERVED)) != 0) {
        return CONFCAST_ERR_ZSTD;
    }
    is_single = (descriptor & HEADER_SINGLE) != 0;
    if (!is_single) {
        window_size = read_window_size(&r);
        if (descriptor >> HEADER_SIZE_SHIFT == 0) {
            return CONFCAST_ERR_ZSIZE;
        }
    }
    content_size = read_content_size(&r, descriptor >> HEADER_SIZE_SHIFT);
    if (r.has_failed) {
        return CONFCAST_ERR_ZSTD;
    }
    if (content_size != body_size) {
        return CONFCAST_ERR_ZSIZE;
    }
    if ((is_single ? content_size : window_size) > WINDOW_SIZE_MAX) {
        return CONFCAST_ERR_ZWINDOW;
    }
    return CONFCAST_OK;
}

static int
check_sizes(enum cfc_encoding encoding, size_t coded_size, size_t body_size)
{
    if (body_size > CFC_BODY_SIZE_MAX || coded_size > CFC_BODY_SIZE_MAX) {
        return CONFCAST_ERR_LIMIT;
    }
    if (encoding == CFC_ENCODING_RAW) {
        return coded_size == body_size && body_size > 0 ? CONFCAST_OK : CONFCAST_ERR_ZSIZE;
    }
    if (encoding != CFC_ENCODING_ZSTD && encoding != CFC_ENCODING_ZSTD_DELTA) {
        return CONFCAST_ERR_UNSUPPORTED;
    }
    return coded_size > 0 ? CONFCAST_OK : CONFCAST_ERR_ZEMPTY;
}

int
cfc_coding_check(enum cfc_encoding encoding, const void *coded, size_t coded_size, size_t body_size)
{
    size_t frame_size;
    int error = check_sizes(encoding, coded_size, body_size);

    if (error != CONFCAST_OK || encoding == CFC_ENCODING_RAW) {
        return error;
    }
    error = check_frame_header(coded, coded_size, body_size);
    if (error != CONFCAST_OK) {
        return error;
    }
    /* Walks the block headers only. */
    frame_size = ZSTD_findFrameCompressedSize(coded, coded_size);
    if (ZSTD_isError(frame_size)) {
        return CONFCAST_ERR_ZSTD;
    }
    return frame_size == coded_size ? CONFCAST_OK : CONFCAST_ERR_ZTRAILING;
}

int
cfc_coding_decode(struct cfc_coder *coder, enum cfc_encoding encoding, const void *coded,
                  size_t coded_size, const void *base, size_t base_size, void *body,
                  size_t body_size)
{
    int error = cfc_coding_check(encoding, coded, coded_size, body_size);
    size_t result;

    if (error != CONFCAST_OK) {
        return error;
    }
    if (encoding == CFC_ENCODING_RAW) {
        memcpy(body, coded, body_size);
        return CONFCAST_OK;
    }
    if (encoding == CFC_ENCODING_ZSTD_DELTA && (base == NULL || base_size == 0)) {
        return CONFCAST_ERR_NO_BASE;
    }
    if (decompressor(coder) == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    result = ZSTD_DCtx_reset(coder->dctx, ZSTD_reset_session_and_parameters);
    if (!ZSTD_isError(result) && encoding == CFC_ENCODING_ZSTD_DELTA) {
        result = ZSTD_DCtx_refPrefix(coder->dctx, base, base_size);
    }
    if (!ZSTD_isError(result)) {
        result = ZSTD_decompressDCtx(coder->dctx, body, body_size, coded, coded_size);
    }
    if (ZSTD_isError(result)) {
        return error_of(result, CONFCAST_ERR_ZSTD);
    }
    return result == body_size ? CONFCAST_OK : CONFCAST_ERR_ZSTD;
}

int
cfc_coding_begin(struct cfc_coder *coder, enum cfc_encoding encoding, size_t coded_size,
                 const void *base, size_t base_size, void *body, size_t body_size)
{
    int error = check_sizes(encoding, coded_size, body_size);
    size_t result;

    if (error != CONFCAST_OK) {
        return error;
    }
    coder->stream = (struct stream){
        .encoding = encoding, .coded_size = coded_size, .body = {.dst = body, .size = body_size}};
    if (encoding == CFC_ENCODING_RAW) {
        return CONFCAST_OK;
    }
    if (encoding == CFC_ENCODING_ZSTD_DELTA && (base == NULL || base_size == 0)) {
        return CONFCAST_ERR_NO_BASE;
    }
    if (decompressor(coder) == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    /* The body is its own window. */
    result = ZSTD_DCtx_reset(coder->dctx, ZSTD_reset_session_and_parameters);
    if (!ZSTD_isError(result)) {
        result = ZSTD_DCtx_setParameter(coder->dctx, ZSTD_d_stableOutBuffer, 1);
    }
    if (!ZSTD_isError(result) && encoding == CFC_ENCODING_ZSTD_DELTA) {
        result = ZSTD_DCtx_refPrefix(coder->dctx, base, base_size);
    }
    return ZSTD_isError(result) ? error_of(result, CONFCAST_ERR_INTERNAL) : CONFCAST_OK;
}

static int
add_raw(struct stream *s, const void *coded, size_t size)
{
    memcpy((uint8_t *)s->body.dst + s->body.pos, coded, size);
    s->body.pos += size;
    s->is_ended = s->body.pos == s->body.size;
    return CONFCAST_OK;
}

static int
add_zstd(struct cfc_coder *coder, const void *coded, size_t size)
{
    struct stream *s = &coder->stream;
    ZSTD_inBuffer in = {.src = coded, .size = size};

    if (s->coded_done == 0) {
        int error = check_frame_header(coded, size, s->body.size);

        if (error != CONFCAST_OK) {
            return error;
        }
    }
    while (in.pos < in.size && !s->is_ended) {
        size_t before = in.pos + s->body.pos;
        size_t result = ZSTD_decompressStream(coder->dctx, &s->body, &in);

        if (ZSTD_isError(result)) {
            return error_of(result, CONFCAST_ERR_ZSTD);
        }
        s->is_ended = result == 0;
        if (in.pos + s->body.pos == before) {
            return CONFCAST_ERR_ZSTD;
        }
    }
    return in.pos == in.size ? CONFCAST_OK : CONFCAST_ERR_ZTRAILING;
}

int
cfc_coding_add(struct cfc_coder *coder, const void *coded, size_t size, size_t *body_done)
{
    struct stream *s = &coder->stream;
    int error;

    assert(size <= s->coded_size - s->coded_done);
    if (s->is_ended && size > 0) {
        return CONFCAST_ERR_ZTRAILING;
    }
    error =
        s->encoding == CFC_ENCODING_RAW ? add_raw(s, coded, size) : add_zstd(coder, coded, size);
    s->coded_done += size;
    *body_done = s->body.pos;
    return error;
}

int
cfc_coding_end(const struct cfc_coder *coder)
{
    const struct stream *s = &coder->stream;

    return s->is_ended && s->coded_done == s->coded_size && s->body.pos == s->body.size
               ? CONFCAST_OK
               : CONFCAST_ERR_ZSTD;
}
