/* Coded bytes from anybody: 1 byte of encoding, 3 of the signed size, then the coded bytes.  What
 * decodes has the signed size and comes back from our own encoder. */
#include <string.h>

#include "confcast/error.h"
#include "protocol/snapshot/coding.h"
#include "tests/fuzz/target.h"

enum {
    HEADER_SIZE = 4
};

static const char base[] =
    "{\"checkout\":{\"limits\":{\"connections\":1024,\"rate\":0.25},\"hosts\":[\"a\",\"b\"]}}";

static void
check_round_trip(struct cfc_coder *coder, const uint8_t *body, size_t size)
{
    size_t capacity = cfc_coding_bound(size);
    uint8_t *coded = malloc(capacity);
    uint8_t *back = malloc(size);
    enum cfc_encoding encoding;
    size_t coded_size;

    CFC_FUZZ_CHECK(coded != NULL && back != NULL);
    CFC_FUZZ_CHECK(cfc_coding_encode(coder, body, size, coded, capacity, &coded_size, &encoding) ==
                   CONFCAST_OK);
    CFC_FUZZ_CHECK(cfc_coding_decode(coder, encoding, coded, coded_size, NULL, 0, back, size) ==
                   CONFCAST_OK);
    CFC_FUZZ_CHECK(memcmp(back, body, size) == 0);
    memset(back, 0, size);
    CFC_FUZZ_CHECK(cfc_coding_encode_delta(coder, base, sizeof(base), body, size, coded, capacity,
                                           &coded_size) == CONFCAST_OK);
    CFC_FUZZ_CHECK(cfc_coding_decode(coder, CFC_ENCODING_ZSTD_DELTA, coded, coded_size, base,
                                     sizeof(base), back, size) == CONFCAST_OK);
    CFC_FUZZ_CHECK(memcmp(back, body, size) == 0);
    free(coded);
    free(back);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static struct cfc_coder *coder; /* kept: contexts are dear and must survive bad input */
    enum cfc_encoding encoding;
    size_t body_size;
    uint8_t *body;
    int check_error;
    int error;

    if (size < HEADER_SIZE) {
        return 0;
    }
    if (coder == NULL) {
        coder = cfc_coder_new(&cfc_fuzz_heap);
        CFC_FUZZ_CHECK(coder != NULL);
    }
    encoding = (enum cfc_encoding)bytes[0];
    body_size = bytes[1] | (size_t)bytes[2] << 8 | (size_t)bytes[3] << 16;
    bytes += HEADER_SIZE;
    size -= HEADER_SIZE;
    check_error = cfc_coding_check(encoding, bytes, size, body_size);
    body = malloc(body_size > 0 ? body_size : 1);
    CFC_FUZZ_CHECK(body != NULL);
    error = cfc_coding_decode(coder, encoding, bytes, size, base, sizeof(base), body, body_size);
    CFC_FUZZ_CHECK(check_error == CONFCAST_OK || error == check_error);
    if (error == CONFCAST_OK) {
        check_round_trip(coder, body, body_size);
    }
    free(body);
    return 0;
}
