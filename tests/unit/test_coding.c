#include "protocol/snapshot/coding.h"

#include <stdlib.h>
#include <string.h>

#include <zstd.h>

#include "confcast/error.h"
#include "protocol/base/endian.h"
#include "protocol/base/prng.h"
#include "tests/unit/cunit_main.h"
#include "tests/unit/heap.h"

enum {
    DOCUMENT_SIZE = 40000,
    PIECED_SIZE_MAX = 100000,
};

static struct cfc_test_heap heap;
static const struct cfc_alloc alloc_table = {cfc_test_heap_alloc, cfc_test_heap_free, &heap};
static struct cfc_coder *coder;

/* Text that compresses but does not repeat as a whole. */
static void
fill(uint8_t *bytes, size_t size, uint64_t seed)
{
    struct cfc_prng prng = {seed};

    for (size_t i = 0; i < size; i++) {
        bytes[i] = "abcdefgh"[cfc_prng_below(&prng, 8)];
    }
}

static uint8_t *
document(size_t size, uint64_t seed)
{
    uint8_t *bytes = malloc(size);

    CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
    fill(bytes, size, seed);
    return bytes;
}

/* One zstd frame, made with the library and these settings. */
static size_t
frame_of(uint8_t *out, size_t capacity, const void *body, size_t size, int window_log,
         bool has_size, bool has_checksum)
{
    ZSTD_CCtx *cctx = ZSTD_createCCtx();
    size_t frame_size;

    CU_ASSERT_PTR_NOT_NULL_FATAL(cctx);
    ZSTD_CCtx_setParameter(cctx, ZSTD_c_windowLog, window_log);
    ZSTD_CCtx_setParameter(cctx, ZSTD_c_contentSizeFlag, has_size);
    ZSTD_CCtx_setParameter(cctx, ZSTD_c_checksumFlag, has_checksum);
    frame_size = ZSTD_compress2(cctx, out, capacity, body, size);
    CU_ASSERT_FALSE_FATAL(ZSTD_isError(frame_size));
    ZSTD_freeCCtx(cctx);
    return frame_size;
}

/* The same in pieces.  They come from allocations of their own, too. */
static int
decode_in_pieces(enum cfc_encoding encoding, const uint8_t *coded, size_t coded_size,
                 const void *base, size_t base_size, uint8_t *body, size_t body_size,
                 size_t piece_size)
{
    int error = cfc_coding_begin(coder, encoding, coded_size, base, base_size, body, body_size);
    size_t body_done = 0;

    for (size_t at = 0; error == CONFCAST_OK && at < coded_size;) {
        size_t size = coded_size - at < piece_size ? coded_size - at : piece_size;
        uint8_t *piece = malloc(size);
        size_t before = body_done;

        CU_ASSERT_PTR_NOT_NULL_FATAL(piece);
        memcpy(piece, coded + at, size);
        error = cfc_coding_add(coder, piece, size, &body_done);
        CU_ASSERT(body_done >= before && body_done <= body_size);
        free(piece);
        at += size;
    }
    return error == CONFCAST_OK ? cfc_coding_end(coder) : error;
}

/* What is refused whole is refused in pieces, and what is taken is the same. */
static void
check_pieces(enum cfc_encoding encoding, const uint8_t *coded, size_t coded_size,
             const uint8_t *whole, size_t body_size, int expected)
{
    static const size_t piece_sizes[] = {CFC_CODING_PIECE_MIN, 1440, SIZE_MAX};

    for (size_t i = 0; i < sizeof(piece_sizes) / sizeof(piece_sizes[0]); i++) {
        uint8_t *body = malloc(body_size > 0 ? body_size : 1);
        int error;

        CU_ASSERT_PTR_NOT_NULL_FATAL(body);
        error =
            decode_in_pieces(encoding, coded, coded_size, NULL, 0, body, body_size, piece_sizes[i]);
        CU_ASSERT_EQUAL(error == CONFCAST_OK, expected == CONFCAST_OK);
        if (error == CONFCAST_OK && expected == CONFCAST_OK) {
            CU_ASSERT_EQUAL(memcmp(body, whole, body_size), 0);
        }
        free(body);
    }
}

/* Decodes from and into allocations of the exact size, where a sanitizer sees every access beyond.
 */
static int
decode(enum cfc_encoding encoding, const void *coded, size_t coded_size, size_t body_size)
{
    uint8_t *copy = malloc(coded_size > 0 ? coded_size : 1);
    uint8_t *body = malloc(body_size > 0 ? body_size : 1);
    int check_error;
    int error;

    CU_ASSERT_FATAL(copy != NULL && body != NULL);
    memcpy(copy, coded, coded_size);
    check_error = cfc_coding_check(encoding, copy, coded_size, body_size);
    error = cfc_coding_decode(coder, encoding, copy, coded_size, NULL, 0, body, body_size);
    CU_ASSERT_TRUE(check_error == CONFCAST_OK || error == check_error);
    if (coded_size < PIECED_SIZE_MAX) {
        check_pieces(encoding, copy, coded_size, body, body_size, error);
    }
    free(copy);
    free(body);
    return error;
}

static void
a_body_comes_back_as_it_was(void)
{
    static const size_t sizes[] = {1, 2, 100, 255, 256, 257, 65535, 65536, 65792, 3000000};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        size_t size = sizes[i];
        size_t capacity = cfc_coding_bound(size);
        uint8_t *body = document(size, i);
        uint8_t *coded = malloc(capacity);
        uint8_t *back = malloc(size);
        enum cfc_encoding encoding;
        size_t coded_size;

        CU_ASSERT_FATAL(coded != NULL && back != NULL);
        CU_ASSERT_EQUAL_FATAL(
            cfc_coding_encode(coder, body, size, coded, capacity, &coded_size, &encoding),
            CONFCAST_OK);
        CU_ASSERT_EQUAL(encoding, size < 100 ? CFC_ENCODING_RAW : CFC_ENCODING_ZSTD);
        CU_ASSERT_TRUE(coded_size < size || encoding == CFC_ENCODING_RAW);
        CU_ASSERT_EQUAL(cfc_coding_decode(coder, encoding, coded, coded_size, NULL, 0, back, size),
                        CONFCAST_OK);
        CU_ASSERT_EQUAL(memcmp(back, body, size), 0);
        free(body);
        free(coded);
        free(back);
    }
}

static void
what_does_not_shrink_travels_raw(void)
{
    uint8_t body[1000];
    uint8_t coded[2000];
    struct cfc_prng prng = {5};
    enum cfc_encoding encoding;
    size_t coded_size;

    for (size_t i = 0; i < sizeof(body); i++) {
        body[i] = (uint8_t)cfc_prng_next(&prng);
    }
    CU_ASSERT_EQUAL_FATAL(
        cfc_coding_encode(coder, body, sizeof(body), coded, sizeof(coded), &coded_size, &encoding),
        CONFCAST_OK);
    CU_ASSERT_EQUAL(encoding, CFC_ENCODING_RAW);
    CU_ASSERT_EQUAL_FATAL(coded_size, sizeof(body));
    CU_ASSERT_EQUAL(memcmp(coded, body, sizeof(body)), 0);
    CU_ASSERT_EQUAL(decode(CFC_ENCODING_RAW, coded, coded_size, coded_size), CONFCAST_OK);
    CU_ASSERT_EQUAL(decode(CFC_ENCODING_RAW, coded, coded_size, coded_size + 1),
                    CONFCAST_ERR_ZSIZE);
    CU_ASSERT_EQUAL(decode(CFC_ENCODING_RAW, coded, coded_size, coded_size - 1),
                    CONFCAST_ERR_ZSIZE);
    CU_ASSERT_EQUAL(decode(CFC_ENCODING_RAW, coded, 0, 0), CONFCAST_ERR_ZSIZE);
}

static void
arguments_outside_their_ranges_are_refused(void)
{
    uint8_t bytes[64] = {1};
    uint8_t coded[256];
    enum cfc_encoding encoding;
    size_t size;

    CU_ASSERT_EQUAL(cfc_coding_encode(coder, bytes, 0, coded, sizeof(coded), &size, &encoding),
                    CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(
        cfc_coding_encode(coder, bytes, 64, coded, cfc_coding_bound(64) - 1, &size, &encoding),
        CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(cfc_coding_encode(coder, bytes, (size_t)CFC_BODY_SIZE_MAX + 1, coded, SIZE_MAX,
                                      &size, &encoding),
                    CONFCAST_ERR_LIMIT);
    CU_ASSERT_EQUAL(
        cfc_coding_encode_delta(coder, bytes, 0, bytes, 64, coded, sizeof(coded), &size),
        CONFCAST_ERR_INVALID);
    CU_ASSERT_EQUAL(cfc_coding_encode_delta(coder, bytes, (size_t)CFC_BODY_SIZE_MAX + 1, bytes, 64,
                                            coded, sizeof(coded), &size),
                    CONFCAST_ERR_LIMIT);
    CU_ASSERT_EQUAL(decode((enum cfc_encoding)3, bytes, 10, 10), CONFCAST_ERR_UNSUPPORTED);
    CU_ASSERT_EQUAL(
        cfc_coding_check(CFC_ENCODING_ZSTD, bytes, sizeof(bytes), (size_t)CFC_BODY_SIZE_MAX + 1),
        CONFCAST_ERR_LIMIT);
    CU_ASSERT_EQUAL(
        cfc_coding_check(CFC_ENCODING_ZSTD, bytes, (size_t)CFC_BODY_SIZE_MAX + 1, sizeof(bytes)),
        CONFCAST_ERR_LIMIT);
}

static void
a_bomb_is_held_to_the_signed_size(void)
{
    size_t bomb_size = 64u << 20;
    uint8_t *zeros = calloc(1, bomb_size);
    static uint8_t coded[100000];
    size_t coded_size;

    CU_ASSERT_PTR_NOT_NULL_FATAL(zeros);
    coded_size = frame_of(coded, sizeof(coded), zeros, bomb_size, 20, true, false);
    CU_ASSERT_TRUE(coded_size < 10000);
    CU_ASSERT_EQUAL(decode(CFC_ENCODING_ZSTD, coded, coded_size, bomb_size), CONFCAST_OK);
    CU_ASSERT_EQUAL(decode(CFC_ENCODING_ZSTD, coded, coded_size, 1000), CONFCAST_ERR_ZSIZE);
    /* The frame lies about its size, in 4 bytes behind magic, descriptor and window. */
    CU_ASSERT_EQUAL_FATAL(cfc_get_u32(coded + 6), bomb_size);
    cfc_put_u32(coded + 6, 1000);
    CU_ASSERT_EQUAL(decode(CFC_ENCODING_ZSTD, coded, coded_size, 1000), CONFCAST_ERR_ZSTD);
    cfc_put_u32(coded + 6, (uint32_t)bomb_size + 1);
    CU_ASSERT_EQUAL(decode(CFC_ENCODING_ZSTD, coded, coded_size, bomb_size + 1), CONFCAST_ERR_ZSTD);
    free(zeros);
}

static void
the_frame_must_state_the_signed_size(void)
{
    uint8_t *body = document(DOCUMENT_SIZE, 1);
    static uint8_t coded[2 * DOCUMENT_SIZE];
    size_t size = frame_of(coded, sizeof(coded), body, DOCUMENT_SIZE, 20, true, false);

    CU_ASSERT_EQUAL(decode(CFC_ENCODING_ZSTD, coded, size, DOCUMENT_SIZE), CONFCAST_OK);
    CU_ASSERT_EQUAL(decode(CFC_ENCODING_ZSTD, coded, size, DOCUMENT_SIZE - 1), CONFCAST_ERR_ZSIZE);
    CU_ASSERT_EQUAL(decode(CFC_ENCODING_ZSTD, coded, size, DOCUMENT_SIZE + 1), CONFCAST_ERR_ZSIZE);
    CU_ASSERT_EQUAL(decode(CFC_ENCODING_ZSTD, coded, size, 0), CONFCAST_ERR_ZSIZE);
    size = frame_of(coded, sizeof(coded), body, DOCUMENT_SIZE, 20, false, false);
    CU_ASSERT_EQUAL(decode(CFC_ENCODING_ZSTD, coded, size, DOCUMENT_SIZE), CONFCAST_ERR_ZSIZE);
    free(body);
}

static void
the_window_ends_at_128_mib(void)
{
    uint8_t *body = document(DOCUMENT_SIZE, 1);
    static uint8_t coded[2 * DOCUMENT_SIZE];
    size_t size = frame_of(coded, sizeof(coded), body, DOCUMENT_SIZE, 12, true, false);
    /* Magic, descriptor: single segment, 4 bytes of size; then a last block that says 200 MiB of
     * one byte, which no block may hold, but which nobody should get to see. */
    uint8_t single[13] = {0x28, 0xb5, 0x2f, 0xfd, 0xa0};

    CU_ASSERT_EQUAL_FATAL(coded[4] & 0x20, 0); /* it has a window byte */
    CU_ASSERT_EQUAL(decode(CFC_ENCODING_ZSTD, coded, size, DOCUMENT_SIZE), CONFCAST_OK);
    coded[5] = 17 << 3;
    CU_ASSERT_EQUAL(decode(CFC_ENCODING_ZSTD, coded, size, DOCUMENT_SIZE), CONFCAST_OK);
    coded[5] = 17 << 3 | 1;
    CU_ASSERT_EQUAL(decode(CFC_ENCODING_ZSTD, coded, size, DOCUMENT_SIZE), CONFCAST_ERR_ZWINDOW);
    coded[5] = 18 << 3;
    CU_ASSERT_EQUAL(decode(CFC_ENCODING_ZSTD, coded, size, DOCUMENT_SIZE), CONFCAST_ERR_ZWINDOW);
    coded[5] = 0xff;
    CU_ASSERT_EQUAL(decode(CFC_ENCODING_ZSTD, coded, size, DOCUMENT_SIZE), CONFCAST_ERR_ZWINDOW);

    cfc_put_u32(single + 5, 200u << 20);
    CU_ASSERT_EQUAL(cfc_coding_check(CFC_ENCODING_ZSTD, single, sizeof(single), 200u << 20),
                    CONFCAST_ERR_ZWINDOW);
    free(body);
}

static void
only_one_frame_and_nothing_else(void)
{
    static const uint8_t skippable[] = {0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3};
    uint8_t *body = document(DOCUMENT_SIZE, 1);
    static uint8_t coded[3 * DOCUMENT_SIZE];
    static uint8_t moved[3 * DOCUMENT_SIZE];
    size_t size = frame_of(coded, sizeof(coded), body, DOCUMENT_SIZE, 20, true, false);

    CU_ASSERT_EQUAL(decode(CFC_ENCODING_ZSTD, coded, size, DOCUMENT_SIZE), CONFCAST_OK);
    coded[size] = 0;
    CU_ASSERT_EQUAL(decode(CFC_ENCODING_ZSTD, coded, size + 1, DOCUMENT_SIZE),
                    CONFCAST_ERR_ZTRAILING);
    memcpy(coded + size, coded, size);
    CU_ASSERT_EQUAL(decode(CFC_ENCODING_ZSTD, coded, 2 * size, DOCUMENT_SIZE),
                    CONFCAST_ERR_ZTRAILING);
    CU_ASSERT_EQUAL(decode(CFC_ENCODING_ZSTD, coded, 2 * size, 2 * DOCUMENT_SIZE),
                    CONFCAST_ERR_ZSIZE);
    memcpy(coded + size, skippable, sizeof(skippable));
    CU_ASSERT_EQUAL(decode(CFC_ENCODING_ZSTD, coded, size + sizeof(skippable), DOCUMENT_SIZE),
                    CONFCAST_ERR_ZTRAILING);
    memcpy(moved, skippable, sizeof(skippable));
    memcpy(moved + sizeof(skippable), coded, size);
    CU_ASSERT_EQUAL(decode(CFC_ENCODING_ZSTD, moved, size + sizeof(skippable), DOCUMENT_SIZE),
                    CONFCAST_ERR_ZEMPTY);
    free(body);
}

static void
empty_input_and_skippable_frames_are_no_content(void)
{
    uint8_t skippable[] = {0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0};
    uint8_t empty_frame[64];
    size_t size = frame_of(empty_frame, sizeof(empty_frame), "", 0, 20, true, false);

    CU_ASSERT_EQUAL(decode(CFC_ENCODING_ZSTD, "", 0, 10), CONFCAST_ERR_ZEMPTY);
    CU_ASSERT_EQUAL(decode(CFC_ENCODING_ZSTD, "", 0, 0), CONFCAST_ERR_ZEMPTY);
    for (int i = 0; i < 16; i++) {
        skippable[0] = (uint8_t)(0x50 + i);
        CU_ASSERT_EQUAL(decode(CFC_ENCODING_ZSTD, skippable, sizeof(skippable), 10),
                        CONFCAST_ERR_ZEMPTY);
    }
    CU_ASSERT_EQUAL(decode(CFC_ENCODING_ZSTD, empty_frame, size, 10), CONFCAST_ERR_ZSIZE);
}

static void
checksums_dictionaries_reserved_bits_and_other_magics_are_refused(void)
{
    uint8_t *body = document(DOCUMENT_SIZE, 1);
    static uint8_t coded[2 * DOCUMENT_SIZE];
    size_t size = frame_of(coded, sizeof(coded), body, DOCUMENT_SIZE, 20, true, true);

    CU_ASSERT_EQUAL(decode(CFC_ENCODING_ZSTD, coded, size, DOCUMENT_SIZE), CONFCAST_ERR_ZSTD);
    size = frame_of(coded, sizeof(coded), body, DOCUMENT_SIZE, 20, true, false);
    coded[4] |= 0x08;
    CU_ASSERT_EQUAL(decode(CFC_ENCODING_ZSTD, coded, size, DOCUMENT_SIZE), CONFCAST_ERR_ZSTD);
    coded[4] ^= 0x08;
    /* A dictionary id of one byte, zero, which zstd itself lets pass. */
    memmove(coded + 6, coded + 5, size - 5);
    coded[4] |= 0x01;
    coded[5] = 0;
    CU_ASSERT_EQUAL(decode(CFC_ENCODING_ZSTD, coded, size + 1, DOCUMENT_SIZE), CONFCAST_ERR_ZSTD);
    memcpy(coded, "\x1f\x8b\x08\x00", 4);
    CU_ASSERT_EQUAL(decode(CFC_ENCODING_ZSTD, coded, size, DOCUMENT_SIZE), CONFCAST_ERR_ZSTD);
    free(body);
}

static void
every_truncation_and_many_flips_are_survived(void)
{
    enum {
        SIZE = 3000
    };
    uint8_t *body = document(SIZE, 1);
    uint8_t coded[2 * SIZE];
    size_t size;
    enum cfc_encoding encoding;
    struct cfc_prng prng = {2};

    CU_ASSERT_EQUAL_FATAL(
        cfc_coding_encode(coder, body, SIZE, coded, sizeof(coded), &size, &encoding), CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(encoding, CFC_ENCODING_ZSTD);
    for (size_t i = 0; i < size; i++) {
        int error = decode(CFC_ENCODING_ZSTD, coded, i, SIZE);

        CU_ASSERT_EQUAL(error, i == 0 ? CONFCAST_ERR_ZEMPTY : CONFCAST_ERR_ZSTD);
    }
    for (int i = 0; i < 20000; i++) {
        size_t at = cfc_prng_below(&prng, i % 2 == 0 ? size : 16);
        uint8_t bit = (uint8_t)(1u << cfc_prng_below(&prng, 8));

        coded[at] ^= bit;
        decode(CFC_ENCODING_ZSTD, coded, size, SIZE);
        coded[at] ^= bit;
    }
    CU_ASSERT_EQUAL(decode(CFC_ENCODING_ZSTD, coded, size, SIZE), CONFCAST_OK);
    free(body);
}

static void
a_delta_is_small_and_needs_its_base(void)
{
    /* Far beyond the window of level 3, and what is inserted comes early. */
    size_t base_size = 6000000;
    size_t body_size = base_size + 20;
    uint8_t *base = document(base_size, 1);
    uint8_t *body = malloc(body_size);
    uint8_t *back = malloc(body_size);
    size_t capacity = cfc_coding_bound(body_size);
    uint8_t *coded = malloc(capacity);
    size_t size;

    CU_ASSERT_FATAL(body != NULL && back != NULL && coded != NULL);
    memcpy(body, base, 1000);
    memset(body + 1000, '#', 20);
    memcpy(body + 1020, base + 1000, base_size - 1000);
    CU_ASSERT_EQUAL_FATAL(
        cfc_coding_encode_delta(coder, base, base_size, body, body_size, coded, capacity, &size),
        CONFCAST_OK);
    CU_ASSERT_TRUE(size < 2000);
    CU_ASSERT_EQUAL(cfc_coding_decode(coder, CFC_ENCODING_ZSTD_DELTA, coded, size, base, base_size,
                                      back, body_size),
                    CONFCAST_OK);
    CU_ASSERT_EQUAL(memcmp(back, body, body_size), 0);

    CU_ASSERT_EQUAL(
        cfc_coding_decode(coder, CFC_ENCODING_ZSTD_DELTA, coded, size, NULL, 0, back, body_size),
        CONFCAST_ERR_NO_BASE);
    /* Without the prefix the matches reach before the start. */
    CU_ASSERT_EQUAL(
        cfc_coding_decode(coder, CFC_ENCODING_ZSTD, coded, size, NULL, 0, back, body_size),
        CONFCAST_ERR_ZSTD);
    /* A base that is too short; one of the same size decodes to other bytes. */
    CU_ASSERT_EQUAL(
        cfc_coding_decode(coder, CFC_ENCODING_ZSTD_DELTA, coded, size, base, 1000, back, body_size),
        CONFCAST_ERR_ZSTD);
    fill(base, base_size, 2);
    if (cfc_coding_decode(coder, CFC_ENCODING_ZSTD_DELTA, coded, size, base, base_size, back,
                          body_size) == CONFCAST_OK) {
        CU_ASSERT_NOT_EQUAL(memcmp(back, body, body_size), 0);
    }
    free(base);
    free(body);
    free(back);
    free(coded);
}

static void
a_base_is_forgotten_after_its_delta(void)
{
    static uint8_t base[5000];
    static uint8_t body[5000];
    static uint8_t coded[20000];
    static uint8_t again[20000];
    enum cfc_encoding encoding;
    size_t size;
    size_t again_size;

    fill(base, sizeof(base), 3);
    fill(body, sizeof(body), 3);
    CU_ASSERT_EQUAL(
        cfc_coding_encode(coder, base, sizeof(base), coded, sizeof(coded), &size, &encoding),
        CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_coding_encode_delta(coder, base, sizeof(base), body, sizeof(body), again,
                                            sizeof(again), &again_size),
                    CONFCAST_OK);
    CU_ASSERT_TRUE(again_size < 100);
    CU_ASSERT_EQUAL(
        cfc_coding_encode(coder, base, sizeof(base), again, sizeof(again), &again_size, &encoding),
        CONFCAST_OK);
    CU_ASSERT_EQUAL_FATAL(again_size, size);
    CU_ASSERT_EQUAL(memcmp(again, coded, size), 0);
}

/* Encodes, encodes a delta and decodes it with a coder of its own. */
static int
round_trip(const uint8_t *base, const uint8_t *body, size_t body_size)
{
    static uint8_t coded[2 * DOCUMENT_SIZE];
    static uint8_t back[DOCUMENT_SIZE];
    struct cfc_coder *own = cfc_coder_new(&alloc_table);
    enum cfc_encoding encoding;
    size_t size;
    int error;

    if (own == NULL) {
        return CONFCAST_ERR_NO_MEMORY;
    }
    error = cfc_coding_encode(own, body, body_size, coded, sizeof(coded), &size, &encoding);
    if (error == CONFCAST_OK) {
        error = cfc_coding_encode_delta(own, base, DOCUMENT_SIZE, body, body_size, coded,
                                        sizeof(coded), &size);
    }
    if (error == CONFCAST_OK) {
        error = cfc_coding_decode(own, CFC_ENCODING_ZSTD_DELTA, coded, size, base, DOCUMENT_SIZE,
                                  back, body_size);
    }
    CU_ASSERT_TRUE(error != CONFCAST_OK || memcmp(back, body, body_size) == 0);
    cfc_coder_free(own);
    return error;
}

static void
each_failing_allocation_is_an_error_without_a_leak(void)
{
    uint8_t *base = document(DOCUMENT_SIZE, 1);
    uint8_t *body = document(DOCUMENT_SIZE, 2);
    struct cfc_test_heap outer = heap;
    size_t failed_count = 0;
    int error = CONFCAST_ERR_NO_MEMORY;

    for (size_t n = 1; error != CONFCAST_OK && n < 100; n++) {
        heap = (struct cfc_test_heap){.fail_at = n, .fails_for_good = n % 2 == 0};
        error = round_trip(base, body, DOCUMENT_SIZE);
        CU_ASSERT_TRUE(error == CONFCAST_OK || error == CONFCAST_ERR_NO_MEMORY);
        CU_ASSERT_EQUAL(heap.live_count, 0);
        failed_count += error != CONFCAST_OK;
    }
    CU_ASSERT_EQUAL(error, CONFCAST_OK);
    CU_ASSERT_TRUE(failed_count >= 4); /* coder, both contexts, a workspace */
    heap = outer;
    cfc_coder_free(NULL);
    free(base);
    free(body);
}

static void
a_delta_is_decoded_in_pieces_as_in_one(void)
{
    uint8_t *base = document(DOCUMENT_SIZE, 1);
    uint8_t *body = document(DOCUMENT_SIZE, 2);
    uint8_t *back = malloc(DOCUMENT_SIZE);
    uint8_t *coded = malloc(cfc_coding_bound(DOCUMENT_SIZE));
    size_t coded_size;

    CU_ASSERT_FATAL(back != NULL && coded != NULL);
    memcpy(body, base, DOCUMENT_SIZE / 2);
    CU_ASSERT_EQUAL_FATAL(cfc_coding_encode_delta(coder, base, DOCUMENT_SIZE, body, DOCUMENT_SIZE,
                                                  coded, cfc_coding_bound(DOCUMENT_SIZE),
                                                  &coded_size),
                          CONFCAST_OK);
    CU_ASSERT_EQUAL(decode_in_pieces(CFC_ENCODING_ZSTD_DELTA, coded, coded_size, base,
                                     DOCUMENT_SIZE, back, DOCUMENT_SIZE, 100),
                    CONFCAST_OK);
    CU_ASSERT_EQUAL(memcmp(back, body, DOCUMENT_SIZE), 0);
    CU_ASSERT_EQUAL(decode_in_pieces(CFC_ENCODING_ZSTD_DELTA, coded, coded_size, NULL, 0, back,
                                     DOCUMENT_SIZE, 100),
                    CONFCAST_ERR_NO_BASE);
    /* Another decoding in between ends the first one; begun again, it has its base again. */
    CU_ASSERT_NOT_EQUAL(
        decode_in_pieces(CFC_ENCODING_ZSTD, coded, coded_size, NULL, 0, back, DOCUMENT_SIZE, 100),
        CONFCAST_OK);
    CU_ASSERT_EQUAL(decode_in_pieces(CFC_ENCODING_ZSTD_DELTA, coded, coded_size, base,
                                     DOCUMENT_SIZE, back, DOCUMENT_SIZE, SIZE_MAX),
                    CONFCAST_OK);
    free(base);
    free(body);
    free(back);
    free(coded);
}

static void
what_is_cut_off_is_no_body_in_pieces_either(void)
{
    uint8_t *body = document(DOCUMENT_SIZE, 1);
    uint8_t *back = malloc(DOCUMENT_SIZE);
    static uint8_t coded[2 * DOCUMENT_SIZE];
    size_t size = frame_of(coded, sizeof(coded), body, DOCUMENT_SIZE, 20, true, false);
    size_t done;

    CU_ASSERT_PTR_NOT_NULL_FATAL(back);
    CU_ASSERT_EQUAL(cfc_coding_begin(coder, CFC_ENCODING_ZSTD, size, NULL, 0, back, DOCUMENT_SIZE),
                    CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_coding_end(coder), CONFCAST_ERR_ZSTD);
    CU_ASSERT_EQUAL(cfc_coding_add(coder, coded, size - 1, &done), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_coding_end(coder), CONFCAST_ERR_ZSTD);
    CU_ASSERT_EQUAL(cfc_coding_add(coder, coded + size - 1, 1, &done), CONFCAST_OK);
    CU_ASSERT_EQUAL(done, DOCUMENT_SIZE);
    CU_ASSERT_EQUAL(cfc_coding_end(coder), CONFCAST_OK);
    /* More bytes were signed than the frame has. */
    CU_ASSERT_EQUAL(
        cfc_coding_begin(coder, CFC_ENCODING_ZSTD, size + 1, NULL, 0, back, DOCUMENT_SIZE),
        CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_coding_add(coder, coded, size, &done), CONFCAST_OK);
    CU_ASSERT_EQUAL(cfc_coding_end(coder), CONFCAST_ERR_ZSTD);
    CU_ASSERT_EQUAL(cfc_coding_add(coder, coded, 1, &done), CONFCAST_ERR_ZTRAILING);
    free(body);
    free(back);
}

static const struct cfc_test_case cases[] = {
    CFC_CASE(a_body_comes_back_as_it_was),
    CFC_CASE(what_does_not_shrink_travels_raw),
    CFC_CASE(arguments_outside_their_ranges_are_refused),
    CFC_CASE(a_bomb_is_held_to_the_signed_size),
    CFC_CASE(the_frame_must_state_the_signed_size),
    CFC_CASE(the_window_ends_at_128_mib),
    CFC_CASE(only_one_frame_and_nothing_else),
    CFC_CASE(empty_input_and_skippable_frames_are_no_content),
    CFC_CASE(checksums_dictionaries_reserved_bits_and_other_magics_are_refused),
    CFC_CASE(every_truncation_and_many_flips_are_survived),
    CFC_CASE(a_delta_is_small_and_needs_its_base),
    CFC_CASE(a_base_is_forgotten_after_its_delta),
    CFC_CASE(a_delta_is_decoded_in_pieces_as_in_one),
    CFC_CASE(what_is_cut_off_is_no_body_in_pieces_either),
    CFC_CASE(each_failing_allocation_is_an_error_without_a_leak),
};

int
main(void)
{
    int status;

    coder = cfc_coder_new(&alloc_table);
    if (coder == NULL) {
        return 2;
    }
    status = cfc_test_main("coding", cases, sizeof(cases) / sizeof(cases[0]));
    cfc_coder_free(coder);
    return heap.live_count == 0 ? status : 1;
}
